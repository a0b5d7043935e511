//! Payments and their batches: made by one person, approved by another.

use chassis::{
    db,
    idempotency::{self, RequestKey},
    money::{Currency, Money, MoneyError},
    names,
    paging::PageRequest,
};
use proto::payout::v1 as pb;
use uuid::Uuid;

use super::{App, ledger::apply_all};
use crate::{
    domain::{
        chart::{self, AccountKind},
        disbursement::{
            BatchRefusal, BatchState, Disbursement, DisbursementBatch, DisbursementState,
        },
        ledger::{NewAccount, Transfer},
    },
    error::Error,
    storage,
};

impl App {
    /// Puts all READY payments of a currency that are due into a batch.
    pub async fn create_disbursement_batch(
        &self,
        key: RequestKey,
        maker: &str,
        currency: Currency,
        line_count_max: i64,
    ) -> Result<pb::DisbursementBatch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let lines =
            storage::disbursements::claim_ready(&mut tx, currency, now, line_count_max).await?;
        if lines.is_empty() {
            return Err(Error::Batch(BatchRefusal::NothingDue));
        }
        let total = lines
            .iter()
            .try_fold(Money::new(0, currency), |sum, (_, minor)| {
                sum.checked_add(Money::new(*minor, currency))
            });
        let ids: Vec<Uuid> = lines.into_iter().map(|(id, _)| id).collect();
        let batch = DisbursementBatch {
            id: Uuid::now_v7(),
            line_count: i64::try_from(ids.len()).unwrap_or(i64::MAX),
            total: total.map_err(too_large)?,
            state: BatchState::PendingApproval,
            maker: maker.to_owned(),
            approver: None,
            create_time: now,
            approve_time: None,
        };
        storage::disbursement_batches::insert(&mut tx, &batch).await?;
        storage::disbursements::set_batched(&mut tx, &ids, batch.id).await?;

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
        line_count: i64,
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
        let actual = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        if actual != line_count {
            return Err(Error::Batch(BatchRefusal::ControlTotalWrong {
                line_count: actual,
            }));
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

    /// Returns a payment.
    pub async fn get_disbursement(&self, id: Uuid) -> Result<Disbursement, Error> {
        let mut connection = self.db.acquire().await?;
        let disbursement = storage::disbursements::find(&mut connection, id).await?;
        disbursement.ok_or_else(|| Error::NotFound(names::format("disbursements", id)))
    }

    /// Lists payments, oldest first.
    pub async fn list_disbursements(
        &self,
        account_id: Option<Uuid>,
        state: Option<DisbursementState>,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Disbursement>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::disbursements::list(
            &mut connection,
            account_id,
            state,
            page.after,
            page.limit(),
        )
        .await?;
        Ok(page.finish(rows, |last| last.id))
    }
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

fn too_large(error: MoneyError) -> Error {
    Error::Database(sqlx::Error::Decode(Box::new(error)))
}
