//! The body of an answer that has begun: a stream stays in work until its last message, under the same deadline, in the
//! same span, and with the same guard against panics as its head.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use tonic::{Status, body::Body};
use tracing::Span;

use super::observation::Observation;
use crate::{deadline, status::Refusal, task};

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

/// What is kept of a call until its answer has been sent.
pub(super) struct InWork {
    pub(super) observation: Observation,
    pub(super) span: Span,
    /// Set for calls that count: when they must have ended, and their place among the calls in work.
    pub(super) limits: Option<(Instant, OwnedSemaphorePermit)>,
}

pub(super) struct CallBody {
    inner: Body,
    call: InWork,
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl CallBody {
    pub(super) fn new(inner: Body, call: InWork) -> CallBody {
        let alarm = call.limits.as_ref();
        let alarm = alarm.map(|(until, _)| Box::pin(tokio::time::sleep_until(*until)));
        CallBody {
            inner,
            call,
            alarm,
            ended: false,
        }
    }

    /// Ends the answer with a failure, as trailers.
    fn fail(&mut self, refusal: Refusal) -> Frame<Bytes> {
        let status = Status::from(refusal);
        self.call.observation.fail(&status);
        self.ended = true;
        let mut trailers = HeaderMap::new();
        // Fails only for texts that are no header value, and ours are.
        let _ = status.add_header(&mut trailers);
        Frame::trailers(trailers)
    }

    fn poll_inner(&mut self, context: &mut Context<'_>) -> std::thread::Result<Polled> {
        let inner =
            AssertUnwindSafe(|| http_body::Body::poll_frame(Pin::new(&mut self.inner), context));
        match &self.call.limits {
            Some((until, _)) => deadline::sync_scope(*until, || std::panic::catch_unwind(inner)),
            None => std::panic::catch_unwind(inner),
        }
    }
}

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let span = this.call.span.clone();
        let _entered = span.enter();

        let polled = match this.poll_inner(context) {
            Ok(polled) => polled,
            Err(payload) => {
                let text = task::panic_text(payload.as_ref());
                let frame = this.fail(Refusal::internal(format!("panic: {text}")));
                return Poll::Ready(Some(Ok(frame)));
            }
        };
        let ready = match polled {
            Poll::Ready(ready) => ready,
            Poll::Pending => {
                let alarm = this.alarm.as_mut();
                if alarm.is_some_and(|alarm| alarm.as_mut().poll(context).is_ready()) {
                    let frame = this.fail(Refusal::deadline_exceeded());
                    return Poll::Ready(Some(Ok(frame)));
                }
                return Poll::Pending;
            }
        };
        match &ready {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    match Status::from_header_map(trailers) {
                        Some(status) if status.code() != tonic::Code::Ok => {
                            this.call.observation.fail(&status);
                        }
                        Some(_) | None => this.call.observation.succeed(),
                    }
                }
            }
            Some(Err(status)) => this.call.observation.fail(status),
            None => this.call.observation.succeed(),
        }
        Poll::Ready(ready)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The end may come sooner than the inner body says.
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::Semaphore;
    use tonic::Code;

    use super::*;

    type Part = Result<Frame<Bytes>, Status>;

    async fn sent(
        parts: impl futures::Stream<Item = Part> + Send + 'static,
        calls: &Arc<Semaphore>,
        limit: Duration,
    ) -> (usize, Option<Status>) {
        let permit = Arc::clone(calls).try_acquire_owned().unwrap();
        let duration = opentelemetry::global::meter("test")
            .f64_histogram("test")
            .build();
        let call = InWork {
            observation: Observation::new("/test", &duration),
            span: Span::none(),
            limits: Some((Instant::now() + limit, permit)),
        };
        let mut body = CallBody::new(Body::new(StreamBody::new(parts)), call);
        let (mut messages, mut ended) = (0, None);
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap();
            match frame.trailers_ref() {
                Some(trailers) => ended = Status::from_header_map(trailers),
                None => messages += 1,
            }
        }
        (messages, ended)
    }

    fn message() -> Part {
        Ok(Frame::data(Bytes::from_static(b"message")))
    }

    #[tokio::test]
    async fn a_stream_that_hangs_ends_at_its_deadline_and_gives_its_place_back() {
        let calls = Arc::new(Semaphore::new(1));
        let parts = stream::iter([message()]).chain(stream::pending());

        let (messages, ended) = sent(parts, &calls, Duration::from_millis(20)).await;

        assert_eq!(messages, 1);
        assert_eq!(ended.unwrap().code(), Code::DeadlineExceeded);
        assert_eq!(calls.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_stream_that_panics_ends_with_a_generic_text() {
        let calls = Arc::new(Semaphore::new(1));
        let broken = stream::iter([1]).map(|_| -> Part { panic!("canary") });

        let (_, ended) = sent(broken, &calls, Duration::from_secs(5)).await;

        let ended = ended.unwrap();
        assert_eq!(ended.code(), Code::Internal);
        assert_eq!(ended.message(), "internal error");
    }

    #[tokio::test]
    async fn a_stream_that_ends_well_is_left_alone() {
        let calls = Arc::new(Semaphore::new(1));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let parts = stream::iter([message(), message(), Ok(Frame::trailers(trailers))]);

        let (messages, ended) = sent(parts, &calls, Duration::from_secs(5)).await;

        assert_eq!(messages, 2);
        assert_eq!(ended.unwrap().code(), Code::Ok);
    }
}
