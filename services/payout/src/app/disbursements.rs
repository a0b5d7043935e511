//! Payments and their batches: made by one person, approved by another.

use chassis::{
    db,
    idempotency::{self, RequestKey},
    money::{Currency, Money, MoneyError},
    names,
    paging::PageRequest,
};
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{App, ledger::apply_all, returns::tell_late_returns};
use crate::{
    domain::{
        chart::{self, AccountKind},
        disbursement::{
            BatchRefusal, BatchState, ControlTotals, Disbursement, DisbursementBatch,
            DisbursementState, NotFailed, Rail, Resolution, WaitReason,
        },
        ledger::{NewAccount, Transfer},
        payee::{Channel, Limits, Month},
    },
    error::Error,
    storage::{self, disbursements::ReadyLine},
};

/// A payment as callers see it.
#[derive(Clone, Debug)]
pub struct ShownDisbursement {
    /// The payment.
    pub payment: Disbursement,
    /// Why it waits, if it does and was not sent.
    pub wait_reason: Option<WaitReason>,
}

/// A batch as it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NewBatch {
    /// The currency of its lines.
    pub currency: Currency,
    /// The most lines.
    pub line_count_max: i64,
    /// How they get to the bank.
    pub rail: Rail,
}

impl App {
    /// Puts all READY payments of a currency that are due into a batch.
    pub async fn create_disbursement_batch(
        &self,
        key: RequestKey,
        maker: &str,
        new: NewBatch,
    ) -> Result<pb::DisbursementBatch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        storage::disbursement_batches::lock_making(&mut tx).await?;
        storage::disbursements::orders::revive_due(&mut tx, now).await?;
        let currency = new.currency;
        let lines = claim_within_limits(&mut tx, currency, now, new.line_count_max).await?;
        if lines.is_empty() {
            return Err(Error::Batch(BatchRefusal::NothingDue));
        }
        let amounts = lines
            .iter()
            .map(|line| Money::new(line.amount_minor, currency));
        let totals = ControlTotals::of(amounts, currency).map_err(too_large)?;
        let ids: Vec<Uuid> = lines.iter().map(|line| line.id).collect();
        let batch = DisbursementBatch {
            id: Uuid::now_v7(),
            line_count: totals.line_count,
            total: totals.total,
            state: BatchState::PendingApproval,
            rail: new.rail,
            maker: maker.to_owned(),
            approver: None,
            create_time: now,
            approve_time: None,
        };
        storage::disbursement_batches::insert(&mut tx, &batch).await?;
        storage::disbursements::set_batched(&mut tx, &ids, &batch).await?;

        let answer = pb::DisbursementBatch::from(batch);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Approves a batch: its money goes in flight, and its lines are sent from then on.
    pub async fn approve_disbursement_batch(
        &self,
        key: RequestKey,
        approver: &str,
        id: Uuid,
        seen: ControlTotals,
    ) -> Result<pb::DisbursementBatch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        // The lines first: two approvals meet there, and the second finds the batch approved.
        let lines = storage::disbursements::lock_batched(&mut tx, id).await?;
        let batch = storage::disbursement_batches::find(&mut tx, id).await?;
        let batch =
            batch.ok_or_else(|| Error::NotFound(names::format("disbursementBatches", id)))?;
        let approved = storage::disbursement_batches::approve(&mut tx, id, approver, now).await;
        let approved = approved.map_err(|error| match db::constraint(&error) {
            Some("disbursement_batches_approver_check") => {
                Error::Batch(BatchRefusal::ApproverIsMaker {
                    maker: batch.maker.clone(),
                })
            }
            Some(_) | None => error.into(),
        })?;
        if !approved {
            return Err(Error::Batch(BatchRefusal::AlreadyApproved { id }));
        }
        let amounts = lines.iter().map(|line| line.amount);
        let actual = ControlTotals::of(amounts, batch.total.currency()).map_err(too_large)?;
        if actual != seen {
            return Err(Error::Batch(BatchRefusal::ControlTotalWrong { actual }));
        }
        storage::ledger::insert_accounts(&mut tx, &in_flight_accounts(&lines)).await?;
        let transfers: Vec<Transfer> = lines.iter().map(Disbursement::put_in_flight).collect();
        apply_all(&mut tx, &transfers, now).await?;
        storage::disbursements::set_approved(&mut tx, id).await?;

