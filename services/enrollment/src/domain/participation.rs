//! Participations: winners as recipients, and when they may buy.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{batch::UnknownState, scheme::NextPurchaseRule};

/// The states of a participation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParticipationState {
    /// Won; no course bought yet.
    Awarded,
    /// Bought at least one course.
    Active,
    /// Has at least one certificate.
    Completed,
    /// No course was bought in time.
    Revoked,
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
}

impl fmt::Display for ParticipationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParticipationState::Awarded => "AWARDED",
            ParticipationState::Active => "ACTIVE",
            ParticipationState::Completed => "COMPLETED",
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
            "REVOKED" => ParticipationState::Revoked,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

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

        let unfinished = Err(PurchaseRefusal::EarlierUnfinished { purchase_id: other });
        assert_eq!(
            revoked.may_buy(&[], RULE, now),
            Err(PurchaseRefusal::Revoked)
        );
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
}
