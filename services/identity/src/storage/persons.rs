//! The tables `persons` and `person_keys`, which are written and read together.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::exclusion_lists::list_id;
use crate::{
    domain::{
        exclusion_list::Listing,
        person::{Person, PersonState},
    },
    vault::SealedPerson,
};

/// The index that gives a national id to one account.
pub const NATIONAL_ID_KEY: &str = "persons_national_id_hash_key";

/// The constraint that an identity without an account breaks.
pub const ACCOUNT_FKEY: &str = "persons_account_id_fkey";

/// Returns where a person's verification stands.
pub async fn find(
    connection: &mut PgConnection,
    account_id: Uuid,
) -> Result<Option<Person>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT account_id, state, mismatch_fields, submit_time, verify_time FROM persons WHERE account_id = $1",
        account_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Person {
            account_id: row.account_id,
            state: state(&row.state)?,
            mismatch_fields: row.mismatch_fields,
            submit_time: row.submit_time,
            verify_time: row.verify_time,
        })
    })
    .transpose()
}

/// Returns a person's state and locks the row, if there is one.
pub async fn find_state_for_update(
    tx: &mut PgConnection,
    account_id: Uuid,
) -> Result<Option<PersonState>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT state FROM persons WHERE account_id = $1 FOR UPDATE",
        account_id
    )
    .fetch_optional(tx)
    .await?;
    found.as_deref().map(state).transpose()
}

/// Stores a submission as PENDING, in place of a contradicted one. `false`: another submission of the account was
/// faster.
///
/// # Errors
/// [`NATIONAL_ID_KEY`] when another account holds the id, [`ACCOUNT_FKEY`] when there is no such account.
pub async fn upsert_pending(
    tx: &mut PgConnection,
    account_id: Uuid,
    national_id_hash: &[u8; 32],
    sealed: &SealedPerson,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query_scalar!(
        "WITH person AS (
             INSERT INTO persons (account_id, state, submission_number, national_id_hash, sealed_identity,
                 sealed_facts, mismatch_fields, submit_time, attempt_count, next_attempt_time)
             VALUES ($1, 'PENDING', 1, $2, $3, $4, '{}', $6, 0, $6)
             ON CONFLICT (account_id) DO UPDATE
             SET state = 'PENDING',
                 submission_number = persons.submission_number + 1,
                 national_id_hash = excluded.national_id_hash,
                 sealed_identity = excluded.sealed_identity,
                 sealed_facts = excluded.sealed_facts,
                 household = NULL,
                 mismatch_fields = '{}',
                 submit_time = excluded.submit_time,
                 verify_time = NULL,
                 attempt_count = 0,
                 next_attempt_time = excluded.next_attempt_time
             WHERE persons.state = 'MISMATCHED'
             RETURNING account_id
         )
         INSERT INTO person_keys (account_id, wrapped_key)
         SELECT account_id, $5 FROM person
         ON CONFLICT (account_id) DO UPDATE SET wrapped_key = excluded.wrapped_key
         RETURNING account_id",
        account_id,
        national_id_hash,
        &sealed.identity,
        &sealed.facts,
        &sealed.wrapped_key,
        now,
    )
    .fetch_optional(tx)
    .await?;
    Ok(stored.is_some())
}

/// What is known of an account's person, as stored.
pub struct FactsRow {
    /// Whose.
    pub account_id: Uuid,
    /// The person; `None` when the account submitted no identity, or it was erased.
    pub person: Option<SealedFactsRow>,
}

/// The stored facts of a person.
pub struct SealedFactsRow {
    /// The state of the verification.
    pub state: PersonState,
    /// The household's pseudonym.
    pub household: Option<Vec<u8>>,
    /// The encrypted facts.
    pub sealed_facts: Vec<u8>,
    /// The wrapped key to them.
    pub wrapped_key: Vec<u8>,
    /// When the identity was submitted.
    pub submit_time: OffsetDateTime,
    /// When the registry answered.
    pub verify_time: Option<OffsetDateTime>,
    /// Whether the exclusion lists name the person; empty for one who is MISMATCHED.
    pub listings: Vec<Listing>,
    /// The version of all of this.
    pub facts_change_time: OffsetDateTime,
}