        let answer = pb::DisbursementBatch::from(DisbursementBatch {
            state: BatchState::Approved,
            approver: Some(approver.to_owned()),
            approve_time: Some(now),
            ..batch
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a batch of payments.
    pub async fn get_disbursement_batch(&self, id: Uuid) -> Result<DisbursementBatch, Error> {
        let mut connection = self.db.acquire().await?;
        let batch = storage::disbursement_batches::find(&mut connection, id).await?;
        batch.ok_or_else(|| Error::NotFound(names::format("disbursementBatches", id)))
    }

    /// Ends a failed payment's standing still: it is paid after all, or its money goes back to the batch, once.
    pub async fn resolve_disbursement(
        &self,
        key: RequestKey,
        id: Uuid,
        resolution: Resolution,
        resolver: &str,
        reason: &str,
    ) -> Result<pb::Disbursement, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let found = storage::disbursements::find(&mut tx, id).await?;
        let found = found.ok_or_else(|| Error::NotFound(names::format("disbursements", id)))?;
        // The funds first: a return at the same time takes turns with this.
        let participation_ids = [found.participation_id];
        let funds = storage::participation_funds::lock_all(&mut tx, &participation_ids).await?;
        let payment = storage::disbursements::lock(&mut tx, id).await?;
        let payment = payment.unwrap_or(found);
        let is_returned = funds.iter().any(|row| row.funds.is_returned);
        if payment.state != DisbursementState::Failed || is_returned {
            let state = payment.state;
            return Err(Error::Resolve(NotFailed { id, state }));
        }
        if resolution == Resolution::Refund {
            apply_all(&mut tx, &[payment.refund()], now).await?;
            let returned = (
                payment.batch.as_str(),
                payment.participation_id,
                payment.amount,
            );
            tell_late_returns(&mut tx, &[returned], now).await?;
        }
        storage::disbursements::set_resolved(&mut tx, id, resolution, resolver, reason).await?;
        let resolved = storage::disbursements::find(&mut tx, id).await?;
        let mut shown = with_wait_reasons(&mut tx, resolved.into_iter().collect()).await?;
        let answer = shown.pop().ok_or(Error::Conflict)?;
        let answer = pb::Disbursement::from(answer);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Returns a payment.
    pub async fn get_disbursement(&self, id: Uuid) -> Result<ShownDisbursement, Error> {
        let mut connection = self.db.acquire().await?;
        let found = storage::disbursements::find(&mut connection, id).await?;
        let mut shown = with_wait_reasons(&mut connection, found.into_iter().collect()).await?;
        shown
            .pop()
            .ok_or_else(|| Error::NotFound(names::format("disbursements", id)))
    }

    /// Lists payments, oldest first.
    pub async fn list_disbursements(
        &self,
        account_id: Option<Uuid>,
        state: Option<DisbursementState>,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<ShownDisbursement>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::disbursements::list(
            &mut connection,
            account_id,
            state,
            page.after,
            page.limit(),
        )
        .await?;
        let (rows, next_page_token) = page.finish(rows, |last: &Disbursement| last.id);
        let shown = with_wait_reasons(&mut connection, rows).await?;
        Ok((shown, next_page_token))
    }
}

async fn with_wait_reasons(
    connection: &mut PgConnection,
    payments: Vec<Disbursement>,
) -> Result<Vec<ShownDisbursement>, sqlx::Error> {
    let ids: Vec<Uuid> = payments.iter().map(|payment| payment.id).collect();
    let reasons = storage::disbursements::wait_reasons(connection, &ids).await?;
    let shown = payments.into_iter().map(|payment| ShownDisbursement {
        wait_reason: reasons.get(&payment.id).copied(),
        payment,
    });
    Ok(shown.collect())
}

/// Claims due payments, while nobody else makes a batch. Those that would bring a wallet over its limits are due again with
/// the next month, and others take their place.
async fn claim_within_limits(
    tx: &mut PgConnection,
    currency: Currency,
    now: OffsetDateTime,
    line_count_max: i64,
) -> Result<Vec<ReadyLine>, sqlx::Error> {
    let month = Month::of(now);
    loop {
        let lines = storage::disbursements::claim_ready(tx, currency, now, line_count_max).await?;
        let limited: Vec<&[u8]> = lines
            .iter()
            .filter(|line| limits_of(line).is_some())
            .map(|line| line.number_hash.as_slice())
            .collect();
        if limited.is_empty() {
            return Ok(lines);
        }
        let mut paid =
            storage::disbursements::paid_since(tx, &limited, currency, month.start).await?;
        let mut is_within = |line: &ReadyLine| {
            let Some(limits) = limits_of(line) else {
                return true;
            };
            let paid = paid.entry(line.number_hash.clone()).or_default();
            let is_within = limits.allow(*paid, line.amount_minor);
            if is_within {
                *paid = paid.saturating_add(line.amount_minor);
            }
            is_within
        };
        let (within, over): (Vec<ReadyLine>, Vec<ReadyLine>) =
            lines.into_iter().partition(|line| is_within(line));
        let over: Vec<Uuid> = over.into_iter().map(|line| line.id).collect();
        storage::disbursements::postpone(tx, &over, month.end).await?;
        if over.is_empty() || !within.is_empty() {
            return Ok(within);
        }
    }
}

fn limits_of(line: &ReadyLine) -> Option<Limits> {
    Channel::find(&line.channel)?.limits
}

/// The accounts that payments pass through.
fn in_flight_accounts(lines: &[Disbursement]) -> Vec<NewAccount> {
    let mut batches: Vec<(&str, Currency)> = lines
        .iter()
        .map(|line| (line.batch.as_str(), line.amount.currency()))
        .collect();
    batches.sort_unstable_by_key(|(batch, _)| *batch);
    batches.dedup();
    batches
        .into_iter()
        .flat_map(|(batch, currency)| {
            [
                AccountKind::RailInFlight,
                AccountKind::Paid,
                AccountKind::Returned,
            ]
            .map(|kind| chart::of_batch(kind, batch, currency))
        })
        .collect()
}

pub(super) fn too_large(error: MoneyError) -> Error {
    Error::Database(sqlx::Error::Decode(Box::new(error)))
}
