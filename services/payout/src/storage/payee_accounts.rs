//! The table `payee_accounts`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::known;
use crate::domain::payee::{Decided, PayeeReview, PayeeState};

/// A linked account, as it is stored.
#[derive(Clone, Debug)]
pub struct PayeeRow {
    /// Its id.
    pub id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The channel's code.
    pub channel: String,
    /// Number and holder, encrypted.
    pub sealed: Vec<u8>,
    /// Under which it is found again.
    pub number_hash: [u8; 32],
    /// The last digits.
    pub number_suffix: String,
    /// When it was linked.
    pub link_time: OffsetDateTime,
}

/// What a person sees of their linked account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedAccount {
    /// The person's account.
    pub account_id: Uuid,
    /// The channel's code.
    pub channel: String,
    /// The last digits.
    pub number_suffix: String,
    /// When it was linked.
    pub link_time: OffsetDateTime,
    /// Whether the person is paid there.
    pub state: PayeeState,
    /// Why not, or why so although others are.
    pub review_reason: Option<String>,
}

/// Returns the account that a person has linked last.
pub async fn find(
    connection: &mut PgConnection,
    account_id: Uuid,
) -> Result<Option<LinkedAccount>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT account_id, channel, number_suffix, link_time, state, review_reason
         FROM payee_accounts
         WHERE account_id = $1 AND replace_time IS NULL",
        account_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(LinkedAccount {
            account_id: row.account_id,
            channel: row.channel,
            number_suffix: row.number_suffix,
            link_time: row.link_time,
            state: known(PayeeState::parse(&row.state), &row.state)?,
            review_reason: row.review_reason,
        })
    })
    .transpose()
}

/// Links an account in place of the one before, and returns the state that the database gives it: one that another person
/// has linked is held. Where ten others are, `payee_accounts_sharers_check` breaks.
pub async fn replace(tx: &mut PgConnection, new: &PayeeRow) -> Result<PayeeState, sqlx::Error> {
    sqlx::query!(
        "UPDATE payee_accounts SET replace_time = $2 WHERE account_id = $1 AND replace_time IS NULL",
        new.account_id,
        new.link_time,
    )
    .execute(&mut *tx)
    .await?;
    let state = sqlx::query_scalar!(
        "INSERT INTO payee_accounts (id, account_id, channel, sealed, number_hash, number_suffix, link_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING state",
        new.id,
        new.account_id,
        new.channel,
        new.sealed,
        &new.number_hash,
        new.number_suffix,
        new.link_time,
    )
    .fetch_one(tx)
    .await?;
    known(PayeeState::parse(&state), &state)
}

/// Lists accounts that wait for a decision, by id, which is oldest first.
pub async fn list_held(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<PayeeReview>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT held.id, held.account_id, held.channel, held.number_suffix, held.link_time,
                  ARRAY(
                      SELECT other.account_id
                      FROM payee_accounts AS other
                      WHERE other.number_hash = held.number_hash AND other.account_id <> held.account_id
                        AND other.replace_time IS NULL AND other.state <> 'REJECTED'
                      ORDER BY other.id
                  ) AS "sharing!"
           FROM payee_accounts AS held
           WHERE held.replace_time IS NULL AND held.state = 'HELD_FOR_REVIEW' AND ($1::uuid IS NULL OR held.id > $1)
           ORDER BY held.id
           LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let reviews = rows.into_iter().map(|row| PayeeReview {
        id: row.id,
        account_id: row.account_id,
        channel: row.channel,
        number_suffix: row.number_suffix,
        link_time: row.link_time,
        sharing_account_ids: row.sharing,
        decision: None,
    });
    Ok(reviews.collect())
}

/// Says whether an account was ever held under this id.
pub async fn exists(connection: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM payee_accounts WHERE id = $1) AS "exists!""#,
        id
    )
    .fetch_one(connection)
    .await
}

/// Decides about an account that waits for it; `None` when it does not wait.
pub async fn decide(
    tx: &mut PgConnection,
    id: Uuid,
    decided: &Decided,
) -> Result<Option<PayeeReview>, sqlx::Error> {
    let state = match decided.is_approved {
        true => PayeeState::Active,
        false => PayeeState::Rejected,
    };
    let row = sqlx::query!(
        r#"UPDATE payee_accounts AS held
           SET state = $2, reviewer = $3, review_reason = $4, review_time = $5
           WHERE id = $1 AND replace_time IS NULL AND state = 'HELD_FOR_REVIEW'
           RETURNING account_id, channel, number_suffix, link_time,
                     ARRAY(
                         SELECT other.account_id
                         FROM payee_accounts AS other
                         WHERE other.number_hash = held.number_hash AND other.account_id <> held.account_id
                           AND other.replace_time IS NULL AND other.state <> 'REJECTED'
                         ORDER BY other.id
                     ) AS "sharing!""#,
        id,
        state.as_str(),
        decided.reviewer,
        decided.reason,
        decided.review_time,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| PayeeReview {
        id,
        account_id: row.account_id,
        channel: row.channel,
        number_suffix: row.number_suffix,
        link_time: row.link_time,
        sharing_account_ids: row.sharing,
        decision: Some(decided.clone()),
    }))
}
