//! Batches that are paid by file: what is told to the bank, and what it answers.
//!
//! 1. An export fixes the file's lines and marks them as SENT, in one transaction, before a byte of it leaves. What cannot
//!    be sent now leaves the batch.
//! 2. A download writes the file from these lines, page by page: always the same bytes.
//! 3. A report is staged while it is read, compared with the file and with what is known, and takes effect in one
//!    transaction, or not at all. A line without an answer becomes UNKNOWN; nothing but a report leaves that, and nothing is
//!    ever told to the bank twice.

use std::{collections::HashSet, io};

use chassis::{
    idempotency::{self, RequestKey},
    money::Money,
    names,
};
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    App,
    content::{self, Content},
    disbursements::too_large,
    ledger::apply_all,
    payments::results::{self, Outcome},
};
use crate::{
    domain::{
        disbursement::{BatchRefusal, BatchState, ControlTotals, Disbursement, Rail},
        ledger::Transfer,
        payee::Channel,
        payment_file::{
            ANSWER_WITHIN, FileRefusal, InitiationLine, PaymentInitiation, PaymentStatusReport,
            ReportHead, ReportedLine, parse_message_id,
        },
        statement::Faults,
    },
    error::Error,
    formats::{self, Unread, pain001, pain002},
    storage::{self, payment_files::LineRow},
};

/// How many lines of a file are read at once.
const LINES_PAGE: i64 = 2_000;

/// How many reported payments are staged by one statement of SQL, and how many such chunks wait for the database.
const CHUNK_LINES: usize = 5_000;
const CHUNKS_WAITING_MAX: usize = 2;

/// A piece of a file is sent when it is so long.
const PIECE_BYTES: usize = 256 * 1024;

/// After this long, staged payments belong to a process that has died: longer than any call may take.
const STAGED_MAX: Duration = Duration::days(2);

/// How often a transaction that met a deadlock is run.
const ATTEMPTS_MAX: u32 = 3;

/// A report that was read and staged.
#[derive(Debug)]
pub struct StagedReport {
    id: Uuid,
    head: ReportHead,
    faults: Faults,
    /// How many payments were staged, as the reader counts.
    line_count: i64,
}

/// A file to be sent.
pub struct PaymentFile {
    app: App,
    initiation: PaymentInitiation,
}

impl App {
    /// Fixes what the bank is told of a batch. A second export finds the first.
    pub async fn export_disbursement_batch(
        &self,
        key: RequestKey,
        batch_id: Uuid,
    ) -> Result<pb::PaymentInitiation, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = storage::disbursement_batches::find(&mut tx, batch_id).await?;
        let batch =
            batch.ok_or_else(|| Error::NotFound(names::format("disbursementBatches", batch_id)))?;
        if batch.rail != Rail::File {
            return Err(Error::File(FileRefusal::NotByFile(batch_id)));
        }
        if batch.state != BatchState::Approved {
            return Err(Error::File(FileRefusal::NotApproved(batch_id)));
        }
        // Two exports meet at the lines, and the second finds the initiation.
        let lines = storage::payment_files::lock_approved(&mut tx, batch_id).await?;
        let initiation = match storage::payment_files::find(&mut tx, batch_id).await? {
            Some(initiation) => initiation,
            None => self.initiate(&mut tx, batch_id, &lines, now).await?,
        };
        let answer = pb::PaymentInitiation::from(initiation);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    async fn initiate(
        &self,
        tx: &mut PgConnection,
        batch_id: Uuid,
        lines: &[Disbursement],
        now: OffsetDateTime,
    ) -> Result<PaymentInitiation, Error> {
        let told = storage::payment_files::insert_lines(tx, batch_id).await?;
        let told: HashSet<Uuid> = told.into_iter().collect();
        let (sent, left_out): (Vec<&Disbursement>, Vec<&Disbursement>) =
            lines.iter().partition(|line| told.contains(&line.id));
        let Some(first) = sent.first() else {
            return Err(Error::Batch(BatchRefusal::NothingDue));
        };
        let amounts = sent.iter().map(|line| line.amount);
        let totals = ControlTotals::of(amounts, first.amount.currency()).map_err(too_large)?;
        let initiation = PaymentInitiation {
            disbursement_batch_id: batch_id,
            line_count: totals.line_count,
            total: totals.total,
            debtor_account: self.rail.source_account().to_owned(),
            initiator: self.rail.client_id().to_owned(),
            create_time: now,
        };
        storage::payment_files::insert(tx, &initiation).await?;
        storage::payment_files::set_sent(tx, batch_id, now, now + ANSWER_WITHIN).await?;
        if !left_out.is_empty() {
            let ids: Vec<Uuid> = left_out.iter().map(|line| line.id).collect();
            storage::payment_files::set_left_out(tx, &ids).await?;
            storage::disbursement_batches::take_out(tx, &left_out).await?;
            // A line whose participation's money went back was cancelled before.
            let transfers: Vec<Transfer> =
                left_out.iter().map(|line| line.take_back(false)).collect();
            apply_all(tx, &transfers, now).await?;
        }
        Ok(initiation)
    }

