//! Logs, traces and metrics: set up first, flushed last.
//!
//! Every RPC, delivery and task has a span; a log line carries its spans, and with them the trace id. Trace ids exist
//! also when no collector is set: then nothing is sampled or sent, but calls can still be followed through the logs.

use std::{collections::HashMap, error::Error, io::IsTerminal, str::FromStr};

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{config::Env, task};

const TRACEPARENT: &str = "traceparent";

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// For a person at a terminal.
    Text,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<LogFormat, Self::Err> {
        match text {
            "json" => Ok(LogFormat::Json),
            "text" => Ok(LogFormat::Text),
            _ => Err("`json` or `text` is asked for"),
        }
    }
}

/// Holds the providers until the process ends.
#[derive(Debug)]
#[must_use = "what is not flushed at the end is lost"]
pub struct TelemetryGuard {
    tracers: SdkTracerProvider,
    meters: Option<SdkMeterProvider>,
}

impl TelemetryGuard {
    /// Sends what is still held, and ends.
    pub fn shutdown(self) {
        if let Err(error) = self.tracers.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
        if let Some(meters) = self.meters
            && let Err(error) = meters.shutdown()
        {
            tracing::warn!(%error, "the last metrics were not sent");
        }
    }
}

/// Sets up telemetry for the process of this service; called once, inside the runtime.
///
/// Reads `<S>_LOG` (a filter such as `info` or `info,sqlx=debug`), `<S>_LOG_FORMAT` (`json` or `text`; text on a
/// terminal) and `OTEL_EXPORTER_OTLP_ENDPOINT` (nothing is sent without it). What is wrong with them is kept in `env`.
pub fn init(service: &'static str, env: &mut Env) -> TelemetryGuard {
    let prefix = service.to_ascii_uppercase();
    // What lapin logs, it also returns; whoever gets it knows whether it is a fault.
    let filter = env.or(
        &format!("{prefix}_LOG"),
        EnvFilter::new("info,lapin=off,opentelemetry=warn"),
    );
    let default_format = match std::io::stderr().is_terminal() {
        true => LogFormat::Text,
        false => LogFormat::Json,
    };
    let format = env.or(&format!("{prefix}_LOG_FORMAT"), default_format);
    let endpoint: Option<String> = env.optional("OTEL_EXPORTER_OTLP_ENDPOINT");

    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.namespace", "bekal"))
        .build();
    let providers = match endpoint.as_deref() {
        None => Ok((silent_tracers(&resource), None)),
        Some(endpoint) => exporting(&resource, endpoint),
    };
    let (tracers, meters) = providers.unwrap_or_else(|error| {
        env.reject("OTEL_EXPORTER_OTLP_ENDPOINT", &error.to_string());
        (silent_tracers(&resource), None)
    });
    if let Some(meters) = &meters {
        opentelemetry::global::set_meter_provider(meters.clone());
    }

    let spans = tracing_opentelemetry::layer().with_tracer(tracers.tracer("bekal"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
        LogFormat::Text => lines.boxed(),
    };
    // A second set-up in one process (a test) keeps the first.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(spans)
        .with(lines)
        .try_init();
    // The default hook would print past the log. Where it happened is known here alone.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let text = task::panic_text(panic.payload());
        tracing::error!(location, panic = text, "a panic unwinds");
    }));
    TelemetryGuard { tracers, meters }
}

fn silent_tracers(resource: &Resource) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::AlwaysOff)
        .build()
}

fn exporting(
    resource: &Resource,
    endpoint: &str,
) -> Result<(SdkTracerProvider, Option<SdkMeterProvider>), ExporterBuildError> {
    let spans = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    let metrics = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()?;
    let tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_batch_exporter(spans)
        .build();
    let meters = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_periodic_exporter(metrics)
        .build();
    Ok((tracers, Some(meters)))
}

/// Returns the W3C `traceparent` of the current span, to be carried to whoever goes on with the work.
pub fn current_traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Puts the current span's `traceparent` on a call to a peer.
pub(crate) fn inject(headers: &mut HeaderMap) {
    if let Some(value) = current_traceparent().and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
}

/// Makes the trace that a `traceparent` names go on in this span, and records its id in the span's field `trace_id`
/// (which the span must have declared). Called before the span is entered.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(traceparent) = traceparent {
        let parent = TraceContextPropagator::new().extract(&Traceparent(traceparent));
        // Fails only where no tracer is set up.
        let _ = span.set_parent(parent);
    }
    if let Some(trace_id) = trace_id_of(&span.context()) {
        span.record("trace_id", trace_id);
    }
}

/// Returns the trace id of the current span, under which operators find its log lines.
pub fn current_trace_id() -> Option<String> {
    trace_id_of(&Span::current().context())
}

fn trace_id_of(context: &Context) -> Option<String> {
    let span = context.span();
    let span_context = span.span_context();
    span_context
        .is_valid()
        .then(|| span_context.trace_id().to_string())
}

struct Traceparent<'a>(&'a str);

impl Extractor for Traceparent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// Writes an error and all that caused it, outermost first. A log line takes this: the JSON form of an error as a value
/// is its outermost text alone.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_where_the_traceparent_leads() {
        let tracers = silent_tracers(&Resource::builder_empty().build());
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(tracers.tracer("test")));
        let _default = tracing::subscriber::set_default(subscriber);
        let span = tracing::info_span!("delivery", trace_id = tracing::field::Empty);

        continue_trace(
            &span,
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        );
        let _entered = span.enter();

        assert_eq!(
            current_trace_id().as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        let carried = current_traceparent().unwrap();
        assert!(carried.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert!(!carried.contains("00f067aa0ba902b7"));
    }
}
