//! The table `disbursement_batches`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{known, money};
use crate::domain::disbursement::{BatchState, Disbursement, DisbursementBatch, Rail};

/// The lock of whoever makes a batch: `disburse` in hexadecimal.
const MAKING: i64 = 0x6469_7362_7572_7365;

/// Lets one batch be made at a time, until the end of the transaction: what an account may still get in a month is a sum
/// over the lines of all batches, which no constraint can hold.
pub async fn lock_making(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", MAKING)
        .execute(tx)
        .await?;
    Ok(())
}

/// Adds a batch.
pub async fn insert(tx: &mut PgConnection, new: &DisbursementBatch) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO disbursement_batches (id, currency, line_count, total_minor, state, rail, maker, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id,
        new.total.currency().code(),
        new.line_count,
        new.total.minor(),
        new.state.as_str(),
        new.rail.as_str(),
        new.maker,
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns a batch.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<DisbursementBatch>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT id, currency, line_count, total_minor, state, rail, maker, approver, create_time, approve_time
         FROM disbursement_batches
         WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(DisbursementBatch {
            id: row.id,
            line_count: row.line_count,
            total: money(row.total_minor, &row.currency)?,
            state: known(BatchState::parse(&row.state), &row.state)?,
            rail: known(Rail::parse(&row.rail), &row.rail)?,
            maker: row.maker,
            approver: row.approver,
            create_time: row.create_time,
            approve_time: row.approve_time,
        })
    })
    .transpose()
}

/// Approves a batch that waits for it; false when it does not wait. The maker breaks
/// `disbursement_batches_approver_check`.
pub async fn approve(
    tx: &mut PgConnection,
    id: Uuid,
    approver: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query!(
        "UPDATE disbursement_batches
         SET state = 'APPROVED', approver = $2, approve_time = $3
         WHERE id = $1 AND state = 'PENDING_APPROVAL'",
        id,
        approver,
        now,
    )
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Takes lines that were cancelled, or left out of a file, out of the totals of their batches.
pub async fn take_out(tx: &mut PgConnection, lines: &[&Disbursement]) -> Result<(), sqlx::Error> {
    let ids: Vec<Option<Uuid>> = lines
        .iter()
        .map(|line| line.disbursement_batch_id)
        .collect();
    let amounts: Vec<i64> = lines.iter().map(|line| line.amount.minor()).collect();
    sqlx::query!(
        "UPDATE disbursement_batches AS batches
         SET line_count = batches.line_count - gone.line_count,
             total_minor = batches.total_minor - gone.total_minor
         FROM (
             SELECT id, count(*) AS line_count, sum(amount_minor)::bigint AS total_minor
             FROM unnest($1::uuid[], $2::bigint[]) AS lines (id, amount_minor)
             GROUP BY id
         ) AS gone
         WHERE batches.id = gone.id",
        &ids as &[Option<Uuid>],
        &amounts,
    )
    .execute(tx)
    .await?;
    Ok(())
}
