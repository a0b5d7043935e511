//! Booking: lock the accounts in the order of their ids, decide in memory, write set-wise. And looking at the books.
//! `ledger/transfers.rs` books for callers, `ledger/timeouts.rs` what expires, `ledger/audit.rs` compares.

use std::collections::BTreeSet;

use chassis::{names, paging::PageRequest};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use crate::{
    domain::ledger::{AccountId, Book, Booked, Transfer, TransferId, TransferRefusal, Verdict},
    error::Error,
    storage::{
        self,
        ledger::books::{AccountRow, TransferRow},
    },
};

pub mod accounts;
pub mod audit;
pub mod timeouts;
pub mod transfers;

/// Books the lines that can be booked, in order, with a verdict for each. Refused lines change nothing.
pub async fn apply(
    tx: &mut PgConnection,
    lines: &[Transfer],
    now: OffsetDateTime,
) -> Result<Vec<Verdict>, sqlx::Error> {
    let verdicts = apply_calls(tx, &[lines], now).await?;
    Ok(verdicts.into_iter().flatten().collect())
}

/// Books the lines of several calls, one call after the other, with the verdicts of each. No chain reaches from a call into
/// the next.
async fn apply_calls(
    tx: &mut PgConnection,
    calls: &[&[Transfer]],
    now: OffsetDateTime,
) -> Result<Vec<Vec<Verdict>>, sqlx::Error> {
    let lines: Vec<&Transfer> = calls.iter().copied().flatten().collect();
    if lines.is_empty() {
        return Ok(calls.iter().map(|_| Vec::new()).collect());
    }
    // A pending transfer never changes, so that its accounts are known before they are locked.
    let pending_ids: Vec<TransferId> = lines.iter().filter_map(|line| line.pending_id()).collect();
    let pending = match pending_ids.is_empty() {
        true => Vec::new(),
        false => storage::ledger::find_transfers(tx, &pending_ids, &[]).await?,
    };
    let mut book = open_book(tx, accounts_of(&lines, &pending)).await?;
    know_lines(tx, &mut book, &lines).await?;
    let verdicts = calls.iter().map(|call| book.apply(call, now)).collect();
    close_book(tx, &book).await?;
    Ok(verdicts)
}

/// Books all lines, or fails.
///
/// # Errors
/// [`Error::Booking`] with the first refusal; the caller rolls back.
pub async fn apply_all(
    tx: &mut PgConnection,
    lines: &[Transfer],
    now: OffsetDateTime,
) -> Result<(), Error> {
    match first_refusal(apply(tx, lines, now).await?) {
        None => Ok(()),
        Some(refusal) => Err(Error::Booking(refusal)),
    }
}

/// Locks accounts and opens a book with them, for callers who look at the sums before they decide what to book.
pub(super) async fn open_book(
    tx: &mut PgConnection,
    ids: BTreeSet<AccountId>,
) -> Result<Book, sqlx::Error> {
    let ids: Vec<AccountId> = ids.into_iter().collect();
    Ok(Book::open(
        storage::ledger::lock_accounts(tx, &ids).await?,
        [],
    ))
}

/// Books lines in an open book, whose accounts are locked.
pub(super) async fn book_lines(
    tx: &mut PgConnection,
    book: &mut Book,
    lines: &[Transfer],
    now: OffsetDateTime,
) -> Result<Vec<Verdict>, sqlx::Error> {
    let all: Vec<&Transfer> = lines.iter().collect();
    know_lines(tx, book, &all).await?;
    Ok(book.apply(lines, now))
}

/// Looks for what was booked under the lines' ids. The accounts are locked: only then does the look see all that others
/// have booked before.
async fn know_lines(
    tx: &mut PgConnection,
    book: &mut Book,
    lines: &[&Transfer],
) -> Result<(), sqlx::Error> {
    let ids: Vec<TransferId> = lines.iter().map(|line| line.id).collect();
    let pending_ids: Vec<TransferId> = lines.iter().filter_map(|line| line.pending_id()).collect();
    book.know(storage::ledger::find_transfers(tx, &ids, &pending_ids).await?);
    Ok(())
}

/// Writes what was booked.
pub(super) async fn close_book(tx: &mut PgConnection, book: &Book) -> Result<(), sqlx::Error> {
    let transfers = book.new_transfers();
    if transfers.is_empty() {
        return Ok(());
    }
    storage::ledger::insert_transfers(tx, &transfers).await?;
    storage::ledger::update_sums(tx, &book.changed_accounts()).await?;
    storage::ledger::timeouts::insert(tx, &transfers).await?;
    storage::ledger::timeouts::delete(tx, &book.ended_timeouts()).await
}

/// Returns the first refusal that is not the consequence of another.
pub(super) fn first_refusal(verdicts: Vec<Verdict>) -> Option<TransferRefusal> {
    let mut refusals: Vec<TransferRefusal> = verdicts
        .into_iter()
        .filter_map(|verdict| match verdict {
            Verdict::Refused(refusal) => Some(refusal),
            Verdict::Applied | Verdict::Repeated => None,
        })
        .collect();
    let first = refusals
        .iter()
        .position(|refusal| *refusal != TransferRefusal::ChainBroken)
        .unwrap_or(0);
    (!refusals.is_empty()).then(|| refusals.swap_remove(first))
}

fn accounts_of(lines: &[&Transfer], pending: &[Booked]) -> BTreeSet<AccountId> {
    let legs = lines
        .iter()
        .filter_map(|line| line.leg())
        .chain(pending.iter().map(|booked| booked.leg));
    legs.flat_map(|leg| [leg.debit, leg.credit]).collect()
}

impl App {
    /// Returns an account with its sums as they are, or as they were at a moment.
    pub async fn get_ledger_account(
        &self,
        id: AccountId,
        read_time: Option<OffsetDateTime>,
    ) -> Result<AccountRow, Error> {
        let mut connection = self.db.acquire().await?;
        let account = storage::ledger::books::find_account(&mut connection, id).await?;
        let account =
            account.ok_or_else(|| Error::NotFound(names::format("ledgerAccounts", id.0)))?;
        match read_time {
            None => Ok(account),
            Some(time) => Ok(AccountRow {
                sums: storage::ledger::books::sums_at(&mut connection, id, time).await?,
                read_time,
                ..account
            }),
        }
    }

    /// Lists the accounts of a batch, an owner, or both.
    pub async fn list_ledger_accounts(
        &self,
        batch: Option<&str>,
        owner: Option<&str>,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<AccountRow>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::ledger::books::list_accounts(
            &mut connection,
            batch,
            owner,
            page.after,
            page.limit(),
        )
        .await?;
        Ok(page.finish(rows, |last| last.account.id.0))
    }

    /// Lists the transfers from and to an account, with its balance after each.
    pub async fn list_transfers(
        &self,
        account_id: AccountId,
        page: PageRequest<(i64, i64)>,
    ) -> Result<(Vec<TransferRow>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::ledger::books::list_transfers(
            &mut connection,
            account_id,
            page.after,
            page.limit(),
        )
        .await?;
        Ok(page.finish(rows, |last| (last.sequence, last.balance)))
    }
}
