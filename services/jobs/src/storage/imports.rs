//! The table `imports`: how far each import has come.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Starts an import at row 0.
pub async fn insert(
    tx: &mut PgConnection,
    request_id: Uuid,
    source: &str,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO imports (request_id, source, last_row_number, create_time, update_time)
         VALUES ($1, $2, 0, $3, $3)",
        request_id,
        source,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the last committed row of an import.
pub async fn get(connection: &mut PgConnection, request_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT last_row_number FROM imports WHERE request_id = $1",
        request_id
    )
    .fetch_one(connection)
    .await
}

/// Returns the last committed row of an import and makes its other streams wait.
pub async fn get_for_update(tx: &mut PgConnection, request_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT last_row_number FROM imports WHERE request_id = $1 FOR UPDATE",
        request_id
    )
    .fetch_one(tx)
    .await
}

/// Moves an import to its newest row.
pub async fn advance(
    tx: &mut PgConnection,
    request_id: Uuid,
    row_number: i64,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE imports SET last_row_number = $2, update_time = $3 WHERE request_id = $1",
        request_id,
        row_number,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes everyone who changes what comes from this source wait until the transaction ends. A lock by name, because a
/// source has no row of its own; two names with one hash would only wait for nothing.
pub async fn lock_source(
    tx: &mut PgConnection,
    kind: &str,
    source: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))::text AS "locked""#,
        kind,
        source,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Deletes what is kept to count the adverts of imports that have been idle since then.
pub async fn forget_adverts(
    tx: &mut PgConnection,
    idle_since: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM import_adverts
         WHERE request_id IN (SELECT request_id FROM imports WHERE update_time < $1)",
        idle_since,
    )
    .execute(tx)
    .await?;
    Ok(())
}
