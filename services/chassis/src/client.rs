//! Calls to another service: address, token, trace, deadline, and a careful second try.
//!
//! Only `UNAVAILABLE` is tried again (AIP-194), with growing, jittered pauses and a budget: retries may make up a tenth
//! of the calls, so that a peer in trouble is not buried. Streams and large requests are tried once. A mutating request
//! carries its `request_id`, so that a second try is harmless.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};

use crate::{auth::Permissions, deadline, status::Refusal, telemetry};

mod budget;
mod message;
mod token;

use budget::Budget;
use message::{Buffered, code_of};
pub use token::TokenSource;

const ATTEMPTS_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// The longest that a unary call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that a stream may take where no caller's deadline says less.
const STREAM_TIMEOUT: Duration = Duration::from_secs(3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Timers tick in milliseconds: what fails so near the deadline has failed by it.
const TICK: Duration = Duration::from_millis(2);

/// A service that is called, for generated clients: `RunServiceClient::new(peer.clone())`. Clones share everything.
#[derive(Clone)]
pub struct Peer {
    part: &'static str,
    channel: Channel,
    token: TokenSource,
    budget: Arc<Budget>,
}

/// Makes a channel that connects when it is first used.
///
/// # Errors
/// When the address is not `http://host:port` or `https://host:port`.
pub fn channel(address: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok(endpoint.connect_lazy())
}

impl Peer {
    /// Makes a peer at the end of a channel, to whom every call carries a token of this source.
    pub fn new(channel: Channel, token: TokenSource) -> Peer {
        Peer {
            part: "peer",
            channel,
            token,
            budget: Arc::new(Budget::new()),
        }
    }

    /// Names the peer, for the answer that it is unavailable.
    #[must_use]
    pub fn named(mut self, part: &'static str) -> Peer {
        self.part = part;
        self
    }

    async fn run(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let method = Permissions::of_contract().find(request.uri().path());
        if method.is_some_and(|method| method.streaming) {
            self.run_once(request).await
        } else {
            let buffered = Buffered::read(request).await?;
            self.run_unary(buffered).await
        }
    }

    async fn run_once(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let until = until(STREAM_TIMEOUT);
        let token = self.token.get().await?;
        self.dress(&mut request, &token, until);
        self.send(request, until).await
    }

    async fn run_unary(&self, request: Buffered) -> Result<Response<Body>, Status> {
        let until = until(TIMEOUT);
        self.budget.earn();
        let mut token_renewed = false;
        let mut attempt = 1;
        loop {
            let token = self.token.get().await?;
            let mut copy = request.copy();
            self.dress(&mut copy, &token, until);
            let answered = self.send_unary(copy, until).await;
            let code = match &answered {
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
                || request.is_large()
                || Instant::now() + pause >= until
                || !self.budget.spend()
            {
                return answered;
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Adds the token, the trace, and the time that is left.
    fn dress(&self, request: &mut Request<Body>, token: &HeaderValue, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = HeaderValue::try_from(deadline::format_timeout(left));
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, token.clone());
        headers.insert("grpc-timeout", timeout.expect("digits and a letter"));
        telemetry::inject(headers);
    }

    /// Sends a unary call and reads its whole answer, so that one that breaks off counts as no answer.
    async fn send_unary(
        &self,
        request: Request<Body>,
        until: Instant,
    ) -> Result<Response<Body>, Status> {
        let response = self.send(request, until).await?;
        match tokio::time::timeout_at(until, message::read_answer(response)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failed(error, until)),
            Err(_) => Err(Refusal::deadline_exceeded().into()),
        }
    }

    async fn send(&self, request: Request<Body>, until: Instant) -> Result<Response<Body>, Status> {
        let mut channel = self.channel.clone();
        let answered = async { channel.ready().await?.call(request).await };
        match tokio::time::timeout_at(until, answered).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.failed(error, until)),
            Err(_) => Err(Refusal::deadline_exceeded().into()),
        }
    }

    fn failed(
        &self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        until: Instant,
    ) -> Status {
        if Instant::now() + TICK >= until {
            Refusal::deadline_exceeded().because(error).into()
        } else {
            Refusal::unavailable(self.part, error).into()
        }
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
        write!(f, "Peer({})", self.part)
    }
}

/// Returns when a call must have ended: when its caller's time is over, or after `longest`.
fn until(longest: Duration) -> Instant {
    Instant::now() + deadline::remaining().map_or(longest, |left| left.min(longest))
}

/// A random pause below the basic one, so that callers that failed together do not come back together.
fn jitter() -> Duration {
    let mut byte = [0; 1];
    // Without randomness, no jitter: better than no retry.
    let _ = getrandom::fill(&mut byte);
    PAUSE * u32::from(byte[0]) / 256
}
