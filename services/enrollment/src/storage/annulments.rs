//! The table `batch_annulments`. A check constraint keeps the two people apart.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::domain::batch::Annulment;

/// The constraint that a confirmation by the proposer breaks.
pub const TWO_PEOPLE_CHECK: &str = "batch_annulments_two_people_check";

/// Inserts a proposal, or tells that there is one.
pub async fn insert(
    tx: &mut PgConnection,
    batch_id: &str,
    reason: &str,
    proposer: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO batch_annulments (batch_id, reason, propose_time, proposer)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (batch_id) DO NOTHING",
        batch_id,
        reason,
        now,
        proposer,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Confirms a proposal and returns its reason; `None` when there is none.
///
/// # Errors
/// [`TWO_PEOPLE_CHECK`] when the proposer confirms.
pub async fn confirm(
    tx: &mut PgConnection,
    batch_id: &str,
    confirmer: &str,
    now: OffsetDateTime,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE batch_annulments SET confirmer = $2, confirm_time = $3 WHERE batch_id = $1 RETURNING reason",
        batch_id,
        confirmer,
        now,
    )
    .fetch_optional(tx)
    .await
}

/// Finds the annulment of a batch.
pub async fn find(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<Option<Annulment>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT reason, proposer, propose_time, confirmer, confirm_time FROM batch_annulments WHERE batch_id = $1",
        batch_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Annulment {
        reason: row.reason,
        proposer: row.proposer,
        propose_time: row.propose_time,
        confirmation: row.confirmer.zip(row.confirm_time),
    }))
}
