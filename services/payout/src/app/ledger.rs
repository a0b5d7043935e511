//! Booking: lock the accounts in the order of their ids, decide in memory, write set-wise. And looking at the books.

use std::collections::BTreeSet;

use chassis::paging::PageRequest;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use crate::{
    domain::ledger::{
        AccountId, Book, Booked, Movement, Transfer, TransferId, TransferRefusal, Verdict,
    },
    error::Error,
    storage::{
        self,
        ledger::books::{AccountRow, Audit, TransferRow},
    },
};

/// How many accounts an audit names at most.
const DIFFERING_MAX: i64 = 100;

/// Books the lines that can be booked, in order, with a verdict for each. Refused lines change nothing.
pub async fn apply(
    tx: &mut PgConnection,
    lines: &[Transfer],
    now: OffsetDateTime,
) -> Result<Vec<Verdict>, sqlx::Error> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    // A pending transfer never changes, so that its accounts are known before they are locked.
    let pending_ids: Vec<TransferId> = lines.iter().filter_map(Transfer::pending_id).collect();
    let pending = match pending_ids.is_empty() {
        true => Vec::new(),
        false => storage::ledger::find_transfers(tx, &pending_ids, &[]).await?,
    };
    let mut book = open_book(tx, accounts_of(lines, &pending)).await?;
    let verdicts = book_lines(tx, &mut book, lines).await?;
    close_book(tx, &book, now).await?;
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

/// Books lines in an open book, whose accounts are locked: only then does the look for the same ids see all that others
/// have booked before.
pub(super) async fn book_lines(
    tx: &mut PgConnection,
    book: &mut Book,
    lines: &[Transfer],
) -> Result<Vec<Verdict>, sqlx::Error> {
    let ids: Vec<TransferId> = lines.iter().map(|line| line.id).collect();
    let pending_ids: Vec<TransferId> = lines.iter().filter_map(Transfer::pending_id).collect();
    book.know(storage::ledger::find_transfers(tx, &ids, &pending_ids).await?);
    Ok(book.apply(lines))
}

/// Writes what was booked.
pub(super) async fn close_book(
    tx: &mut PgConnection,
    book: &Book,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let transfers = book.new_transfers();
    if transfers.is_empty() {
        return Ok(());
    }
    storage::ledger::insert_transfers(tx, &transfers, now).await?;
    storage::ledger::update_sums(tx, &book.changed_accounts()).await
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

fn accounts_of(lines: &[Transfer], pending: &[Booked]) -> BTreeSet<AccountId> {
    let named = lines.iter().filter_map(|line| match line.movement {
        Movement::Post(leg) | Movement::Hold(leg) => Some(leg),
        Movement::PostPending(_) | Movement::VoidPending(_) => None,
    });
    let legs = named.chain(pending.iter().map(|booked| booked.leg));
    legs.flat_map(|leg| [leg.debit, leg.credit]).collect()
}

impl App {
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

    /// Lists the transfers from and to an account.
    pub async fn list_transfers(
        &self,
        account_id: AccountId,
        page: PageRequest<i64>,
    ) -> Result<(Vec<TransferRow>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::ledger::books::list_transfers(
            &mut connection,
            account_id,
            page.after,
            page.limit(),
        )
        .await?;
        Ok(page.finish(rows, |last| last.sequence))
    }

    /// Compares all sums with all transfers.
    pub async fn audit_ledger(&self) -> Result<(Audit, OffsetDateTime), Error> {
        let mut connection = self.db.acquire().await?;
        let now = self.clock.now();
        Ok((
            storage::ledger::books::audit(&mut connection, DIFFERING_MAX).await?,
            now,
        ))
    }
}
