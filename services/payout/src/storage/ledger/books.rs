//! Looking at the books: sums, accounts, statements. Nothing here locks or writes.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{currency, known, money};
use crate::domain::{
    chart::AccountKind,
    ledger::{AccountId, Booked, Code, Leg, Limits, NewAccount, Sums, TransferId, TransferKind},
};

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
    /// What it must not do.
    pub limits: Limits,
    /// Its sums.
    pub sums: Sums,
    /// The moment that the sums describe, where it is not now.
    pub read_time: Option<OffsetDateTime>,
}

/// A row of `ledger_accounts`.
struct StoredAccount {
    id: Uuid,
    kind: String,
    owner: String,
    batch: Option<String>,
    currency: String,
    debits_must_not_exceed_credits: bool,
    credits_must_not_exceed_debits: bool,
    debits_pending: i64,
    debits_posted: i64,
    credits_pending: i64,
    credits_posted: i64,
}

impl TryFrom<StoredAccount> for AccountRow {
    type Error = sqlx::Error;

    fn try_from(row: StoredAccount) -> Result<AccountRow, sqlx::Error> {
        Ok(AccountRow {
            account: NewAccount {
                id: AccountId(row.id),
                kind: known(AccountKind::parse(&row.kind), &row.kind)?,
                owner: row.owner,
                batch: row.batch,
                currency: currency(&row.currency)?,
            },
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
            read_time: None,
        })
    }
}

/// Returns an account with its sums as they are.
pub async fn find_account(
    connection: &mut PgConnection,
    id: AccountId,
) -> Result<Option<AccountRow>, sqlx::Error> {
    let row = sqlx::query_as!(
        StoredAccount,
        "SELECT id, kind, owner, batch, currency, debits_must_not_exceed_credits, credits_must_not_exceed_debits,
                debits_pending, debits_posted, credits_pending, credits_posted
         FROM ledger_accounts
         WHERE id = $1",
        id.0,
    )
    .fetch_optional(connection)
    .await?;
    row.map(AccountRow::try_from).transpose()
}

/// Computes an account's sums at a moment from the transfers that were booked until then.
pub async fn sums_at(
    connection: &mut PgConnection,
    id: AccountId,
    read_time: OffsetDateTime,
) -> Result<Sums, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(pending) FILTER (WHERE is_debit), 0)::bigint AS "debits_pending!",
                  coalesce(sum(posted) FILTER (WHERE is_debit), 0)::bigint AS "debits_posted!",
                  coalesce(sum(pending) FILTER (WHERE NOT is_debit), 0)::bigint AS "credits_pending!",
                  coalesce(sum(posted) FILTER (WHERE NOT is_debit), 0)::bigint AS "credits_posted!"
           FROM (
               SELECT is_debit,
                      CASE kind WHEN 'PENDING' THEN amount_minor
                                WHEN 'POSTED' THEN 0
                                ELSE -amount_minor - coalesce(rest_minor, 0) END AS pending,
                      CASE WHEN kind IN ('POSTED', 'POST_PENDING') THEN amount_minor ELSE 0 END AS posted
               FROM (
                   SELECT true AS is_debit, kind, amount_minor, rest_minor FROM ledger_transfers
                   WHERE debit_account_id = $1 AND create_time <= $2
                   UNION ALL
                   SELECT false, kind, amount_minor, rest_minor FROM ledger_transfers
                   WHERE credit_account_id = $1 AND create_time <= $2
               ) AS both_sides
           ) AS moves"#,
        id.0,
        read_time,
    )
    .fetch_one(connection)
    .await?;
    Ok(Sums {
        debits_pending: row.debits_pending,
        debits_posted: row.debits_posted,
        credits_pending: row.credits_pending,
        credits_posted: row.credits_posted,
    })
}

/// Lists the accounts of a batch, an owner, or both, by id.
pub async fn list_accounts(
    connection: &mut PgConnection,
    batch: Option<&str>,
    owner: Option<&str>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AccountRow>, sqlx::Error> {
    let rows = sqlx::query_as!(
        StoredAccount,
        "SELECT id, kind, owner, batch, currency, debits_must_not_exceed_credits, credits_must_not_exceed_debits,
                debits_pending, debits_posted, credits_pending, credits_posted
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
    rows.into_iter().map(AccountRow::try_from).collect()
}

/// A row of `ledger_transfers`.
pub(in crate::storage) struct StoredTransfer {
    pub id: Uuid,
    pub kind: String,
    pub debit_account_id: Uuid,
    pub credit_account_id: Uuid,
    pub amount_minor: i64,
    pub currency: String,
    pub rest_minor: Option<i64>,
    pub timeout_seconds: Option<i32>,
    pub pending_id: Option<Uuid>,
    pub code: String,
    pub create_time: OffsetDateTime,
}

impl TryFrom<StoredTransfer> for Booked {
    type Error = sqlx::Error;

    fn try_from(row: StoredTransfer) -> Result<Booked, sqlx::Error> {
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
    }
}

/// A booked transfer with its place in the order of bookings.
#[derive(Clone, Copy, Debug)]
pub struct TransferRow {
    /// The transfer.
    pub booked: Booked,
    /// Its place.
    pub sequence: i64,
    /// The posted balance of the listed account after it, in minor units.
    pub balance: i64,
}

impl TransferRow {
    /// Returns what it adds to the posted balance of an account.
    fn moved(booked: &Booked, account_id: AccountId) -> i64 {
        match booked.kind {
            TransferKind::Pending | TransferKind::VoidPending | TransferKind::ExpirePending => 0,
            TransferKind::Posted | TransferKind::PostPending => {
                let minor = booked.leg.amount.minor();
                if booked.leg.debit == account_id {
                    -minor
                } else {
                    minor
                }
            }
        }
    }
}

/// Lists the transfers from and to an account, oldest first; `after` is the place of the last one before, and the balance
/// after it.
pub async fn list_transfers(
    connection: &mut PgConnection,
    account_id: AccountId,
    after: Option<(i64, i64)>,
    limit: i64,
) -> Result<Vec<TransferRow>, sqlx::Error> {
    let (sequence, mut balance) = after.unwrap_or_default();
    // One index for each side: an OR would read all of both.
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", sequence AS "sequence!", kind AS "kind!", debit_account_id AS "debit_account_id!",
                  credit_account_id AS "credit_account_id!", amount_minor AS "amount_minor!", currency AS "currency!",
                  rest_minor, timeout_seconds, pending_id, code AS "code!", create_time AS "create_time!"
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
        sequence,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let stored = StoredTransfer {
                id: row.id,
                kind: row.kind,
                debit_account_id: row.debit_account_id,
                credit_account_id: row.credit_account_id,
                amount_minor: row.amount_minor,
                currency: row.currency,
                rest_minor: row.rest_minor,
                timeout_seconds: row.timeout_seconds,
                pending_id: row.pending_id,
                code: row.code,
                create_time: row.create_time,
            };
            let booked = stored.try_into()?;
            balance += TransferRow::moved(&booked, account_id);
            Ok(TransferRow {
                booked,
                sequence: row.sequence,
                balance,
            })
        })
        .collect()
}
