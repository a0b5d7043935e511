//! What stands before every handler. In this order, outermost first:
//!
//! 1. trace: a span per call, child of the caller's `traceparent`;
//! 2. log and metrics: once per call, with the whole chain of causes in the log and none of it in the answer;
//! 3. panic: becomes INTERNAL, the process lives on;
//! 4. deadline: the caller's `grpc-timeout`, bounded by the process' own; late is DEADLINE_EXCEEDED;
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
use http_body_util::BodyExt;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Histogram},
};
use tokio::{sync::Semaphore, time::Instant};
use tonic::{Code, Status, body::Body, service::Routes};
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    auth::{KeyStore, Method, Permissions, Principal, token_invalid},
    config::ProcessConfig,
    deadline, status,
    status::Refusal,
    task, telemetry,
};

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The gate as a layer; one per server.
#[derive(Clone)]
pub(super) struct Gate(Arc<Rules>);

struct Rules {
    permissions: Permissions,
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
    pub(super) fn new(config: &ProcessConfig, permissions: Permissions, keys: KeyStore) -> Gate {
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
                .with_description("How long calls take until their answer's head.")
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
        Box::pin(async move { Ok(answer(rules, routes, request).await) }.instrument(span))
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
    let _ = span.set_parent(telemetry::extract(request.headers()));
    if let Some(trace_id) = telemetry::trace_id(&span.context()) {
        span.record("trace_id", trace_id);
    }
    span
}

async fn answer(rules: Arc<Rules>, routes: Routes, request: Request<Body>) -> Response<Body> {
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let worked = AssertUnwindSafe(work(&rules, routes, request, &path)).catch_unwind().await;
    let response = match worked {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => Status::from(refusal).into_http(),
        Err(payload) => {
            let text = task::panic_text(payload.as_ref()).to_owned();
            Status::from(Refusal::internal(format!("panic: {text}"))).into_http()
        }
    };
    let code = code_of(&response);
    log_once(&path, code, &response);
    rules.duration.record(
        started.elapsed().as_secs_f64(),
        &[
            KeyValue::new("rpc.method", path),
            KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))),
        ],
    );
    response
}

async fn work(
    rules: &Rules,
    routes: Routes,
    mut request: Request<Body>,
    path: &str,
) -> Result<Response<Body>, Refusal> {
    if path.starts_with("/grpc.health.") || path.starts_with("/grpc.reflection.") {
        return Ok(call(routes, request).await);
    }
    let method = rules.permissions.of(path);
    let limit = if method.streaming { rules.stream_timeout } else { rules.request_timeout };
    let asked = request.headers().get(GRPC_TIMEOUT).and_then(|value| value.to_str().ok());
    let limit = asked.and_then(deadline::parse_timeout).map_or(limit, |asked| asked.min(limit));
    let deadline = Instant::now() + limit;

    let permit = Arc::clone(&rules.calls).try_acquire_owned().map_err(|_| {
        rules.refused.add(1, &[]);
        Refusal::overloaded()
    })?;
    let admitted = async {
        let principal = admit(rules, &method, request.headers()).await?;
        request.extensions_mut().insert(principal);
        // tonic's own timer answers CANCELLED; the deadline is kept here instead.
        request.headers_mut().remove(GRPC_TIMEOUT);
        Ok::<_, Refusal>(deadline::scope(deadline, call(routes, request)).await)
    };
    let response = tokio::time::timeout_at(deadline, admitted)
        .await
        .map_err(|_| Refusal::deadline_exceeded())??;
    if !method.streaming {
        return Ok(response);
    }
    // A stream is in work until its last message.
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _in_work = &permit;
            frame
        }))
    }))
}

async fn call(mut routes: Routes, request: Request<Body>) -> Response<Body> {
    match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn admit(rules: &Rules, method: &Method, headers: &HeaderMap) -> Result<Principal, Refusal> {
    if method.is_public() {
        return Ok(Principal::anonymous());
    }
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or_else(|| token_invalid("a bearer token is required"))?;
    let claims = rules.keys.verify(token).await?;
    method.admit(&claims)
}

/// Reads the code of an answer that has failed before its first message; a stream that fails later looks fine here.
fn code_of(response: &Response<Body>) -> Code {
    let header = response.headers().get("grpc-status");
    header.map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

fn log_once(path: &str, code: Code, response: &Response<Body>) {
    if code == Code::Ok {
        return;
    }
    let status = response.extensions().get::<Status>();
    let reason = status.and_then(status::reason_of).unwrap_or_default();
    let cause = status
        .and_then(|status| std::error::Error::source(status).map(status::chain))
        .unwrap_or_default();
    let code = format!("{code:?}");
    let (method, reason, cause) = (path, reason.as_str(), cause.as_str());
    match code.as_str() {
        "Internal" | "Unknown" | "DataLoss" => {
            tracing::error!(rpc.method = method, rpc.code = code, reason, cause, "call failed");
        }
        "Unavailable" | "DeadlineExceeded" => {
            tracing::warn!(rpc.method = method, rpc.code = code, reason, cause, "call failed");
        }
        _ => tracing::debug!(rpc.method = method, rpc.code = code, reason, cause, "call refused"),
    }
}
