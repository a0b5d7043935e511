//! A purchase: one course bought from the balance, over two peers that know nothing of each other.
//!
//! 1. Hold the seat, then the money: nothing is final, and both holds are given back on any refusal.
//! 2. Confirm the seat: it can still be released.
//! 3. Look whether the participation is frozen: then everything is given back.
//! 4. Capture the money: this cannot be taken back, so it comes last, and after it the purchase is completed.
//!
//! A definite refusal leads over the release of both, in the other order, to FAILED. A peer that is away decides nothing:
//! the step stays and is taken again. Every step may be taken twice, also at once, and also late: the peers answer a hold
//! that was released before it came as released.

use std::{fmt, str::FromStr};

use chassis::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::batch::UnknownState;

/// The states of a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurchaseState {
    /// Under way.
    Pending,
    /// Seat and money are taken.
    Completed,
    /// It could not be done.
    Failed,
}

/// The step that is to be taken next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hold the seat.
    HoldSeat,
    /// Hold the money.
    HoldFunds,
    /// Take the seat.
    ConfirmSeat,
    /// Take the money.
    CaptureFunds,
    /// Give the money back.
    ReleaseFunds,
    /// Give the seat back.
    ReleaseSeat,
    /// None.
    Done,
}

/// What a step came to, where the peer has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has its effect.
    Done,
    /// It has no effect and never will, for this reason.
    Refused(String),
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next step.
    Step(Step),
    /// The way back, and why.
    Compensate(Step, String),
    /// The purchase is completed.
    Complete,
    /// Everything is given back; it has failed.
    Fail,
    /// This answer must not come: somebody has to look, and the step is tried again.
    Contradiction(String),
}

/// What the hold of a seat tells of the course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The course.
    pub course_id: Uuid,
    /// The provider.
    pub provider_id: Uuid,
    /// The course's title.
    pub course_title: String,
    /// The course's category.
    pub course_category: String,
    /// What it costs.
    pub price: Money,
    /// When the first session begins.
    pub run_start_time: OffsetDateTime,
    /// When the last one ends.
    pub run_end_time: OffsetDateTime,
}

/// A purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The id.
    pub id: Uuid,
    /// From whose balance.
    pub participation_id: Uuid,
    /// The participant.
    pub account_id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// What is bought, once the seat was held.
    pub offer: Option<Offer>,
    /// The state.
    pub state: PurchaseState,
    /// The step.
    pub step: Step,
    /// Why it failed, or fails.
    pub failure_reason: Option<String>,
    /// The code that proves presence.
    pub redeem_code: Option<String>,
    /// When it was redeemed.
    pub redeem_time: Option<OffsetDateTime>,
    /// When it was begun.
    pub create_time: OffsetDateTime,
    /// When it ended.
    pub end_time: Option<OffsetDateTime>,
    /// How often a peer was away.
    pub attempt_count: i32,
}

impl Purchase {
    /// Returns the id of the seat's hold: always the same for a purchase, so that no second one comes about.
    pub fn seat_hold_id(&self) -> Uuid {
        Uuid::new_v5(&self.id, b"seat")
    }

    /// Returns the id of the money's hold.
    pub fn funds_hold_id(&self) -> Uuid {
        Uuid::new_v5(&self.id, b"funds")
    }
}

