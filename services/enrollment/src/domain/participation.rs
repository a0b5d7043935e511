//! Participations: winners as recipients, and when they may buy.

use std::{fmt, str::FromStr};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{batch::UnknownState, scheme::NextPurchaseRule, time_zone::TimeZone};

/// The states of a participation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipationState {
    /// Won; no course bought yet.
    Awarded,
    /// Bought at least one course.
    Active,
    /// Has at least one certificate.
    Completed,
    /// Stands still while a hold does.
    Frozen,
    /// No course was bought in time, or there was fraud.
    Revoked,
}

/// Who places and lifts a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldKind {
    /// The service itself: the person breaks a rule of the scheme.
    Rules,
    /// An operator.
    Operator,
}

/// Why a participation is frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which participation.
    pub participation_id: Uuid,
    /// The kind.
    pub kind: HoldKind,
    /// The reason of the broken rule, or the operator's code.
    pub reason: String,
    /// Who placed it: the name of an account or service account.
    pub placed_by: String,
}

/// A participation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participation {
    /// The id.
    pub id: Uuid,
    /// The batch.
    pub batch_id: String,
    /// Whose.
    pub account_id: Uuid,
    /// The application that won.
    pub application_id: Uuid,
    /// The state.
    pub state: ParticipationState,
    /// Whether payout has booked the money.
    pub funded: bool,
    /// The last moment for the first purchase.
    pub first_purchase_deadline: OffsetDateTime,
    /// When it was awarded.
    pub award_time: OffsetDateTime,
    /// When it was revoked.
    pub revoke_time: Option<OffsetDateTime>,
    /// The purchase under way.
    pub pending_purchase_id: Option<Uuid>,
    /// The freeze that it is under.
    pub freeze: Option<Freeze>,
}

/// A freeze that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// The state that it returns to.
    pub from: ParticipationState,
    /// Since when.
    pub time: OffsetDateTime,
    /// The reasons of the holds that stand; for people to read, since a lock that was waited for does not renew them.
    pub reasons: Vec<String>,
}

/// A course that was bought before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierPurchase {
    /// The purchase.
    pub id: Uuid,
    /// Whether its certificate is issued.
    pub certified: bool,
    /// Whether it is reviewed.
    pub reviewed: bool,
}

/// Why nothing can be bought.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurchaseRefusal {
    /// The participation has ended.
    #[error("the participation was revoked")]
    Revoked,
    /// The participation stands still.
    #[error("the participation is frozen")]
    Frozen,
    /// The money is not booked yet.
    #[error("the money is not booked yet")]
    NotFunded,
    /// The first purchase comes too late.
    #[error("the deadline of the first purchase has passed")]
    DeadlinePassed {
        /// When it was.
        deadline: OffsetDateTime,
    },
    /// An earlier course is not finished and reviewed.
    #[error("an earlier course must be finished and reviewed first")]
    EarlierUnfinished {
        /// Its purchase.
        purchase_id: Uuid,
    },
    /// Another purchase is under way.
    #[error("another purchase is under way")]
    Pending {
        /// That purchase.
        purchase_id: Uuid,
    },
}

impl Participation {
    /// Says whether a course may be bought now. The row is locked by the caller, so that the answer holds until commit.
    ///
    /// # Errors
    /// Returns the first reason that forbids it.
    pub fn may_buy(
        &self,
        earlier: &[EarlierPurchase],
        rule: NextPurchaseRule,
        now: OffsetDateTime,
    ) -> Result<(), PurchaseRefusal> {
        if self.state == ParticipationState::Revoked {
            return Err(PurchaseRefusal::Revoked);
        }
        if self.state == ParticipationState::Frozen {
            return Err(PurchaseRefusal::Frozen);
        }
        if let Some(purchase_id) = self.pending_purchase_id {
            return Err(PurchaseRefusal::Pending { purchase_id });
        }
        if self.is_overdue(now) {
            let deadline = self.first_purchase_deadline;
            return Err(PurchaseRefusal::DeadlinePassed { deadline });
        }
        if !self.funded {
            return Err(PurchaseRefusal::NotFunded);
        }
        let is_unfinished = |purchase: &&EarlierPurchase| {
            (rule.certificate && !purchase.certified) || (rule.review && !purchase.reviewed)
        };
        match earlier.iter().find(is_unfinished) {
            Some(purchase) => Err(PurchaseRefusal::EarlierUnfinished {
                purchase_id: purchase.id,
            }),
            None => Ok(()),
        }
    }

