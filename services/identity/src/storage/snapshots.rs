//! The tables `snapshots`, `snapshot_chunks` and `snapshot_hits`, and what a snapshot does to `exclusion_entries` and to
//! the versions in `persons`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::exclusion_lists::list_id;
use crate::domain::snapshot::{Chunk, Snapshot, SnapshotKind};

/// Where a snapshot stands.
pub struct StoredSnapshot {
    /// What its header says.
    pub snapshot: Snapshot,
    /// The last chunk that is stored.
    pub last_chunk_number: i64,
    /// Whether it has taken effect.
    pub ended: bool,
}

/// Opens a snapshot.
pub async fn insert(
    tx: &mut PgConnection,
    request_id: Uuid,
    snapshot: &Snapshot,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO snapshots (request_id, list_id, snapshot_date, kind, create_time, update_time)
         VALUES ($1, $2, $3, $4, $5, $5)",
        request_id,
        snapshot.list_id.as_str(),
        snapshot.date,
        kind_text(snapshot.kind),
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns where a snapshot stands and makes its other streams wait.
pub async fn get_for_update(
    tx: &mut PgConnection,
    request_id: Uuid,
) -> Result<StoredSnapshot, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT list_id, snapshot_date, kind, last_chunk_number, end_time IS NOT NULL AS "ended!"
           FROM snapshots
           WHERE request_id = $1
           FOR NO KEY UPDATE"#,
        request_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(StoredSnapshot {
        snapshot: Snapshot {
            list_id: list_id(&row.list_id)?,
            date: row.snapshot_date,
            kind: kind(&row.kind)?,
        },
        last_chunk_number: row.last_chunk_number,
        ended: row.ended,
    })
}

