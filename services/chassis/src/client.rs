//! Calls to another service: address, token, trace, deadline, and a careful second try.
//!
//! Only UNAVAILABLE is tried again (AIP-194), with growing, jittered pauses and a budget: retries may make up a tenth of
//! the calls, so that a peer in trouble is not buried. Requests are unary; a mutating one carries its `request_id`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header, request};
use http_body_util::{BodyExt, Full, Limited};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};

use crate::{deadline, status::Refusal, telemetry};

mod token;

pub use token::TokenSource;

const ATTEMPTS_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// The longest that a call may take where no caller waits, such as in a sweeper.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The retry budget in tenths of a retry: each call adds one, a retry takes ten.
const BUDGET_MAX: i64 = 1_000;
const RETRY_COST: i64 = 10;

/// A service that is called, for generated clients: `RunServiceClient::new(peer.clone())`. Clones share everything.
#[derive(Clone)]
pub struct Peer {
    channel: Channel,
    token: TokenSource,
    budget: Arc<AtomicI64>,
}

/// Makes a channel that connects when it is first used.
///
/// # Errors
/// When the address is not `http://host:port` or `https://host:port`.
pub fn channel(address: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok(endpoint.connect_lazy())
}

impl Peer {
    /// Makes a peer at the end of a channel, to whom every call carries a token of this source.
    pub fn new(channel: Channel, token: TokenSource) -> Peer {
        Peer {
            channel,
            token,
            budget: Arc::new(AtomicI64::new(BUDGET_MAX)),
        }
    }

    async fn run(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| Status::from(Refusal::internal(error)))?
            .to_bytes();
        let until = Instant::now() + deadline::remaining().unwrap_or(TIMEOUT).min(TIMEOUT);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some((left + 1).min(BUDGET_MAX))).ok();

        let mut token_renewed = false;
        let mut attempt = 1;
        loop {
            let token = self.token.get().await?;
            let sent = self.send(&parts, &body, &token, until).await;
            let code = match &sent {
                Ok(response) => code_of(response),
                Err(status) => status.code(),
            };
            if code == Code::Unauthenticated && !token_renewed {
                // The clock was moved, or the key replaced: one fresh token.
                token_renewed = true;
                self.token.forget(&token).await;
                continue;
            }
            let pause = PAUSE * 2_u32.pow(attempt) + jitter();
            if code != Code::Unavailable
                || attempt == ATTEMPTS_MAX
                || Instant::now() + pause >= until
                || !self.may_retry()
            {
                return sent;
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn send(
        &self,
        parts: &request::Parts,
        body: &Bytes,
        token: &HeaderValue,
        until: Instant,
    ) -> Result<Response<Body>, Status> {
        let mut request = Request::new(Body::new(Full::new(body.clone())));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        let left = until.saturating_duration_since(Instant::now());
        let timeout = HeaderValue::try_from(deadline::format_timeout(left));
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, token.clone());
        headers.insert("grpc-timeout", timeout.expect("digits and a letter"));
        telemetry::inject(headers);

        let mut channel = self.channel.clone();
        let answered = tokio::time::timeout_at(until, async {
            channel.ready().await?.call(request).await
        });
        match answered.await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Status::from(Refusal::unavailable("peer", error))),
            Err(_) => Err(Status::from(Refusal::deadline_exceeded())),
        }
    }

    fn may_retry(&self) -> bool {
        let take = |left: i64| (left >= RETRY_COST).then_some(left - RETRY_COST);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().run(request))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}

/// Reads the code of an answer without a message. One with a message has its code in the trailers and has succeeded.
fn code_of(response: &Response<Body>) -> Code {
    let header = response.headers().get("grpc-status");
    header.map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

/// A random pause below the basic one, so that callers that failed together do not come back together.
fn jitter() -> Duration {
    let mut byte = [0; 1];
    // Without randomness, no jitter: better than no retry.
    let _ = getrandom::fill(&mut byte);
    PAUSE * u32::from(byte[0]) / 256
}
