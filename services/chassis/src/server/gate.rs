//! What stands before every handler. In this order, outermost first:
//!
//! 1. trace: a span per call, child of the caller's `traceparent`;
//! 2. log and metrics: once per call, with the whole chain of causes in the log and none of it in the answer;
//! 3. panic: becomes `INTERNAL`, the process lives on;
//! 4. deadline: the caller's `grpc-timeout`, bounded by the process' own; late is `DEADLINE_EXCEEDED`;
//! 5. limit: as many calls in work as the process can carry, all others are refused at once;
//! 6. permission: the method's option against the caller's token.
//!
//! Health and reflection pass the first three alone: a probe must answer also under overload.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response, header};
use opentelemetry::{
    global,
    metrics::{Counter, Histogram},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tonic::{Status, body::Body, service::Routes};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use super::{
    body::{CallBody, InWork},
    observation::Observation,
};
use crate::{
    auth::{Access, KeyStore, Method, Permissions, Principal},
    config::ProcessConfig,
    deadline, status,
    status::Refusal,
    task, telemetry,
};

const GRPC_TIMEOUT: &str = "grpc-timeout";
const TRACEPARENT: &str = "traceparent";

/// The longest that is kept back of a caller's time, so that `DEADLINE_EXCEEDED` reaches him before he gives up.
const WAY_BACK_MAX: Duration = Duration::from_millis(20);

/// Where calls take their time, in seconds: most of them milliseconds, some until a time-out.
const DURATION_BOUNDARIES: [f64; 13] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0, 30.0,
];

/// The gate as a layer; one per server.
#[derive(Clone)]
pub(super) struct Gate(Arc<Rules>);

struct Rules {
    permissions: &'static Permissions,
    keys: KeyStore,
    calls: Arc<Semaphore>,
    request_timeout: Duration,
    stream_timeout: Duration,
    duration: Histogram<f64>,
    refused: Counter<u64>,
}

/// The gate before the routes.
#[derive(Clone)]
pub(super) struct Gated {
    rules: Arc<Rules>,
    routes: Routes,
}

impl Gate {
    pub(super) fn new(
        config: &ProcessConfig,
        permissions: &'static Permissions,
        keys: KeyStore,
    ) -> Gate {
        let meter = global::meter("chassis");
        Gate(Arc::new(Rules {
            permissions,
            keys,
            calls: Arc::new(Semaphore::new(config.concurrency_max)),
            request_timeout: config.request_timeout,
            stream_timeout: config.stream_timeout,
            duration: meter
                .f64_histogram("rpc.server.duration")
                .with_unit("s")
                .with_description("How long calls take until their last message.")
                .with_boundaries(DURATION_BOUNDARIES.to_vec())
                .build(),
            refused: meter
                .u64_counter("rpc.server.shed")
                .with_description("Calls refused because of too many in work.")
                .build(),
        }))
    }
}

impl Layer<Routes> for Gate {
    type Service = Gated;

    fn layer(&self, routes: Routes) -> Gated {
        Gated {
            rules: Arc::clone(&self.0),
            routes,
        }
    }
}

impl Service<Request<Body>> for Gated {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone has not been polled; the routes that were polled go into the future.
        let clone = self.routes.clone();
        let routes = std::mem::replace(&mut self.routes, clone);
        let rules = Arc::clone(&self.rules);
        let span = span_of(&request);
        let in_span = span.clone();
        Box::pin(async move { Ok(answer(rules, routes, request, span).await) }.instrument(in_span))
    }
}

fn span_of(request: &Request<Body>) -> Span {
    let path = request.uri().path();
    let span = tracing::info_span!(
        "rpc",
        otel.name = path,
        otel.kind = "server",
        rpc.method = path,
        trace_id = tracing::field::Empty
    );
    let traceparent = request.headers().get(TRACEPARENT);
    telemetry::continue_trace(&span, traceparent.and_then(|value| value.to_str().ok()));
    span
}

async fn answer(
    rules: Arc<Rules>,
    routes: Routes,
    request: Request<Body>,
    span: Span,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let method = rules.permissions.find(&path);
    let observed = if method.is_some() || is_exempt(&path) {
        path.as_str()
    } else {
        "unknown"
    };
    let mut call = InWork {
        observation: Observation::new(observed, &rules.duration),
        span,
        limits: None,
    };

    let worked = AssertUnwindSafe(work(&rules, routes, request, &path, &mut call.limits));
    let response = match worked.catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => Status::from(refusal).into_http(),
        Err(payload) => {
            let text = task::panic_text(payload.as_ref());
            Status::from(Refusal::internal(format!("panic: {text}"))).into_http()
        }
    };
    // A failure without a message has its status in the head, and inside the process its source beside it.
    let failure = match response.extensions().get::<Status>() {
        Some(status) => Some(status.clone()),
        None => Status::from_header_map(response.headers()),
    };
    match failure {
        Some(status) => {
            call.observation.fail(&status);
            response
        }
        None => response.map(|body| Body::new(CallBody::new(body, call))),
    }
}

async fn work(
    rules: &Rules,
    routes: Routes,
    mut request: Request<Body>,
    path: &str,
    limits: &mut Option<(Instant, OwnedSemaphorePermit)>,
) -> Result<Response<Body>, Refusal> {
    if is_exempt(path) {
        return Ok(call(routes, request).await);
    }
    // What the contract does not know is not called either, whatever is mounted.
    let Some(method) = rules.permissions.find(path) else {
        return Ok(status::unimplemented().into_http());
    };
    let longest = if method.streaming {
        rules.stream_timeout
    } else {
        rules.request_timeout
    };
    let until = Instant::now() + time_limit(request.headers(), longest);

    let permit = Arc::clone(&rules.calls).try_acquire_owned().map_err(|_| {
        rules.refused.add(1, &[]);
        Refusal::overloaded()
    })?;
    *limits = Some((until, permit));
    let admitted = async {
        let principal = admit(rules, method, request.headers()).await?;
        request.extensions_mut().insert(principal);
        Ok::<_, Refusal>(call(routes, request).await)
    };
    tokio::time::timeout_at(until, deadline::scope(until, admitted))
        .await
        .map_err(|_| Refusal::deadline_exceeded())?
}

fn is_exempt(path: &str) -> bool {
    path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.")
}

/// Returns how long a call may take: what its caller grants, less the way back, and no longer than `longest`.
///
/// Less also because tonic keeps the caller's time as well, outside of this gate, and would answer `CANCELLED`.
fn time_limit(headers: &HeaderMap, longest: Duration) -> Duration {
    let granted = headers
        .get(GRPC_TIMEOUT)
        .and_then(|value| value.to_str().ok());
    match granted.and_then(deadline::parse_timeout) {
        None => longest,
        Some(granted) => (granted - WAY_BACK_MAX.min(granted / 10)).min(longest),
    }
}

async fn call(mut routes: Routes, request: Request<Body>) -> Response<Body> {
    match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn admit(rules: &Rules, method: &Method, headers: &HeaderMap) -> Result<Principal, Refusal> {
    // A public method asks for no token, and a stale one must not keep its bearer from asking for a fresh one.
    if method.access == Access::Public {
        return method.admit(None);
    }
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match header.and_then(|value| value.strip_prefix("Bearer ")) {
        None => method.admit(None),
        Some(token) => method.admit(Some(&*rules.keys.verify(token).await?)),
    }
}
