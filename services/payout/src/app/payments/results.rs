//! What became of orders, written set-wise: state, ledger and events together.

use std::{collections::HashMap, time::Duration};

use chassis::{db::is_transient, money::Money};
use messaging::outbox;
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{
    App,
    clawbacks::OpenClaims,
    is_lost_race,
    ledger::{apply, first_refusal},
    returns::tell_late_returns,
};
use crate::{
    domain::{
        disbursement::{Disbursement, DisbursementState},
        event::{DisbursementFailed, DisbursementSettled},
        ledger::Transfer,
        rail::{FailureReason, Remedy},
    },
    error::Error,
    storage::{
        self,
        disbursements::orders::{self, OrderChange},
    },
};

/// How often a transaction is run that met another one in a deadlock, or whose database was away. The results of a chunk
/// are worth waiting for: what is not written has to be asked about, line by line.
const ATTEMPTS_MAX: u32 = 15;
const PAUSE: Duration = Duration::from_secs(1);

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Outcome {
    /// The payee has the money.
    Settled,
    /// The rail refused for good.
    Failed(FailureReason),
    /// Nobody knows.
    Unknown,
    /// It never left us.
    NotSent,
}

impl Outcome {
    fn state(self) -> DisbursementState {
        match self {
            Outcome::Settled => DisbursementState::Settled,
            Outcome::Failed(_) if self.is_refund() => DisbursementState::Cancelled,
            Outcome::Failed(_) => DisbursementState::Failed,
            Outcome::Unknown => DisbursementState::Unknown,
            Outcome::NotSent => DisbursementState::Approved,
        }
    }

    /// Says whether the money goes back to the batch.
    fn is_refund(self) -> bool {
        self.failure_reason()
            .is_some_and(|reason| reason.remedy() == Remedy::Refund)
    }

    fn failure_reason(self) -> Option<FailureReason> {
        match self {
            Outcome::Failed(reason) => Some(reason),
            Outcome::Settled | Outcome::Unknown | Outcome::NotSent => None,
        }
    }
}

impl App {
    /// Writes what became of orders. One that somebody else has decided meanwhile is left as it is.
    pub(super) async fn write_results(
        &self,
        outcomes: Vec<(Disbursement, Outcome)>,
    ) -> Result<(), Error> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let mut attempt = 1;
        loop {
            match self.write_in_transaction(&outcomes).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_transient(&error) => {
                    attempt += 1;
                    if !is_lost_race(&error) {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                result => return Ok(result?),
            }
        }
    }

    async fn write_in_transaction(
        &self,
        outcomes: &[(Disbursement, Outcome)],
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.db.begin().await?;
        write(&mut tx, outcomes, self.clock.now()).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(())
    }
}

