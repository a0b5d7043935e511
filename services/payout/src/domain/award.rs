//! What a participation is given at its award: a training balance, and the promise of incentives, which become payments
//! when their conditions are met.

use chassis::money::{Currency, Money, MoneyError};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    chart::{self, AccountKind},
    ledger::{AccountId, Code, Leg, NewAccount, Transfer},
};

/// What makes an incentive due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Trigger {
    /// The first course's certificate, its review, and a linked payee account.
    FirstCompletion,
    /// A survey that was handed in. Its money stays committed until then.
    Survey,
}

/// One promised incentive, as it is stored with the participation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incentive {
    /// Which benefit.
    pub benefit: String,
    /// What makes it due.
    pub trigger: Trigger,
    /// The amount of one instalment, in minor units of the batch's currency.
    pub amount_minor: i64,
    /// How many instalments.
    pub instalment_count: i32,
    /// The days between two instalments.
    pub interval_days: i32,
}

/// What every participation of a chunk is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The batch, by its resource name.
    pub batch: String,
    /// What can be spent on courses.
    pub training_balance: Money,
    /// What can be paid, in the same currency.
    pub incentives: Vec<Incentive>,
    /// When it was awarded.
    pub award_time: OffsetDateTime,
}

/// One award.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Award {
    /// The participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The region, for statements.
    pub region: String,
}

/// A payment that has become due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instalment {
    /// Which benefit.
    pub benefit: String,
    /// Its number, from 1.
    pub number: i32,
    /// The amount in minor units.
    pub amount_minor: i64,
    /// From when it may be paid.
    pub due_time: OffsetDateTime,
}

impl Terms {
    /// Returns the currency.
    pub fn currency(&self) -> Currency {
        self.training_balance.currency()
    }

    /// Returns the sum of all instalments of all incentives.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn commitment(&self) -> Result<Money, MoneyError> {
        let none = Money::new(0, self.currency());
        self.incentives.iter().try_fold(none, |sum, incentive| {
            let one = Money::new(incentive.amount_minor, self.currency());
            sum.checked_add(one.checked_mul(i64::from(incentive.instalment_count))?)
        })
    }

    /// Returns the two accounts of each award.
    pub fn accounts(&self, awards: &[Award]) -> Vec<NewAccount> {
        let own = |award: &Award| {
            let id = award.participation_id;
            [
                chart::training_balance(id, &self.batch, self.currency()),
                chart::incentive_commitment(id, &self.batch, self.currency()),
            ]
        };
        awards.iter().flat_map(own).collect()
    }

    /// Returns the transfers that fund the awards from the batch's budget. Nothing is moved where nothing is given.
    ///
    /// # Errors
    /// When the commitment does not fit.
    pub fn transfers(&self, awards: &[Award]) -> Result<Vec<Transfer>, MoneyError> {
        let budget = chart::of_batch(AccountKind::BatchBudget, &self.batch, self.currency()).id;
        let given = [
            (
                AccountKind::TrainingBalance,
                "award-training",
                self.training_balance,
            ),
            (
                AccountKind::IncentiveCommitment,
                "award-incentives",
                self.commitment()?,
            ),
        ];
        let mut transfers = Vec::with_capacity(2 * awards.len());
        for award in awards {
            for (kind, step, amount) in given {
                if amount.minor() == 0 {
                    continue;
                }
                let id = chart::transfer_id(award.participation_id, step);
                let credit = chart::own_id(kind, award.participation_id);
                transfers.push(Transfer::post(
                    id,
                    Code::Award,
                    Leg {
                        debit: budget,
                        credit,
                        amount,
                    },
                ));
            }
        }
        Ok(transfers)
    }
}

/// Returns the payments that the first completion makes due: the first at once, the others an interval apart.
pub fn first_completion_instalments(
    incentives: &[Incentive],
    now: OffsetDateTime,
) -> Vec<Instalment> {
    let due = incentives
        .iter()
        .filter(|incentive| incentive.trigger == Trigger::FirstCompletion);
    due.flat_map(|incentive| {
        (1..=incentive.instalment_count).map(move |number| Instalment {
            benefit: incentive.benefit.clone(),
            number,
            amount_minor: incentive.amount_minor,
            due_time: now
                + Duration::days(i64::from(number - 1) * i64::from(incentive.interval_days)),
        })
    })
    .filter(|instalment| instalment.amount_minor > 0)
    .collect()
}

/// What a participation of a batch still has when its money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unspent {
    /// The participation.
    pub participation_id: Uuid,
    /// Available in its training balance, in minor units.
    pub training: i64,
    /// Left in its commitment, in minor units.
    pub commitment: i64,
}

