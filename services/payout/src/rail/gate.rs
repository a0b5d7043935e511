//! How fast and how much at once the rail is asked: one gate for all that goes out, so that a flood of inquiries slows
//! payments down instead of breaking the rail's limits.

use std::time::Duration;

use tokio::{
    sync::{Mutex, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// How much of a pause may be made up for at once.
const BURST: Duration = Duration::from_millis(20);

/// Lets requests through.
pub(super) struct Gate {
    permits: Semaphore,
    interval: Duration,
    /// When the next request may leave.
    next: Mutex<Instant>,
}

impl Gate {
    pub(super) fn new(concurrency_max: usize, rate_max: u32) -> Gate {
        Gate {
            permits: Semaphore::new(concurrency_max),
            interval: Duration::from_secs(1) / rate_max.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for a turn. The request is over when the permit goes; `None` never comes, because the gate is never closed.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.permits.acquire().await.ok()?;
        let turn = {
            let mut next = self.next.lock().await;
            let now = Instant::now();
            let turn = (*next).max(now.checked_sub(BURST).unwrap_or(now));
            *next = turn + self.interval;
            turn
        };
        sleep_until(turn).await;
        Some(permit)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn requests_leave_one_interval_after_the_other() {
        let gate = Gate::new(8, 200);
        let start = Instant::now();

        join_all((0..21).map(|_| async { drop(gate.enter().await) })).await;

        // Twenty intervals of 5 ms, less what may be made up for.
        assert!(start.elapsed() >= Duration::from_millis(100) - BURST);
    }

    #[tokio::test]
    async fn no_more_are_under_way_than_there_are_permits() {
        let gate = Gate::new(1, 1_000);
        let first = gate.enter().await;

        let second = tokio::time::timeout(Duration::from_millis(20), gate.enter()).await;

        assert!(first.is_some() && second.is_err());
    }
}
