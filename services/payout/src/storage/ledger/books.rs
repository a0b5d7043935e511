//! Looking at the books: sums, lists, and the audit. Nothing here locks or writes.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{currency, known, money};
use crate::domain::{
    chart::AccountKind,
    ledger::{AccountId, Booked, Code, Leg, NewAccount, Sums, TransferId, TransferKind},
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
pub async fn audit(
    connection: &mut PgConnection,
    differing_max: i64,
) -> Result<Audit, sqlx::Error> {
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
