//! Keeps from asking a registry that does not answer: closed → open after failures in a row → one probe → closed, or
//! open for longer.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// So many failures in a row are an outage and not bad luck.
const FAILURES_MAX: u32 = 5;

/// How long the first pause lasts, and the longest; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Decides who may ask. It looks at real time, since it protects a real machine.
#[derive(Debug)]
pub(super) struct Breaker {
    /// A probe that tells nothing for this long is given up, and another is let through.
    probe_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts openings and probes. What was let through in an earlier round of them tells nothing about now.
    round: u64,
    failures: u32,
    pause: Option<Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// How many may ask now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// As many as like.
    Any,
    /// One, to see whether the registry is back.
    Probe,
    /// None.
    Nobody,
}

/// The leave to ask once. Its holder reports how it went.
#[derive(Debug)]
pub(super) struct Ticket(u64);

/// What a report changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The registry is taken to be away, for the length of the pause.
    Opened,
    /// The registry is back.
    Closed,
    /// Nothing that anybody must know.
    Unchanged,
}

impl Breaker {
    /// Makes a closed one.
    pub(super) fn new(probe_timeout: Duration) -> Breaker {
        Breaker {
            probe_timeout,
            state: Mutex::default(),
        }
    }

    /// Says how many may ask now.
    pub(super) fn allowance(&self, now: Instant) -> Allowance {
        match self.lock().pause {
            None => Allowance::Any,
            Some(pause) if now >= pause.until => Allowance::Probe,
            Some(_) => Allowance::Nobody,
        }
    }

    /// Lets one ask, or not.
    pub(super) fn admit(&self, now: Instant) -> Option<Ticket> {
        let mut state = self.lock();
        if let Some(pause) = &mut state.pause {
            if now < pause.until {
                return None;
            }
            // The probe: until it reports, everybody else waits as before.
            pause.until = now + self.probe_timeout;
            state.round += 1;
        }
        Some(Ticket(state.round))
    }

    /// Reports that the registry answered.
    pub(super) fn succeeded(&self, ticket: Ticket) -> Change {
        let mut state = self.lock();
        if ticket.0 != state.round {
            return Change::Unchanged;
        }
        state.failures = 0;
        match state.pause.take() {
            Some(_) => Change::Closed,
            None => Change::Unchanged,
        }
    }

    /// Reports that the registry did not answer.
    pub(super) fn failed(&self, ticket: Ticket, now: Instant) -> Change {
        let mut state = self.lock();
        if ticket.0 != state.round {
            return Change::Unchanged;
        }
        state.failures += 1;
        let length = match state.pause {
            Some(pause) => (pause.length * 2).min(PAUSE_MAX),
            None if state.failures >= FAILURES_MAX => PAUSE_MIN,
            None => return Change::Unchanged,
        };
        let was_closed = state.pause.is_none();
        state.pause = Some(Pause {
            until: now + length,
            length,
        });
        state.round += 1;
        if was_closed {
            Change::Opened
        } else {
            Change::Unchanged
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(Duration::from_secs(5));
        for _ in 0..FAILURES_MAX {
            let ticket = breaker.admit(now).unwrap();
            breaker.failed(ticket, now);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let now = Instant::now();
        let breaker = opened(now);

        assert_eq!(breaker.allowance(now), Allowance::Nobody);
        assert!(breaker.admit(now).is_none());
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let now = Instant::now();
        let breaker = Breaker::new(Duration::from_secs(5));

        for attempt in 0..3 * FAILURES_MAX {
            let ticket = breaker.admit(now).unwrap();
            if attempt % FAILURES_MAX == 3 {
                breaker.succeeded(ticket);
            } else {
                breaker.failed(ticket, now);
            }
        }

        assert_eq!(breaker.allowance(now), Allowance::Any);
    }

    #[test]
    fn one_probe_closes_it_or_doubles_the_pause() {
        let start = Instant::now();
        let breaker = opened(start);

        let first_probe = start + PAUSE_MIN;
        assert_eq!(breaker.allowance(first_probe), Allowance::Probe);
        let probe = breaker.admit(first_probe).unwrap();
        assert!(breaker.admit(first_probe).is_none(), "one probe at a time");
        breaker.failed(probe, first_probe);
        assert_eq!(
            breaker.allowance(first_probe + PAUSE_MIN),
            Allowance::Nobody
        );

        let second_probe = first_probe + 2 * PAUSE_MIN;
        let probe = breaker.admit(second_probe).unwrap();
        assert_eq!(breaker.succeeded(probe), Change::Closed);
        assert_eq!(breaker.allowance(second_probe), Allowance::Any);
    }

    #[test]
    fn calls_that_were_under_way_when_it_opened_count_no_more() {
        let now = Instant::now();
        let breaker = Breaker::new(Duration::from_secs(5));
        let tickets: Vec<Ticket> = (0..32).map(|_| breaker.admit(now).unwrap()).collect();

        let changes: Vec<Change> = tickets
            .into_iter()
            .map(|ticket| breaker.failed(ticket, now))
            .collect();

        assert_eq!(
            changes
                .iter()
                .filter(|change| **change == Change::Opened)
                .count(),
            1
        );
        assert_eq!(breaker.allowance(now + PAUSE_MIN), Allowance::Probe);
    }

    #[test]
    fn a_probe_that_is_never_heard_of_is_replaced() {
        let start = Instant::now();
        let breaker = opened(start);

        let lost = breaker.admit(start + PAUSE_MIN).unwrap();
        let later = start + PAUSE_MIN + Duration::from_secs(5);

        assert!(breaker.admit(later).is_some());
        assert_eq!(breaker.succeeded(lost), Change::Unchanged);
    }
}
