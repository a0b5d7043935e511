//! The tables `payment_initiations` with their lines, and `payment_status_reports` with their staging.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    disbursements::{Row, disbursements},
    known, money,
};
use crate::domain::{
    disbursement::{Disbursement, reference},
    payment_file::{LineStatus, PaymentInitiation, PaymentStatusReport, ReportedLine},
    rail::FailureReason,
    statement::Faults,
};

/// Locks the funds of the participations of a batch's approved lines, and then the lines.
pub async fn lock_approved(
    tx: &mut PgConnection,
    batch_id: Uuid,
) -> Result<Vec<Disbursement>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT count(*) AS "count!"
           FROM (
               SELECT FROM participation_funds
               WHERE participation_id IN (
                   SELECT participation_id FROM disbursements WHERE disbursement_batch_id = $1 AND state = 'APPROVED'
               )
               ORDER BY participation_id
               FOR NO KEY UPDATE
           ) AS locked"#,
        batch_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE disbursement_batch_id = $1 AND state = 'APPROVED'
         ORDER BY id
         FOR NO KEY UPDATE",
        batch_id,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Fixes which of a batch's locked lines the file has, and where each goes; returns their ids.
pub async fn insert_lines(tx: &mut PgConnection, batch_id: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO payment_initiation_lines
            (disbursement_batch_id, disbursement_id, attempt, payee_account_id, amount_minor)
         SELECT $1, disbursements.id, attempt, payee.id, amount_minor
         FROM disbursements
         JOIN participation_funds AS funds ON funds.participation_id = disbursements.participation_id
         JOIN payee_accounts AS payee
            ON payee.account_id = disbursements.account_id AND payee.replace_time IS NULL AND payee.state = 'ACTIVE'
         WHERE disbursement_batch_id = $1 AND disbursements.state = 'APPROVED' AND funds.freeze_time IS NULL
           -- An end-to-end id has 35 characters at most.
           AND attempt < 100
         RETURNING disbursement_id",
        batch_id,
    )
    .fetch_all(tx)
    .await
}

/// Adds an initiation.
pub async fn insert(tx: &mut PgConnection, new: &PaymentInitiation) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO payment_initiations
            (disbursement_batch_id, line_count, total_minor, currency, debtor_account, initiator, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.disbursement_batch_id,
        new.line_count,
        new.total.minor(),
        new.total.currency().code(),
        new.debtor_account,
        new.initiator,
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the initiation of a batch.
pub async fn find(
    connection: &mut PgConnection,
    batch_id: Uuid,
) -> Result<Option<PaymentInitiation>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT line_count, total_minor, currency, debtor_account, initiator, create_time
         FROM payment_initiations
         WHERE disbursement_batch_id = $1",
        batch_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(PaymentInitiation {
            disbursement_batch_id: batch_id,
            line_count: row.line_count,
            total: money(row.total_minor, &row.currency)?,
            debtor_account: row.debtor_account,
            initiator: row.initiator,
            create_time: row.create_time,
        })
    })
    .transpose()
}