    /// Finds the file of an exported batch, as long as the bank may still take it.
    pub async fn open_payment_file(&self, batch_id: Uuid) -> Result<PaymentFile, Error> {
        let mut connection = self.db.acquire().await?;
        let batch = storage::disbursement_batches::find(&mut connection, batch_id).await?;
        let batch =
            batch.ok_or_else(|| Error::NotFound(names::format("disbursementBatches", batch_id)))?;
        let initiation = storage::payment_files::find(&mut connection, batch.id).await?;
        let initiation = initiation.ok_or(Error::File(FileRefusal::NotExported(batch_id)))?;
        if !storage::payment_files::is_open(&mut connection, batch_id).await? {
            return Err(Error::File(FileRefusal::Answered(batch_id)));
        }
        Ok(PaymentFile {
            app: self.clone(),
            initiation,
        })
    }

    /// Gives up payments by file that nobody has answered for, and returns how many.
    pub(super) async fn give_up_unanswered(&self, limit: i64) -> Result<u64, Error> {
        let mut connection = self.db.acquire().await?;
        let now = self.clock.now();
        let count = storage::payment_files::give_up_unanswered(&mut connection, now, limit).await?;
        if count > 0 {
            tracing::warn!(count, "payments by file without an answer of the bank");
        }
        Ok(count)
    }

    /// Reads a report piece by piece and stages its payments. The file has ended when the channel has; a piece that is an
    /// error has cut it.
    pub async fn stage_payment_status_report(
        &self,
        content: mpsc::Receiver<io::Result<Vec<u8>>>,
    ) -> Result<StagedReport, Error> {
        let id = Uuid::now_v7();
        let mut connection = self.db.acquire().await?;
        let older = content::earliest_alive(id, STAGED_MAX);
        storage::payment_files::unstage_older(&mut connection, older).await?;
        drop(connection);
        let (chunks, mut waiting) = mpsc::channel(CHUNKS_WAITING_MAX);
        let reading = tokio::task::spawn_blocking(move || read(content, &chunks));
        let mut staged: Result<(), sqlx::Error> = Ok(());
        let mut line_count = 0;
        // A connection for each chunk: a slow caller keeps none.
        while let Some(chunk) = waiting.recv().await {
            staged = self.stage_lines(id, &chunk).await;
            if staged.is_err() {
                break;
            }
            line_count += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        }
        // The reader ends when nobody takes its chunks.
        drop(waiting);
        let read = reading.await?;
        let checked = staged.map_err(Error::from).and_then(|()| {
            read.map_err(|unread| {
                Error::File(match unread {
                    Unread::Faulty(faults) => FileRefusal::ReportFaulty(faults),
                    Unread::Cut(_) => FileRefusal::ReportCut,
                })
            })
        });
        match checked {
            Ok((head, faults)) => Ok(StagedReport {
                id,
                head,
                faults,
                line_count,
            }),
            Err(error) => {
                self.unstage_report(id).await?;
                Err(error)
            }
        }
    }

