//! The tables `statements`, `statement_entries`, `statement_staging` and `findings`. `statements/comparison.rs` compares.

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{currency, known, money};
use crate::domain::{
    disbursement::parse_reference,
    reconciliation::{Finding, FindingKind, Reconciliation},
    statement::{Direction, Entry, Format, Statement},
};

pub mod comparison;

/// Stages entries of a file that is being read. Nothing else sees them.
pub async fn stage(
    connection: &mut PgConnection,
    statement_id: Uuid,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    let orders: Vec<Option<(Uuid, i32)>> = entries
        .iter()
        .map(|entry| entry.reference.as_deref().and_then(parse_reference))
        .collect();
    let numbers: Vec<i64> = entries.iter().map(|entry| entry.number).collect();
    let credits: Vec<bool> = entries
        .iter()
        .map(|entry| entry.direction == Direction::Credit)
        .collect();
    let amounts: Vec<i64> = entries.iter().map(|entry| entry.amount_minor).collect();
    let booking_dates: Vec<Date> = entries.iter().map(|entry| entry.booking_date).collect();
    let value_dates: Vec<Date> = entries.iter().map(|entry| entry.value_date).collect();
    let bank_references: Vec<Option<&str>> = entries
        .iter()
        .map(|entry| entry.bank_reference.as_deref())
        .collect();
    let references: Vec<Option<&str>> = entries
        .iter()
        .map(|entry| entry.reference.as_deref())
        .collect();
    let ids: Vec<Option<Uuid>> = orders.iter().map(|order| order.map(|(id, _)| id)).collect();
    let attempts: Vec<Option<i32>> = orders
        .iter()
        .map(|order| order.map(|(_, attempt)| attempt))
        .collect();
    let returns: Vec<bool> = entries.iter().map(|entry| entry.is_return).collect();
    let reasons: Vec<Option<&str>> = entries
        .iter()
        .map(|entry| entry.return_reason.as_deref())
        .collect();
    sqlx::query!(
        "INSERT INTO statement_staging
            (statement_id, entry_number, is_credit, amount_minor, booking_date, value_date, bank_reference, reference,
             disbursement_id, attempt, is_return, return_reason)
         SELECT $1, entry_number, is_credit, amount_minor, booking_date, value_date, bank_reference, reference,
                disbursement_id, attempt, is_return, return_reason
         FROM unnest($2::bigint[], $3::boolean[], $4::bigint[], $5::date[], $6::date[], $7::text[], $8::text[],
                     $9::uuid[], $10::integer[], $11::boolean[], $12::text[])
            AS new (entry_number, is_credit, amount_minor, booking_date, value_date, bank_reference, reference,
                    disbursement_id, attempt, is_return, return_reason)",
        statement_id,
        &numbers,
        &credits,
        &amounts,
        &booking_dates,
        &value_dates,
        &bank_references as &[Option<&str>],
        &references as &[Option<&str>],
        &ids as &[Option<Uuid>],
        &attempts as &[Option<i32>],
        &returns,
        &reasons as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the staged entries of a file.
pub async fn unstage(connection: &mut PgConnection, statement_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM statement_staging WHERE statement_id = $1",
        statement_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the staged entries of files whose reading began before this id was made: their process has died.
pub async fn unstage_older(connection: &mut PgConnection, before: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM statement_staging WHERE statement_id < $1",
        before
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Waits for other imports to end, lifts the limits of time from the transaction, and gives it memory to join a statement
/// in.
pub async fn lock(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT set_config('statement_timeout', '0', true) AS statement,
                set_config('idle_in_transaction_session_timeout', '0', true) AS idle,
                set_config('work_mem', '64MB', true) AS memory",
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('statements', 0))")
        .fetch_one(tx)
        .await?;
    Ok(())
}

/// Returns the id of the statement that these bytes are.
pub async fn find_by_content(
    connection: &mut PgConnection,
    content_hash: &[u8; 32],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM statements WHERE content_hash = $1",
        content_hash.as_slice(),
    )
    .fetch_optional(connection)
    .await
}

/// Returns the id of the statement of this reference.
pub async fn find_by_reference(
    connection: &mut PgConnection,
    statement: &Statement,
    format: Format,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM statements
         WHERE account_number = $1 AND is_notification = $2 AND statement_reference = $3",
        statement.account_number,
        format.is_notification(),
        statement.reference,
    )
    .fetch_optional(connection)
    .await
}

/// The statement before another one.
#[derive(Clone, Copy, Debug)]
pub struct Previous {
    /// Its last day.
    pub end_date: Date,
    /// What it closes with.
    pub closing_minor: i64,
}

/// Returns what the oldest statement of an account that ends after this day opens with: it was imported out of order.
pub async fn find_next_opening(
    connection: &mut PgConnection,
    account_number: &str,
    end_date: Date,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT opening_minor AS "opening_minor!"
           FROM statements
           WHERE account_number = $1 AND NOT is_notification AND end_date > $2
           ORDER BY end_date, id
           LIMIT 1"#,
        account_number,
        end_date,
    )
    .fetch_optional(connection)
    .await
}