    /// Says whether the first purchase was missed. The sweeper's SQL compares the same way.
    fn is_overdue(&self, now: OffsetDateTime) -> bool {
        self.state == ParticipationState::Awarded && self.first_purchase_deadline < now
    }

    /// Returns the deadline that holds after a freeze that ends now: as many days later as the freeze lasted, a begun one
    /// counted in full, at the end of the day. One that had passed when the freeze began has passed.
    /// `None` beyond the calendar's end.
    pub fn deadline_after_freeze(
        &self,
        zone: &TimeZone,
        now: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        let deadline = self.first_purchase_deadline;
        match &self.freeze {
            Some(freeze) if freeze.time <= deadline => {
                let nanoseconds = (now - freeze.time).whole_nanoseconds().max(0);
                let days = nanoseconds.unsigned_abs().div_ceil(DAY_NANOSECONDS);
                zone.end_of_day_after(deadline, u32::try_from(days).ok()?)
            }
            Some(_) | None => Some(deadline),
        }
    }
}

const DAY_NANOSECONDS: u128 = Duration::DAY.whole_nanoseconds().unsigned_abs();

/// Compares the rules that a person breaks now with the holds that stand for rules: which to place and which to lift.
/// What an appeal has exempted the person from is not held against them.
pub fn compare_holds<'a>(
    broken: &'a [String],
    exempt: &[String],
    standing: &'a [String],
) -> (Vec<&'a String>, Vec<&'a String>) {
    let counts = |reason: &&String| broken.contains(reason) && !exempt.contains(reason);
    let place = broken
        .iter()
        .filter(|reason| counts(reason) && !standing.contains(reason));
    let lift = standing.iter().filter(|reason| !counts(reason));
    (place.collect(), lift.collect())
}

impl fmt::Display for ParticipationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParticipationState::Awarded => "AWARDED",
            ParticipationState::Active => "ACTIVE",
            ParticipationState::Completed => "COMPLETED",
            ParticipationState::Frozen => "FROZEN",
            ParticipationState::Revoked => "REVOKED",
        })
    }
}

impl FromStr for ParticipationState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<ParticipationState, UnknownState> {
        Ok(match word {
            "AWARDED" => ParticipationState::Awarded,
            "ACTIVE" => ParticipationState::Active,
            "COMPLETED" => ParticipationState::Completed,
            "FROZEN" => ParticipationState::Frozen,
            "REVOKED" => ParticipationState::Revoked,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

impl fmt::Display for HoldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HoldKind::Rules => "RULES",
            HoldKind::Operator => "OPERATOR",
        })
    }
}