    async fn stage_lines(&self, id: Uuid, chunk: &[ReportedLine]) -> Result<(), sqlx::Error> {
        let mut connection = self.db.acquire().await?;
        storage::payment_files::stage(&mut connection, id, chunk).await
    }

    async fn unstage_report(&self, id: Uuid) -> Result<(), sqlx::Error> {
        let mut connection = self.db.acquire().await?;
        storage::payment_files::unstage(&mut connection, id).await
    }

    /// Lets a staged report take effect, once.
    pub async fn import_payment_status_report(
        &self,
        key: RequestKey,
        staged: &StagedReport,
        content_hash: [u8; 32],
    ) -> Result<pb::PaymentStatusReport, Error> {
        let mut attempt = 1;
        let imported = loop {
            match self.try_take_in(&key, staged, &content_hash).await {
                Err(Error::Database(error)) if attempt < ATTEMPTS_MAX && is_lost_race(&error) => {
                    attempt += 1;
                }
                imported => break imported,
            }
        };
        self.unstage_report(staged.id).await?;
        imported
    }

    async fn try_take_in(
        &self,
        key: &RequestKey,
        staged: &StagedReport,
        content_hash: &[u8; 32],
    ) -> Result<pb::PaymentStatusReport, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch_id = parse_message_id(&staged.head.original_message_id);
        if let Some(batch_id) = batch_id {
            storage::payment_files::lock(&mut tx, batch_id).await?;
        }
        let message_id = &staged.head.message_id;
        let earlier =
            storage::payment_files::find_report(&mut tx, content_hash, message_id).await?;
        let report = match earlier {
            Some((report, true)) => report,
            Some((report, false)) => {
                return Err(Error::File(FileRefusal::ReportExists(report.id)));
            }
            None => {
                let initiation = match batch_id {
                    Some(batch_id) => storage::payment_files::find(&mut tx, batch_id).await?,
                    None => None,
                };
                let report = take_in(&mut tx, staged, initiation, now).await?;
                storage::payment_files::insert_report(&mut tx, &report, content_hash).await?;
                report
            }
        };
        let answer = pb::PaymentStatusReport::from(report);
        idempotency::store(&mut tx, key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

/// Says whether the next attempt finds what was in the way, such as a report on another batch under the same message id.
fn is_lost_race(error: &sqlx::Error) -> bool {
    super::is_lost_race(error)
        || chassis::db::constraint(error) == Some("payment_status_reports_message_id_key")
}

/// Compares a staged report, and writes what it says.
async fn take_in(
    tx: &mut PgConnection,
    staged: &StagedReport,
    initiation: Option<PaymentInitiation>,
    now: OffsetDateTime,
) -> Result<PaymentStatusReport, Error> {
    let StagedReport {
        id,
        head,
        faults,
        line_count,
    } = staged;
    let mut faults = faults.clone();
    let Some(initiation) = initiation else {
        faults.add(0, 0, "the original message is none of ours");
        return Err(Error::File(FileRefusal::ReportFaulty(faults)));
    };
    let batch_id = initiation.disbursement_batch_id;
    // What is staged is not logged: a crash of the database takes it away, and the next chunk goes in as if nothing were.
    let (pending_count, definite_count) = storage::payment_files::count_staged(tx, *id).await?;
    if pending_count + definite_count != *line_count {
        return Err(Error::Conflict);
    }
    if let Some((line, status)) = head.rest {
        storage::payment_files::stage_rest(tx, *id, batch_id, line, status).await?;
    }
    storage::payment_files::lock_reported(tx, *id).await?;
    check_controls(head, &initiation, &mut faults);
    storage::payment_files::compare(tx, *id, batch_id, &mut faults).await?;
    if faults.count > 0 {
        return Err(Error::File(FileRefusal::ReportFaulty(faults)));
    }
    let (pending_count, definite_count) = storage::payment_files::count_staged(tx, *id).await?;
    let decided = storage::payment_files::list_decided(tx, *id).await?;
    let outcomes: Vec<(Disbursement, Outcome)> = decided
        .into_iter()
        .map(|(line, reason)| (line, reason.map_or(Outcome::Settled, Outcome::Failed)))
        .collect();
    let count = |is_settled: bool| {
        let those = outcomes
            .iter()
            .filter(|(_, outcome)| (*outcome == Outcome::Settled) == is_settled);
        i64::try_from(those.count()).unwrap_or(i64::MAX)
    };
    let (settled_count, failed_count) = (count(true), count(false));
    let written_count = results::write(tx, &outcomes, now).await?;
    // Nobody asks about a payment by file: what is left out would never be told again.
    if written_count < outcomes.len() {
        return Err(Error::ResultsRefused(outcomes.len() - written_count));
    }
    Ok(PaymentStatusReport {
        id: *id,
        disbursement_batch_id: batch_id,
        message_id: head.message_id.clone(),
        settled_count,
        failed_count,
        pending_count,
        repeated_count: definite_count - settled_count - failed_count,
        create_time: now,
    })
}

/// Compares what a report repeats of the whole file.
fn check_controls(head: &ReportHead, initiation: &PaymentInitiation, faults: &mut Faults) {
    for (line, count) in &head.original_counts {
        if *count != initiation.line_count {
            faults.add(*line, 0, "is not the number of payments of the file");
        }
    }
    let currency = initiation.total.currency();
    for (line, sum) in &head.original_sums {
        if formats::amount(sum, '.', currency) != Some(initiation.total.minor()) {
            faults.add(*line, 0, "is not the sum of the file");
        }
    }
}

/// Reads a file on a thread of its own, because its reader waits for its input.
fn read(
    content: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunks: &mpsc::Sender<Vec<ReportedLine>>,
) -> Result<(ReportHead, Faults), Unread> {
    let mut chunk = Vec::with_capacity(CHUNK_LINES);
    let mut sink = |line| {
        chunk.push(line);
        if chunk.len() < CHUNK_LINES {
            return true;
        }
        let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_LINES));
        chunks.blocking_send(full).is_ok()
    };
    let read = pain002::read(Content::new(content), &mut sink)?;
    // Whoever does not take it has failed before, and says so.
    let _ = chunks.blocking_send(chunk);
    Ok(read)
}