/// Returns the newest statement of an account that ends on this day or before.
pub async fn find_previous(
    connection: &mut PgConnection,
    account_number: &str,
    end_date: Date,
) -> Result<Option<Previous>, sqlx::Error> {
    sqlx::query_as!(
        Previous,
        r#"SELECT end_date, closing_minor AS "closing_minor!"
           FROM statements
           WHERE account_number = $1 AND NOT is_notification AND end_date <= $2
           ORDER BY end_date DESC, id DESC
           LIMIT 1"#,
        account_number,
        end_date,
    )
    .fetch_optional(connection)
    .await
}

/// Adds a statement without its counts.
pub async fn insert(
    tx: &mut PgConnection,
    id: Uuid,
    format: Format,
    content_hash: &[u8; 32],
    statement: &Statement,
    start_date: Date,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let [opening, closing] = statement
        .balances
        .map_or([None; 2], |balances| balances.map(Some));
    sqlx::query!(
        "INSERT INTO statements
            (id, format, content_hash, statement_reference, account_number, currency, is_notification, start_date, end_date,
             opening_minor, closing_minor, entry_count, matched_count, unrelated_count, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, $13)",
        id,
        format.as_str(),
        content_hash.as_slice(),
        statement.reference,
        statement.account_number,
        statement.currency.code(),
        format.is_notification(),
        start_date,
        statement.end_date,
        opening,
        closing,
        statement.entry_count,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the counts of a statement that was compared.
pub async fn set_counts(
    tx: &mut PgConnection,
    id: Uuid,
    matched_count: i64,
    unrelated_count: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE statements SET matched_count = $2, unrelated_count = $3 WHERE id = $1",
        id,
        matched_count,
        unrelated_count,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Keeps the staged entries of a statement for good, and returns how many.
pub async fn keep_entries(tx: &mut PgConnection, id: Uuid) -> Result<i64, sqlx::Error> {
    let kept = sqlx::query!(
        "INSERT INTO statement_entries
            (statement_id, entry_number, is_notification, is_credit, amount_minor, booking_date, value_date,
             bank_reference, reference, disbursement_id, attempt, is_return, return_reason)
         SELECT statements.id, entry_number, is_notification, is_credit, amount_minor, booking_date, value_date,
                bank_reference, reference, disbursement_id, attempt, is_return, return_reason
         FROM statement_staging AS staged
         JOIN statements ON statements.id = staged.statement_id
         WHERE statements.id = $1
         ORDER BY entry_number",
        id,
    )
    .execute(&mut *tx)
    .await?;
    unstage(tx, id).await?;
    Ok(i64::try_from(kept.rows_affected()).unwrap_or(i64::MAX))
}

struct Row {
    id: Uuid,
    format: String,
    statement_reference: String,
    account_number: String,
    currency: String,
    start_date: Date,
    end_date: Date,
    opening_minor: Option<i64>,
    closing_minor: Option<i64>,
    entry_count: i64,
    matched_count: i64,
    unrelated_count: i64,
    create_time: OffsetDateTime,
    kinds: Vec<String>,
    counts: Vec<i64>,
}

impl TryFrom<Row> for Reconciliation {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Reconciliation, sqlx::Error> {
        let amount =
            |minor: Option<i64>| minor.map(|minor| money(minor, &row.currency)).transpose();
        let mut kind_counts = row
            .kinds
            .iter()
            .zip(row.counts)
            .map(|(kind, count)| Ok((known(FindingKind::parse(kind), kind)?, count)))
            .collect::<Result<Vec<_>, sqlx::Error>>()?;
        kind_counts
            .sort_by_key(|(kind, _)| FindingKind::ALL.iter().position(|other| other == kind));
        Ok(Reconciliation {
            id: row.id,
            format: known(Format::parse(&row.format), &row.format)?,
            opening: amount(row.opening_minor)?,
            closing: amount(row.closing_minor)?,
            currency: currency(&row.currency)?,
            statement_reference: row.statement_reference,
            account_number: row.account_number,
            start_date: row.start_date,
            end_date: row.end_date,
            entry_count: row.entry_count,
            matched_count: row.matched_count,
            unrelated_count: row.unrelated_count,
            kind_counts,
            create_time: row.create_time,
        })
    }
}

/// Returns the reconciliation of a statement.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Reconciliation>, sqlx::Error> {
    let mut found = list(connection, None, Some(id), 1).await?;
    Ok(found.pop())
}

/// Lists reconciliations by id, which is oldest first; with `only`, that one.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    only: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Reconciliation>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, format, statement_reference, account_number, currency, start_date, end_date, opening_minor,
                  closing_minor, entry_count, matched_count, unrelated_count, create_time,
                  found.kinds AS "kinds!", found.counts AS "counts!"
           FROM statements
           CROSS JOIN LATERAL (
               SELECT coalesce(array_agg(kind), '{}') AS kinds, coalesce(array_agg(count), '{}') AS counts
               FROM (
                   SELECT kind, count(*) AS count FROM findings WHERE statement_id = statements.id GROUP BY kind
               ) AS by_kind
           ) AS found
           WHERE ($1::uuid IS NULL OR id > $1) AND ($2::uuid IS NULL OR id = $2)
           ORDER BY id
           LIMIT $3"#,
        after,
        only,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Reconciliation::try_from).collect()
}

