//! The table `exclusion_lists`. Its entries are written by snapshots and read with a person's facts.

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};

use crate::domain::exclusion_list::{ExclusionList, ExclusionListId, NewExclusionList};

/// Inserts a list; `false` when there is one of its id.
pub async fn insert(
    tx: &mut PgConnection,
    new: &NewExclusionList,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO exclusion_lists (id, display_name, source, create_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO NOTHING",
        new.id.as_str(),
        new.display_name,
        new.source,
        now,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Returns a list.
pub async fn find(
    connection: &mut PgConnection,
    id: &ExclusionListId,
) -> Result<Option<ExclusionList>, sqlx::Error> {
    let row = sqlx::query_as!(
        ExclusionListRow,
        "SELECT id, display_name, source, snapshot_date, import_time, entry_count, create_time
         FROM exclusion_lists
         WHERE id = $1",
        id.as_str(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(ExclusionList::try_from).transpose()
}

/// Returns a list and makes its other snapshots wait.
pub async fn get_for_update(
    tx: &mut PgConnection,
    id: &ExclusionListId,
) -> Result<ExclusionList, sqlx::Error> {
    sqlx::query_as!(
        ExclusionListRow,
        "SELECT id, display_name, source, snapshot_date, import_time, entry_count, create_time
         FROM exclusion_lists
         WHERE id = $1
         FOR NO KEY UPDATE",
        id.as_str(),
    )
    .fetch_one(tx)
    .await?
    .try_into()
}

/// Lists the lists after the given id.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<ExclusionList>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ExclusionListRow,
        "SELECT id, display_name, source, snapshot_date, import_time, entry_count, create_time
         FROM exclusion_lists
         WHERE id > $1
         ORDER BY id
         LIMIT $2",
        after.unwrap_or_default(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(ExclusionList::try_from).collect()
}

/// Notes the newest snapshot of a list, and how many entries it has now.
pub async fn update_newest(
    tx: &mut PgConnection,
    id: &ExclusionListId,
    snapshot_date: Date,
    entry_count: i64,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE exclusion_lists SET snapshot_date = $2, entry_count = $3, import_time = $4 WHERE id = $1",
        id.as_str(),
        snapshot_date,
        entry_count,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Reads a list's id as stored.
pub(super) fn list_id(text: &str) -> Result<ExclusionListId, sqlx::Error> {
    let unknown = || sqlx::Error::Decode(format!("not an id of a list: {text}").into());
    ExclusionListId::parse(text).ok_or_else(unknown)
}

struct ExclusionListRow {
    id: String,
    display_name: String,
    source: String,
    snapshot_date: Option<Date>,
    import_time: Option<OffsetDateTime>,
    entry_count: i64,
    create_time: OffsetDateTime,
}

impl TryFrom<ExclusionListRow> for ExclusionList {
    type Error = sqlx::Error;

    fn try_from(row: ExclusionListRow) -> Result<ExclusionList, sqlx::Error> {
        Ok(ExclusionList {
            id: list_id(&row.id)?,
            display_name: row.display_name,
            source: row.source,
            snapshot_date: row.snapshot_date,
            import_time: row.import_time,
            entry_count: row.entry_count,
            create_time: row.create_time,
        })
    }
}
