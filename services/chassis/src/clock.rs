//! The one source of the time of day. Whoever needs it is given a [`Clock`]; nobody asks the machine.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use time::{Duration, OffsetDateTime};

/// Tells the time in UTC, in microseconds as PostgreSQL keeps it. Clones tell the same time.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System,
    /// The system's time and this many microseconds.
    Movable(AtomicI64),
    /// A time that stands, in microseconds since 1970.
    Fixed(AtomicI64),
}

impl Clock {
    /// Makes a clock that tells the machine's time.
    pub fn system() -> Clock {
        Clock(Arc::new(Source::System))
    }

    /// Makes a clock that runs with the machine's and may be moved forward.
    pub fn movable() -> Clock {
        Clock(Arc::new(Source::Movable(AtomicI64::new(0))))
    }

    /// Makes a clock that stands still until it is moved, for tests.
    pub fn fixed_at(time: OffsetDateTime) -> Clock {
        Clock(Arc::new(Source::Fixed(AtomicI64::new(micros_of(time)))))
    }

    /// Returns the time.
    pub fn now(&self) -> OffsetDateTime {
        match &*self.0 {
            Source::System => of_micros(system_micros()),
            Source::Movable(offset) => of_micros(system_micros() + offset.load(Ordering::Relaxed)),
            Source::Fixed(micros) => of_micros(micros.load(Ordering::Relaxed)),
        }
    }

    /// Says whether [`Clock::advance_to`] has an effect.
    pub fn is_movable(&self) -> bool {
        !matches!(*self.0, Source::System)
    }

    /// Moves the time forward. A time that has passed, or a clock that cannot be moved, changes nothing.
    pub fn advance_to(&self, time: OffsetDateTime) {
        match &*self.0 {
            Source::System => {}
            Source::Movable(offset) => {
                offset.fetch_max(micros_of(time) - system_micros(), Ordering::Relaxed);
            }
            Source::Fixed(micros) => {
                micros.fetch_max(micros_of(time), Ordering::Relaxed);
            }
        }
    }

    /// Moves the time forward by a span.
    pub fn advance_by(&self, span: Duration) {
        self.advance_to(self.now() + span);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that everybody else is given"
)]
fn system_micros() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

fn micros_of(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

fn of_micros(micros: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn time_never_moves_back() {
        let clock = Clock::fixed_at(datetime!(2026-11-24 10:00 UTC));

        clock.advance_to(datetime!(2026-11-23 10:00 UTC));
        assert_eq!(clock.now(), datetime!(2026-11-24 10:00 UTC));

        clock.advance_to(datetime!(2026-12-09 23:59:59.123456 UTC));
        assert_eq!(clock.now(), datetime!(2026-12-09 23:59:59.123456 UTC));
    }

    #[test]
    fn a_movable_clock_runs_on_after_a_jump() {
        let clock = Clock::movable();
        let target = clock.now() + Duration::days(15);

        clock.advance_to(target);

        let passed = clock.now() - target;
        assert!(!passed.is_negative() && passed < Duration::minutes(1));
    }

    #[test]
    fn the_system_clock_cannot_be_moved() {
        let clock = Clock::system();

        clock.advance_by(Duration::days(365));

        assert!(!clock.is_movable());
        assert!(clock.now() < Clock::movable().now() + Duration::days(1));
    }
}
