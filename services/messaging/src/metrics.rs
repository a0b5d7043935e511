//! What is counted about events. Queue lengths are the broker's own metrics.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Meter},
};

fn meter() -> Meter {
    opentelemetry::global::meter("messaging")
}

/// What the relay reports.
pub(crate) struct RelayMetrics {
    published: Counter<u64>,
    pending: Gauge<u64>,
    oldest_age: Gauge<f64>,
}

impl RelayMetrics {
    pub(crate) fn new() -> RelayMetrics {
        let meter = meter();
        RelayMetrics {
            published: meter.u64_counter("events_published_count").build(),
            pending: meter.u64_gauge("outbox_pending_count").build(),
            oldest_age: meter
                .f64_gauge("outbox_oldest_age_seconds")
                .with_unit("s")
                .build(),
        }
    }

    pub(crate) fn published(&self, event_type: &str) {
        self.published
            .add(1, &[KeyValue::new("event.type", event_type.to_owned())]);
    }

    pub(crate) fn lag(&self, pending: u64, oldest_age_seconds: f64) {
        self.pending.record(pending, &[]);
        self.oldest_age.record(oldest_age_seconds, &[]);
    }
}

/// What a consumer reports about its queue.
pub(crate) struct ConsumerMetrics {
    queue: String,
    consumed: Counter<u64>,
    dead: Counter<u64>,
}

impl ConsumerMetrics {
    pub(crate) fn new(queue: &str) -> ConsumerMetrics {
        let meter = meter();
        ConsumerMetrics {
            queue: queue.to_owned(),
            consumed: meter.u64_counter("events_consumed_count").build(),
            dead: meter.u64_counter("dead_letters_count").build(),
        }
    }

    /// Counts a delivery and what became of it: `handled`, `repeat`, `parked`, `dead`.
    pub(crate) fn consumed(&self, event_type: &str, outcome: &'static str) {
        let event_type = KeyValue::new("event.type", event_type.to_owned());
        let queue = KeyValue::new("messaging.destination.name", self.queue.clone());
        if outcome == "dead" {
            self.dead.add(1, &[queue.clone(), event_type.clone()]);
        }
        self.consumed
            .add(1, &[queue, event_type, KeyValue::new("outcome", outcome)]);
    }
}
