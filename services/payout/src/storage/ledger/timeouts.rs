//! The table `ledger_timeouts`: pending transfers that may still expire.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::ledger::{Booked, TransferId};

/// Adds those of some new transfers that have a time-out.
pub async fn insert(tx: &mut PgConnection, transfers: &[Booked]) -> Result<(), sqlx::Error> {
    let (ids, times): (Vec<Uuid>, Vec<OffsetDateTime>) = transfers
        .iter()
        .filter_map(|booked| Some((booked.id.0, booked.expire_time()?)))
        .unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO ledger_timeouts (transfer_id, expire_time)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[])",
        &ids,
        &times,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes those of transfers that have ended.
pub async fn delete(tx: &mut PgConnection, ended: &[TransferId]) -> Result<(), sqlx::Error> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = ended.iter().map(|id| id.0).collect();
    sqlx::query!(
        "DELETE FROM ledger_timeouts WHERE transfer_id = ANY($1::uuid[])",
        &ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns pending transfers whose time is over, the oldest first. Nothing is locked: their accounts will be, before
/// anything is decided.
pub async fn list_due(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<TransferId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "SELECT transfer_id FROM ledger_timeouts WHERE expire_time <= $1 ORDER BY expire_time LIMIT $2",
        now,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TransferId).collect())
}