/// Writes what became of orders in a transaction: states, ledger and events. One that somebody else has decided meanwhile is
/// left as it is, and so is one that the ledger refuses; returns how many were written.
pub(in crate::app) async fn write(
    tx: &mut PgConnection,
    outcomes: &[(Disbursement, Outcome)],
    now: OffsetDateTime,
) -> Result<usize, sqlx::Error> {
    let returned = lock_returned(tx, outcomes).await?;
    let keys: Vec<(Uuid, i32)> = outcomes
        .iter()
        .map(|(line, _)| (line.id, line.attempt))
        .collect();
    let outcome_of: HashMap<Uuid, Outcome> = outcomes
        .iter()
        .map(|(line, outcome)| (line.id, *outcome))
        .collect();
    let ended: Vec<Uuid> = returned
        .iter()
        .filter(|(_, is_returned)| **is_returned)
        .map(|(id, _)| *id)
        .collect();
    let mut claims = OpenClaims::lock(tx, &ended).await?;
    let mut lines = orders::lock_sent(tx, &keys).await?;
    // Of a payment that was settled meanwhile, or was in doubt, nothing counts but that it is paid or was taken back.
    lines.retain(|line| {
        line.state != DisbursementState::Settled
            || matches!(
                outcome_of[&line.id],
                Outcome::Settled | Outcome::Failed(FailureReason::Reversed)
            )
    });

    let is_returned = |line: &Disbursement| {
        returned
            .get(&line.participation_id)
            .copied()
            .unwrap_or(false)
    };
    let was_settled = |line: &Disbursement| line.state == DisbursementState::Settled;
    let transfers_of = |line: &Disbursement| match outcome_of[&line.id] {
        Outcome::Settled if was_settled(line) => Vec::new(),
        Outcome::Settled => vec![line.settle()],
        Outcome::Failed(_) if was_settled(line) => claims.reverse(line, is_returned(line)),
        outcome @ Outcome::Failed(_) => {
            vec![line.take_back(is_returned(line) || outcome.is_refund())]
        }
        Outcome::Unknown | Outcome::NotSent => Vec::new(),
    };
    let transfers: Vec<Vec<Transfer>> = lines.iter().map(transfers_of).collect();
    let booked: Vec<Transfer> = transfers.iter().flatten().cloned().collect();
    let mut verdicts = apply(tx, &booked, now).await?.into_iter();
    let mut written = Vec::with_capacity(lines.len());
    for (line, transfers) in lines.iter().zip(&transfers) {
        let of_line = verdicts.by_ref().take(transfers.len());
        match first_refusal(of_line.collect()) {
            None => written.push((line, outcome_of[&line.id])),
            // A fault of ours: the line stays undecided, and the others go on.
            Some(refusal) => tracing::error!(
                disbursement.id = %line.id,
                error = chassis::telemetry::chain(&refusal),
                "the ledger refused the result of a payment"
            ),
        }
    }

    let changes: Vec<OrderChange> = written
        .iter()
        .map(|(line, outcome)| OrderChange {
            id: line.id,
            state: outcome.state(),
            failure_reason: outcome.failure_reason(),
            retry_time: outcome
                .failure_reason()
                .and_then(|reason| reason.remedy().retry_after())
                .map(|delay| now + delay),
        })
        .collect();
    orders::update_all(tx, &changes, now).await?;
    claims.close(tx, now).await?;
    revive_replaced(tx, &written).await?;
    let returns: Vec<(&str, Uuid, Money)> = written
        .iter()
        .filter(|(line, outcome)| {
            outcome.is_refund() || outcome.failure_reason().is_some() && is_returned(line)
        })
        .map(|(line, _)| (line.batch.as_str(), line.participation_id, line.amount))
        .collect();
    tell_late_returns(tx, &returns, now).await?;
    tell(tx, &written, now).await?;
    Ok(written.len())
}

/// Locks the funds of the participations whose payments failed, before the payments themselves, and says whether their
/// money went back: a return and a failure at the same time take turns here.
async fn lock_returned(
    tx: &mut PgConnection,
    outcomes: &[(Disbursement, Outcome)],
) -> Result<HashMap<Uuid, bool>, sqlx::Error> {
    let failed: Vec<Uuid> = outcomes
        .iter()
        .filter(|(_, outcome)| outcome.failure_reason().is_some())
        .map(|(line, _)| line.participation_id)
        .collect();
    if failed.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = storage::participation_funds::lock_all(tx, &failed).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.participation_id, row.funds.is_returned))
        .collect())
}

/// The person may have linked another account while the payment was under way: then it is tried there.
async fn revive_replaced(
    tx: &mut PgConnection,
    written: &[(&Disbursement, Outcome)],
) -> Result<(), sqlx::Error> {
    let failed: Vec<Uuid> = written
        .iter()
        .filter(|(_, outcome)| outcome.failure_reason().is_some())
        .map(|(line, _)| line.id)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    orders::revive_replaced(tx, &failed).await
}

async fn tell(
    tx: &mut PgConnection,
    written: &[(&Disbursement, Outcome)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let settled: Vec<pb::DisbursementSettled> = written
        .iter()
        .filter(|(line, outcome)| {
            *outcome == Outcome::Settled && line.state != DisbursementState::Settled
        })
        .map(|(line, _)| {
            DisbursementSettled {
                payment: line,
                settle_time: now,
            }
            .into()
        })
        .collect();
    let settled: Vec<(&str, &pb::DisbursementSettled)> = settled
        .iter()
        .map(|event| (event.disbursement.as_str(), event))
        .collect();
    outbox::append_all(tx, now, &settled).await?;

    let failed: Vec<pb::DisbursementFailed> = written
        .iter()
        .filter_map(|(line, outcome)| {
            Some(
                DisbursementFailed {
                    payment: line,
                    reason: outcome.failure_reason()?,
                }
                .into(),
            )
        })
        .collect();
    let failed: Vec<(&str, &pb::DisbursementFailed)> = failed
        .iter()
        .map(|event| (event.disbursement.as_str(), event))
        .collect();
    outbox::append_all(tx, now, &failed).await
}
