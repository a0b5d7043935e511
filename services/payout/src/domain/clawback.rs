//! What a person owes who was wrongly enrolled: all that was spent and paid, within sixty days (Perpres 76/2020, article 31C).
//!
//! The batch claims it, and the participation has it to give: `training-claim → training-receivable` and the same for
//! incentives, which cancel each other out. A repayment goes from the receivable to the batch's returned money, a write-off
//! back to the claim. So does a payment that the rail takes back: less is owed, and where the incentive was repaid before,
//! `training-receivable → incentive-claim` lets that repayment count for courses.

use chassis::money::{Currency, Money};
use time::{Duration, OffsetDateTime, Time};
use uuid::Uuid;

use super::{
    chart::{self, AccountKind},
    disbursement::Disbursement,
    fiscal_year::PROGRAMME_OFFSET,
    ledger::{AccountId, Code, Leg, NewAccount, Transfer},
};

/// How long a person has, counted from the day after the claim.
const TERM: Duration = Duration::days(60);
const LAST_SECOND: Time = time::macros::time!(23:59:59);

/// The states of a claim as they are stored; whether an open one is overdue follows from the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClawbackState {
    /// Something is owed.
    Open,
    /// All is repaid, or came back through the rail.
    Repaid,
    /// Two people have given up the rest.
    WrittenOff,
}

/// A claim against a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clawback {
    /// Its id.
    pub id: Uuid,
    /// Of which participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The batch.
    pub batch: String,
    /// Why, in a code.
    pub reason: String,
    /// What is claimed.
    pub amount: Shares,
    /// Its currency.
    pub currency: Currency,
    /// Its state.
    pub state: ClawbackState,
    /// Until when it is to be repaid.
    pub due_time: OffsetDateTime,
    /// When it was made.
    pub create_time: OffsetDateTime,
    /// Who wants the rest to be given up.
    pub write_off_requester: Option<String>,
    /// Why, in a code.
    pub write_off_reason: Option<String>,
    /// Who has agreed.
    pub write_off_approver: Option<String>,
    /// When it was repaid or written off.
    pub end_time: Option<OffsetDateTime>,
}

/// A claim and what is still owed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClawbackBalance {
    /// The claim.
    pub clawback: Clawback,
    /// What is still owed.
    pub outstanding: Shares,
    /// The moment that this describes.
    pub read_time: OffsetDateTime,
}

/// Who wants the rest of a claim to be given up, and why, as its approver has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOffRequest {
    /// Who.
    pub requester: String,
    /// Why, in a code.
    pub reason: String,
}

/// The two sorts of money that a person got, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// For courses.
    pub training: i64,
    /// Incentives.
    pub incentives: i64,
}

/// Why a claim is not made, repaid or written off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClawbackRefusal {
    /// The participation has one.
    #[error("the participation has a clawback")]
    Exists {
        /// The participation.
        participation_id: Uuid,
    },
    /// Money of the participation is still its own, held or under way.
    #[error("not all unspent money of the participation went back yet")]
    FundsOutstanding {
        /// The participation.
        participation_id: Uuid,
    },
    /// Nothing was spent or paid.
    #[error("nothing was spent or paid")]
    NothingSpent {
        /// The participation.
        participation_id: Uuid,
    },
    /// More than is owed.
    #[error("less is owed")]
    RepaymentExcessive {
        /// What is owed.
        outstanding: Money,
    },
    /// The receipt was recorded before.
    #[error("the receipt was recorded")]
    ReceiptRecorded {
        /// The receipt.
        receipt: String,
    },
    /// It was repaid or written off.
    #[error("the clawback has ended")]
    Ended {
        /// How.
        state: ClawbackState,
    },
    /// Nobody wants it to be written off.
    #[error("nobody has asked for the write-off")]
    WriteOffNotRequested,
    /// Somebody else asks for it than the approver has seen, or for another reason.
    #[error("the write-off is asked for by somebody else, or for another reason")]
    WriteOffReplaced {
        /// Who asks, and why.
        actual: WriteOffRequest,
    },
    /// Who asked for it may not agree.
    #[error("who asked for a write-off may not approve it")]
    ApproverIsRequester {
        /// Who asked.
        requester: String,
    },
}