/// Marks the lines of a batch's file as SENT; `answer_time` is when they are given up if nobody ever answers.
pub async fn set_sent(
    tx: &mut PgConnection,
    batch_id: Uuid,
    now: OffsetDateTime,
    answer_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'SENT', send_time = $2, next_inquiry_time = $3, inquiry_count = 0,
             payee_account_id = lines.payee_account_id
         FROM payment_initiation_lines AS lines
         WHERE lines.disbursement_batch_id = $1
           AND disbursements.id = lines.disbursement_id AND disbursements.attempt = lines.attempt",
        batch_id,
        now,
        answer_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lets locked approved lines leave their batch: READY, under a new reference, because their money was in flight under the
/// old one.
pub async fn set_left_out(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'READY', attempt = attempt + 1, disbursement_batch_id = NULL, by_file = false
         WHERE id = ANY($1::uuid[])",
        ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives up payments by file that nobody has answered for: UNKNOWN, until a report tells. Returns how many.
pub async fn give_up_unanswered(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let updated = sqlx::query!(
        "UPDATE disbursements
         SET state = 'UNKNOWN', next_inquiry_time = NULL
         WHERE id IN (
             SELECT id
             FROM disbursements
             WHERE next_inquiry_time <= $1 AND by_file AND state = 'SENT'
             ORDER BY id
             LIMIT $2
             FOR NO KEY UPDATE SKIP LOCKED
         )",
        now,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

/// Says whether the bank has still to answer for a payment of a batch's file.
pub async fn is_open(connection: &mut PgConnection, batch_id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM payment_initiation_lines AS lines
               JOIN disbursements
                  ON disbursements.id = lines.disbursement_id AND disbursements.attempt = lines.attempt
               WHERE lines.disbursement_batch_id = $1 AND state IN ('SENT', 'UNKNOWN')
           ) AS "exists!""#,
        batch_id,
    )
    .fetch_one(connection)
    .await
}

/// A payment of a file, and where it goes.
#[derive(Clone, Debug)]
pub struct LineRow {
    /// The payment.
    pub disbursement_id: Uuid,
    /// Which of its orders.
    pub attempt: i32,
    /// The amount.
    pub amount_minor: i64,
    /// The row of the payee account.
    pub payee_account_id: Uuid,
    /// The channel's code.
    pub channel: String,
    /// Number and holder, encrypted.
    pub sealed: Vec<u8>,
}

impl LineRow {
    /// Returns the order's reference.
    pub fn reference(&self) -> String {
        reference(self.disbursement_id, self.attempt)
    }
}

/// Lists the lines of a batch's file by id.
pub async fn list_lines(
    connection: &mut PgConnection,
    batch_id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<LineRow>, sqlx::Error> {
    sqlx::query_as!(
        LineRow,
        "SELECT lines.disbursement_id, lines.attempt, lines.amount_minor, lines.payee_account_id, payee.channel,
                payee.sealed
         FROM payment_initiation_lines AS lines
         JOIN payee_accounts AS payee ON payee.id = lines.payee_account_id
         WHERE lines.disbursement_batch_id = $1 AND ($2::uuid IS NULL OR lines.disbursement_id > $2)
         ORDER BY lines.disbursement_id
         LIMIT $3",
        batch_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await
}

// Reports

/// Adds payments of a report that is still being read.
pub async fn stage(
    connection: &mut PgConnection,
    report_id: Uuid,
    lines: &[ReportedLine],
) -> Result<(), sqlx::Error> {
    let numbers: Vec<i64> = lines.iter().map(|it| it.number).collect();
    let file_lines: Vec<i64> = lines
        .iter()
        .map(|it| i64::try_from(it.line).unwrap_or(i64::MAX))
        .collect();
    let ids: Vec<Option<Uuid>> = lines.iter().map(|it| it.order.map(|(id, _)| id)).collect();
    let attempts: Vec<Option<i32>> = lines
        .iter()
        .map(|it| it.order.map(|(_, attempt)| attempt))
        .collect();
    let statuses: Vec<&str> = lines.iter().map(|it| it.status.names().0).collect();
    let reasons: Vec<Option<&str>> = lines.iter().map(|it| it.status.names().1).collect();
    let amounts: Vec<Option<i64>> = lines
        .iter()
        .map(|it| it.amount.map(|(minor, _)| minor))
        .collect();
    let currencies: Vec<Option<&str>> = lines
        .iter()
        .map(|it| it.amount.map(|(_, currency)| currency.code()))
        .collect();
    sqlx::query!(
        "INSERT INTO payment_status_staging
            (report_id, number, line, disbursement_id, attempt, status, failure_reason, amount_minor, currency)
         SELECT $1, *
         FROM unnest($2::bigint[], $3::bigint[], $4::uuid[], $5::integer[], $6::text[], $7::text[], $8::bigint[],
                     $9::text[])",
        report_id,
        &numbers,
        &file_lines,
        &ids as &[Option<Uuid>],
        &attempts as &[Option<i32>],
        &statuses as &[&str],
        &reasons as &[Option<&str>],
        &amounts as &[Option<i64>],
        &currencies as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the payments of a file that a report does not name, with what it says of the whole. Their numbers are below zero.
pub async fn stage_rest(
    tx: &mut PgConnection,
    report_id: Uuid,
    batch_id: Uuid,
    line: u64,
    status: LineStatus,
) -> Result<(), sqlx::Error> {
    let (status, reason) = status.names();
    sqlx::query!(
        "INSERT INTO payment_status_staging (report_id, number, line, disbursement_id, attempt, status, failure_reason)
         SELECT $1, -row_number() OVER (ORDER BY lines.disbursement_id), $3, lines.disbursement_id, lines.attempt, $4, $5
         FROM payment_initiation_lines AS lines
         WHERE lines.disbursement_batch_id = $2
           AND NOT EXISTS (
               SELECT FROM payment_status_staging AS staged
               WHERE staged.report_id = $1 AND staged.disbursement_id = lines.disbursement_id
           )",
        report_id,
        batch_id,
        i64::try_from(line).unwrap_or(i64::MAX),
        status,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Drops what was staged for a report.
pub async fn unstage(connection: &mut PgConnection, report_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM payment_status_staging WHERE report_id = $1",
        report_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops what processes have left that died: what was staged under earlier ids.
pub async fn unstage_older(
    connection: &mut PgConnection,
    report_id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM payment_status_staging WHERE report_id < $1",
        report_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks the initiation of a batch, so that one report on it is taken in at a time, and lifts the limits of time from the
/// transaction.
pub async fn lock(tx: &mut PgConnection, batch_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT set_config('statement_timeout', '0', true) AS statement,
                set_config('idle_in_transaction_session_timeout', '0', true) AS idle",
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "SELECT FROM payment_initiations WHERE disbursement_batch_id = $1 FOR NO KEY UPDATE",
        batch_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(())
}

/// Locks the funds of the participations that a report speaks of, and then their payments.
pub async fn lock_reported(tx: &mut PgConnection, report_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"SELECT count(*) AS "count!"
           FROM (
               SELECT FROM participation_funds
               WHERE participation_id IN (
                   SELECT participation_id
                   FROM payment_status_staging AS staged
                   JOIN disbursements ON disbursements.id = staged.disbursement_id
                   WHERE staged.report_id = $1 AND staged.status = 'FAILED'
               )
               ORDER BY participation_id
               FOR NO KEY UPDATE
           ) AS locked"#,
        report_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        r#"SELECT count(*) AS "count!"
           FROM (
               SELECT FROM disbursements
               WHERE id IN (SELECT disbursement_id FROM payment_status_staging WHERE report_id = $1)
               ORDER BY id
               FOR NO KEY UPDATE
           ) AS locked"#,
        report_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// The faults that a comparison finds, by the names that the query gives them.
const FAULTS: &[(&str, &str)] = &[
    ("UNKNOWN", "is no payment of the file"),
    ("DOUBLE", "is named twice"),
    ("AMOUNT", "has another amount than the file"),
    ("SETTLED", "was refused and is known to be settled"),
    ("FAILED", "was paid and is known to have failed"),
];

/// Compares a staged report with the file that it answers and with what is known, and adds what does not agree.
pub async fn compare(
    tx: &mut PgConnection,
    report_id: Uuid,
    batch_id: Uuid,
    faults: &mut Faults,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH compared AS MATERIALIZED (
               SELECT staged.number, staged.line, staged.status, staged.amount_minor, staged.currency,
                      lines.disbursement_id IS NOT NULL AS is_known, lines.amount_minor AS expected_minor,
                      payments.currency AS expected_currency,
                      row_number() OVER (
                          PARTITION BY staged.disbursement_id, staged.attempt ORDER BY staged.number
                      ) AS time_named,
                      payments.attempt = lines.attempt AND payments.state = 'SETTLED' AS is_settled,
                      reversals.settle_time IS NOT NULL AS is_reversed,
                      payments.attempt = lines.attempt AND payments.state IN ('SENT', 'UNKNOWN') AS is_open
               FROM payment_status_staging AS staged
               LEFT JOIN payment_initiation_lines AS lines
                   ON lines.disbursement_batch_id = $2 AND lines.disbursement_id = staged.disbursement_id
                  AND lines.attempt = staged.attempt
               LEFT JOIN disbursements AS payments ON payments.id = lines.disbursement_id
               LEFT JOIN disbursement_reversals AS reversals
                   ON reversals.disbursement_id = lines.disbursement_id AND reversals.attempt = lines.attempt
               WHERE staged.report_id = $1
           )
           SELECT greatest(number, 0) AS "number!", line AS "line!", rule.kind AS "kind!", count(*) OVER () AS "total!"
           FROM compared
           CROSS JOIN LATERAL (
               VALUES
                   (1, 'UNKNOWN', NOT is_known),
                   (2, 'DOUBLE', is_known AND time_named > 1),
                   (3, 'AMOUNT',
                    is_known AND amount_minor IS NOT NULL
                    AND (amount_minor, currency) IS DISTINCT FROM (expected_minor, expected_currency)),
                   (4, 'SETTLED', is_known AND status = 'FAILED' AND is_settled),
                   -- What came back was paid, and was not: whatever is said of it is known.
                   (5, 'FAILED',
                    is_known AND status = 'SETTLED' AND NOT is_reversed AND NOT is_settled AND NOT is_open)
           ) AS rule (place, kind, holds)
           WHERE rule.holds
           ORDER BY line, number, rule.place
           LIMIT 100"#,
        report_id,
        batch_id,
    )
    .fetch_all(tx)
    .await?;
    let total = rows.first().map_or(0, |row| row.total);
    for row in &rows {
        let what = FAULTS.iter().find(|(kind, _)| *kind == row.kind);
        let what = known(what, &row.kind)?.1;
        faults.add(u64::try_from(row.line).unwrap_or(0), row.number, what);
    }
    let shown = i64::try_from(rows.len()).unwrap_or(total);
    faults.count += u64::try_from(total - shown).unwrap_or(0);
    Ok(())
}

/// Returns the locked payments that are still open and of which a report says something definite.
pub async fn list_decided(
    tx: &mut PgConnection,
    report_id: Uuid,
) -> Result<Vec<(Disbursement, Option<FailureReason>)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT disbursements.id, participation_id, account_id, batch, benefit, instalment, disbursements.amount_minor,
                disbursements.currency, state, staged.failure_reason, due_time, disbursements.attempt,
                disbursement_batch_id, send_time, settle_time
         FROM payment_status_staging AS staged
         JOIN disbursements ON disbursements.id = staged.disbursement_id AND disbursements.attempt = staged.attempt
         WHERE staged.report_id = $1 AND staged.status IN ('SETTLED', 'FAILED')
           AND disbursements.state IN ('SENT', 'UNKNOWN')
         ORDER BY disbursements.id",
        report_id,
    )
    .fetch_all(tx)
    .await?;
    let lines = disbursements(rows)?;
    Ok(lines
        .into_iter()
        .map(|mut line| {
            // What is said, which the row itself does not know yet.
            let reason = line.failure_reason.take();
            (line, reason)
        })
        .collect())
}

/// Counts the staged payments of a report: those of which nothing definite is said, and the others.
pub async fn count_staged(
    tx: &mut PgConnection,
    report_id: Uuid,
) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE status = 'PENDING') AS "pending!",
                  count(*) FILTER (WHERE status <> 'PENDING') AS "definite!"
           FROM payment_status_staging
           WHERE report_id = $1"#,
        report_id,
    )
    .fetch_one(tx)
    .await?;
    Ok((row.pending, row.definite))
}

/// Adds a report. Another one of the same bytes breaks `payment_status_reports_content_hash_key`.
pub async fn insert_report(
    tx: &mut PgConnection,
    new: &PaymentStatusReport,
    content_hash: &[u8; 32],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO payment_status_reports
            (id, disbursement_batch_id, message_id, content_hash, settled_count, failed_count, pending_count,
             repeated_count, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        new.id,
        new.disbursement_batch_id,
        new.message_id,
        content_hash,
        new.settled_count,
        new.failed_count,
        new.pending_count,
        new.repeated_count,
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the report of the same bytes, or of the same id at the bank, and whether its bytes are the same.
pub async fn find_report(
    connection: &mut PgConnection,
    content_hash: &[u8; 32],
    message_id: &str,
) -> Result<Option<(PaymentStatusReport, bool)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT id, disbursement_batch_id, message_id, settled_count, failed_count, pending_count, repeated_count,
                  create_time, content_hash = $1 AS "is_same!"
           FROM payment_status_reports
           WHERE content_hash = $1 OR message_id = $2
           ORDER BY content_hash = $1 DESC
           LIMIT 1"#,
        content_hash,
        message_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let report = PaymentStatusReport {
            id: row.id,
            disbursement_batch_id: row.disbursement_batch_id,
            message_id: row.message_id,
            settled_count: row.settled_count,
            failed_count: row.failed_count,
            pending_count: row.pending_count,
            repeated_count: row.repeated_count,
            create_time: row.create_time,
        };
        (report, row.is_same)
    }))
}
