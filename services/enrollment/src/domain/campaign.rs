//! Campaigns: courses without a draw, balance or incentive, for anyone who is old enough.

use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    batch::UnknownState,
    facts::{FactValue, PersonFacts},
    purchase::{Outcome, Step},
};

/// The fact that a campaign's only rule looks at.
const AGE_YEARS: &str = "age_years";

/// A campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// The id in `campaigns/{campaign}`.
    pub id: String,
    /// What it is called.
    pub display_name: String,
    /// From when vouchers are given.
    pub start_time: OffsetDateTime,
    /// Until when, exclusive.
    pub end_time: OffsetDateTime,
    /// The least age.
    pub age_min_years: i32,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// Vouchers given.
    pub voucher_count: i64,
}

/// The states of a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherState {
    /// The seat is being taken.
    Pending,
    /// The seat is taken.
    Issued,
    /// There was no seat.
    Failed,
}

/// A voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The id.
    pub id: Uuid,
    /// The campaign.
    pub campaign_id: String,
    /// Whose.
    pub account_id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// The course, once the seat was held.
    pub course_id: Option<Uuid>,
    /// The state.
    pub state: VoucherState,
    /// The step that is to be taken next.
    pub step: Step,
    /// Why it failed, or fails.
    pub failure_reason: Option<String>,
    /// The code to show.
    pub voucher_code: Option<String>,
    /// When it was asked for.
    pub create_time: OffsetDateTime,
    /// How often catalog was away.
    pub attempt_count: i32,
}

/// What follows a step of a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherNext {
    /// The next step.
    Step(Step),
    /// The seat is given back, and why.
    Compensate(String),
    /// The voucher is issued.
    Issue,
    /// The seat is given back; it has failed.
    Fail,
    /// This answer must not come.
    Contradiction(String),
}

/// Why no voucher is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// It has not begun or is over.
    #[error("the campaign is not running")]
    NotRunning,
    /// Identity has not verified the person.
    #[error("the person is not verified")]
    NotVerified,
    /// The person is too young.
    #[error("the person is younger than {age_min_years}")]
    TooYoung {
        /// The least age.
        age_min_years: i32,
    },
}

impl Campaign {
    /// Says whether vouchers are given now.
    ///
    /// # Errors
    /// When the campaign has not begun or is over.
    pub fn check_running(&self, now: OffsetDateTime) -> Result<(), ClaimRefusal> {
        if (self.start_time..self.end_time).contains(&now) {
            Ok(())
        } else {
            Err(ClaimRefusal::NotRunning)
        }
    }

    /// Says whether a person may have vouchers. Nothing but the age counts: students, civil servants and earlier
    /// recipients are welcome.
    ///
    /// # Errors
    /// When the person is not verified or too young.
    pub fn check_person(&self, person: &PersonFacts) -> Result<(), ClaimRefusal> {
        if !person.verified {
            return Err(ClaimRefusal::NotVerified);
        }
        let age_min_years = self.age_min_years;
        match person.facts.get(AGE_YEARS) {
            Some(FactValue::Int(age)) if *age >= i64::from(age_min_years) => Ok(()),
            _ => Err(ClaimRefusal::TooYoung { age_min_years }),
        }
    }
}

impl Voucher {
    /// Returns the id of the seat's hold.
    pub fn seat_hold_id(&self) -> Uuid {
        Uuid::new_v5(&self.id, b"seat")
    }

    /// Says what follows when the voucher's step came to this.
    pub fn after(&self, outcome: Outcome) -> VoucherNext {
        match (self.step, outcome) {
            (Step::HoldSeat, Outcome::Done) => VoucherNext::Step(Step::ConfirmSeat),
            (Step::ConfirmSeat, Outcome::Done) => VoucherNext::Issue,
            (Step::HoldSeat | Step::ConfirmSeat, Outcome::Refused(reason)) => {
                VoucherNext::Compensate(reason)
            }
            (Step::ReleaseSeat, Outcome::Done) => VoucherNext::Fail,
            (Step::ReleaseSeat, Outcome::Refused(reason)) => VoucherNext::Contradiction(reason),
            (Step::HoldFunds | Step::CaptureFunds | Step::ReleaseFunds | Step::Done, _) => {
                VoucherNext::Contradiction("a voucher has no such step".to_owned())
            }
        }
    }
}

impl FromStr for VoucherState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<VoucherState, UnknownState> {
        Ok(match word {
            "PENDING" => VoucherState::Pending,
            "ISSUED" => VoucherState::Issued,
            "FAILED" => VoucherState::Failed,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;

    fn campaign() -> Campaign {
        Campaign {
            id: "isw-2026".to_owned(),
            display_name: "Indonesia Skills Week".to_owned(),
            start_time: datetime!(2026-10-26 00:00 UTC),
            end_time: datetime!(2026-11-03 00:00 UTC),
            age_min_years: 18,
            create_time: datetime!(2026-10-01 00:00 UTC),
            voucher_count: 0,
        }
    }

    #[test]
    fn a_campaign_runs_from_its_start_until_before_its_end() {
        let campaign = campaign();
        let moment = Duration::microseconds(1);

        assert!(campaign.check_running(campaign.start_time).is_ok());
        assert!(campaign.check_running(campaign.end_time - moment).is_ok());
        for outside in [campaign.start_time - moment, campaign.end_time] {
            assert_eq!(
                campaign.check_running(outside),
                Err(ClaimRefusal::NotRunning)
            );
        }
    }

    #[test]
    fn only_age_and_verification_count() {
        let person = |age: Option<i64>, verified: bool| {
            let mut person = PersonFacts {
                verified,
                ..PersonFacts::unknown()
            };
            person
                .facts
                .insert("occupation", FactValue::Text("POLICE".to_owned()));
            if let Some(age) = age {
                person.facts.insert("age_years", FactValue::Int(age));
            }
            person
        };
        let too_young = Err(ClaimRefusal::TooYoung { age_min_years: 18 });

        assert_eq!(campaign().check_person(&person(Some(18), true)), Ok(()));
        assert_eq!(campaign().check_person(&person(Some(17), true)), too_young);
        assert_eq!(campaign().check_person(&person(None, true)), too_young);
        assert_eq!(
            campaign().check_person(&person(Some(30), false)),
            Err(ClaimRefusal::NotVerified)
        );
    }
}
