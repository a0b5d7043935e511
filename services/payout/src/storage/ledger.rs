//! The tables `ledger_accounts` and `ledger_transfers`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{currency, known, money};
use crate::domain::{
    chart::AccountKind,
    ledger::{Account, AccountId, Booked, Code, Leg, NewAccount, Sums, TransferId, TransferKind},
};

/// Adds those accounts that are not there yet.
pub async fn insert_accounts(tx: &mut PgConnection, accounts: &[NewAccount]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.id.0).collect();
    let kinds: Vec<&str> = accounts.iter().map(|account| account.kind.as_str()).collect();
    let owners: Vec<&str> = accounts.iter().map(|account| account.owner.as_str()).collect();
    let batches: Vec<Option<&str>> = accounts.iter().map(|account| account.batch.as_deref()).collect();
    let currencies: Vec<&str> = accounts.iter().map(|account| account.currency.code()).collect();
    let flags: Vec<bool> = accounts.iter().map(NewAccount::debits_must_not_exceed_credits).collect();
    // In the order of the ids: two transactions that add the same ones wait for each other and never deadlock.
    sqlx::query!(
        "INSERT INTO ledger_accounts (id, kind, owner, batch, currency, debits_must_not_exceed_credits)
         SELECT DISTINCT ON (id) id, kind, owner, batch, currency, flag
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[])
            AS new (id, kind, owner, batch, currency, flag)
         ORDER BY id
         ON CONFLICT DO NOTHING",
        &ids,
        &kinds as &[&str],
        &owners as &[&str],
        &batches as &[Option<&str>],
        &currencies as &[&str],
        &flags,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks accounts, in the order of their ids, and returns those that are there.
pub async fn lock_accounts(tx: &mut PgConnection, ids: &[AccountId]) -> Result<Vec<Account>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT id, currency, debits_must_not_exceed_credits,
                debits_pending, debits_posted, credits_pending, credits_posted
         FROM ledger_accounts
         WHERE id = ANY($1::uuid[])
         ORDER BY id
         FOR NO KEY UPDATE",
        &ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Account {
                id: AccountId(row.id),
                currency: currency(&row.currency)?,
                debits_must_not_exceed_credits: row.debits_must_not_exceed_credits,
                sums: Sums {
                    debits_pending: row.debits_pending,
                    debits_posted: row.debits_posted,
                    credits_pending: row.credits_pending,
                    credits_posted: row.credits_posted,
                },
            })
        })
        .collect()
}

/// Returns the transfers with these ids, and those that end these pending ones.
pub async fn find_transfers(
    connection: &mut PgConnection,
    ids: &[TransferId],
    pending_ids: &[TransferId],
) -> Result<Vec<Booked>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().chain(pending_ids).map(|id| id.0).collect();
    let pending_ids: Vec<Uuid> = pending_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", kind AS "kind!", debit_account_id AS "debit_account_id!",
                  credit_account_id AS "credit_account_id!", amount_minor AS "amount_minor!", currency AS "currency!",
                  pending_id, code AS "code!"
           FROM ledger_transfers WHERE id = ANY($1::uuid[])
           UNION
           SELECT id, kind, debit_account_id, credit_account_id, amount_minor, currency, pending_id, code
           FROM ledger_transfers WHERE pending_id = ANY($2::uuid[])"#,
        &ids,
        &pending_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Booked {
                id: TransferId(row.id),
                kind: known(TransferKind::parse(&row.kind), &row.kind)?,
                leg: Leg {
                    debit: AccountId(row.debit_account_id),
                    credit: AccountId(row.credit_account_id),
                    amount: money(row.amount_minor, &row.currency)?,
                },
                pending_id: row.pending_id.map(TransferId),
                code: known(Code::parse(&row.code), &row.code)?,
            })
        })
        .collect()
}