impl PaymentFile {
    /// Writes the file into a channel, page by page, as fast as it is taken.
    pub async fn send(self, pieces: mpsc::Sender<Result<Vec<u8>, Error>>) {
        if let Err(error) = self.write(&pieces).await {
            // Whoever does not take it has gone.
            let _ = pieces.send(Err(error)).await;
        }
    }

    async fn write(&self, pieces: &mpsc::Sender<Result<Vec<u8>, Error>>) -> Result<(), Error> {
        let batch_id = self.initiation.disbursement_batch_id;
        let mut piece = String::new();
        pain001::head(&self.initiation, &mut piece);
        let mut after = None;
        loop {
            let mut connection = self.app.db.acquire().await?;
            let page =
                storage::payment_files::list_lines(&mut connection, batch_id, after, LINES_PAGE)
                    .await?;
            drop(connection);
            let Some(last) = page.last() else { break };
            after = Some(last.disbursement_id);
            for row in &page {
                pain001::line(&self.line(row)?, &mut piece);
                if piece.len() >= PIECE_BYTES {
                    let full = std::mem::take(&mut piece);
                    if pieces.send(Ok(full.into_bytes())).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        pain001::tail(&mut piece);
        let _ = pieces.send(Ok(piece.into_bytes())).await;
        Ok(())
    }

    fn line(&self, row: &LineRow) -> Result<InitiationLine, Error> {
        let (number, holder) = self.app.vault.open(row.payee_account_id, &row.sealed)?;
        let channel = Channel::find(&row.channel).ok_or_else(|| {
            let unknown = format!("`{}` is none of ours", row.channel);
            Error::Database(sqlx::Error::Decode(unknown.into()))
        })?;
        Ok(InitiationLine {
            reference: row.reference(),
            amount: Money::new(row.amount_minor, self.initiation.total.currency()),
            bank_code: channel.bank_code,
            number,
            holder,
        })
    }
}
