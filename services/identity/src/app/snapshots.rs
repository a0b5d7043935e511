//! Importing snapshots of exclusion lists.
//!
//! 1. The header claims the import's `request_id`; a repeat finds the snapshot and where it stands.
//! 2. A chunk is one transaction: it locks the snapshot's row, so that the streams of one import take turns, and stores
//!    the chunk and its number. Nobody sees anything of it yet.
//! 3. The end is one transaction: it locks the snapshot and then its list, holds off the registry's answers, compares all
//!    chunks with the list in one statement, which also gives the persons behind the differences a new version, and tells
//!    about these persons.
//! 4. The answer to the end is stored under the `request_id` in that transaction, and given again to a repeat.

use chassis::{
    db,
    idempotency::{self, Claim, RequestKey},
};
use messaging::outbox;
use proto::identity::v1 as pb;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{App, exclusion_lists::list_name};
use crate::{
    domain::{
        exclusion_list::ExclusionList,
        snapshot::{self, Chunk, ChunkVerdict, Snapshot, SnapshotKind},
    },
    error::Error,
    events, storage,
};

/// After this long without a chunk, a snapshot's chunks are forgotten.
const IDLE_MAX: Duration = Duration::days(7);

/// How often an end that met a deadlock is done again.
const ATTEMPTS_MAX: u32 = 3;

/// The most accounts of an event.
const EVENT_ACCOUNTS_MAX: usize = 1_000;

/// How many hits are read at once: fifty events, some 2 MB.
const HITS_PAGE_MAX: i64 = 50_000;

/// An import that was opened.
#[derive(Clone, Debug)]
pub struct Import {
    /// The id that the caller gave it, and what its header says.
    key: RequestKey,
    /// What the snapshot says of the ids that it does not name.
    pub kind: SnapshotKind,
    /// The last chunk that earlier streams have stored.
    pub resume_after: i64,
}

impl App {
    /// Opens an import, or finds the one that was opened with this id.
    pub async fn open_import(&self, key: RequestKey, snapshot: Snapshot) -> Result<Import, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let resume_after = match idempotency::claim(&mut tx, &key, now).await? {
            Claim::New => {
                let list = storage::exclusion_lists::find(&mut tx, &snapshot.list_id)
                    .await?
                    .ok_or_else(|| Error::NotFound(list_name(&snapshot.list_id)))?;
                snapshot::check_date(snapshot.date, list.snapshot_date).map_err(Error::Snapshot)?;
                storage::snapshots::forget_idle(&mut tx, now - IDLE_MAX).await?;
                storage::snapshots::insert(&mut tx, key.request_id(), &snapshot, now).await?;
                // Until the end stores its answer.
                idempotency::store(&mut tx, &key, &pb::SnapshotResult::default()).await?;
                0
            }
            Claim::Repeat(_) => {
                let stored = storage::snapshots::get_for_update(&mut tx, key.request_id()).await?;
                stored.last_chunk_number
            }
        };
        tx.commit().await?;
        Ok(Import {
            key,
            kind: snapshot.kind,
            resume_after,
        })
    }

    /// Stores a chunk. One that is stored already changes nothing.
    pub async fn import_chunk(&self, import: &Import, chunk: &Chunk) -> Result<(), Error> {
        let request_id = import.key.request_id();
        let mut tx = self.db.begin().await?;
        let stored = storage::snapshots::get_for_update(&mut tx, request_id).await?;
        let verdict = snapshot::place(chunk.number, stored.last_chunk_number, stored.ended)
            .map_err(Error::Snapshot)?;
        if verdict == ChunkVerdict::Store {
            storage::snapshots::append_chunk(&mut tx, request_id, chunk, self.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Makes the snapshot take effect, once.
    pub async fn end_import(
        &self,
        import: &Import,
        chunk_count: i64,
    ) -> Result<pb::SnapshotResult, Error> {
        let mut attempt = 1;
        loop {
            match self.try_end(import, chunk_count).await {
                Err(Error::Database(error)) if attempt < ATTEMPTS_MAX && is_lost_race(&error) => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn try_end(
        &self,
        import: &Import,
        chunk_count: i64,
    ) -> Result<pb::SnapshotResult, Error> {
        let request_id = import.key.request_id();
        let mut tx = self.db.begin().await?;
        storage::snapshots::lift_limits(&mut tx).await?;
        let stored = storage::snapshots::get_for_update(&mut tx, request_id).await?;
        snapshot::check_count(chunk_count, stored.last_chunk_number).map_err(Error::Snapshot)?;
        if stored.ended {
            let claim = idempotency::claim(&mut tx, &import.key, self.clock.now()).await?;
            return claim.answer()?.ok_or(Error::Conflict);
        }
        let snapshot = stored.snapshot;
        let list = storage::exclusion_lists::get_for_update(&mut tx, &snapshot.list_id).await?;
        snapshot::check_date(snapshot.date, list.snapshot_date).map_err(Error::Snapshot)?;

        storage::snapshots::hold_off_verification(&mut tx).await?;
        let now = self.clock.now();
        let effect = storage::snapshots::take_effect(&mut tx, request_id, &snapshot, now).await?;
        tell_hits(&mut tx, request_id, &snapshot, now).await?;

        let entry_count = list.entry_count + effect.added_entry_count - effect.removed_entry_count;
        storage::exclusion_lists::update_newest(&mut tx, &list.id, snapshot.date, entry_count, now)
            .await?;
        storage::snapshots::end(&mut tx, request_id, now).await?;
        let answer = pb::SnapshotResult {
            exclusion_list: Some(pb::ExclusionList::from(ExclusionList {
                snapshot_date: Some(snapshot.date),
                import_time: Some(now),
                entry_count,
                ..list
            })),
            added_entry_count: effect.added_entry_count,
            removed_entry_count: effect.removed_entry_count,
            listed_account_count: effect.listed_account_count,
            lifted_account_count: effect.lifted_account_count,
        };
        idempotency::store(&mut tx, &import.key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

/// Tells about the persons whom a snapshot concerns, in the order of their accounts.
async fn tell_hits(
    tx: &mut PgConnection,
    request_id: Uuid,
    snapshot: &Snapshot,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let subject = list_name(&snapshot.list_id);
    let mut after = Uuid::nil();
    loop {
        let hits = storage::snapshots::list_hits(tx, request_id, after, HITS_PAGE_MAX).await?;
        let Some(last) = hits.last() else {
            return Ok(());
        };
        after = last.account_id;
        let events: Vec<pb::ExclusionsChanged> = hits
            .chunks(EVENT_ACCOUNTS_MAX)
            .map(|hits| events::exclusions_changed(&subject, snapshot.date, hits))
            .collect();
        let events: Vec<(&str, &pb::ExclusionsChanged)> = events
            .iter()
            .map(|event| (subject.as_str(), event))
            .collect();
        outbox::append_all(tx, now, &events).await?;
    }
}

/// A deadlock or the like; a database that is away is not tried again here, because the caller resumes.
fn is_lost_race(error: &sqlx::Error) -> bool {
    db::is_transient(error) && error.as_database_error().is_some()
}
