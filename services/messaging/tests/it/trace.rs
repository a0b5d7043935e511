//! The trace of a change goes on in the handler of its event, in another process.

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use crate::stage::{Recorder, Stage};

#[sqlx::test]
async fn the_handler_works_in_the_trace_of_the_change(_: PgPoolOptions, options: PgConnectOptions) {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
    let stage = Stage::new(options).await;
    let recorder = Recorder::default();
    stage.teller().await;
    stage.taker_with(recorder.clone()).await;

    let change = tracing::info_span!("change");
    let traceparent = change
        .in_scope(chassis::telemetry::current_traceparent)
        .unwrap();
    stage.tell("things/1", 1).instrument(change).await;
    stage.await_effects("things/1", &[1]).await;

    let handled = recorder.traces.lock().unwrap()[0].clone().unwrap();
    // version - trace - span - flags: the same trace, a span of its own.
    let (told, handled): (Vec<&str>, Vec<&str>) = (
        traceparent.split('-').collect(),
        handled.split('-').collect(),
    );
    assert_eq!(told[1], handled[1]);
    assert_ne!(told[2], handled[2]);
}
