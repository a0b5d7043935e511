//! The table `disbursements`: reading, batching, cancelling. The workers' part is in `disbursements/orders.rs`.

use std::collections::HashMap;

use chassis::money::Currency;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{known, money};
use crate::domain::{
    award::Instalment,
    disbursement::{
        Disbursement, DisbursementBatch, DisbursementState, Rail, Resolution, WaitReason,
    },
    rail::FailureReason,
};

pub mod orders;
pub mod reversals;

/// A row as the queries on payments return it.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) participation_id: Uuid,
    pub(super) account_id: Uuid,
    pub(super) batch: String,
    pub(super) benefit: String,
    pub(super) instalment: i32,
    pub(super) amount_minor: i64,
    pub(super) currency: String,
    pub(super) state: String,
    pub(super) failure_reason: Option<String>,
    pub(super) due_time: OffsetDateTime,
    pub(super) attempt: i32,
    pub(super) disbursement_batch_id: Option<Uuid>,
    pub(super) send_time: Option<OffsetDateTime>,
    pub(super) settle_time: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Disbursement {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Disbursement, sqlx::Error> {
        let failure_reason = row.failure_reason.as_deref();
        Ok(Disbursement {
            id: row.id,
            participation_id: row.participation_id,
            account_id: row.account_id,
            batch: row.batch,
            benefit: row.benefit,
            instalment: row.instalment,
            amount: money(row.amount_minor, &row.currency)?,
            state: known(DisbursementState::parse(&row.state), &row.state)?,
            failure_reason: failure_reason
                .map(|reason| known(FailureReason::parse(reason), reason))
                .transpose()?,
            due_time: row.due_time,
            attempt: row.attempt,
            disbursement_batch_id: row.disbursement_batch_id,
            send_time: row.send_time,
            settle_time: row.settle_time,
        })
    }
}

pub(super) fn disbursements(rows: Vec<Row>) -> Result<Vec<Disbursement>, sqlx::Error> {
    rows.into_iter().map(Disbursement::try_from).collect()
}

/// A payment that has become due, and for whom.
#[derive(Clone, Debug)]
pub struct NewDisbursement {
    /// The participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The batch.
    pub batch: String,
    /// The currency's code.
    pub currency: String,
    /// What is due.
    pub instalment: Instalment,
}

/// Adds payments as READY. One whose business key is there already is left as it is.
pub async fn insert_all(
    tx: &mut PgConnection,
    new: &[NewDisbursement],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = new.iter().map(|_| Uuid::now_v7()).collect();
    let participation_ids: Vec<Uuid> = new.iter().map(|row| row.participation_id).collect();
    let account_ids: Vec<Uuid> = new.iter().map(|row| row.account_id).collect();
    let batches: Vec<&str> = new.iter().map(|row| row.batch.as_str()).collect();
    let currencies: Vec<&str> = new.iter().map(|row| row.currency.as_str()).collect();
    let benefits: Vec<&str> = new
        .iter()
        .map(|row| row.instalment.benefit.as_str())
        .collect();
    let instalments: Vec<i32> = new.iter().map(|row| row.instalment.number).collect();
    let amounts: Vec<i64> = new.iter().map(|row| row.instalment.amount_minor).collect();
    let due_times: Vec<OffsetDateTime> = new.iter().map(|row| row.instalment.due_time).collect();
    sqlx::query!(
        "INSERT INTO disbursements
            (id, participation_id, account_id, batch, currency, benefit, instalment, amount_minor, due_time, state,
             create_time)
         SELECT id, participation_id, account_id, batch, currency, benefit, instalment, amount_minor, due_time, 'READY',
                $10
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::integer[],
                     $8::bigint[], $9::timestamptz[])
            AS new (id, participation_id, account_id, batch, currency, benefit, instalment, amount_minor, due_time)
         ON CONFLICT (participation_id, benefit, instalment) DO NOTHING",
        &ids,
        &participation_ids,
        &account_ids,
        &batches as &[&str],
        &currencies as &[&str],
        &benefits as &[&str],
        &instalments,
        &amounts,
        &due_times,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns a payment.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Disbursement>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Disbursement::try_from).transpose()
}

