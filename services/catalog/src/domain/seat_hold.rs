//! Seat holds, and the board on which a batch of them is decided in the order in which they arrived.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    str::FromStr,
};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::course::UnknownWord;

/// The longest that a seat may be kept.
const HOLD_MAX: Duration = Duration::hours(1);

/// The states of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// The seat is kept until the hold runs out.
    Held,
    /// The seat is taken for good.
    Confirmed,
    /// The seat was given back.
    Released,
    /// The hold ran out.
    Expired,
}

/// A claim to one seat of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatHold {
    /// `seatHolds/{id}`, chosen by the caller.
    pub id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// For whom the seat is.
    pub account_id: Uuid,
    /// Its stored state: a hold that ran out is HELD until somebody gives its seat back.
    pub state: HoldState,
    /// When a hold that is not confirmed runs out.
    pub expire_time: OffsetDateTime,
}

/// Whose seat of which run an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldKey {
    /// `seatHolds/{id}`.
    pub id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// For whom the seat is.
    pub account_id: Uuid,
}

/// A seat that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// What it is for.
    pub key: HoldKey,
    /// Until when to keep it.
    pub expire_time: OffsetDateTime,
}

/// The seats of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// How many there are.
    pub seat_count: i64,
    /// How many are held or confirmed.
    pub taken_seat_count: i64,
    /// When the run ends.
    pub end_time: OffsetDateTime,
}

/// Why a seat is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefusal {
    /// There is no such run.
    #[error("no such run")]
    RunNotFound,
    /// The run's last session is over.
    #[error("the run has ended")]
    RunEnded,
    /// Every seat is held or taken.
    #[error("every seat is held or taken")]
    SeatsTaken,
    /// The id stands for another run or account.
    #[error("the id was used for another seat")]
    IdReused,
    /// The hold would have run out already.
    #[error("the expire_time has passed")]
    ExpireTimePassed,
    /// The hold would last too long.
    #[error("the expire_time is more than an hour ahead")]
    ExpireTimeTooFar,
}

/// Runs and holds as the transaction has locked them. Each new hold changes what the next one finds.
#[derive(Debug)]
pub struct Board {
    now: OffsetDateTime,
    seats: HashMap<Uuid, Seats>,
    holds: HashMap<Uuid, SeatHold>,
    new_holds: Vec<SeatHold>,
}

// === impl HoldState ===

impl HoldState {
    /// Returns the word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            HoldState::Held => "HELD",
            HoldState::Confirmed => "CONFIRMED",
            HoldState::Released => "RELEASED",
            HoldState::Expired => "EXPIRED",
        }
    }
}

impl fmt::Display for HoldState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HoldState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<HoldState, UnknownWord> {
        match word {
            "HELD" => Ok(HoldState::Held),
            "CONFIRMED" => Ok(HoldState::Confirmed),
            "RELEASED" => Ok(HoldState::Released),
            "EXPIRED" => Ok(HoldState::Expired),
            unknown => Err(UnknownWord::new(unknown)),
        }
    }
}

// === impl SeatHold ===

impl SeatHold {
    /// Returns the state as callers see it: a hold that ran out is EXPIRED at once, whenever its seat is given back.
    pub fn state_at(&self, now: OffsetDateTime) -> HoldState {
        match self.state {
            HoldState::Held if self.expire_time <= now => HoldState::Expired,
            HoldState::Held | HoldState::Confirmed | HoldState::Released | HoldState::Expired => {
                self.state
            }
        }
    }

    /// Returns whose seat of which run it is.
    pub fn key(&self) -> HoldKey {
        HoldKey {
            id: self.id,
            run_id: self.run_id,
            account_id: self.account_id,
        }
    }

    /// Makes the mark of a seat that was given back before it was asked for.
    pub fn tombstone(key: HoldKey, now: OffsetDateTime) -> SeatHold {
        SeatHold {
            id: key.id,
            run_id: key.run_id,
            account_id: key.account_id,
            state: HoldState::Released,
            expire_time: now,
        }
    }
}

// === impl Board ===

impl Board {
    /// Sets up the board with all runs and holds that the batch names and that exist.
    pub fn new(now: OffsetDateTime, seats: HashMap<Uuid, Seats>, holds: Vec<SeatHold>) -> Board {
        Board {
            now,
            seats,
            holds: holds.into_iter().map(|hold| (hold.id, hold)).collect(),
            new_holds: Vec::new(),
        }
    }

    /// Returns the runs of the batch that have fewer free seats than it asks for: what ran out there is wanted back.
    pub fn short_runs(&self, batch: &[NewHold]) -> Vec<Uuid> {
        let mut wanted: HashMap<Uuid, i64> = HashMap::new();
        for new in batch {
            if !self.holds.contains_key(&new.key.id) {
                *wanted.entry(new.key.run_id).or_default() += 1;
            }
        }
        let is_short = |(run_id, wanted): &(Uuid, i64)| {
            let seats = self.seats.get(run_id);
            seats.is_some_and(|seats| seats.taken_seat_count + wanted > seats.seat_count)
        };
        wanted
            .into_iter()
            .filter(is_short)
            .map(|(run_id, _)| run_id)
            .collect()
    }

    /// Takes note of seats that were given back.
    pub fn give_back(&mut self, run_id: Uuid, seat_count: i64) {
        if let Some(seats) = self.seats.get_mut(&run_id) {
            seats.taken_seat_count -= seat_count;
        }
    }

