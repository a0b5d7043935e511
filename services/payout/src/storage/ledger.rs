//! The tables `ledger_accounts` and `ledger_transfers`: adding, locking, writing. `ledger/books.rs` looks at them,
//! `ledger/callers.rs` opens accounts of callers, `ledger/timeouts.rs` knows what may expire, `ledger/audit.rs` compares.

use std::borrow::Cow;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{currency, known, money};
use crate::domain::ledger::{
    Account, AccountId, Booked, Code, Leg, Limits, NewAccount, Sums, TransferId, TransferKind,
};

pub mod audit;
pub mod books;
pub mod callers;
pub mod timeouts;

/// Adds those accounts that are not there yet.
pub async fn insert_accounts(
    tx: &mut PgConnection,
    accounts: &[NewAccount],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.id.0).collect();
    let kinds: Vec<&str> = accounts
        .iter()
        .map(|account| account.kind.as_str())
        .collect();
    let owners: Vec<&str> = accounts
        .iter()
        .map(|account| account.owner.as_str())
        .collect();
    let batches: Vec<Option<&str>> = accounts
        .iter()
        .map(|account| account.batch.as_deref())
        .collect();
    let currencies: Vec<&str> = accounts
        .iter()
        .map(|account| account.currency.code())
        .collect();
    let limits: Vec<Limits> = accounts.iter().map(NewAccount::limits).collect();
    let no_overdraft: Vec<bool> = limits
        .iter()
        .map(|limits| limits.debits_must_not_exceed_credits)
        .collect();
    let no_excess: Vec<bool> = limits
        .iter()
        .map(|limits| limits.credits_must_not_exceed_debits)
        .collect();
    // In the order of the ids: two transactions that add the same ones wait for each other and never deadlock.
    sqlx::query!(
        "INSERT INTO ledger_accounts
            (id, kind, owner, batch, currency, debits_must_not_exceed_credits, credits_must_not_exceed_debits)
         SELECT DISTINCT ON (id) id, kind, owner, batch, currency, no_overdraft, no_excess
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[])
            AS new (id, kind, owner, batch, currency, no_overdraft, no_excess)
         ORDER BY id
         ON CONFLICT DO NOTHING",
        &ids,
        &kinds as &[&str],
        &owners as &[&str],
        &batches as &[Option<&str>],
        &currencies as &[&str],
        &no_overdraft,
        &no_excess,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks accounts, in the order of their ids, and returns those that are there.
pub async fn lock_accounts(
    tx: &mut PgConnection,
    ids: &[AccountId],
) -> Result<Vec<Account>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT id, kind = 'caller' AS "is_of_caller!", currency,
                  debits_must_not_exceed_credits, credits_must_not_exceed_debits,
                  debits_pending, debits_posted, credits_pending, credits_posted
           FROM ledger_accounts
           WHERE id = ANY($1::uuid[])
           ORDER BY id
           FOR NO KEY UPDATE"#,
        &ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Account {
                id: AccountId(row.id),
                currency: currency(&row.currency)?,
                is_of_caller: row.is_of_caller,
                limits: Limits {
                    debits_must_not_exceed_credits: row.debits_must_not_exceed_credits,
                    credits_must_not_exceed_debits: row.credits_must_not_exceed_debits,
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
                  rest_minor, timeout_seconds, pending_id, code AS "code!", create_time AS "create_time!"
           FROM ledger_transfers WHERE id = ANY($1::uuid[])
           UNION
           SELECT id, kind, debit_account_id, credit_account_id, amount_minor, currency, rest_minor, timeout_seconds,
                  pending_id, code, create_time
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
                rest_minor: row.rest_minor.unwrap_or(0),
                timeout_seconds: row.timeout_seconds,
                pending_id: row.pending_id.map(TransferId),
                code: known(Code::parse(&row.code), &row.code)?,
                create_time: row.create_time,
            })
        })
        .collect()
}

/// Adds transfers. Their accounts are locked, which gives the sequence its meaning.
pub async fn insert_transfers(
    tx: &mut PgConnection,
    transfers: &[Booked],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = transfers.iter().map(|booked| booked.id.0).collect();
    let debits: Vec<Uuid> = transfers.iter().map(|booked| booked.leg.debit.0).collect();
    let credits: Vec<Uuid> = transfers.iter().map(|booked| booked.leg.credit.0).collect();
    let amounts: Vec<i64> = transfers
        .iter()
        .map(|booked| booked.leg.amount.minor())
        .collect();
    let currencies: Vec<&str> = transfers
        .iter()
        .map(|booked| booked.leg.amount.currency().code())
        .collect();
    let kinds: Vec<&str> = transfers
        .iter()
        .map(|booked| booked.kind.as_str())
        .collect();
    let pending_ids: Vec<Option<Uuid>> = transfers
        .iter()
        .map(|booked| booked.pending_id.map(|id| id.0))
        .collect();
    let codes: Vec<Cow<'static, str>> = transfers.iter().map(|booked| booked.code.name()).collect();
    let rests: Vec<Option<i64>> = transfers
        .iter()
        .map(|booked| Some(booked.rest_minor).filter(|rest| *rest > 0))
        .collect();
    let timeouts: Vec<Option<i32>> = transfers
        .iter()
        .map(|booked| booked.timeout_seconds)
        .collect();
    let create_times: Vec<OffsetDateTime> =
        transfers.iter().map(|booked| booked.create_time).collect();
    sqlx::query!(
        "INSERT INTO ledger_transfers
            (id, debit_account_id, credit_account_id, amount_minor, currency, kind, rest_minor, timeout_seconds,
             pending_id, code, create_time)
         SELECT id, debit, credit, amount_minor, currency, kind, rest_minor, timeout_seconds, pending_id, code,
                create_time
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
                     $8::integer[], $9::uuid[], $10::text[], $11::timestamptz[])
            WITH ORDINALITY AS new (id, debit, credit, amount_minor, currency, kind, rest_minor, timeout_seconds,
                                    pending_id, code, create_time, ordinal)
         ORDER BY ordinal",
        &ids,
        &debits,
        &credits,
        &amounts,
        &currencies as &[&str],
        &kinds as &[&str],
        &rests as &[Option<i64>],
        &timeouts as &[Option<i32>],
        &pending_ids as &[Option<Uuid>],
        &codes as &[Cow<'static, str>],
        &create_times,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the sums of locked accounts.
pub async fn update_sums(tx: &mut PgConnection, accounts: &[Account]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.id.0).collect();
    let column = |sum: fn(&Sums) -> i64| {
        accounts
            .iter()
            .map(|account| sum(&account.sums))
            .collect::<Vec<i64>>()
    };
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
