//! The table `payee_accounts`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

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
}

/// Returns the account in force.
pub async fn find(
    connection: &mut PgConnection,
    account_id: Uuid,
) -> Result<Option<LinkedAccount>, sqlx::Error> {
    sqlx::query_as!(
        LinkedAccount,
        "SELECT account_id, channel, number_suffix, link_time
         FROM payee_accounts
         WHERE account_id = $1 AND replace_time IS NULL",
        account_id,
    )
    .fetch_optional(connection)
    .await
}

/// Puts an account in force in place of the one before. Another person's account breaks
/// `payee_accounts_number_hash_key`.
pub async fn replace(tx: &mut PgConnection, new: &PayeeRow) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE payee_accounts SET replace_time = $2 WHERE account_id = $1 AND replace_time IS NULL",
        new.account_id,
        new.link_time,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO payee_accounts (id, account_id, channel, sealed, number_hash, number_suffix, link_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.id,
        new.account_id,
        new.channel,
        new.sealed,
        &new.number_hash,
        new.number_suffix,
        new.link_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}