/// Stores a chunk as the last one of its snapshot.
pub async fn append_chunk(
    tx: &mut PgConnection,
    request_id: Uuid,
    chunk: &Chunk,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH stored AS (
             INSERT INTO snapshot_chunks (request_id, chunk_number, listed_hashes, lifted_hashes)
             VALUES ($1, $2, $3, $4)
         )
         UPDATE snapshots SET last_chunk_number = $2, update_time = $5 WHERE request_id = $1",
        request_id,
        chunk.number,
        &chunk.listed,
        &chunk.lifted,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets the chunks of snapshots that nobody has continued since; they start again from their first one.
pub async fn forget_idle(tx: &mut PgConnection, since: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH idle AS (
             UPDATE snapshots SET last_chunk_number = 0
             WHERE end_time IS NULL AND update_time < $1 AND last_chunk_number > 0
             RETURNING request_id
         )
         DELETE FROM snapshot_chunks USING idle WHERE snapshot_chunks.request_id = idle.request_id",
        since,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lifts the limits of time from the transaction, and gives it memory to sort a snapshot in.
pub async fn lift_limits(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT set_config('statement_timeout', '0', true) AS statement,
                set_config('idle_in_transaction_session_timeout', '0', true) AS idle,
                set_config('work_mem', '64MB', true) AS memory",
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Keeps the answers of the registry, which wait in [`super::verification::hold_off_snapshots`], from being written
/// until the transaction ends.
///
/// Who becomes VERIFIED meanwhile would be seen with facts of before the snapshot and, after its commit, with other facts
/// of the same version.
pub async fn hold_off_verification(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('snapshots', 0))")
        .fetch_one(tx)
        .await?;
    Ok(())
}

/// What a snapshot changed.
pub struct Effect {
    /// Ids put on the list.
    pub added_entry_count: i64,
    /// Ids taken off.
    pub removed_entry_count: i64,
    /// Persons whom the list begins to name.
    pub listed_account_count: i64,
    /// Persons whom it ceases to name.
    pub lifted_account_count: i64,
}

/// Makes a whole snapshot take effect: compares its chunks with the list, writes what differs, gives the persons behind it
/// a new version and notes them in `snapshot_hits`.
///
/// The list's row is locked, so that nobody else writes its entries.
pub async fn take_effect(
    tx: &mut PgConnection,
    request_id: Uuid,
    snapshot: &Snapshot,
    now: OffsetDateTime,
) -> Result<Effect, sqlx::Error> {
    // The changes come in the order of the hashes, which both indexes are then walked in.
    sqlx::query_as!(
        Effect,
        r#"WITH stated AS (
               SELECT unnest(listed_hashes) AS hash, true AS is_listed, chunk_number
               FROM snapshot_chunks
               WHERE request_id = $1
               UNION ALL
               SELECT unnest(lifted_hashes), false, chunk_number
               FROM snapshot_chunks
               WHERE request_id = $1
           ),
           wanted AS (
               SELECT DISTINCT ON (hash) hash, is_listed
               FROM stated
               ORDER BY hash, chunk_number DESC, is_listed
           ),
           changed AS MATERIALIZED (
               SELECT coalesce(wanted.hash, present.hash) AS hash, present.hash IS NULL AS is_listed
               FROM wanted
               FULL JOIN (
                   SELECT national_id_hash AS hash FROM exclusion_entries WHERE list_id = $2
               ) AS present ON present.hash = wanted.hash
               WHERE coalesce(wanted.is_listed, NOT $4) <> (present.hash IS NOT NULL)
           ),
           removed AS (
               DELETE FROM exclusion_entries
               USING changed
               WHERE list_id = $2 AND national_id_hash = changed.hash AND NOT is_listed
           ),
           added AS (
               INSERT INTO exclusion_entries (list_id, national_id_hash, snapshot_date)
               SELECT $2, hash, $3 FROM changed WHERE is_listed
           ),
           concerned AS (
               UPDATE persons
               SET facts_change_time = greatest($5, facts_change_time + interval '1 microsecond')
               FROM changed
               WHERE national_id_hash = changed.hash AND state IN ('PENDING', 'VERIFIED')
               RETURNING account_id, is_listed
           ),
           hits AS (
               INSERT INTO snapshot_hits (request_id, account_id, is_listed)
               SELECT $1, account_id, is_listed FROM concerned
               RETURNING is_listed
           ),
           entries AS (
               SELECT count(*) FILTER (WHERE is_listed) AS added, count(*) FILTER (WHERE NOT is_listed) AS removed
               FROM changed
           ),
           accounts AS (
               SELECT count(*) FILTER (WHERE is_listed) AS listed, count(*) FILTER (WHERE NOT is_listed) AS lifted
               FROM hits
           )
           SELECT entries.added AS "added_entry_count!", entries.removed AS "removed_entry_count!",
               accounts.listed AS "listed_account_count!", accounts.lifted AS "lifted_account_count!"
           FROM entries, accounts"#,
        request_id,
        snapshot.list_id.as_str(),
        snapshot.date,
        snapshot.kind == SnapshotKind::Full,
        now,
    )
    .fetch_one(tx)
    .await
}

/// A person whom a snapshot concerns.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// The account.
    pub account_id: Uuid,
    /// Whether the list names the person now.
    pub is_listed: bool,
}

/// Lists the persons whom a snapshot concerns, after an account.
pub async fn list_hits(
    tx: &mut PgConnection,
    request_id: Uuid,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Hit>, sqlx::Error> {
    sqlx::query_as!(
        Hit,
        "SELECT account_id, is_listed
         FROM snapshot_hits
         WHERE request_id = $1 AND account_id > $2
         ORDER BY account_id
         LIMIT $3",
        request_id,
        after,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// Ends a snapshot: its chunks and hits are not needed any more.
pub async fn end(
    tx: &mut PgConnection,
    request_id: Uuid,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH chunks AS (
             DELETE FROM snapshot_chunks WHERE request_id = $1
         ),
         hits AS (
             DELETE FROM snapshot_hits WHERE request_id = $1
         )
         UPDATE snapshots SET update_time = $2, end_time = $2 WHERE request_id = $1",
        request_id,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn kind_text(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Full => "FULL",
        SnapshotKind::Incremental => "INCREMENTAL",
    }
}

fn kind(text: &str) -> Result<SnapshotKind, sqlx::Error> {
    match text {
        "FULL" => Ok(SnapshotKind::Full),
        "INCREMENTAL" => Ok(SnapshotKind::Incremental),
        other => Err(sqlx::Error::Decode(
            format!("unknown kind of a snapshot: {other}").into(),
        )),
    }
}
