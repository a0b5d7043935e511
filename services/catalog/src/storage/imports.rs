//! The tables `imports`, how far each import has come, and `course_feeds`, which row stated a course last.

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
        "INSERT INTO imports (request_id, source, create_time, update_time) VALUES ($1, $2, $3, $3)",
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
        "SELECT last_row_number FROM imports WHERE request_id = $1 FOR NO KEY UPDATE",
        request_id,
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

/// Notes which rows of an import stated these courses.
pub async fn state_courses(
    tx: &mut PgConnection,
    request_id: Uuid,
    source: &str,
    rows: &[(Uuid, i64)],
) -> Result<(), sqlx::Error> {
    let (course_ids, row_numbers): (Vec<Uuid>, Vec<i64>) = rows.iter().copied().unzip();
    sqlx::query!(
        "INSERT INTO course_feeds (course_id, source, request_id, row_number)
         SELECT course_id, $3, $4, row_number
         FROM unnest($1::uuid[], $2::bigint[]) AS stated (course_id, row_number)
         ON CONFLICT ON CONSTRAINT course_feeds_pkey
         DO UPDATE SET source = EXCLUDED.source, request_id = EXCLUDED.request_id, row_number = EXCLUDED.row_number",
        &course_ids,
        &row_numbers,
        source,
        request_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}