impl FromStr for HoldKind {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<HoldKind, UnknownState> {
        Ok(match word {
            "RULES" => HoldKind::Rules,
            "OPERATOR" => HoldKind::Operator,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const DEADLINE: OffsetDateTime = datetime!(2026-12-09 16:59:59 UTC);
    const RULE: NextPurchaseRule = NextPurchaseRule {
        certificate: true,
        review: true,
    };

    fn participation(state: ParticipationState) -> Participation {
        Participation {
            id: Uuid::from_u128(1),
            batch_id: "48".to_owned(),
            account_id: Uuid::from_u128(2),
            application_id: Uuid::from_u128(3),
            state,
            funded: true,
            first_purchase_deadline: DEADLINE,
            award_time: DEADLINE - Duration::days(15),
            revoke_time: None,
            pending_purchase_id: None,
            freeze: None,
        }
    }

    fn frozen_at(time: OffsetDateTime) -> Participation {
        Participation {
            freeze: Some(Freeze {
                from: ParticipationState::Awarded,
                time,
                reasons: Vec::new(),
            }),
            ..participation(ParticipationState::Frozen)
        }
    }

    #[test]
    fn the_last_second_still_counts_and_the_next_does_not() {
        let awarded = participation(ParticipationState::Awarded);

        assert_eq!(awarded.may_buy(&[], RULE, DEADLINE), Ok(()));
        assert_eq!(
            awarded.may_buy(&[], RULE, DEADLINE + Duration::microseconds(1)),
            Err(PurchaseRefusal::DeadlinePassed { deadline: DEADLINE })
        );
        // The deadline is for the first purchase only.
        let active = participation(ParticipationState::Active);
        assert_eq!(
            active.may_buy(&[], RULE, DEADLINE + Duration::days(9)),
            Ok(())
        );
    }

    #[test]
    fn each_obstacle_has_its_refusal() {
        let now = DEADLINE - Duration::days(1);
        let other = Uuid::from_u128(9);
        let earlier = |certified, reviewed| EarlierPurchase {
            id: other,
            certified,
            reviewed,
        };
        let active = participation(ParticipationState::Active);

        let mut unfunded = active.clone();
        unfunded.funded = false;
        let mut pending = active.clone();
        pending.pending_purchase_id = Some(other);
        let revoked = participation(ParticipationState::Revoked);
        let frozen = frozen_at(now);

        let unfinished = Err(PurchaseRefusal::EarlierUnfinished { purchase_id: other });
        assert_eq!(
            revoked.may_buy(&[], RULE, now),
            Err(PurchaseRefusal::Revoked)
        );
        assert_eq!(frozen.may_buy(&[], RULE, now), Err(PurchaseRefusal::Frozen));
        assert_eq!(
            unfunded.may_buy(&[], RULE, now),
            Err(PurchaseRefusal::NotFunded)
        );
        assert_eq!(
            pending.may_buy(&[], RULE, now),
            Err(PurchaseRefusal::Pending { purchase_id: other })
        );
        assert_eq!(
            active.may_buy(&[earlier(false, false)], RULE, now),
            unfinished
        );
        assert_eq!(
            active.may_buy(&[earlier(true, false)], RULE, now),
            unfinished
        );
        assert_eq!(active.may_buy(&[earlier(true, true)], RULE, now), Ok(()));
        let lenient = NextPurchaseRule {
            certificate: true,
            review: false,
        };
        assert_eq!(
            active.may_buy(&[earlier(true, false)], lenient, now),
            Ok(())
        );
    }

    #[test]
    fn a_freeze_gives_back_its_days_and_each_begun_one_in_full() {
        let zone = TimeZone::find("Asia/Jakarta").unwrap();
        let start = datetime!(2026-12-01 03:00 UTC);
        let day = Duration::DAY;

        for (lasted, days) in [
            (Duration::ZERO, 0),
            (Duration::microseconds(1), 1),
            (day, 1),
            (day + Duration::SECOND, 2),
            (day * 40, 40),
        ] {
            let moved = frozen_at(start).deadline_after_freeze(&zone, start + lasted);
            assert_eq!(moved, Some(DEADLINE + day * days), "{lasted}");
        }
        // The last second of the deadline still counts; a missed deadline does not come back.
        let at_the_end = frozen_at(DEADLINE).deadline_after_freeze(&zone, DEADLINE + day);
        assert_eq!(at_the_end, Some(DEADLINE + day));
        let late = frozen_at(DEADLINE + Duration::SECOND);
        assert_eq!(
            late.deadline_after_freeze(&zone, DEADLINE + day * 9),
            Some(DEADLINE)
        );
    }

    #[test]
    fn holds_follow_the_rules_that_are_broken_and_not_exempted() {
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        for (broken, exempt, standing, place, lift) in [
            (words(&[]), words(&[]), words(&[]), words(&[]), words(&[])),
            (
                words(&["A", "B"]),
                words(&[]),
                words(&["B"]),
                words(&["A"]),
                words(&[]),
            ),
            (
                words(&["A"]),
                words(&[]),
                words(&["A", "B"]),
                words(&[]),
                words(&["B"]),
            ),
            (
                words(&["A", "B"]),
                words(&["A"]),
                words(&["A"]),
                words(&["B"]),
                words(&["A"]),
            ),
        ] {
            let found = compare_holds(&broken, &exempt, &standing);
            let expected: (Vec<&String>, Vec<&String>) =
                (place.iter().collect(), lift.iter().collect());
            assert_eq!(found, expected, "{broken:?} {exempt:?} {standing:?}");
        }
    }
}
