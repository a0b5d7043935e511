//! Statements of the bank, and their comparison with the payments.
//!
//! 1. A file is read as it comes, in one pass, and its entries are staged in chunks; no transaction is open while the
//!    caller sends. A file that is wrong, or does not come to its end, leaves nothing behind.
//! 2. One transaction does all the rest, one import at a time: it locks the payments that money came back of, compares
//!    set-wise, writes the findings, keeps the entries, books the reversals, and stores the answer.
//! 3. The same bytes, and the same `request_id`, find what was compared before.

use std::io;

use chassis::{
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    App,
    content::{self, Content},
    reversals::reverse,
};
use crate::{
    domain::{
        reconciliation::{Finding, FindingKind, Reconciliation},
        statement::{Entry, Faults, Format, Statement},
    },
    error::Error,
    formats::{self, Unread},
    storage::{self, disbursements::reversals, statements::comparison},
};

/// How many entries are staged by one statement of SQL: some hundred kB.
const CHUNK_ENTRIES: usize = 5_000;

/// How many chunks wait for the database while the file is read on.
const CHUNKS_WAITING_MAX: usize = 2;

/// After this long, staged entries belong to a process that has died: longer than any call may take.
const STAGED_MAX: Duration = Duration::days(2);

/// How many payments are reversed at once.
const REVERSALS_MAX: i64 = 5_000;

/// How often a comparison that met a deadlock is done again.
const ATTEMPTS_MAX: u32 = 3;

/// How many findings stand in the table for people.
const TABLE_FINDINGS_MAX: i64 = 1_000;

/// A file that was read and staged, and is right in itself.
#[derive(Debug)]
pub struct StagedStatement {
    id: Uuid,
    format: Format,
    statement: Statement,
}

