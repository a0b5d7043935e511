//! What all imports have in common: how they are opened, and how a group of rows is committed.
//!
//! 1. The header claims the import's `request_id`; a repeat finds the import and where it stands.
//! 2. A group is one transaction. It locks the import's row first, so that the streams of one import take turns, then
//!    the source, so that what is loaded stays true until it is written.
//! 3. Rows up to the last committed one change nothing: they are answered from what is stored.
//! 4. The group's last row number is written in the same transaction, so that a cut anywhere loses or repeats nothing.

use chassis::idempotency::{self, Claim, RequestKey};
use proto::r#type::v1::ImportProgress;
use sqlx::{Postgres, Transaction};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::App;
use crate::{domain::import::Row, error::Error, storage};

/// After this long without a row, an import's counts of adverts are forgotten.
const IDLE_MAX: Duration = Duration::days(7);

/// An import that was opened.
#[derive(Clone, Debug)]
pub struct Import {
    /// The id that the caller gave it.
    pub request_id: Uuid,
    /// Where its rows come from.
    pub source: String,
    /// The last row that earlier streams have committed.
    pub resume_after: i64,
}

/// A group of rows in its transaction.
pub(super) struct Group {
    pub(super) tx: Transaction<'static, Postgres>,
    pub(super) now: OffsetDateTime,
    last_row_number: i64,
    request_id: Uuid,
}

/// Opens an import, or finds the one that was opened with this id.
pub async fn open_import(app: &App, key: &RequestKey, source: &str) -> Result<Import, Error> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let resume_after = match idempotency::claim(&mut tx, key, now).await? {
        Claim::New => {
            storage::imports::forget_adverts(&mut tx, now - IDLE_MAX).await?;
            storage::imports::insert(&mut tx, key.request_id(), source, now).await?;
            idempotency::store(&mut tx, key, &ImportProgress::default()).await?;
            0
        }
        Claim::Repeat(_) => storage::imports::get(&mut tx, key.request_id()).await?,
    };
    tx.commit().await?;
    Ok(Import {
        request_id: key.request_id(),
        source: source.to_owned(),
        resume_after,
    })
}

/// Begins the transaction of a group of rows.
pub(super) async fn begin_group(app: &App, import: &Import, kind: &str) -> Result<Group, Error> {
    let mut tx = app.db.begin().await?;
    let last_row_number = storage::imports::get_for_update(&mut tx, import.request_id).await?;
    storage::imports::lock_source(&mut tx, kind, &import.source).await?;
    Ok(Group {
        tx,
        now: app.clock.now(),
        last_row_number,
        request_id: import.request_id,
    })
}

impl Group {
    /// Says whether a row was committed by an earlier group.
    pub(super) fn is_repeat<T>(&self, row: &Row<T>) -> bool {
        row.number <= self.last_row_number
    }

    /// Ends the group after its last row.
    pub(super) async fn commit(mut self, last_row_number: i64) -> Result<(), Error> {
        if last_row_number > self.last_row_number {
            storage::imports::advance(&mut self.tx, self.request_id, last_row_number, self.now)
                .await?;
        }
        self.tx.commit().await?;
        Ok(())
    }
}
