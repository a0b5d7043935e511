//! What is told about a call once it has ended: one histogram sample and one log line, with the whole chain of causes.

use std::error::Error;

use opentelemetry::{KeyValue, metrics::Histogram};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{status, telemetry};

/// A call in work. Dropped unfinished, its caller has gone.
pub(super) struct Observation {
    method: String,
    started: Instant,
    duration: Histogram<f64>,
    finished: bool,
}

impl Observation {
    /// Begins. `method` is the path of a method of the contract, or something that stands for all others.
    pub(super) fn new(method: &str, duration: &Histogram<f64>) -> Observation {
        Observation {
            method: method.to_owned(),
            started: Instant::now(),
            duration: duration.clone(),
            finished: false,
        }
    }

    /// Ends well.
    pub(super) fn succeed(&mut self) {
        self.finish(Code::Ok);
    }

    /// Ends with a refusal or a failure, which is logged here and nowhere else.
    pub(super) fn fail(&mut self, status: &Status) {
        if self.finished {
            return;
        }
        self.finish(status.code());
        let method = self.method.as_str();
        let code = format!("{:?}", status.code());
        let reason = status::reason_of(status).unwrap_or_default();
        let cause = status.source().map(telemetry::chain).unwrap_or_default();
        match status.code() {
            Code::Ok => {}
            Code::Internal | Code::Unknown | Code::DataLoss => {
                tracing::error!(rpc.method = method, code, reason, cause, "call failed");
            }
            Code::Unavailable | Code::DeadlineExceeded => {
                tracing::warn!(rpc.method = method, code, reason, cause, "call failed");
            }
            Code::Cancelled
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => {
                tracing::debug!(rpc.method = method, code, reason, cause, "call refused");
            }
        }
    }

    fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.duration.record(
            self.started.elapsed().as_secs_f64(),
            &[
                KeyValue::new("rpc.method", self.method.clone()),
                KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))),
            ],
        );
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}