/// Returns the transfers that take a participation's unspent money back.
pub fn return_transfers(
    unspent: Unspent,
    returned: AccountId,
    currency: Currency,
) -> Vec<Transfer> {
    let sources = [
        (
            AccountKind::TrainingBalance,
            "return-training",
            unspent.training,
        ),
        (
            AccountKind::IncentiveCommitment,
            "return-incentives",
            unspent.commitment,
        ),
    ];
    let line = |(kind, step, minor): (AccountKind, &str, i64)| {
        let leg = Leg {
            debit: chart::own_id(kind, unspent.participation_id),
            credit: returned,
            amount: Money::new(minor, currency),
        };
        Transfer::post(
            chart::transfer_id(unspent.participation_id, step),
            Code::Return,
            leg,
        )
    };
    sources
        .into_iter()
        .filter(|(_, _, minor)| *minor > 0)
        .map(line)
        .collect()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::ledger::Movement;

    fn incentive(
        benefit: &str,
        trigger: Trigger,
        amount_minor: i64,
        instalment_count: i32,
    ) -> Incentive {
        Incentive {
            benefit: benefit.to_owned(),
            trigger,
            amount_minor,
            instalment_count,
            interval_days: 30,
        }
    }

    /// The scheme of 2020: 1,000,000 for courses, 600,000 four times, 50,000 for each of three surveys.
    fn terms() -> Terms {
        Terms {
            batch: "batches/4".to_owned(),
            training_balance: Money::from_stored(100_000_000, "IDR").unwrap(),
            incentives: vec![
                incentive("job-search", Trigger::FirstCompletion, 60_000_000, 4),
                incentive("survey", Trigger::Survey, 5_000_000, 3),
            ],
            award_time: datetime!(2020-08-01 00:00 UTC),
        }
    }

    fn award(number: u128) -> Award {
        Award {
            participation_id: Uuid::from_u128(number),
            account_id: Uuid::from_u128(number + 1_000),
            region: "32".to_owned(),
        }
    }

    #[test]
    fn a_participation_gets_its_balance_and_the_promise_of_every_instalment() {
        let transfers = terms().transfers(&[award(1), award(2)]).unwrap();

        let amounts: Vec<i64> = transfers
            .iter()
            .map(|transfer| match transfer.movement {
                Movement::Post(leg) => leg.amount.minor(),
                Movement::Hold { .. }
                | Movement::PostPending { .. }
                | Movement::VoidPending(_)
                | Movement::ExpirePending(_) => {
                    panic!("an award moves money at once")
                }
            })
            .collect();
        // 3,550,000 each, as the real programme returned for each revoked recipient.
        assert_eq!(
            amounts,
            [100_000_000, 255_000_000, 100_000_000, 255_000_000]
        );
        assert_eq!(terms().accounts(&[award(1), award(2)]).len(), 4);
    }

    /// The figures that the programme has published of its first year.
    #[test]
    fn the_first_year_comes_to_the_published_rupiah() {
        let each = terms()
            .training_balance
            .checked_add(terms().commitment().unwrap())
            .unwrap();
        let rupiah = |count| each.checked_mul(count).unwrap().to_string();

        assert_eq!(each.to_string(), "IDR 3550000.00");
        assert_eq!(rupiah(189_436), "IDR 672497800000.00");
        assert_eq!(rupiah(478_619), "IDR 1699097450000.00");
        let kept = each.checked_mul(5_987_674).unwrap();
        let kept = kept
            .checked_sub(each.checked_mul(478_619).unwrap())
            .unwrap();
        assert_eq!(kept, each.checked_mul(5_509_055).unwrap());

        // And what goes back of one participation is what it was given.
        let returned = chart::of_batch(AccountKind::Returned, "batches/4", each.currency()).id;
        let unspent = Unspent {
            participation_id: Uuid::from_u128(1),
            training: terms().training_balance.minor(),
            commitment: terms().commitment().unwrap().minor(),
        };
        let back = return_transfers(unspent, returned, each.currency());
        let back = back.iter().filter_map(Transfer::leg);
        let none = Money::new(0, each.currency());
        let back = back.fold(none, |sum, leg| sum.checked_add(leg.amount).unwrap());
        assert_eq!(back, each);
    }

    #[test]
    fn nothing_is_moved_where_nothing_is_given() {
        let mut terms = terms();
        terms.incentives.clear();

        assert_eq!(terms.transfers(&[award(1)]).unwrap().len(), 1);
    }

    #[test]
    fn the_first_completion_makes_its_instalments_due_an_interval_apart_and_no_survey() {
        let now = datetime!(2020-09-25 08:00 UTC);

        let instalments = first_completion_instalments(&terms().incentives, now);

        assert_eq!(
            instalments.iter().map(|one| one.number).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert!(
            instalments
                .iter()
                .all(|one| one.benefit == "job-search" && one.amount_minor == 60_000_000)
        );
        assert_eq!(instalments[0].due_time, now);
        assert_eq!(instalments[3].due_time, datetime!(2020-12-24 08:00 UTC));
    }

    #[test]
    fn what_goes_back_is_what_is_there() {
        let currency = terms().currency();
        let returned = chart::of_batch(AccountKind::Returned, "batches/4", currency).id;
        let unspent = |training, commitment| Unspent {
            participation_id: Uuid::from_u128(1),
            training,
            commitment,
        };

        assert_eq!(return_transfers(unspent(5, 7), returned, currency).len(), 2);
        assert_eq!(return_transfers(unspent(0, 7), returned, currency).len(), 1);
        assert!(return_transfers(unspent(0, 0), returned, currency).is_empty());
    }
}
