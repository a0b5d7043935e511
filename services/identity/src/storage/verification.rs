//! The queue of PENDING persons in the table `persons`: claimed, answered for, or given back.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::person::MismatchField;

/// A person that the registry is to be asked about, as stored.
pub struct ClaimedRow {
    /// Whose.
    pub account_id: Uuid,
    /// Which of the account's submissions.
    pub submission_number: i32,
    /// How often the registry gave no answer.
    pub attempt_count: i32,
    /// The encrypted submission.
    pub sealed_identity: Vec<u8>,
    /// The encrypted facts.
    pub sealed_facts: Vec<u8>,
    /// The wrapped key to both.
    pub wrapped_key: Vec<u8>,
}

/// Takes up to `limit` persons whose turn it is, the longest waiting first, and keeps them from other workers until
/// `lease_end`.
pub async fn claim(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    lease_end: OffsetDateTime,
    limit: i64,
) -> Result<Vec<ClaimedRow>, sqlx::Error> {
    sqlx::query_as!(
        ClaimedRow,
        "WITH due AS (
             SELECT account_id, wrapped_key
             FROM persons
             JOIN person_keys USING (account_id)
             WHERE state = 'PENDING' AND next_attempt_time <= $1
             ORDER BY next_attempt_time
             LIMIT $3
             FOR UPDATE OF persons SKIP LOCKED
         )
         UPDATE persons
         SET next_attempt_time = $2
         FROM due
         WHERE persons.account_id = due.account_id
         RETURNING persons.account_id, submission_number, attempt_count, sealed_identity, sealed_facts,
             due.wrapped_key",
        now,
        lease_end,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Waits for a snapshot of an exclusion list that takes effect, and keeps others from it until the transaction ends. To be
/// called before any row is locked. Side by side with one another, answers do not wait.
pub async fn hold_off_snapshots(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock_shared(hashtextextended('snapshots', 0))")
        .fetch_one(tx)
        .await?;
    Ok(())
}

/// What the registry confirmed about one submission.
pub struct VerifiedRow {
    /// Whose.
    pub account_id: Uuid,
    /// Which of the account's submissions.
    pub submission_number: i32,
    /// The encrypted facts, those of the registry now among them.
    pub sealed_facts: Vec<u8>,
    /// The household's pseudonym.
    pub household: Option<[u8; 16]>,
}

/// Makes persons VERIFIED and returns those that still waited for this answer.
pub async fn update_verified(
    tx: &mut PgConnection,
    rows: &[VerifiedRow],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.account_id).collect();
    let numbers: Vec<i32> = rows.iter().map(|row| row.submission_number).collect();
    let facts: Vec<Vec<u8>> = rows.iter().map(|row| row.sealed_facts.clone()).collect();
    let households: Vec<Option<Vec<u8>>> = rows
        .iter()
        .map(|row| row.household.map(Vec::from))
        .collect();
    sqlx::query_scalar!(
        "UPDATE persons
         SET state = 'VERIFIED', sealed_facts = answer.sealed_facts, household = answer.household,
             verify_time = $5, next_attempt_time = NULL
         FROM unnest($1::uuid[], $2::integer[], $3::bytea[], $4::bytea[])
             AS answer (account_id, submission_number, sealed_facts, household)
         WHERE persons.account_id = answer.account_id
             AND persons.submission_number = answer.submission_number
             AND state = 'PENDING'
         RETURNING persons.account_id",
        &ids,
        &numbers,
        &facts,
        &households as &[Option<Vec<u8>>],
        now,
    )
    .fetch_all(tx)
    .await
}

/// What the registry contradicted in one submission.
pub struct MismatchedRow {
    /// Whose.
    pub account_id: Uuid,
    /// Which of the account's submissions.
    pub submission_number: i32,
    /// The contradicted fields.
    pub fields: Vec<MismatchField>,
}

/// Makes persons MISMATCHED and returns those that still waited for this answer.
pub async fn update_mismatched(
    tx: &mut PgConnection,
    rows: &[MismatchedRow],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.account_id).collect();
    let numbers: Vec<i32> = rows.iter().map(|row| row.submission_number).collect();
    // Joined, since unnest would flatten arrays of arrays; the names are ours and hold no comma.
    let fields: Vec<String> = rows
        .iter()
        .map(|row| {
            row.fields
                .iter()
                .map(|field| field.name())
                .collect::<Vec<_>>()
                .join(",")
        })
        .collect();
    sqlx::query_scalar!(
        "UPDATE persons
         SET state = 'MISMATCHED', mismatch_fields = string_to_array(answer.fields, ','),
             verify_time = $4, next_attempt_time = NULL
         FROM unnest($1::uuid[], $2::integer[], $3::text[]) AS answer (account_id, submission_number, fields)
         WHERE persons.account_id = answer.account_id
             AND persons.submission_number = answer.submission_number
             AND state = 'PENDING'
         RETURNING persons.account_id",
        &ids,
        &numbers,
        &fields,
        now,
    )
    .fetch_all(tx)
    .await
}

/// When a submission without an answer is asked about again.
pub struct PostponedRow {
    /// Whose.
    pub account_id: Uuid,
    /// Which of the account's submissions.
    pub submission_number: i32,
    /// How often the registry gave no answer.
    pub attempt_count: i32,
    /// When it is asked again.
    pub next_attempt_time: OffsetDateTime,
}

/// Gives persons back to the queue, for a later time.
pub async fn update_postponed(
    tx: &mut PgConnection,
    rows: &[PostponedRow],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.account_id).collect();
    let numbers: Vec<i32> = rows.iter().map(|row| row.submission_number).collect();
    let counts: Vec<i32> = rows.iter().map(|row| row.attempt_count).collect();
    let times: Vec<OffsetDateTime> = rows.iter().map(|row| row.next_attempt_time).collect();
    sqlx::query!(
        "UPDATE persons
         SET attempt_count = later.attempt_count, next_attempt_time = later.next_attempt_time
         FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::timestamptz[])
             AS later (account_id, submission_number, attempt_count, next_attempt_time)
         WHERE persons.account_id = later.account_id
             AND persons.submission_number = later.submission_number
             AND state = 'PENDING'",
        &ids,
        &numbers,
        &counts,
        &times,
    )
    .execute(tx)
    .await?;
    Ok(())
}