impl Step {
    /// Says what follows when the step came to this.
    pub fn after(self, outcome: Outcome) -> Next {
        match (self, outcome) {
            (Step::HoldSeat, Outcome::Done) => Next::Step(Step::HoldFunds),
            (Step::HoldFunds, Outcome::Done) => Next::Step(Step::ConfirmSeat),
            (Step::ConfirmSeat, Outcome::Done) => Next::Step(Step::CaptureFunds),
            (Step::CaptureFunds, Outcome::Done) => Next::Complete,
            // No money was asked for yet. The seat is released all the same: an earlier try may still be on its way.
            (Step::HoldSeat, Outcome::Refused(reason)) => {
                Next::Compensate(Step::ReleaseSeat, reason)
            }
            (
                Step::HoldFunds | Step::ConfirmSeat | Step::CaptureFunds,
                Outcome::Refused(reason),
            ) => Next::Compensate(Step::ReleaseFunds, reason),
            (Step::ReleaseFunds, Outcome::Done) => Next::Step(Step::ReleaseSeat),
            (Step::ReleaseSeat, Outcome::Done) => Next::Fail,
            (Step::ReleaseFunds | Step::ReleaseSeat, Outcome::Refused(reason)) => {
                Next::Contradiction(reason)
            }
            (Step::Done, _) => Next::Contradiction("nothing was to be done".to_owned()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::HoldSeat => "HOLD_SEAT",
            Step::HoldFunds => "HOLD_FUNDS",
            Step::ConfirmSeat => "CONFIRM_SEAT",
            Step::CaptureFunds => "CAPTURE_FUNDS",
            Step::ReleaseFunds => "RELEASE_FUNDS",
            Step::ReleaseSeat => "RELEASE_SEAT",
            Step::Done => "DONE",
        })
    }
}

impl FromStr for Step {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Step, UnknownState> {
        Ok(match word {
            "HOLD_SEAT" => Step::HoldSeat,
            "HOLD_FUNDS" => Step::HoldFunds,
            "CONFIRM_SEAT" => Step::ConfirmSeat,
            "CAPTURE_FUNDS" => Step::CaptureFunds,
            "RELEASE_FUNDS" => Step::ReleaseFunds,
            "RELEASE_SEAT" => Step::ReleaseSeat,
            "DONE" => Step::Done,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

impl FromStr for PurchaseState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<PurchaseState, UnknownState> {
        Ok(match word {
            "PENDING" => PurchaseState::Pending,
            "COMPLETED" => PurchaseState::Completed,
            "FAILED" => PurchaseState::Failed,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes on from a step until the end, with one refusal on the way.
    fn walk(refused_at: Option<Step>) -> (Vec<Step>, Next) {
        let mut step = Step::HoldSeat;
        let mut taken = Vec::new();
        loop {
            taken.push(step);
            let outcome = if refused_at == Some(step) {
                Outcome::Refused("WHY".to_owned())
            } else {
                Outcome::Done
            };
            match step.after(outcome) {
                Next::Step(next) | Next::Compensate(next, _) => step = next,
                end @ (Next::Complete | Next::Fail | Next::Contradiction(_)) => {
                    return (taken, end);
                }
            }
        }
    }

    #[test]
    fn a_purchase_without_refusals_is_completed() {
        use Step::{CaptureFunds, ConfirmSeat, HoldFunds, HoldSeat};

        assert_eq!(
            walk(None),
            (
                vec![HoldSeat, HoldFunds, ConfirmSeat, CaptureFunds],
                Next::Complete
            )
        );
    }

    #[test]
    fn every_refusal_gives_back_whatever_may_be_held() {
        use Step::{CaptureFunds, ConfirmSeat, HoldFunds, HoldSeat, ReleaseFunds, ReleaseSeat};

        for (refused, expected) in [
            (HoldSeat, vec![HoldSeat, ReleaseSeat]),
            (
                HoldFunds,
                vec![HoldSeat, HoldFunds, ReleaseFunds, ReleaseSeat],
            ),
            (
                ConfirmSeat,
                vec![HoldSeat, HoldFunds, ConfirmSeat, ReleaseFunds, ReleaseSeat],
            ),
            (
                CaptureFunds,
                vec![
                    HoldSeat,
                    HoldFunds,
                    ConfirmSeat,
                    CaptureFunds,
                    ReleaseFunds,
                    ReleaseSeat,
                ],
            ),
        ] {
            assert_eq!(walk(Some(refused)), (expected, Next::Fail));
        }
    }

    #[test]
    fn steps_are_written_and_read_alike() {
        for word in [
            "HOLD_SEAT",
            "HOLD_FUNDS",
            "CONFIRM_SEAT",
            "CAPTURE_FUNDS",
            "RELEASE_FUNDS",
            "RELEASE_SEAT",
            "DONE",
        ] {
            assert_eq!(word.parse::<Step>().unwrap().to_string(), word);
        }
    }
}