/// Returns the last second in which a claim can be repaid in time: of the sixtieth day after the one on which it was made.
pub fn due_time(create_time: OffsetDateTime) -> OffsetDateTime {
    (create_time.to_offset(PROGRAMME_OFFSET) + TERM).replace_time(LAST_SECOND)
}

impl ClawbackState {
    const ALL: [ClawbackState; 3] = [
        ClawbackState::Open,
        ClawbackState::Repaid,
        ClawbackState::WrittenOff,
    ];

    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            ClawbackState::Open => "OPEN",
            ClawbackState::Repaid => "REPAID",
            ClawbackState::WrittenOff => "WRITTEN_OFF",
        }
    }

    /// Finds a state by its name.
    pub fn parse(name: &str) -> Option<ClawbackState> {
        ClawbackState::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Clawback {
    /// Returns who wants the rest to be given up, and why.
    pub fn write_off_request(&self) -> Option<WriteOffRequest> {
        let (requester, reason) = (&self.write_off_requester, &self.write_off_reason);
        Some(WriteOffRequest {
            requester: requester.clone()?,
            reason: reason.clone()?,
        })
    }
}

impl ClawbackBalance {
    /// Says whether something is owed and should have been repaid.
    pub fn is_overdue(&self) -> bool {
        self.clawback.state == ClawbackState::Open && self.read_time > self.clawback.due_time
    }
}

impl Shares {
    /// Returns both together.
    pub fn sum(self) -> i64 {
        self.training.saturating_add(self.incentives)
    }

    /// Takes a part of what is owed: incentives first, which the person got in cash.
    pub fn take(self, minor: i64) -> Shares {
        let incentives = minor.min(self.incentives);
        Shares {
            training: minor - incentives,
            incentives,
        }
    }

    /// Returns what is left.
    #[must_use]
    pub fn less(self, part: Shares) -> Shares {
        Shares {
            training: self.training - part.training,
            incentives: self.incentives - part.incentives,
        }
    }
}

/// The accounts of a claim.
#[derive(Clone, Debug)]
pub struct ClawbackAccounts {
    /// What the person owes for courses.
    pub training: NewAccount,
    /// What the person owes of incentives.
    pub incentives: NewAccount,
    training_claim: NewAccount,
    incentive_claim: NewAccount,
    returned: NewAccount,
    currency: Currency,
}

impl ClawbackAccounts {
    /// Names the accounts of a participation's claim.
    pub fn of(participation_id: Uuid, batch: &str, currency: Currency) -> ClawbackAccounts {
        let receivable = |kind| chart::receivable(kind, participation_id, batch, currency);
        let of_batch = |kind| chart::of_batch(kind, batch, currency);
        ClawbackAccounts {
            training: receivable(AccountKind::TrainingReceivable),
            incentives: receivable(AccountKind::IncentiveReceivable),
            training_claim: of_batch(AccountKind::TrainingClaim),
            incentive_claim: of_batch(AccountKind::IncentiveClaim),
            returned: of_batch(AccountKind::Returned),
            currency,
        }
    }

    /// Returns all of them.
    pub fn all(&self) -> [NewAccount; 5] {
        [
            self.training.clone(),
            self.incentives.clone(),
            self.training_claim.clone(),
            self.incentive_claim.clone(),
            self.returned.clone(),
        ]
    }

    /// Books that the person owes so much.
    pub fn claim(&self, clawback_id: Uuid, amount: Shares) -> Vec<Transfer> {
        let steps = [
            ("claim-training", Code::Claim),
            ("claim-incentives", Code::Claim),
        ];
        let legs = [
            (self.training_claim.id, self.training.id),
            (self.incentive_claim.id, self.incentives.id),
        ];
        self.lines(clawback_id, steps, legs, amount)
    }

    /// Books that the person has repaid so much.
    pub fn repay(&self, repayment_id: Uuid, part: Shares) -> Vec<Transfer> {
        let steps = [
            ("repay-training", Code::TrainingRepayment),
            ("repay-incentives", Code::IncentiveRepayment),
        ];
        let legs = [
            (self.training.id, self.returned.id),
            (self.incentives.id, self.returned.id),
        ];
        self.lines(repayment_id, steps, legs, part)
    }

    /// Books that so much less is owed, because a payment came back through the rail.
    pub fn reduce(&self, payment: &Disbursement, part: Shares) -> Vec<Transfer> {
        let step_of = |share: &str| format!("reduce-{share}-{}", payment.attempt);
        let steps = [
            (&*step_of("training"), Code::TrainingRepayment),
            (&*step_of("incentives"), Code::ClaimReduction),
        ];
        let legs = [
            (self.training.id, self.incentive_claim.id),
            (self.incentives.id, self.incentive_claim.id),
        ];
        self.lines(payment.id, steps, legs, part)
    }

    /// Books that the rest is given up.
    pub fn write_off(&self, clawback_id: Uuid, rest: Shares) -> Vec<Transfer> {
        let steps = [
            ("write-off-training", Code::WriteOff),
            ("write-off-incentives", Code::WriteOff),
        ];
        let legs = [
            (self.training.id, self.training_claim.id),
            (self.incentives.id, self.incentive_claim.id),
        ];
        self.lines(clawback_id, steps, legs, rest)
    }

    fn lines(
        &self,
        of: Uuid,
        steps: [(&str, Code); 2],
        legs: [(AccountId, AccountId); 2],
        amount: Shares,
    ) -> Vec<Transfer> {
        let amounts = [amount.training, amount.incentives];
        steps
            .into_iter()
            .zip(legs)
            .zip(amounts)
            .filter(|(_, minor)| *minor > 0)
            .map(|(((step, code), (debit, credit)), minor)| {
                let leg = Leg {
                    debit,
                    credit,
                    amount: Money::new(minor, self.currency),
                };
                Transfer::post(chart::transfer_id(of, step), code, leg)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_claim_is_due_at_the_end_of_the_sixtieth_day_in_western_indonesia() {
        for (made, due) in [
            // Still the first of January there, and already the second.
            (
                datetime!(2026-01-01 16:59:59 UTC),
                datetime!(2026-03-02 16:59:59 UTC),
            ),
            (
                datetime!(2026-01-01 17:00 UTC),
                datetime!(2026-03-03 16:59:59 UTC),
            ),
        ] {
            assert_eq!(due_time(made), due);
        }
    }

    #[test]
    fn incentives_are_repaid_first() {
        let owed = Shares {
            training: 10,
            incentives: 6,
        };

        let part = owed.take(9);

        assert_eq!(
            part,
            Shares {
                training: 3,
                incentives: 6
            }
        );
        assert_eq!(owed.less(part).sum(), 7);
        assert_eq!(owed.take(16), owed);
        assert_eq!(owed.take(4).training, 0);
    }

    #[test]
    fn nothing_is_booked_where_nothing_is_owed() {
        let idr = Currency::from_code("IDR").unwrap();
        let accounts = ClawbackAccounts::of(Uuid::from_u128(1), "batches/4", idr);
        let id = Uuid::from_u128(2);
        let only_training = Shares {
            training: 5,
            incentives: 0,
        };

        assert_eq!(accounts.claim(id, only_training).len(), 1);
        assert!(accounts.write_off(id, Shares::default()).is_empty());
    }

    #[test]
    fn states_have_names() {
        for state in ClawbackState::ALL {
            assert_eq!(ClawbackState::parse(state.as_str()), Some(state));
        }
    }
}
