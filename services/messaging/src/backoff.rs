//! Waiting before the next try: longer each time, spread so that a fleet does not come back in step.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

const DELAY_MIN: Duration = Duration::from_millis(100);
/// Long enough to spare a broken server, short enough that nobody waits for us when it is back.
const DELAY_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(crate) fn new() -> Backoff {
        let delays = ExponentialBuilder::default()
            .with_min_delay(DELAY_MIN)
            .with_max_delay(DELAY_MAX)
            .with_jitter()
            .without_max_times();
        Backoff(delays.build())
    }

    /// Begins again with the shortest delay, after a success.
    pub(crate) fn reset(&mut self) {
        *self = Backoff::new();
    }

    /// Waits; returns false when the wait was cut short because the process stops.
    pub(crate) async fn wait(&mut self, stopping: &CancellationToken) -> bool {
        let delay = self.0.next().unwrap_or(DELAY_MAX);
        tokio::select! {
            () = stopping.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}