/// Lists the findings of a statement by number.
pub async fn list_findings(
    connection: &mut PgConnection,
    statement_id: Uuid,
    kind: Option<FindingKind>,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<Finding>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT finding_number, kind, entry_number, disbursement_id, reference, bank_reference, expected_minor,
                expected_currency, actual_minor, actual_currency, expected_date, actual_date, state, return_reason
         FROM findings
         WHERE statement_id = $1 AND ($2::text IS NULL OR kind = $2) AND finding_number > $3
         ORDER BY finding_number
         LIMIT $4",
        statement_id,
        kind.map(FindingKind::as_str),
        after.unwrap_or(0),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let amount = |minor: Option<i64>, code: Option<String>| {
        minor
            .zip(code)
            .map(|(minor, code)| money(minor, &code))
            .transpose()
    };
    rows.into_iter()
        .map(|row| {
            Ok(Finding {
                statement_id,
                number: row.finding_number,
                kind: known(FindingKind::parse(&row.kind), &row.kind)?,
                entry_number: row.entry_number,
                disbursement_id: row.disbursement_id,
                reference: row.reference,
                bank_reference: row.bank_reference,
                expected_amount: amount(row.expected_minor, row.expected_currency)?,
                actual_amount: amount(row.actual_minor, row.actual_currency)?,
                expected_date: row.expected_date,
                actual_date: row.actual_date,
                state: row.state,
                return_reason: row.return_reason,
            })
        })
        .collect()
}
