//! How long the call in hand may still take. The server's layer sets it, the client forwards it to peers.
//!
//! It travels in a task-local value: a task spawned by a handler does not have it and must be given it.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Returns when the call in hand must be answered; `None` outside of a call.
pub fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok()
}

/// Returns how long the call in hand may still take; `None` outside of a call.
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Runs a future under a deadline. It is not stopped by it; it only knows it.
pub async fn scope<F: Future>(deadline: Instant, work: F) -> F::Output {
    DEADLINE.scope(deadline, work).await
}

pub(crate) fn sync_scope<T>(deadline: Instant, work: impl FnOnce() -> T) -> T {
    DEADLINE.sync_scope(deadline, work)
}

/// Reads a `grpc-timeout`, such as `250m` for 250 milliseconds; `None` when it is not one.
pub(crate) fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Writes a `grpc-timeout` in the finest unit whose eight digits hold it.
pub(crate) fn format_timeout(span: Duration) -> String {
    const LIMIT: u128 = 100_000_000;
    if span.as_micros() < LIMIT {
        format!("{}u", span.as_micros())
    } else if span.as_millis() < LIMIT {
        format!("{}m", span.as_millis())
    } else {
        format!("{}S", span.as_secs().min(99_999_999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_in_every_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("9n", Some(Duration::from_nanos(9))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("+1S", None),
            ("5s", None),
            ("5é", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }

    #[test]
    fn a_timeout_is_written_without_loss_that_matters() {
        assert_eq!(format_timeout(Duration::from_millis(250)), "250000u");
        assert_eq!(format_timeout(Duration::from_secs(120)), "120000m");
        assert_eq!(format_timeout(Duration::from_secs(200_000)), "200000S");
        assert_eq!(format_timeout(Duration::ZERO), "0u");
    }

    #[tokio::test]
    async fn the_deadline_is_known_within_its_scope_only() {
        let deadline = Instant::now() + Duration::from_secs(5);

        let inside = scope(deadline, async { current() }).await;

        assert_eq!(inside, Some(deadline));
        assert_eq!(current(), None);
    }
}