/// Returns what is known of the accounts, in their order. An unknown account is left out.
pub async fn list_facts(
    connection: &mut PgConnection,
    account_ids: &[Uuid],
) -> Result<Vec<FactsRow>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT accounts.id, persons.state AS "state?", household, sealed_facts AS "sealed_facts?",
               wrapped_key AS "wrapped_key?", submit_time AS "submit_time?", verify_time,
               facts_change_time AS "facts_change_time?", listing.list_ids,
               listing.import_times AS "import_times?: Vec<Option<OffsetDateTime>>", listing.are_listed
           FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, position)
           JOIN accounts ON accounts.id = asked.id
           LEFT JOIN (persons JOIN person_keys USING (account_id)) ON persons.account_id = asked.id
           LEFT JOIN LATERAL (
               SELECT array_agg(exclusion_lists.id ORDER BY exclusion_lists.id) AS list_ids,
                   array_agg(import_time ORDER BY exclusion_lists.id) AS import_times,
                   array_agg(list_id IS NOT NULL ORDER BY exclusion_lists.id) AS are_listed
               FROM exclusion_lists
               LEFT JOIN exclusion_entries
                   ON list_id = exclusion_lists.id
                   AND exclusion_entries.national_id_hash = persons.national_id_hash
           ) AS listing ON persons.state IN ('PENDING', 'VERIFIED')
           ORDER BY asked.position"#,
        account_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let listings = listings(row.list_ids, row.import_times, row.are_listed)?;
            let person = match (
                row.state,
                row.sealed_facts,
                row.wrapped_key,
                row.submit_time,
                row.facts_change_time,
            ) {
                (
                    Some(text),
                    Some(sealed_facts),
                    Some(wrapped_key),
                    Some(submit_time),
                    Some(facts_change_time),
                ) => Some(SealedFactsRow {
                    state: state(&text)?,
                    household: row.household,
                    sealed_facts,
                    wrapped_key,
                    submit_time,
                    verify_time: row.verify_time,
                    listings,
                    facts_change_time,
                }),
                _ => None,
            };
            Ok(FactsRow {
                account_id: row.id,
                person,
            })
        })
        .collect()
}

fn listings(
    list_ids: Option<Vec<String>>,
    import_times: Option<Vec<Option<OffsetDateTime>>>,
    are_listed: Option<Vec<bool>>,
) -> Result<Vec<Listing>, sqlx::Error> {
    let list_ids = list_ids.unwrap_or_default().into_iter();
    list_ids
        .zip(import_times.unwrap_or_default())
        .zip(are_listed.unwrap_or_default())
        .map(|((id, import_time), is_listed)| {
            Ok(Listing {
                list_id: list_id(&id)?,
                import_time,
                is_listed,
            })
        })
        .collect()
}

/// When a person's facts last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactChange {
    /// The version of the facts.
    pub facts_change_time: OffsetDateTime,
    /// Whose.
    pub account_id: Uuid,
}

/// Lists the persons whose facts changed after a time and account, in that order.
pub async fn list_fact_changes(
    connection: &mut PgConnection,
    after: FactChange,
    limit: i64,
) -> Result<Vec<FactChange>, sqlx::Error> {
    sqlx::query_as!(
        FactChange,
        "SELECT facts_change_time, account_id
         FROM persons
         WHERE (facts_change_time, account_id) > ($1, $2)
         ORDER BY facts_change_time, account_id
         LIMIT $3",
        after.facts_change_time,
        after.account_id,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// What a holder is compared with, as stored.
pub struct HolderRow {
    /// The account's phone number.
    pub phone: Option<String>,
    /// The encrypted submission and its wrapped key; `None` unless the person is verified.
    pub verified: Option<(Vec<u8>, Vec<u8>)>,
}

/// Returns what a holder is compared with; `None` when there is no such account.
pub async fn find_holder(
    connection: &mut PgConnection,
    account_id: Uuid,
) -> Result<Option<HolderRow>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT phone, sealed_identity AS "sealed_identity?", wrapped_key AS "wrapped_key?"
           FROM accounts
           LEFT JOIN (persons JOIN person_keys USING (account_id))
               ON persons.account_id = accounts.id AND persons.state = 'VERIFIED'
           WHERE accounts.id = $1"#,
        account_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| HolderRow {
        phone: row.phone,
        verified: row.sealed_identity.zip(row.wrapped_key),
    }))
}

fn state(text: &str) -> Result<PersonState, sqlx::Error> {
    match text {
        "PENDING" => Ok(PersonState::Pending),
        "VERIFIED" => Ok(PersonState::Verified),
        "MISMATCHED" => Ok(PersonState::Mismatched),
        other => Err(sqlx::Error::Decode(
            format!("unknown state of a person: {other}").into(),
        )),
    }
}
