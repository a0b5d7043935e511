//! The workers' part of `disbursements`: orders to be sent, orders to be asked about, and what became of them.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Row, disbursements};
use crate::domain::{
    disbursement::{Disbursement, DisbursementState},
    rail::FailureReason,
};

/// Claims approved payments that do not go by file as SENT, each to the account that is in force now. `next_inquiry_time`
/// is when they are asked about if nobody ever tells how the call went. Those of frozen participations, and of persons
/// whose payee account is not active, stay as they are.
pub async fn claim_approved(
    tx: &mut PgConnection,
    limit: i64,
    now: OffsetDateTime,
    next_inquiry_time: OffsetDateTime,
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "WITH claimed AS (
             SELECT disbursements.id, payee.id AS payee_account_id
             FROM disbursements
             JOIN participation_funds AS funds ON funds.participation_id = disbursements.participation_id
             JOIN payee_accounts AS payee
                ON payee.account_id = disbursements.account_id AND payee.replace_time IS NULL AND payee.state = 'ACTIVE'
             WHERE disbursements.state = 'APPROVED' AND NOT by_file AND funds.freeze_time IS NULL
             ORDER BY disbursements.id
             LIMIT $1
             -- Also the funds: a freeze that was committed before is seen under their lock, and a later one waits.
             FOR NO KEY UPDATE OF disbursements, funds SKIP LOCKED
         )
         UPDATE disbursements
         SET state = 'SENT', send_time = $2, next_inquiry_time = $3, inquiry_count = 0,
             payee_account_id = claimed.payee_account_id
         FROM claimed
         WHERE disbursements.id = claimed.id
         RETURNING disbursements.id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency,
                   state, failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time",
        limit,
        now,
        next_inquiry_time,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Says whether anything is to be sent that is not frozen and has somewhere to go.
pub async fn has_approved(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM disbursements
               JOIN participation_funds AS funds ON funds.participation_id = disbursements.participation_id
               JOIN payee_accounts AS payee
                  ON payee.account_id = disbursements.account_id AND payee.replace_time IS NULL AND payee.state = 'ACTIVE'
               WHERE disbursements.state = 'APPROVED' AND NOT by_file AND funds.freeze_time IS NULL
           ) AS "exists!""#
    )
    .fetch_one(connection)
    .await
}

/// An order whose inquiry is due.
#[derive(Clone, Debug)]
pub struct DueInquiry {
    /// Its id.
    pub id: Uuid,
    /// How often the rail was asked already.
    pub inquiry_count: i32,
    /// When the order was last sent.
    pub send_time: OffsetDateTime,
}

/// Locks orders whose inquiry is due, the longest due first: without a clear answer, also those still SENT, whose process
/// must have died in the call; and settled ones that the rail may have taken back. Of payments by file it knows nothing.
pub async fn lock_due_inquiries(
    tx: &mut PgConnection,
    limit: i64,
    now: OffsetDateTime,
) -> Result<Vec<DueInquiry>, sqlx::Error> {
    sqlx::query_as!(
        DueInquiry,
        r#"SELECT id, inquiry_count, send_time AS "send_time!"
           FROM disbursements
           WHERE next_inquiry_time <= $2 AND NOT by_file
           ORDER BY next_inquiry_time, id
           LIMIT $1
           FOR NO KEY UPDATE SKIP LOCKED"#,
        limit,
        now,
    )
    .fetch_all(tx)
    .await
}

