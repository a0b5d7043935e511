//! Traces, metrics and logs. Every process has trace ids, so that a log line can be found again; they leave the process
//! when `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector.

use std::io::{self, IsTerminal};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::Env;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACEPARENT: &str = "traceparent";

/// Keeps the exporters alive; [`TelemetryGuard::shutdown`] sends what they hold.
#[derive(Debug)]
pub struct TelemetryGuard {
    tracer: SdkTracerProvider,
    meter: SdkMeterProvider,
}

/// Sets up tracing, metrics and logs of the process, once. Needs a running tokio runtime.
///
/// Settings: `<S>_LOG` (a filter such as `info,payout=debug`), `<S>_LOG_FORMAT` (`json` or `text`; by default text on a
/// terminal and JSON elsewhere), `OTEL_EXPORTER_OTLP_ENDPOINT` (such as `http://collector:4317`). A mistake in them is
/// recorded in `env` and the default is taken, so that the other mistakes can be logged.
pub fn init(service: &'static str, env: &mut Env) -> TelemetryGuard {
    let prefix = service.to_ascii_uppercase();
    let filter: String = env.or(&format!("{prefix}_LOG"), "info".to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|why| {
        env.reject(&format!("{prefix}_LOG"), &why.to_string());
        EnvFilter::new("info")
    });
    let json = json_logs(env, &format!("{prefix}_LOG_FORMAT"));
    let endpoint: Option<String> = env.optional(ENDPOINT);
    let (tracer, meter) = providers(service, env, endpoint.as_deref());

    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_meter_provider(meter.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = if json {
        lines.json().with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.boxed()
    };
    let spans = tracing_opentelemetry::layer().with_tracer(tracer.tracer(service));
    // A second call in one process (tests) keeps the first set-up.
    let _ = tracing_subscriber::registry().with(filter).with(spans).with(lines).try_init();
    TelemetryGuard { tracer, meter }
}

impl TelemetryGuard {
    /// Sends what the exporters hold, and ends them.
    pub fn shutdown(self) {
        for ended in [self.tracer.shutdown(), self.meter.shutdown()] {
            if let Err(error) = ended {
                tracing::warn!(error = %error, "telemetry was not sent to its end");
            }
        }
    }
}

fn json_logs(env: &mut Env, name: &str) -> bool {
    let format: Option<String> = env.optional(name);
    match format.as_deref() {
        None => !io::stderr().is_terminal(),
        Some("json") => true,
        Some("text") => false,
        Some(_) => {
            env.reject(name, "is neither json nor text");
            true
        }
    }
}

fn providers(service: &'static str, env: &mut Env, endpoint: Option<&str>) -> (SdkTracerProvider, SdkMeterProvider) {
    let resource = Resource::builder().with_service_name(service).build();
    let mut tracer = SdkTracerProvider::builder().with_resource(resource.clone());
    let mut meter = SdkMeterProvider::builder().with_resource(resource);
    if let Some(endpoint) = endpoint {
        let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let metrics = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build();
        match (spans, metrics) {
            (Ok(spans), Ok(metrics)) => {
                tracer = tracer.with_batch_exporter(spans);
                meter = meter.with_periodic_exporter(metrics);
            }
            (Err(why), _) | (_, Err(why)) => env.reject(ENDPOINT, &why.to_string()),
        }
    }
    (tracer.build(), meter.build())
}

/// Returns the trace id of the span in hand, as 32 hex digits.
pub fn current_trace_id() -> Option<String> {
    trace_id(&Span::current().context())
}

pub(crate) fn trace_id(context: &Context) -> Option<String> {
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Returns the W3C `traceparent` of the span in hand, for a message that leaves the process.
pub fn current_traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    headers.get(TRACEPARENT)?.to_str().ok().map(str::to_owned)
}

/// Makes a span the child of a `traceparent` that came with a message. One that is damaged is left out.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(value) = traceparent.and_then(|text| HeaderValue::from_str(text).ok()) {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, value);
        let _ = span.set_parent(extract(&headers));
    }
}

/// Writes the trace in hand into the headers of a call.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Writer(headers)));
}

/// Reads the trace that a call belongs to.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    global::get_text_map_propagator(|propagator| propagator.extract(&Reader(headers)))
}

struct Writer<'a>(&'a mut HeaderMap);

impl Injector for Writer<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

struct Reader<'a>(&'a HeaderMap);

impl Extractor for Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