/// Lists payments by id, which is oldest first.
pub async fn list(
    connection: &mut PgConnection,
    account_id: Option<Uuid>,
    state: Option<DisbursementState>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE ($1::uuid IS NULL OR account_id = $1)
           AND ($2::text IS NULL OR state = $2)
           AND ($3::uuid IS NULL OR id > $3)
         ORDER BY id
         LIMIT $4",
        account_id,
        state.map(DisbursementState::as_str),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    disbursements(rows)
}

/// Returns why payments that were not sent yet wait; those that do not are left out. Of two reasons it is the one that the
/// person can do something about.
pub async fn wait_reasons(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, WaitReason>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT disbursements.id,
                  CASE
                      WHEN payee.state = 'HELD_FOR_REVIEW' THEN 'PAYEE_ACCOUNT_HELD'
                      WHEN payee.state = 'REJECTED' THEN 'PAYEE_ACCOUNT_REJECTED'
                      ELSE 'PARTICIPATION_FROZEN'
                  END AS "reason!"
           FROM disbursements
           JOIN participation_funds AS funds ON funds.participation_id = disbursements.participation_id
           LEFT JOIN payee_accounts AS payee
              ON payee.account_id = disbursements.account_id AND payee.replace_time IS NULL
           WHERE disbursements.id = ANY($1::uuid[])
             AND disbursements.state IN ('READY', 'BATCHED', 'APPROVED')
             AND (payee.state IN ('HELD_FOR_REVIEW', 'REJECTED') OR funds.freeze_time IS NOT NULL)"#,
        ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.id, known(WaitReason::parse(&row.reason), &row.reason)?)))
        .collect()
}

/// Returns the sum of a participation's payments that have left the commitment and not arrived.
pub async fn in_flight_minor(
    connection: &mut PgConnection,
    participation_id: Uuid,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(sum(amount_minor), 0)::bigint AS "sum!"
           FROM disbursements
           WHERE participation_id = $1 AND state IN ('APPROVED', 'SENT', 'UNKNOWN')"#,
        participation_id,
    )
    .fetch_one(connection)
    .await
}

/// A payment that goes into a batch.
#[derive(Clone, Debug)]
pub struct ReadyLine {
    /// Its id.
    pub id: Uuid,
    /// The amount.
    pub amount_minor: i64,
    /// The code of the channel that the person is paid by.
    pub channel: String,
    /// Which account of the channel it is; persons may share it.
    pub number_hash: Vec<u8>,
}

/// Locks the READY payments of a currency that are due, the longest due first, and returns them. Those that another
/// transaction has locked are left to it; those of frozen participations, and of persons whose payee account is not active,
/// wait.
pub async fn claim_ready(
    tx: &mut PgConnection,
    currency: Currency,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<ReadyLine>, sqlx::Error> {
    sqlx::query_as!(
        ReadyLine,
        r#"SELECT disbursements.id, amount_minor, payee.channel, payee.number_hash
         FROM disbursements
         JOIN participation_funds AS funds ON funds.participation_id = disbursements.participation_id
         JOIN payee_accounts AS payee
            ON payee.account_id = disbursements.account_id AND payee.replace_time IS NULL AND payee.state = 'ACTIVE'
         WHERE disbursements.state = 'READY' AND disbursements.currency = $1 AND due_time <= $2 AND funds.freeze_time IS NULL
         ORDER BY due_time, disbursements.id
         LIMIT $3
         FOR NO KEY UPDATE OF disbursements SKIP LOCKED"#,
        currency.code(),
        now,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// Returns what payee accounts got since a moment, or will get, in a currency, whoever is paid there: what was sent there, and
/// what is in a batch for a person who has linked it.
pub async fn paid_since(
    tx: &mut PgConnection,
    number_hashes: &[&[u8]],
    currency: Currency,
    since: OffsetDateTime,
) -> Result<HashMap<Vec<u8>, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT payee.number_hash, sum(amount_minor)::bigint AS "paid!"
           FROM payee_accounts AS payee
           JOIN disbursements ON disbursements.account_id = payee.account_id
           WHERE payee.number_hash = ANY($1::bytea[])
             AND currency = $2
             AND CASE
                 WHEN disbursements.state IN ('BATCHED', 'APPROVED') THEN payee.replace_time IS NULL
                 WHEN disbursements.payee_account_id <> payee.id THEN false
                 WHEN disbursements.state IN ('SENT', 'UNKNOWN') THEN true
                 ELSE disbursements.state = 'SETTLED' AND settle_time >= $3
             END
           GROUP BY payee.number_hash"#,
        number_hashes as &[&[u8]],
        currency.code(),
        since,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.number_hash, row.paid))
        .collect())
}

