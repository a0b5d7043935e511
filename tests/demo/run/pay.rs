//! Graduates link their accounts and are paid, by a bank that loses some of its answers.

use std::{collections::BTreeMap, time::Duration};

use proto::{enrollment::v1::Scheme, payout::v1::disbursement::State};
use tests::{
    chance::Ratio,
    eventually::{check, eventually},
    fakes::{BankFault, BankFaults},
    programme::PATIENCE,
};

use super::{BATCH, Graduate, Run};
use crate::{Fault, stages::for_each};

/// How many transfers the bank books and does not answer, and how many it takes its time for.
const LOST_REPLIES: Ratio = Ratio::per_mille(10);
const PENDING: Ratio = Ratio::per_mille(20);

/// Past the first inquiry about a payment without a clear answer.
const UNTIL_INQUIRY: Duration = Duration::from_secs(11 * 60);

/// What the payments came to, by the bank's book.
#[derive(Debug)]
pub(crate) struct Paid {
    /// In whole rupiah and two digits.
    pub(crate) amount: String,
    pub(crate) lost_replies: u64,
    pub(crate) inquiries: u64,
    /// Accounts that were credited more than once.
    pub(crate) twice: u64,
}

impl Run<'_> {
    pub(super) async fn pay(
        &mut self,
        scheme: &Scheme,
        graduates: &[Graduate],
    ) -> Result<Paid, Fault> {
        let entitled = self.link(graduates).await?;
        let faults = BankFaults {
            ratios: vec![
                (BankFault::DropReplyClose, LOST_REPLIES),
                (BankFault::Pending, PENDING),
            ],
            pending_ms: 200,
            ..BankFaults::default()
        };
        self.cluster.bank().set_faults(&faults).await;
        self.disburse(scheme, entitled).await?;
        self.settle_payments(entitled).await?;
        let bank = self.cluster.bank();
        let summary = bank.summary().await;
        let mut credits: BTreeMap<String, u32> = BTreeMap::new();
        for entry in bank.book().await {
            *credits.entry(entry.account_no).or_default() += entry.credited;
        }
        let count = |found: Option<&u64>| found.copied().unwrap_or_default();
        Ok(Paid {
            amount: summary.paid_amount,
            lost_replies: count(summary.faults.get("drop_reply_close")),
            // The service code of a status inquiry.
            inquiries: count(summary.requests.get("36")),
            twice: credits.values().filter(|count| **count > 1).count() as u64,
        })
    }

    /// Links accounts, and returns how many have the right to be paid now.
    async fn link(&mut self, graduates: &[Graduate]) -> Result<u64, Fault> {
        let (programme, cast) = (&self.programme, &self.cast);
        let holders: Vec<_> = graduates
            .iter()
            .filter(|graduate| !cast.stays_unlinked(&graduate.account))
            .map(|graduate| (graduate, cast.person_of(&graduate.account)))
            .collect();
        let accounts = holders.iter().map(|(_, person)| person.bank_account());
        self.cluster.bank().add_accounts(accounts).await;
        let entitled = holders.iter().filter(|(graduate, _)| graduate.reviewed);
        let entitled = entitled.count() as u64;
        self.stages
            .run(
                self.cluster.broker(),
                "link payee accounts",
                (holders.len() as u64, "accounts"),
                async |bar| {
                    for_each(bar, holders, async |(graduate, person)| {
                        programme
                            .link_payee(&graduate.account, &person)
                            .await
                            .map(drop)
                    })
                    .await
                },
            )
            .await?;
        Ok(entitled)
    }

    /// Puts what is due into batches, which the other operator approves, until everybody's first instalment is in one.
    async fn disburse(&mut self, scheme: &Scheme, entitled: u64) -> Result<(), Fault> {
        let programme = &self.programme;
        let currency = scheme.currency_code.as_str();
        self.stages
            .run(
                self.cluster.broker(),
                "approve payments",
                (entitled, "payments"),
                async |bar| {
                    while bar.position() < entitled {
                        let due = eventually(PATIENCE, "payments are due", || async {
                            let due = programme.batch_due(currency).await;
                            let due = due.map_err(|status| status.to_string())?;
                            due.ok_or_else(|| format!("{} of {entitled}", bar.position()))
                        })
                        .await;
                        programme.approve(&due).await?;
                        bar.inc(due.line_count.unsigned_abs());
                    }
                    Ok(())
                },
            )
            .await
    }

    /// Waits until all payments are settled; those without a clear answer are asked about when their time has come.
    async fn settle_payments(&mut self, entitled: u64) -> Result<(), Fault> {
        self.await_none_in("pay", entitled, &[State::Approved, State::Sent])
            .await?;
        let open = self.programme.disbursements_in(State::Unknown).await?;
        if open > 0 {
            self.cluster.advance_clock_by(UNTIL_INQUIRY).await;
            let states = [State::Unknown, State::Sent];
            self.await_none_in("inquire", open, &states).await?;
        }
        let paid = self.programme.trace_funds(BATCH).await?.paid_count;
        if paid.unsigned_abs() == entitled {
            Ok(())
        } else {
            Err(format!("{paid} of {entitled} payments are settled").into())
        }
    }

    /// Waits until no payment is in one of the states.
    async fn await_none_in(
        &mut self,
        name: &'static str,
        count: u64,
        states: &[State],
    ) -> Result<(), Fault> {
        let programme = &self.programme;
        self.stages
            .run(
                self.cluster.broker(),
                name,
                (count, "payments"),
                async |bar| {
                    eventually(PATIENCE, "no payment is under way", || async {
                        let mut moving = 0;
                        for state in states {
                            let some = programme.disbursements_in(*state).await;
                            moving += some.map_err(|status| status.to_string())?;
                        }
                        bar.set_position(count.saturating_sub(moving));
                        check(moving == 0, || format!("{moving} are"))
                    })
                    .await;
                    Ok(())
                },
            )
            .await
    }
}