    /// Decides the next hold of the batch. A known id gets its hold as it is.
    ///
    /// # Errors
    /// When the id stands for something else, or the run has no seat to give.
    pub fn hold(&mut self, new: &NewHold) -> Result<SeatHold, HoldRefusal> {
        let vacant = match self.holds.entry(new.key.id) {
            Entry::Occupied(known) if known.get().key() == new.key => return Ok(*known.get()),
            Entry::Occupied(_) => return Err(HoldRefusal::IdReused),
            Entry::Vacant(vacant) => vacant,
        };
        if new.expire_time <= self.now {
            return Err(HoldRefusal::ExpireTimePassed);
        }
        if new.expire_time - self.now > HOLD_MAX {
            return Err(HoldRefusal::ExpireTimeTooFar);
        }
        let seats = self
            .seats
            .get_mut(&new.key.run_id)
            .ok_or(HoldRefusal::RunNotFound)?;
        if seats.end_time <= self.now {
            return Err(HoldRefusal::RunEnded);
        }
        if seats.taken_seat_count >= seats.seat_count {
            return Err(HoldRefusal::SeatsTaken);
        }

        seats.taken_seat_count += 1;
        let hold = SeatHold {
            id: new.key.id,
            run_id: new.key.run_id,
            account_id: new.key.account_id,
            state: HoldState::Held,
            expire_time: new.expire_time,
        };
        vacant.insert(hold);
        self.new_holds.push(hold);
        Ok(hold)
    }

    /// Returns the holds that are to be written.
    pub fn into_new_holds(self) -> Vec<SeatHold> {
        self.new_holds
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);
    const RUN: Uuid = Uuid::from_u128(1);

    fn board(seat_count: i64, taken_seat_count: i64, holds: Vec<SeatHold>) -> Board {
        let seats = Seats {
            seat_count,
            taken_seat_count,
            end_time: datetime!(2026-12-01 10:00 UTC),
        };
        Board::new(NOW, HashMap::from([(RUN, seats)]), holds)
    }

    fn new(id: u128) -> NewHold {
        NewHold {
            key: HoldKey {
                id: Uuid::from_u128(id),
                run_id: RUN,
                account_id: Uuid::from_u128(900 + id),
            },
            expire_time: NOW + Duration::minutes(10),
        }
    }

    #[test]
    fn seats_go_in_the_order_of_arrival() {
        let mut board = board(3, 1, Vec::new());

        let answers: Vec<bool> = (1..=4).map(|id| board.hold(&new(id)).is_ok()).collect();

        assert_eq!(answers, [true, true, false, false]);
        assert_eq!(board.hold(&new(3)), Err(HoldRefusal::SeatsTaken));
        assert_eq!(board.into_new_holds().len(), 2);
    }

    #[test]
    fn a_repeat_takes_no_second_seat() {
        let mut board = board(1, 0, Vec::new());

        let first = board.hold(&new(1)).unwrap();
        let repeat = board.hold(&new(1)).unwrap();

        assert_eq!(first, repeat);
        assert_eq!(board.into_new_holds(), [first]);
    }

    #[test]
    fn a_known_id_gets_its_hold_as_it_is() {
        let tombstone = SeatHold::tombstone(new(1).key, NOW);
        let mut board = board(5, 0, vec![tombstone]);
        let other_account = NewHold {
            key: HoldKey {
                account_id: Uuid::nil(),
                ..new(1).key
            },
            ..new(1)
        };

        assert_eq!(board.hold(&new(1)), Ok(tombstone));
        assert_eq!(board.hold(&other_account), Err(HoldRefusal::IdReused));
        assert!(board.into_new_holds().is_empty());
    }

    #[test]
    fn a_hold_lasts_for_an_hour_at_most() {
        let mut board = board(5, 0, Vec::new());
        let mut until = |expire_time| {
            board
                .hold(&NewHold {
                    expire_time,
                    ..new(1)
                })
                .err()
        };

        assert_eq!(until(NOW), Some(HoldRefusal::ExpireTimePassed));
        assert_eq!(
            until(NOW + HOLD_MAX + Duration::SECOND),
            Some(HoldRefusal::ExpireTimeTooFar)
        );
        assert_eq!(until(NOW + HOLD_MAX), None);
    }

    #[test]
    fn a_run_that_is_over_or_unknown_has_no_seats() {
        let mut board = board(5, 0, Vec::new());
        let elsewhere = NewHold {
            key: HoldKey {
                run_id: Uuid::nil(),
                ..new(1).key
            },
            ..new(1)
        };

        assert_eq!(board.hold(&elsewhere), Err(HoldRefusal::RunNotFound));
        board.now = datetime!(2026-12-01 10:00 UTC);
        let late = NewHold {
            expire_time: board.now + Duration::MINUTE,
            ..new(1)
        };
        assert_eq!(board.hold(&late), Err(HoldRefusal::RunEnded));
    }

    #[test]
    fn a_run_is_short_when_the_batch_asks_for_more_than_is_free() {
        let known = SeatHold::tombstone(new(9).key, NOW);
        let board = board(3, 1, vec![known]);

        assert!(board.short_runs(&[new(1), new(2), new(9)]).is_empty());
        assert_eq!(board.short_runs(&[new(1), new(2), new(3)]), [RUN]);
    }

    #[test]
    fn a_hold_that_ran_out_looks_expired_at_once() {
        let mut board = board(1, 0, Vec::new());
        let hold = board.hold(&new(1)).unwrap();

        assert_eq!(hold.state_at(NOW), HoldState::Held);
        assert_eq!(hold.state_at(hold.expire_time), HoldState::Expired);
    }
}
