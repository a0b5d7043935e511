//! Participations: winners as recipients, and when they may buy.

use std::{fmt, str::FromStr};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    batch::UnknownState,
    scheme::{NextPurchaseRule, Scheme, YearEnd},
    time_zone::{Day, TimeZone},
};

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
    /// The region of residence, a dotted path.
    pub region: String,
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
    /// When its certificate was issued.
    pub certificate_time: Option<OffsetDateTime>,
    /// Whether it is reviewed.
    pub reviewed: bool,
}

/// What a purchase is held against, beside what has become of the participation itself.
#[derive(Clone, Copy, Debug)]
pub struct PurchaseTerms<'a> {
    /// What every earlier course needs.
    pub next: NextPurchaseRule,
    /// The days from finishing a course to the last one for buying the next; `None` for no limit.
    pub next_days: Option<u32>,
    /// Where these days end.
    pub zone: &'a TimeZone,
    /// The last moment that the budget year leaves.
    pub year_end: Option<OffsetDateTime>,
    /// When the last freeze ended: the days for the next purchase begin again.
    pub unfreeze_time: Option<OffsetDateTime>,
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
    /// The next purchase comes too late.
    #[error("the deadline of the next purchase has passed")]
    NextDeadlinePassed {
        /// When it was.
        deadline: OffsetDateTime,
    },
    /// The budget year leaves no more time.
    #[error("the last day for purchases has passed")]
    YearEnded {
        /// When it ended.
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
        terms: PurchaseTerms<'_>,
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
        if let Some(deadline) = terms.year_end.filter(|end| *end < now) {
            return Err(PurchaseRefusal::YearEnded { deadline });
        }
        if !self.funded {
            return Err(PurchaseRefusal::NotFunded);
        }
        let is_unfinished = |purchase: &&EarlierPurchase| {
            (terms.next.certificate && purchase.certificate_time.is_none())
                || (terms.next.review && !purchase.reviewed)
        };
        if let Some(purchase) = earlier.iter().find(is_unfinished) {
            return Err(PurchaseRefusal::EarlierUnfinished {
                purchase_id: purchase.id,
            });
        }
        match terms.next_deadline(earlier).filter(|end| *end < now) {
            Some(deadline) => Err(PurchaseRefusal::NextDeadlinePassed { deadline }),
            None => Ok(()),
        }
    }

    /// Returns the last moment that the budget year of the award leaves for something, where the person lives; `None` for
    /// no limit.
    pub fn year_end(
        &self,
        scheme: &Scheme,
        day: impl Fn(&YearEnd) -> Option<Day>,
    ) -> Option<OffsetDateTime> {
        let year = scheme.time_zone.day_of(self.award_time).year;
        let day = day(scheme.year_ends.get(&year)?)?;
        scheme.time_zone_of(&self.region).end_of_day(day)
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

impl PurchaseTerms<'_> {
    /// Returns the last moment for buying the next course: it counts from the last one that was finished.
    fn next_deadline(&self, earlier: &[EarlierPurchase]) -> Option<OffsetDateTime> {
        let finished = earlier
            .iter()
            .filter_map(|purchase| purchase.certificate_time);
        let start = finished
            .max()?
            .max(self.unfreeze_time.unwrap_or(OffsetDateTime::UNIX_EPOCH));
        self.zone.end_of_day_after(start, self.next_days?)
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

    fn jakarta() -> TimeZone {
        TimeZone::find("Asia/Jakarta").unwrap()
    }

    fn terms(zone: &TimeZone) -> PurchaseTerms<'_> {
        PurchaseTerms {
            next: NextPurchaseRule {
                certificate: true,
                review: true,
            },
            next_days: Some(15),
            zone,
            year_end: Some(DEADLINE + Duration::days(30)),
            unfreeze_time: None,
        }
    }

    fn participation(state: ParticipationState) -> Participation {
        Participation {
            id: Uuid::from_u128(1),
            batch_id: "48".to_owned(),
            account_id: Uuid::from_u128(2),
            application_id: Uuid::from_u128(3),
            region: "32.73".to_owned(),
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
        let (awarded, zone) = (participation(ParticipationState::Awarded), jakarta());
        let terms = terms(&zone);

        assert_eq!(awarded.may_buy(&[], terms, DEADLINE), Ok(()));
        assert_eq!(
            awarded.may_buy(&[], terms, DEADLINE + Duration::microseconds(1)),
            Err(PurchaseRefusal::DeadlinePassed { deadline: DEADLINE })
        );
        // The deadline is for the first purchase only.
        let active = participation(ParticipationState::Active);
        assert_eq!(
            active.may_buy(&[], terms, DEADLINE + Duration::days(9)),
            Ok(())
        );
    }

    #[test]
    fn each_obstacle_has_its_refusal() {
        let now = DEADLINE - Duration::days(1);
        let other = Uuid::from_u128(9);
        let zone = jakarta();
        let terms = terms(&zone);
        let earlier = |certified: bool, reviewed| EarlierPurchase {
            id: other,
            certificate_time: certified.then_some(now),
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
            revoked.may_buy(&[], terms, now),
            Err(PurchaseRefusal::Revoked)
        );
        assert_eq!(
            frozen.may_buy(&[], terms, now),
            Err(PurchaseRefusal::Frozen)
        );
        assert_eq!(
            unfunded.may_buy(&[], terms, now),
            Err(PurchaseRefusal::NotFunded)
        );
        assert_eq!(
            pending.may_buy(&[], terms, now),
            Err(PurchaseRefusal::Pending { purchase_id: other })
        );
        assert_eq!(
            active.may_buy(&[earlier(false, false)], terms, now),
            unfinished
        );
        assert_eq!(
            active.may_buy(&[earlier(true, false)], terms, now),
            unfinished
        );
        assert_eq!(active.may_buy(&[earlier(true, true)], terms, now), Ok(()));
        let lenient = PurchaseTerms {
            next: NextPurchaseRule {
                certificate: true,
                review: false,
            },
            ..terms
        };
        assert_eq!(
            active.may_buy(&[earlier(true, false)], lenient, now),
            Ok(())
        );
    }

    #[test]
    fn the_next_course_is_bought_in_time_and_within_the_year() {
        let (active, zone) = (participation(ParticipationState::Active), jakarta());
        let terms = terms(&zone);
        let finished = |time: OffsetDateTime| EarlierPurchase {
            id: Uuid::from_u128(9),
            certificate_time: Some(time),
            reviewed: true,
        };
        // The later one counts: finished on the 1st at 10:00, and 15 days.
        let first = datetime!(2026-12-01 03:00 UTC);
        let earlier = [finished(first), finished(first - Duration::days(20))];
        let deadline = datetime!(2026-12-16 16:59:59 UTC);
        let late = deadline + Duration::SECOND;
        let passed = Err(PurchaseRefusal::NextDeadlinePassed { deadline });
        let with = |terms| active.may_buy(&earlier, terms, late);

        assert_eq!(active.may_buy(&earlier, terms, deadline), Ok(()));
        assert_eq!(with(terms), passed);
        let unlimited = PurchaseTerms {
            next_days: None,
            ..terms
        };
        assert_eq!(with(unlimited), Ok(()));
        let freed = |unfreeze_time| PurchaseTerms {
            unfreeze_time: Some(unfreeze_time),
            ..terms
        };
        assert_eq!(with(freed(first - Duration::DAY)), passed);
        assert_eq!(with(freed(first + Duration::DAY)), Ok(()));
        let deadline = DEADLINE + Duration::days(30);
        assert_eq!(
            active.may_buy(&earlier, unlimited, deadline + Duration::SECOND),
            Err(PurchaseRefusal::YearEnded { deadline })
        );
    }

    #[test]
    fn a_freeze_gives_back_its_days_and_each_begun_one_in_full() {
        let zone = jakarta();
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
