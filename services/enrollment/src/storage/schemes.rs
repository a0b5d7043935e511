//! The table `schemes`: files as they were loaded.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::domain::scheme::{Period, Scheme};

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
    /// The beginning of the first day on which batches of it open.
    pub period_start: Option<OffsetDateTime>,
    /// The end of the last day, exclusive.
    pub period_end: Option<OffsetDateTime>,
}

impl SchemeRow {
    /// Returns when batches of it open.
    pub fn period(&self) -> Period {
        Period {
            start: self.period_start,
            end: self.period_end,
        }
    }
}

/// Inserts a scheme, or tells that its id is taken or that another scheme of the programme is in force at the same time.
pub async fn insert(
    tx: &mut PgConnection,
    scheme: &Scheme,
    file_name: &str,
    content: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO schemes (scheme_id, programme, file_name, content, content_hash, rule_set_hash, create_time, period)
         VALUES ($1, $2, $3, $4, $5, $6, $7, tstzrange($8, $9))
         ON CONFLICT DO NOTHING",
        scheme.id,
        scheme.programme,
        file_name,
        content,
        &scheme.content_hash,
        scheme.rules.hash(),
        now,
        scheme.period.start,
        scheme.period.end,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Finds a scheme of a programme that is in force at some moment of a period.
pub async fn find_in_force(
    connection: &mut PgConnection,
    programme: &str,
    period: Period,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT scheme_id FROM schemes WHERE programme = $1 AND period && tstzrange($2, $3) ORDER BY period LIMIT 1",
        programme,
        period.start,
        period.end,
    )
    .fetch_optional(connection)
    .await
}

/// Ends a scheme, or tells that it has an end.
pub async fn end(
    tx: &mut PgConnection,
    scheme_id: &str,
    end: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!(
        "UPDATE schemes SET period = tstzrange(lower(period), $2) WHERE scheme_id = $1 AND upper_inf(period)",
        scheme_id,
        end,
    )
    .execute(tx)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Finds a scheme.
pub async fn find(
    connection: &mut PgConnection,
    scheme_id: &str,
) -> Result<Option<SchemeRow>, sqlx::Error> {
    sqlx::query_as!(
        SchemeRow,
        "SELECT scheme_id, file_name, content, create_time, lower(period) AS period_start, upper(period) AS period_end
         FROM schemes
         WHERE scheme_id = $1",
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
        "SELECT scheme_id, file_name, content, create_time, lower(period) AS period_start, upper(period) AS period_end
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
