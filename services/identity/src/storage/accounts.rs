//! The table `accounts`.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{
    account::{Account, AccountState, Login, NewAccount},
    personal::Personal,
};

/// Inserts accounts in the order given and returns the ids of those that got their addresses. The others met an account
/// that has one of them already, earlier in the same statement or in another transaction that was waited for.
pub async fn insert_all(
    tx: &mut PgConnection,
    accounts: &[(Uuid, &NewAccount)],
    now: OffsetDateTime,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|(id, _)| *id).collect();
    let emails: Vec<String> = accounts
        .iter()
        .map(|(_, new)| new.email.expose().to_owned())
        .collect();
    let phones: Vec<Option<String>> = accounts
        .iter()
        .map(|(_, new)| new.phone.as_ref().map(|phone| phone.expose().to_owned()))
        .collect();
    let hashes: Vec<Option<String>> = accounts
        .iter()
        .map(|(_, new)| new.password_hash.clone())
        .collect();
    let inserted = sqlx::query_scalar!(
        "INSERT INTO accounts (id, email, phone, password_hash, state, create_time)
         SELECT id, email, phone, password_hash, 'ACTIVE', $5
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, email, phone, password_hash)
         ON CONFLICT DO NOTHING
         RETURNING id",
        &ids,
        &emails,
        &phones as &[Option<String>],
        &hashes as &[Option<String>],
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Returns which of these e-mail addresses and phone numbers belong to an account.
pub async fn find_taken(
    tx: &mut PgConnection,
    accounts: &[&NewAccount],
) -> Result<HashSet<String>, sqlx::Error> {
    let emails: Vec<String> = accounts
        .iter()
        .map(|new| new.email.expose().to_owned())
        .collect();
    let phones: Vec<String> = accounts
        .iter()
        .filter_map(|new| new.phone.as_ref().map(|phone| phone.expose().to_owned()))
        .collect();
    // An address has an `@` and a number has none, so that both fit in one set.
    let taken = sqlx::query_scalar!(
        r#"SELECT email AS "text!" FROM accounts WHERE email = ANY($1::text[])
           UNION ALL
           SELECT phone FROM accounts WHERE phone = ANY($2::text[])"#,
        &emails,
        &phones,
    )
    .fetch_all(tx)
    .await?;
    Ok(taken.into_iter().collect())
}

/// Returns an account.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Account>, sqlx::Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT id, email, phone, state, create_time FROM accounts WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Account::try_from).transpose()
}

/// Lists accounts after the given id, in the order of their creation.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Account>, sqlx::Error> {
    let rows = sqlx::query_as!(
        AccountRow,
        "SELECT id, email, phone, state, create_time
         FROM accounts
         WHERE id > $1
         ORDER BY id
         LIMIT $2",
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

/// What is needed to sign somebody in.
#[derive(Debug)]
pub struct SignIn {
    /// The account.
    pub id: Uuid,
    /// Whether it can be used.
    pub state: AccountState,
    /// The password's hash, if it has one.
    pub password_hash: Option<Personal<String>>,
}

/// Finds the account of a login.
pub async fn find_sign_in(
    connection: &mut PgConnection,
    login: &Login,
) -> Result<Option<SignIn>, sqlx::Error> {
    let (email, phone) = match login {
        Login::Email(email) => (Some(email.expose()), None),
        Login::Phone(phone) => (None, Some(phone.expose())),
        Login::Unknown => (None, None),
    };
    let row = sqlx::query!(
        "SELECT id, state, password_hash FROM accounts WHERE email = $1 OR phone = $2",
        email,
        phone,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(SignIn {
            id: row.id,
            state: state(&row.state)?,
            password_hash: row.password_hash.map(Personal::new),
        })
    })
    .transpose()
}

struct AccountRow {
    id: Uuid,
    email: String,
    phone: Option<String>,
    state: String,
    create_time: OffsetDateTime,
}

impl TryFrom<AccountRow> for Account {
    type Error = sqlx::Error;

    fn try_from(row: AccountRow) -> Result<Account, sqlx::Error> {
        Ok(Account {
            id: row.id,
            email: Personal::new(row.email),
            phone: row.phone.map(Personal::new),
            state: state(&row.state)?,
            create_time: row.create_time,
        })
    }
}

fn state(text: &str) -> Result<AccountState, sqlx::Error> {
    match text {
        "ACTIVE" => Ok(AccountState::Active),
        "BLOCKED" => Ok(AccountState::Blocked),
        other => Err(sqlx::Error::Decode(
            format!("unknown state of an account: {other}").into(),
        )),
    }
}
