//! Accounts of callers in the table `ledger_accounts`.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::currency;
use crate::domain::{
    chart::AccountKind,
    ledger::{AccountId, CallerAccount, Limits},
};

/// Adds those accounts whose id and owner are free, and returns which. Each id stands in the list once.
pub async fn insert(
    tx: &mut PgConnection,
    accounts: &[&CallerAccount],
) -> Result<HashSet<AccountId>, sqlx::Error> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.id.0).collect();
    let owners: Vec<&str> = accounts
        .iter()
        .map(|account| account.owner.as_str())
        .collect();
    let currencies: Vec<&str> = accounts
        .iter()
        .map(|account| account.currency.code())
        .collect();
    let flags = |flag: fn(&Limits) -> bool| -> Vec<bool> {
        accounts
            .iter()
            .map(|account| flag(&account.limits))
            .collect()
    };
    let added = sqlx::query_scalar!(
        "INSERT INTO ledger_accounts
            (id, kind, owner, currency, debits_must_not_exceed_credits, credits_must_not_exceed_debits)
         SELECT id, $6, owner, currency, debits_limited, credits_limited
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[])
            AS new (id, owner, currency, debits_limited, credits_limited)
         ORDER BY id
         ON CONFLICT DO NOTHING
         RETURNING id",
        &ids,
        &owners as &[&str],
        &currencies as &[&str],
        &flags(|limits| limits.debits_must_not_exceed_credits),
        &flags(|limits| limits.credits_must_not_exceed_debits),
        AccountKind::Caller.as_str(),
    )
    .fetch_all(tx)
    .await?;
    Ok(added.into_iter().map(AccountId).collect())
}

/// Returns the accounts with these ids, whosoever they are.
pub async fn find(
    connection: &mut PgConnection,
    ids: &[AccountId],
) -> Result<HashMap<AccountId, CallerAccount>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        "SELECT id, owner, currency, debits_must_not_exceed_credits, credits_must_not_exceed_debits
         FROM ledger_accounts
         WHERE id = ANY($1::uuid[])",
        &ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let id = AccountId(row.id);
            let account = CallerAccount {
                id,
                owner: row.owner,
                currency: currency(&row.currency)?,
                limits: Limits {
                    debits_must_not_exceed_credits: row.debits_must_not_exceed_credits,
                    credits_must_not_exceed_debits: row.credits_must_not_exceed_debits,
                },
            };
            Ok((id, account))
        })
        .collect()
}
