//! The service that moves the clock of a test stack.

use proto::clock::v1::{
    self as pb,
    clock_service_server::{ClockService, ClockServiceServer},
};
use time::{Duration, OffsetDateTime};
use tonic::{Request, Response, Status};

use crate::{Clock, status::Violations};

struct MovableClock(Clock);

pub(super) fn service(clock: Clock) -> ClockServiceServer<impl ClockService> {
    ClockServiceServer::new(MovableClock(clock))
}

#[tonic::async_trait]
impl ClockService for MovableClock {
    async fn get_clock(
        &self,
        _request: Request<pb::GetClockRequest>,
    ) -> Result<Response<pb::Clock>, Status> {
        Ok(Response::new(self.read()))
    }

    async fn advance_clock(
        &self,
        request: Request<pb::AdvanceClockRequest>,
    ) -> Result<Response<pb::Clock>, Status> {
        let to = request.into_inner().to.and_then(|to| {
            let whole = OffsetDateTime::from_unix_timestamp(to.seconds).ok()?;
            whole.checked_add(Duration::nanoseconds(i64::from(to.nanos)))
        });
        let mut violations = Violations::new();
        if let Some(to) = violations.require(to, "to", "is not a time") {
            self.0.advance_to(to);
        }
        violations.into_result()?;
        Ok(Response::new(self.read()))
    }
}

impl MovableClock {
    fn read(&self) -> pb::Clock {
        let now = self.0.now();
        pb::Clock {
            now: Some(prost_types::Timestamp {
                seconds: now.unix_timestamp(),
                nanos: i32::try_from(now.nanosecond()).unwrap_or_default(),
            }),
        }
    }
}