/// Marks locked orders as asked about once more and, unless they are settled, as UNKNOWN; returns them.
pub async fn set_asked(
    tx: &mut PgConnection,
    orders: &[(Uuid, OffsetDateTime)],
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let ids: Vec<Uuid> = orders.iter().map(|(id, _)| *id).collect();
    let times: Vec<OffsetDateTime> = orders.iter().map(|(_, time)| *time).collect();
    let rows = sqlx::query_as!(
        Row,
        "UPDATE disbursements
         SET state = CASE state WHEN 'SETTLED' THEN state ELSE 'UNKNOWN' END,
             inquiry_count = inquiry_count + 1,
             next_inquiry_time = new.next_inquiry_time
         FROM unnest($1::uuid[], $2::timestamptz[]) AS new (id, next_inquiry_time)
         WHERE disbursements.id = new.id
         RETURNING disbursements.id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency,
                   state, failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time",
        &ids,
        &times,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Marks orders that the rail does not know as SENT once more, under the same reference, and returns those that nobody
/// else has decided meanwhile and whose participation is not frozen. The caller has locked the participations' funds.
pub async fn set_resent(
    tx: &mut PgConnection,
    orders: &[(Uuid, i32)],
    now: OffsetDateTime,
    next_inquiry_time: OffsetDateTime,
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let ids: Vec<Uuid> = orders.iter().map(|(id, _)| *id).collect();
    let attempts: Vec<i32> = orders.iter().map(|(_, attempt)| *attempt).collect();
    let rows = sqlx::query_as!(
        Row,
        "UPDATE disbursements
         SET state = 'SENT', send_time = $3, next_inquiry_time = $4, inquiry_count = 0
         FROM unnest($1::uuid[], $2::integer[]) AS old (id, attempt), participation_funds AS funds
         WHERE disbursements.id = old.id AND disbursements.attempt = old.attempt AND disbursements.state = 'UNKNOWN'
           AND funds.participation_id = disbursements.participation_id
           AND funds.freeze_time IS NULL
         RETURNING disbursements.id, disbursements.participation_id, disbursements.account_id, disbursements.batch, benefit,
                   instalment, amount_minor, disbursements.currency, state, failure_reason, due_time,
                   disbursements.attempt, disbursement_batch_id, send_time, settle_time",
        &ids,
        &attempts,
        now,
        next_inquiry_time,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Counts the payments of participations that may have arrived, or still may: they are out of our hands.
pub async fn count_sent(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM disbursements
           WHERE participation_id = ANY($1::uuid[]) AND state IN ('SENT', 'UNKNOWN')"#,
        participation_ids,
    )
    .fetch_one(tx)
    .await
}

/// Where an order goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The payment.
    pub disbursement_id: Uuid,
    /// The row of the payee account.
    pub payee_account_id: Uuid,
    /// The channel's code.
    pub channel: String,
    /// Number and holder, encrypted.
    pub sealed: Vec<u8>,
}

/// Returns where sent orders go.
pub async fn find_destinations(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Destination>, sqlx::Error> {
    sqlx::query_as!(
        Destination,
        "SELECT disbursements.id AS disbursement_id, payee.id AS payee_account_id, payee.channel, payee.sealed
         FROM disbursements
         JOIN payee_accounts AS payee ON payee.id = disbursements.payee_account_id
         WHERE disbursements.id = ANY($1::uuid[])",
        ids,
    )
    .fetch_all(connection)
    .await
}

/// Locks orders that are still SENT or UNKNOWN, or were settled meanwhile, in the same attempt.
pub async fn lock_sent(
    tx: &mut PgConnection,
    orders: &[(Uuid, i32)],
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let ids: Vec<Uuid> = orders.iter().map(|(id, _)| *id).collect();
    let attempts: Vec<i32> = orders.iter().map(|(_, attempt)| *attempt).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT disbursements.id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, disbursements.attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         JOIN unnest($1::uuid[], $2::integer[]) AS asked (id, attempt)
            ON asked.id = disbursements.id AND asked.attempt = disbursements.attempt
         WHERE state IN ('SENT', 'UNKNOWN', 'SETTLED')
         ORDER BY disbursements.id
         FOR NO KEY UPDATE OF disbursements",
        &ids,
        &attempts,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// What a locked order becomes.
#[derive(Clone, Debug)]
pub struct OrderChange {
    /// The payment.
    pub id: Uuid,
    /// SETTLED, FAILED, CANCELLED when its money was refunded, UNKNOWN or, when nothing was sent, APPROVED.
    pub state: DisbursementState,
    /// For FAILED and CANCELLED: why.
    pub failure_reason: Option<FailureReason>,
    /// For FAILED: from when it is tried again by itself.
    pub retry_time: Option<OffsetDateTime>,
}

/// Writes what locked orders have become.
pub async fn update_all(
    tx: &mut PgConnection,
    changes: &[OrderChange],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = changes.iter().map(|change| change.id).collect();
    let states: Vec<&str> = changes.iter().map(|change| change.state.as_str()).collect();
    let reasons: Vec<Option<&str>> = changes
        .iter()
        .map(|change| change.failure_reason.map(FailureReason::as_str))
        .collect();
    let retry_times: Vec<Option<OffsetDateTime>> =
        changes.iter().map(|change| change.retry_time).collect();
    sqlx::query!(
        "UPDATE disbursements
         SET state = new.state,
             failure_reason = new.failure_reason,
             retry_time = new.retry_time,
             settle_time = CASE WHEN new.state = 'SETTLED' THEN coalesce(settle_time, $5::timestamptz) END,
             next_inquiry_time = CASE WHEN new.state = 'UNKNOWN' THEN next_inquiry_time END
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
            AS new (id, state, failure_reason, retry_time)
         WHERE disbursements.id = new.id",
        &ids,
        &states as &[&str],
        &reasons as &[Option<&str>],
        &retry_times as &[Option<OffsetDateTime>],
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What the rail tells of an order without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The payment.
    pub disbursement_id: Uuid,
    /// Which of its orders.
    pub attempt: i32,
    /// Whether it says that the payee has the money.
    pub is_paid: bool,
}

/// Makes the inquiries due that notices give a reason for: of orders without a clear answer, and of settled ones that are
/// said to be anything but paid. Returns the orders that are known. The same notices again find nothing left to do.
pub async fn hasten_inquiries(
    tx: &mut PgConnection,
    notices: &[Notice],
    now: OffsetDateTime,
) -> Result<HashSet<(Uuid, i32)>, sqlx::Error> {
    let ids: Vec<Uuid> = notices.iter().map(|it| it.disbursement_id).collect();
    let attempts: Vec<i32> = notices.iter().map(|it| it.attempt).collect();
    let paid: Vec<bool> = notices.iter().map(|it| it.is_paid).collect();
    let rows = sqlx::query!(
        r#"WITH told AS (
               SELECT id, attempt, bool_and(is_paid) AS is_paid
               FROM unnest($1::uuid[], $2::integer[], $3::boolean[]) AS notices (id, attempt, is_paid)
               GROUP BY id, attempt
           ), known AS (
               SELECT disbursements.id, told.attempt, told.is_paid
               FROM disbursements
               JOIN told ON told.id = disbursements.id AND told.attempt <= disbursements.attempt
               ORDER BY disbursements.id
               FOR NO KEY UPDATE OF disbursements
           ), hastened AS (
               UPDATE disbursements
               SET next_inquiry_time = $4
               FROM known
               WHERE disbursements.id = known.id
                 AND disbursements.attempt = known.attempt
                 AND NOT by_file
                 AND (state IN ('SENT', 'UNKNOWN') OR state = 'SETTLED' AND NOT known.is_paid)
                 AND (next_inquiry_time IS NULL OR next_inquiry_time > $4)
           )
           SELECT id AS "id!", attempt AS "attempt!" FROM known"#,
        &ids,
        &attempts,
        &paid,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.attempt)).collect())
}

/// Gives those failed payments another attempt, under a new reference, whose time to be tried again has come and whose
/// money is still there.
pub async fn revive_due(tx: &mut PgConnection, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'READY', attempt = attempt + 1, failure_reason = NULL, retry_time = NULL,
             disbursement_batch_id = NULL, by_file = false, payee_account_id = NULL, send_time = NULL, inquiry_count = 0
         FROM participation_funds AS funds
         WHERE disbursements.retry_time <= $1
           AND disbursements.state = 'FAILED'
           AND funds.participation_id = disbursements.participation_id
           AND funds.return_time IS NULL",
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives those failed payments another attempt, under a new reference, whose person has linked another account since they
/// were sent, and whose money is still there; but not to those that stand still.
pub async fn revive_replaced(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'READY', attempt = attempt + 1, failure_reason = NULL, retry_time = NULL,
             disbursement_batch_id = NULL, by_file = false, payee_account_id = NULL, send_time = NULL, inquiry_count = 0
         FROM participation_funds AS funds, payee_accounts AS payee
         WHERE disbursements.id = ANY($1::uuid[])
           AND disbursements.state = 'FAILED'
           AND disbursements.failure_reason <> ALL($2::text[])
           AND funds.participation_id = disbursements.participation_id
           AND funds.return_time IS NULL
           AND payee.id = disbursements.payee_account_id
           AND payee.replace_time IS NOT NULL",
        ids,
        &FailureReason::frozen_names() as &[&str],
    )
    .execute(tx)
    .await?;
    Ok(())
}