impl App {
    /// Reads a file piece by piece and stages its entries. The file has ended when the channel has; a piece that is an
    /// error has cut it.
    pub async fn stage_statement(
        &self,
        format: Format,
        content: mpsc::Receiver<io::Result<Vec<u8>>>,
    ) -> Result<StagedStatement, Error> {
        let id = Uuid::now_v7();
        self.unstage_older(id).await?;
        let (chunks, mut waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
        let reading = tokio::task::spawn_blocking(move || read(format, content, &chunks));
        let mut staged: Result<(), sqlx::Error> = Ok(());
        // A connection for each chunk: a slow caller keeps none.
        while let Some(chunk) = waiting.recv().await {
            staged = self.stage(id, &chunk).await;
            if staged.is_err() {
                break;
            }
        }
        // The reader ends when nobody takes its chunks.
        drop(waiting);
        let read = reading.await?;
        let checked = staged.map_err(Error::from).and_then(|()| match read {
            Ok(statement) => self.check_account(statement),
            Err(Unread::Faulty(faults)) => Err(Error::StatementFaulty(faults)),
            Err(Unread::Cut(error)) => Err(Error::StatementCut(error)),
        });
        match checked {
            Ok(statement) => Ok(StagedStatement {
                id,
                format,
                statement,
            }),
            Err(error) => {
                self.unstage(id).await?;
                Err(error)
            }
        }
    }

    async fn stage(&self, id: Uuid, chunk: &[Entry]) -> Result<(), sqlx::Error> {
        let mut connection = self.db.acquire().await?;
        storage::statements::stage(&mut connection, id, chunk).await
    }

    async fn unstage(&self, id: Uuid) -> Result<(), sqlx::Error> {
        let mut connection = self.db.acquire().await?;
        storage::statements::unstage(&mut connection, id).await
    }

    async fn unstage_older(&self, id: Uuid) -> Result<(), sqlx::Error> {
        let mut connection = self.db.acquire().await?;
        storage::statements::unstage_older(&mut connection, content::earliest_alive(id, STAGED_MAX))
            .await
    }

    fn check_account(&self, statement: Statement) -> Result<Statement, Error> {
        if statement.account_number == self.rail.source_account() {
            return Ok(statement);
        }
        let mut faults = Faults::default();
        faults.add(0, 0, "is of another account than payments come from");
        Err(Error::StatementFaulty(faults))
    }

    /// Compares a staged statement and keeps it, once.
    pub async fn import_statement(
        &self,
        key: RequestKey,
        staged: &StagedStatement,
        content_hash: [u8; 32],
        utc_offset_minutes: i32,
    ) -> Result<pb::Reconciliation, Error> {
        let mut attempt = 1;
        let imported = loop {
            let imported = self
                .try_import(&key, staged, &content_hash, utc_offset_minutes)
                .await;
            match imported {
                Err(Error::Database(error))
                    if attempt < ATTEMPTS_MAX && super::is_lost_race(&error) =>
                {
                    attempt += 1;
                }
                imported => break imported,
            }
        };
        if imported.is_err() {
            self.unstage(staged.id).await?;
        }
        imported
    }

    async fn try_import(
        &self,
        key: &RequestKey,
        staged: &StagedStatement,
        content_hash: &[u8; 32],
        utc_offset_minutes: i32,
    ) -> Result<pb::Reconciliation, Error> {
        let StagedStatement {
            id,
            format,
            statement,
        } = staged;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        storage::statements::lock(&mut tx).await?;
        if let Some(answer) = idempotency::claim(&mut tx, key, now).await?.answer()? {
            storage::statements::unstage(&mut tx, *id).await?;
            tx.commit().await?;
            return Ok(answer);
        }
        let same = storage::statements::find_by_content(&mut tx, content_hash).await?;
        let compared = match same {
            Some(same) => {
                storage::statements::unstage(&mut tx, *id).await?;
                same
            }
            None => {
                let other =
                    storage::statements::find_by_reference(&mut tx, statement, *format).await?;
                if let Some(other) = other {
                    return Err(Error::StatementExists(other));
                }
                compare(&mut tx, staged, content_hash, utc_offset_minutes, now).await?;
                *id
            }
        };
        let found = storage::statements::find(&mut tx, compared).await?;
        let answer = pb::Reconciliation::from(found.ok_or(Error::Conflict)?);
        idempotency::store(&mut tx, key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Returns the reconciliation of a statement.
    pub async fn get_reconciliation(&self, id: Uuid) -> Result<Reconciliation, Error> {
        let mut connection = self.db.acquire().await?;
        let found = storage::statements::find(&mut connection, id).await?;
        found.ok_or_else(|| {
            Error::NotFound(format!(
                "{}/reconciliation",
                names::format("statements", id)
            ))
        })
    }

    /// Lists reconciliations, oldest import first.
    pub async fn list_reconciliations(
        &self,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Reconciliation>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::statements::list(&mut connection, page.after, None, page.limit()).await?;
        Ok(page.finish(rows, |last| last.id))
    }

    /// Lists the findings of a statement.
    pub async fn list_findings(
        &self,
        statement_id: Uuid,
        kind: Option<FindingKind>,
        page: PageRequest<i64>,
    ) -> Result<(Vec<Finding>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::statements::list_findings(
            &mut connection,
            statement_id,
            kind,
            page.after,
            page.limit(),
        )
        .await?;
        Ok(page.finish(rows, |last| last.number))
    }

    /// Returns a reconciliation as a table for people.
    pub async fn get_reconciliation_table(&self, id: Uuid) -> Result<String, Error> {
        let reconciliation = self.get_reconciliation(id).await?;
        let mut connection = self.db.acquire().await?;
        let findings =
            storage::statements::list_findings(&mut connection, id, None, None, TABLE_FINDINGS_MAX)
                .await?;
        Ok(reconciliation.table(&findings))
    }
}

/// Compares a staged statement, keeps it, and books what came back.
async fn compare(
    tx: &mut PgConnection,
    staged: &StagedStatement,
    content_hash: &[u8; 32],
    utc_offset_minutes: i32,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let StagedStatement {
        id,
        format,
        statement,
    } = staged;
    let previous = match format.is_notification() {
        true => None,
        false => {
            storage::statements::find_previous(tx, &statement.account_number, statement.end_date)
                .await?
        }
    };
    let next_opening_minor = match format.is_notification() {
        true => None,
        false => {
            let (account, end_date) = (&statement.account_number, statement.end_date);
            storage::statements::find_next_opening(tx, account, end_date).await?
        }
    };
    // From the statement before on, so that each day is compared once.
    let start_date = statement
        .start_date
        .or_else(|| previous.and_then(|previous| previous.end_date.next_day()))
        .or(statement.first_booking)
        .unwrap_or(statement.end_date)
        .min(statement.end_date);
    storage::statements::insert(tx, *id, *format, content_hash, statement, start_date, now).await?;
    comparison::analyze(tx).await?;
    comparison::lock_credited(tx, *id).await?;
    let counts = comparison::compare(
        tx,
        comparison::Comparison {
            statement_id: *id,
            previous_closing_minor: previous.map(|previous| previous.closing_minor),
            next_opening_minor,
            // A notification that names its days tells all of them.
            is_complete: !format.is_notification() || statement.start_date.is_some(),
            utc_offset_minutes,
        },
    )
    .await?;
    storage::statements::set_counts(tx, *id, counts.matched, counts.unrelated).await?;
    // What is staged is not logged: a crash of the database takes it away, and the next chunk goes in as if nothing were.
    if storage::statements::keep_entries(tx, *id).await? != statement.entry_count {
        return Err(Error::Conflict);
    }
    comparison::make_inquiries_due(tx, *id, now).await?;
    // Last: the accounts of the batches are locked for the shortest time.
    reverse_returned(tx, *id, now).await
}

async fn reverse_returned(
    tx: &mut PgConnection,
    statement_id: Uuid,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let returned = reversals::list_returned(tx, statement_id, after, REVERSALS_MAX).await?;
        let Some(last) = returned.last() else {
            return Ok(());
        };
        after = last.number;
        let disbursement_ids: Vec<Uuid> = returned.iter().map(|row| row.disbursement_id).collect();
        let participation_ids: Vec<Uuid> =
            returned.iter().map(|row| row.participation_id).collect();
        reverse(tx, &disbursement_ids, &participation_ids, now).await?;
    }
}

/// Reads a file on a thread of its own, because its readers wait for their input.
fn read(
    format: Format,
    content: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunks: &mpsc::Sender<Vec<Entry>>,
) -> Result<Statement, Unread> {
    let mut chunk = Vec::with_capacity(CHUNK_ENTRIES);
    let mut sink = |entry| {
        chunk.push(entry);
        if chunk.len() < CHUNK_ENTRIES {
            return true;
        }
        let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_ENTRIES));
        chunks.blocking_send(full).is_ok()
    };
    let statement = formats::read(format, Content::new(content), &mut sink)?;
    // Whoever does not take it has failed before, and says so.
    let _ = chunks.blocking_send(chunk);
    Ok(statement)
}
