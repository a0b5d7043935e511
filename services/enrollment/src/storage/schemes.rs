//! The table `schemes`: files as they were loaded.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::domain::scheme::Scheme;

/// A scheme's file.
#[derive(Debug)]
pub struct SchemeRow {
    /// The id.
    pub scheme_id: String,
    /// The file's name.
    pub file_name: String,
    /// The file's text.
    pub content: String,
    /// When it was loaded.
    pub create_time: OffsetDateTime,
}

/// Inserts a scheme, or tells that its id is taken.
pub async fn insert(
    tx: &mut PgConnection,
    scheme: &Scheme,
    file_name: &str,
    content: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO schemes (scheme_id, programme, file_name, content, content_hash, rule_set_hash, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (scheme_id) DO NOTHING",
        scheme.id,
        scheme.programme,
        file_name,
        content,
        &scheme.content_hash,
        scheme.rules.hash(),
        now,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Finds a scheme.
pub async fn find(
    connection: &mut PgConnection,
    scheme_id: &str,
) -> Result<Option<SchemeRow>, sqlx::Error> {
    sqlx::query_as!(
        SchemeRow,
        "SELECT scheme_id, file_name, content, create_time FROM schemes WHERE scheme_id = $1",
        scheme_id,
    )
    .fetch_optional(connection)
    .await
}

/// Lists schemes by id.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<SchemeRow>, sqlx::Error> {
    sqlx::query_as!(
        SchemeRow,
        "SELECT scheme_id, file_name, content, create_time
         FROM schemes
         WHERE scheme_id > $1
         ORDER BY scheme_id
         LIMIT $2",
        after.unwrap_or_default(),
        limit,
    )
    .fetch_all(connection)
    .await
}