/// Adds transfers. Their accounts are locked, which gives the sequence its meaning.
pub async fn insert_transfers(
    tx: &mut PgConnection,
    transfers: &[Booked],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = transfers.iter().map(|booked| booked.id.0).collect();
    let debits: Vec<Uuid> = transfers.iter().map(|booked| booked.leg.debit.0).collect();
    let credits: Vec<Uuid> = transfers.iter().map(|booked| booked.leg.credit.0).collect();
    let amounts: Vec<i64> = transfers.iter().map(|booked| booked.leg.amount.minor()).collect();
    let currencies: Vec<&str> = transfers.iter().map(|booked| booked.leg.amount.currency().code()).collect();
    let kinds: Vec<&str> = transfers.iter().map(|booked| booked.kind.as_str()).collect();
    let pending_ids: Vec<Option<Uuid>> = transfers.iter().map(|booked| booked.pending_id.map(|id| id.0)).collect();
    let codes: Vec<&str> = transfers.iter().map(|booked| booked.code.as_str()).collect();
    sqlx::query!(
        "INSERT INTO ledger_transfers
            (id, debit_account_id, credit_account_id, amount_minor, currency, kind, pending_id, code, create_time)
         SELECT id, debit, credit, amount_minor, currency, kind, pending_id, code, $9
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::text[])
            WITH ORDINALITY AS new (id, debit, credit, amount_minor, currency, kind, pending_id, code, ordinal)
         ORDER BY ordinal",
        &ids,
        &debits,
        &credits,
        &amounts,
        &currencies as &[&str],
        &kinds as &[&str],
        &pending_ids as &[Option<Uuid>],
        &codes as &[&str],
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the sums of locked accounts.
pub async fn update_sums(tx: &mut PgConnection, accounts: &[Account]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.id.0).collect();
    let column = |sum: fn(&Sums) -> i64| accounts.iter().map(|account| sum(&account.sums)).collect::<Vec<i64>>();
    sqlx::query!(
        "UPDATE ledger_accounts
         SET debits_pending = new.debits_pending,
             debits_posted = new.debits_posted,
             credits_pending = new.credits_pending,
             credits_posted = new.credits_posted
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
            AS new (id, debits_pending, debits_posted, credits_pending, credits_posted)
         WHERE ledger_accounts.id = new.id",
        &ids,
        &column(|sums| sums.debits_pending),
        &column(|sums| sums.debits_posted),
        &column(|sums| sums.credits_pending),
        &column(|sums| sums.credits_posted),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the sums of accounts that are there, without locking them.
pub async fn find_sums(
    connection: &mut PgConnection,
    ids: &[AccountId],
) -> Result<Vec<(AccountId, Sums)>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT id, debits_pending, debits_posted, credits_pending, credits_posted
         FROM ledger_accounts
         WHERE id = ANY($1::uuid[])",
        &ids,
    )
    .fetch_all(connection)
    .await?;
    let sums_of = rows.into_iter().map(|row| {
        let sums = Sums {
            debits_pending: row.debits_pending,
            debits_posted: row.debits_posted,
            credits_pending: row.credits_pending,
            credits_posted: row.credits_posted,
        };
        (AccountId(row.id), sums)
    });
    Ok(sums_of.collect())
}

/// An account with what it is for.
#[derive(Clone, Debug)]
pub struct AccountRow {
    /// What it is.
    pub account: NewAccount,
    /// Its sums.
    pub sums: Sums,
}

/// Lists the accounts of a batch, an owner, or both, by id.
pub async fn list_accounts(
    connection: &mut PgConnection,
    batch: Option<&str>,
    owner: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AccountRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, kind, owner, batch, currency, debits_pending, debits_posted, credits_pending, credits_posted
         FROM ledger_accounts
         WHERE ($1::text IS NULL OR batch = $1) AND ($2::text IS NULL OR owner = $2) AND ($3::uuid IS NULL OR id > $3)
         ORDER BY id
         LIMIT $4",
        batch,
        owner,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(AccountRow {
                account: NewAccount {
                    id: AccountId(row.id),
                    kind: known(AccountKind::parse(&row.kind), &row.kind)?,
                    owner: row.owner,
                    batch: row.batch,
                    currency: currency(&row.currency)?,
                },
                sums: Sums {
                    debits_pending: row.debits_pending,
                    debits_posted: row.debits_posted,
                    credits_pending: row.credits_pending,
                    credits_posted: row.credits_posted,
                },
            })
        })
        .collect()
}

