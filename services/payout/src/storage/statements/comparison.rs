//! The comparison of a staged statement with the payments and with the statements before it, in one statement of SQL.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::reconciliation::{DAYS_AFTER, DAYS_BEFORE};

/// What a comparison needs beside the statement's own row.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The statement.
    pub statement_id: Uuid,
    /// What the statement before closes with.
    pub previous_closing_minor: Option<i64>,
    /// What the statement after opens with, if it was imported before.
    pub next_opening_minor: Option<i64>,
    /// Whether what is not in it is missing.
    pub is_complete: bool,
    /// How far the bank's days are ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// How many entries agree.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Entries without a finding.
    pub matched: i64,
    /// Other credits that are none of our business.
    pub unrelated: i64,
}

/// Lets the planner know how large the statement is.
pub async fn analyze(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("ANALYZE statement_staging")
        .execute(tx)
        .await?;
    Ok(())
}

/// Locks the payments that money came back of, and before them the funds of their participations, so that a reversal or a
/// return at the same time is either seen by the comparison or comes after it.
pub async fn lock_credited(tx: &mut PgConnection, statement_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"SELECT count(*) AS "count!"
           FROM (
               SELECT FROM participation_funds
               WHERE participation_id IN (
                   SELECT participation_id
                   FROM statement_staging AS staged
                   JOIN disbursements ON disbursements.id = staged.disbursement_id
                   WHERE staged.statement_id = $1 AND is_credit
               )
               ORDER BY participation_id
               FOR NO KEY UPDATE
           ) AS locked"#,
        statement_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        r#"SELECT count(*) AS "count!"
           FROM (
               SELECT FROM disbursements
               WHERE id IN (
                   SELECT disbursement_id FROM statement_staging WHERE statement_id = $1 AND is_credit
               )
               ORDER BY id
               FOR NO KEY UPDATE
           ) AS locked"#,
        statement_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Compares a staged statement, writes the findings and returns the counts. The entries of this statement are not kept
/// yet: `statement_entries` are those of the statements before.
pub async fn compare(tx: &mut PgConnection, comparison: Comparison) -> Result<Counts, sqlx::Error> {
    // Of an entry's rules several may hold. The row is that of the order which the reference names: the one in hand, or an
    // earlier one, which has failed or was reversed.
    sqlx::query_as!(
        Counts,
        r#"WITH compared AS MATERIALIZED (
               SELECT staged.entry_number, staged.is_credit, staged.is_return, staged.amount_minor, staged.booking_date,
                      staged.bank_reference, staged.reference, staged.return_reason, statements.currency,
                      payments.id AS disbursement_id, payments.amount_minor AS expected_minor,
                      payments.currency AS expected_currency, payments.state,
                      reversals.settle_time IS NOT NULL
                          OR payments.attempt = staged.attempt AND payments.state = 'SETTLED' AS is_paid,
                      reversals.settle_time IS NULL AND payments.attempt = staged.attempt AS is_current,
                      ((coalesce(
                          reversals.settle_time, CASE WHEN payments.attempt = staged.attempt THEN payments.settle_time END,
                          CASE WHEN payments.attempt = staged.attempt THEN payments.send_time END
                      ) AT TIME ZONE 'UTC') + make_interval(mins => $4))::date AS paid_date,
                      ((coalesce(
                          CASE WHEN payments.attempt = staged.attempt THEN payments.send_time END, reversals.settle_time
                      ) AT TIME ZONE 'UTC') + make_interval(mins => $4))::date AS send_date,
                      staged.disbursement_id IS NOT NULL AND (
                          row_number() OVER (
                              PARTITION BY staged.disbursement_id, staged.attempt, staged.is_credit
                              ORDER BY staged.entry_number
                          ) > 1
                          OR EXISTS (
                              SELECT FROM statement_entries AS earlier
                              WHERE earlier.disbursement_id = staged.disbursement_id
                                AND earlier.attempt = staged.attempt
                                AND earlier.is_credit = staged.is_credit
                                AND earlier.is_notification = statements.is_notification
                          )
                      ) AS is_again,
                      EXISTS (
                          SELECT FROM statement_entries AS earlier
                          WHERE earlier.bank_reference = staged.bank_reference
                            AND earlier.is_notification = statements.is_notification
                      ) AS is_bank_reference_known
               FROM statement_staging AS staged
               JOIN statements ON statements.id = staged.statement_id
               LEFT JOIN disbursements AS payments
                   ON payments.id = staged.disbursement_id AND staged.attempt BETWEEN 1 AND payments.attempt
               LEFT JOIN disbursement_reversals AS reversals
                   ON reversals.disbursement_id = payments.id AND reversals.attempt = staged.attempt
               WHERE staged.statement_id = $1
           ),
           differing AS MATERIALIZED (
               SELECT compared.*, rule.place, rule.kind
               FROM compared
               CROSS JOIN LATERAL (
                   VALUES
                       (1, 'UNKNOWN_REFERENCE',
                        disbursement_id IS NULL AND reference IS NOT NULL AND (NOT is_credit OR is_return)),
                       (2, 'REFERENCE_MISSING',
                        disbursement_id IS NULL AND reference IS NULL AND (NOT is_credit OR is_return)),
                       (3, 'DOUBLE_ENTRY', disbursement_id IS NOT NULL AND NOT is_credit AND is_again),
                       (4, 'WRONG_AMOUNT', expected_currency = currency AND expected_minor <> amount_minor),
                       (5, 'WRONG_CURRENCY', expected_currency <> currency),
                       (6, 'WRONG_DATE',
                        NOT is_credit AND is_paid
                        AND (booking_date < send_date - $5::integer OR booking_date > paid_date + $6::integer)),
                       (7, 'NOT_SETTLED',
                        disbursement_id IS NOT NULL AND NOT is_credit AND NOT is_paid
                        AND NOT (is_current AND state IN ('SENT', 'UNKNOWN'))),
                       (8, 'OUTCOME_UNKNOWN', NOT is_credit AND is_current AND state IN ('SENT', 'UNKNOWN')),
                       (9, 'RETURNED',
                        is_credit AND is_current AND is_paid AND NOT is_again
                        AND expected_currency = currency AND expected_minor = amount_minor),
                       (10, 'RETURNED_TWICE', disbursement_id IS NOT NULL AND is_credit AND is_again),
                       (11, 'RETURNED_UNPAID',
                        disbursement_id IS NOT NULL AND is_credit AND NOT is_paid AND NOT is_again),
                       (12, 'BANK_REFERENCE_REUSED', is_bank_reference_known)
               ) AS rule (place, kind, holds)
               WHERE rule.holds
           ),
           missing AS (
               SELECT payments.id, payments.attempt, payments.amount_minor, payments.currency, payments.state,
                      ((payments.settle_time AT TIME ZONE 'UTC') + make_interval(mins => $4))::date AS paid_date
               FROM statements
               JOIN disbursements AS payments
                   ON payments.state = 'SETTLED'
                  AND payments.settle_time >= (statements.start_date - make_interval(mins => $4)) AT TIME ZONE 'UTC'
                  AND payments.settle_time < (statements.end_date + 1 - make_interval(mins => $4)) AT TIME ZONE 'UTC'
               WHERE statements.id = $1
                 AND $3
                 AND NOT EXISTS (
                     SELECT FROM statement_staging AS staged
                     WHERE staged.statement_id = $1 AND NOT staged.is_credit
                       AND staged.disbursement_id = payments.id AND staged.attempt = payments.attempt
                 )
                 -- What a notification has told, the statement of the day has to tell again.
                 AND NOT EXISTS (
                     SELECT FROM statement_entries AS earlier
                     WHERE NOT earlier.is_credit
                       AND earlier.disbursement_id = payments.id AND earlier.attempt = payments.attempt
                       AND (statements.is_notification OR NOT earlier.is_notification)
                 )
           ),
           written AS (
               INSERT INTO findings
                   (statement_id, finding_number, kind, entry_number, disbursement_id, reference, bank_reference,
                    expected_minor, expected_currency, actual_minor, actual_currency, expected_date, actual_date, state,
                    return_reason)
               SELECT $1, row_number() OVER (ORDER BY entry_number NULLS LAST, place, disbursement_id), kind, entry_number,
                      disbursement_id, reference, bank_reference, expected_minor, expected_currency, actual_minor,
                      actual_currency, expected_date, actual_date, state, return_reason
               FROM (
                   SELECT kind, entry_number, disbursement_id, reference, bank_reference, expected_minor,
                          expected_currency, amount_minor, currency, paid_date, booking_date, state, return_reason, place
                   FROM differing
                   UNION ALL
                   SELECT 'MISSING_AT_BANK', NULL, id,
                          replace(id::text, '-', '') || CASE attempt WHEN 1 THEN '' ELSE '-' || attempt END, NULL,
                          amount_minor, currency, NULL, NULL, paid_date, NULL, state, NULL, 13
                   FROM missing
                   UNION ALL
                   SELECT 'BALANCE_BROKEN', NULL, NULL, NULL, NULL, $2::bigint, currency, opening_minor, currency, NULL,
                          start_date, NULL, NULL, 14
                   FROM statements
                   WHERE id = $1 AND opening_minor <> $2
                   UNION ALL
                   SELECT 'BALANCE_BROKEN', NULL, NULL, NULL, NULL, $7::bigint, currency, closing_minor, currency, NULL,
                          end_date, NULL, NULL, 15
                   FROM statements
                   WHERE id = $1 AND closing_minor <> $7
               ) AS sorted (kind, entry_number, disbursement_id, reference, bank_reference, expected_minor,
                            expected_currency, actual_minor, actual_currency, expected_date, actual_date, state,
                            return_reason, place)
           ),
           unrelated AS (
               SELECT count(*) AS count
               FROM compared
               WHERE disbursement_id IS NULL AND is_credit AND NOT is_return AND NOT is_bank_reference_known
           )
           SELECT (SELECT count(*) FROM compared) - (SELECT count(DISTINCT entry_number) FROM differing)
                      - unrelated.count AS "matched!",
                  unrelated.count AS "unrelated!"
           FROM unrelated"#,
        comparison.statement_id,
        comparison.previous_closing_minor,
        comparison.is_complete,
        comparison.utc_offset_minutes,
        DAYS_BEFORE,
        DAYS_AFTER,
        comparison.next_opening_minor,
    )
    .fetch_one(tx)
    .await
}

/// Makes the inquiries of those payments due that the statement speaks of and that have no clear answer. About payments by
/// file nobody can be asked.
pub async fn make_inquiries_due(
    tx: &mut PgConnection,
    statement_id: Uuid,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET next_inquiry_time = $2
         FROM findings
         WHERE findings.statement_id = $1 AND findings.kind IN ('OUTCOME_UNKNOWN', 'RETURNED_UNPAID')
           AND disbursements.id = findings.disbursement_id
           AND disbursements.state IN ('SENT', 'UNKNOWN') AND NOT disbursements.by_file
           AND disbursements.next_inquiry_time > $2",
        statement_id,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
