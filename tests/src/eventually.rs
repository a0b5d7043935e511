//! Bounded waiting for a condition on a value. A test never waits for time to pass, nor for "something changed".

use std::{fmt::Display, future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// Looks again and again until the look succeeds, and returns what it saw.
/// Fails the test with the last look's reason when the limit has passed.
pub async fn eventually<T, E, F>(limit: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let reason = match look().await {
            Ok(seen) => return seen,
            Err(reason) => reason,
        };
        assert!(
            start.elapsed() < limit,
            "not within {limit:?}: {what}; last seen: {reason}"
        );
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// Turns a plain condition into a look for [`eventually`].
///
/// # Errors
/// When the condition does not hold; the reason is made only then.
pub fn check<E>(holds: bool, reason: impl FnOnce() -> E) -> Result<(), E> {
    if holds { Ok(()) } else { Err(reason()) }
}