/// A booked transfer with its place in the order of bookings.
#[derive(Clone, Copy, Debug)]
pub struct TransferRow {
    /// The transfer.
    pub booked: Booked,
    /// Its place.
    pub sequence: i64,
    /// When it was booked.
    pub create_time: OffsetDateTime,
}

/// Lists the transfers from and to an account, oldest first.
pub async fn list_transfers(
    connection: &mut PgConnection,
    account_id: AccountId,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<TransferRow>, sqlx::Error> {
    // One index for each side: an OR would read all of both.
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", sequence AS "sequence!", kind AS "kind!", debit_account_id AS "debit_account_id!",
                  credit_account_id AS "credit_account_id!", amount_minor AS "amount_minor!", currency AS "currency!",
                  pending_id, code AS "code!", create_time AS "create_time!"
           FROM (
               (SELECT * FROM ledger_transfers
                WHERE debit_account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3)
               UNION ALL
               (SELECT * FROM ledger_transfers
                WHERE credit_account_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3)
           ) AS both_sides
           ORDER BY sequence
           LIMIT $3"#,
        account_id.0,
        after.unwrap_or(0),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TransferRow {
                booked: Booked {
                    id: TransferId(row.id),
                    kind: known(TransferKind::parse(&row.kind), &row.kind)?,
                    leg: Leg {
                        debit: AccountId(row.debit_account_id),
                        credit: AccountId(row.credit_account_id),
                        amount: money(row.amount_minor, &row.currency)?,
                    },
                    pending_id: row.pending_id.map(TransferId),
                    code: known(Code::parse(&row.code), &row.code)?,
                },
                sequence: row.sequence,
                create_time: row.create_time,
            })
        })
        .collect()
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Accounts compared.
    pub account_count: i64,
    /// Transfers read.
    pub transfer_count: i64,
    /// The first accounts whose sums differ.
    pub differing: Vec<AccountId>,
}

/// Computes the sums of all accounts again from all transfers, in one statement and so at one moment.
pub async fn audit(connection: &mut PgConnection, differing_max: i64) -> Result<Audit, sqlx::Error> {
    let row = sqlx::query!(
        r#"WITH moves AS MATERIALIZED (
               SELECT debit_account_id, credit_account_id,
                      CASE kind WHEN 'PENDING' THEN amount_minor
                                WHEN 'POSTED' THEN 0
                                ELSE -amount_minor END AS pending,
                      CASE WHEN kind IN ('POSTED', 'POST_PENDING') THEN amount_minor ELSE 0 END AS posted
               FROM ledger_transfers
           ),
           sums AS (
               SELECT account_id,
                      sum(debit_pending) AS debits_pending, sum(debit_posted) AS debits_posted,
                      sum(credit_pending) AS credits_pending, sum(credit_posted) AS credits_posted
               FROM (
                   SELECT debit_account_id AS account_id, pending AS debit_pending, posted AS debit_posted,
                          0 AS credit_pending, 0 AS credit_posted
                   FROM moves
                   UNION ALL
                   SELECT credit_account_id, 0, 0, pending, posted FROM moves
               ) AS sides
               GROUP BY account_id
           ),
           differing AS (
               SELECT accounts.id
               FROM ledger_accounts AS accounts
               LEFT JOIN sums ON sums.account_id = accounts.id
               WHERE accounts.debits_pending <> coalesce(sums.debits_pending, 0)
                  OR accounts.debits_posted <> coalesce(sums.debits_posted, 0)
                  OR accounts.credits_pending <> coalesce(sums.credits_pending, 0)
                  OR accounts.credits_posted <> coalesce(sums.credits_posted, 0)
               ORDER BY accounts.id
               LIMIT $1
           )
           SELECT (SELECT count(*) FROM ledger_accounts) AS "account_count!",
                  (SELECT count(*) FROM moves) AS "transfer_count!",
                  ARRAY(SELECT id FROM differing) AS "differing!""#,
        differing_max,
    )
    .fetch_one(connection)
    .await?;
    Ok(Audit {
        account_count: row.account_count,
        transfer_count: row.transfer_count,
        differing: row.differing.into_iter().map(AccountId).collect(),
    })
}