/// Makes claimed payments due later.
pub async fn postpone(
    tx: &mut PgConnection,
    ids: &[Uuid],
    due_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements SET due_time = $2 WHERE id = ANY($1::uuid[])",
        ids,
        due_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Puts claimed payments into a batch.
pub async fn set_batched(
    tx: &mut PgConnection,
    ids: &[Uuid],
    batch: &DisbursementBatch,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'BATCHED', disbursement_batch_id = $2, by_file = $3
         WHERE id = ANY($1::uuid[])",
        ids,
        batch.id,
        batch.rail == Rail::File,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks the lines of a batch that wait for its approval.
pub async fn lock_batched(
    tx: &mut PgConnection,
    batch_id: Uuid,
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE disbursement_batch_id = $1 AND state = 'BATCHED'
         ORDER BY id
         FOR NO KEY UPDATE",
        batch_id,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Lets the locked lines of a batch be sent.
pub async fn set_approved(tx: &mut PgConnection, batch_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements SET state = 'APPROVED' WHERE disbursement_batch_id = $1 AND state = 'BATCHED'",
        batch_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks the payments of participations that were not sent, or failed.
pub async fn lock_unsent(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE participation_id = ANY($1::uuid[]) AND state IN ('READY', 'BATCHED', 'APPROVED', 'FAILED')
         ORDER BY id
         FOR NO KEY UPDATE",
        participation_ids,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Cancels locked payments.
pub async fn set_cancelled(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements SET state = 'CANCELLED', retry_time = NULL WHERE id = ANY($1::uuid[])",
        ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks a payment.
pub async fn lock(tx: &mut PgConnection, id: Uuid) -> Result<Option<Disbursement>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE id = $1
         FOR NO KEY UPDATE",
        id,
    )
    .fetch_optional(tx)
    .await?;
    row.map(Disbursement::try_from).transpose()
}

/// Ends a locked failed payment's standing still: READY under a new reference, or CANCELLED.
pub async fn set_resolved(
    tx: &mut PgConnection,
    id: Uuid,
    resolution: Resolution,
    resolver: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = CASE WHEN $2 THEN 'READY' ELSE 'CANCELLED' END,
             attempt = CASE WHEN $2 THEN attempt + 1 ELSE attempt END,
             failure_reason = CASE WHEN NOT $2 THEN failure_reason END,
             disbursement_batch_id = CASE WHEN NOT $2 THEN disbursement_batch_id END,
             payee_account_id = CASE WHEN NOT $2 THEN payee_account_id END,
             send_time = CASE WHEN NOT $2 THEN send_time END,
             by_file = by_file AND NOT $2,
             inquiry_count = 0,
             retry_time = NULL,
             resolver = $3,
             resolve_reason = $4
         WHERE id = $1",
        id,
        resolution == Resolution::Retry,
        resolver,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives the failed payments of participations whose money is still there another attempt, under a new reference; but not
/// those that stand still.
pub async fn revive_failed(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'READY', attempt = attempt + 1, failure_reason = NULL, retry_time = NULL,
             disbursement_batch_id = NULL, by_file = false, payee_account_id = NULL, send_time = NULL, inquiry_count = 0
         FROM participation_funds AS funds
         WHERE disbursements.participation_id = ANY($1::uuid[])
           AND disbursements.state = 'FAILED'
           AND disbursements.failure_reason <> ALL($2::text[])
           AND funds.participation_id = disbursements.participation_id
           AND funds.return_time IS NULL",
        participation_ids,
        &FailureReason::frozen_names() as &[&str],
    )
    .execute(tx)
    .await?;
    Ok(())
}
