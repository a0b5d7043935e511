//! Unspent money of revoked participations goes back to the treasury, exactly once, whatever happens at the same time:
//! the row of the participation's funds is locked before anything is held, released, paid or returned.

use std::collections::{BTreeSet, HashMap};

use chassis::money::{Currency, Money};
use messaging::{HandleError, outbox};
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    App,
    ledger::{book_lines, close_book, first_refusal, open_book},
    lock_of_batch,
};
use crate::{
    domain::{
        award::{Unspent, return_transfers},
        chart::{self, AccountKind},
        disbursement::{Disbursement, DisbursementState},
        event::FundsReturned,
        ledger::{AccountId, Transfer},
    },
    storage,
};

impl App {
    /// Takes back what revoked participations of a batch have not spent: the available training balance and all that is
    /// left of the commitment, frozen or not. Payments that were not sent are cancelled. What is held for a purchase under
    /// way stays held; when it is released, it goes back as well.
    ///
    /// # Errors
    /// `Missing` when a participation is not funded yet. `Reject` when one belongs to another batch.
    pub async fn on_participations_revoked(
        &self,
        tx: &mut PgConnection,
        batch: &str,
        participation_ids: &[Uuid],
        revoke_time: OffsetDateTime,
    ) -> Result<(), HandleError> {
        let now = self.clock.now();
        let rows = lock_of_batch(tx, batch, participation_ids).await?;
        let open: Vec<_> = rows.iter().filter(|row| !row.funds.is_returned).collect();
        let Some(currency) = open.first().map(|row| row.funds.zero.currency()) else {
            return Ok(());
        };
        let open: Vec<Uuid> = open.iter().map(|row| row.participation_id).collect();

        let cancelled = cancel_unsent(tx, &open).await?;
        let returned = chart::of_batch(AccountKind::Returned, batch, currency);
        let returned_id = returned.id;
        storage::ledger::insert_accounts(tx, &[returned]).await?;
        let mut book = open_book(tx, accounts_of(batch, &open, currency)).await?;
        let unspent = |participation_id: &Uuid| Unspent {
            participation_id: *participation_id,
            training: book
                .sums(chart::own_id(
                    AccountKind::TrainingBalance,
                    *participation_id,
                ))
                .available(),
            commitment: book
                .sums(chart::own_id(
                    AccountKind::IncentiveCommitment,
                    *participation_id,
                ))
                .available(),
        };
        let in_flight = cancelled
            .iter()
            .filter(|payment| payment.state == DisbursementState::Approved);
        let lines: Vec<Transfer> = open
            .iter()
            .flat_map(|id| return_transfers(unspent(id), returned_id, currency))
            .chain(in_flight.map(Disbursement::cancel_in_flight))
            .collect();
        let before = book.sums(returned_id).credits_posted;
        if let Some(refusal) = first_refusal(book_lines(tx, &mut book, &lines, now).await?) {
            // The accounts are locked and the amounts were just read: a fault of ours, which the log must show.
            return Err(HandleError::retry(refusal));
        }
        let total = Money::new(book.sums(returned_id).credits_posted - before, currency);
        close_book(tx, &book).await?;
        storage::participation_funds::set_returned(tx, &open, revoke_time).await?;

        let event = pb::FundsReturned::from(FundsReturned {
            batch,
            participation_ids: &open,
            total,
        });
        outbox::append(tx, batch, now, &event).await?;
        Ok(())
    }
}

/// Cancels the payments of participations that were not sent, or failed, and returns them as they were.
async fn cancel_unsent(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let payments = storage::disbursements::lock_unsent(tx, participation_ids).await?;
    if payments.is_empty() {
        return Ok(payments);
    }
    let ids: Vec<Uuid> = payments.iter().map(|payment| payment.id).collect();
    storage::disbursements::set_cancelled(tx, &ids).await?;
    // An approver counts the lines that are still there.
    let batched: Vec<&Disbursement> = payments
        .iter()
        .filter(|payment| payment.state == DisbursementState::Batched)
        .collect();
    storage::disbursement_batches::take_out(tx, &batched).await?;
    Ok(payments)
}

fn accounts_of(batch: &str, participation_ids: &[Uuid], currency: Currency) -> BTreeSet<AccountId> {
    let own = |id: &Uuid| {
        [
            AccountKind::TrainingBalance,
            AccountKind::IncentiveCommitment,
        ]
        .map(|kind| chart::own_id(kind, *id))
    };
    let of_batch = [AccountKind::Returned, AccountKind::RailInFlight]
        .map(|kind| chart::of_batch(kind, batch, currency).id);
    participation_ids
        .iter()
        .flat_map(own)
        .chain(of_batch)
        .collect()
}

/// Tells what went back by itself: after the return, holds that were released and payments that failed; and payments that
/// were refunded, with or without a return.
pub(super) async fn tell_late_returns(
    tx: &mut PgConnection,
    returns: &[(&str, Uuid, Money)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let mut by_batch: HashMap<&str, Vec<(Uuid, Money)>> = HashMap::new();
    for (batch, participation_id, amount) in returns {
        by_batch
            .entry(batch)
            .or_default()
            .push((*participation_id, *amount));
    }
    for (batch, returns) in by_batch {
        let mut ids: Vec<Uuid> = returns.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        let minor: i64 = returns.iter().map(|(_, amount)| amount.minor()).sum();
        let total = Money::new(minor, returns[0].1.currency());
        let event = pb::FundsReturned::from(FundsReturned {
            batch,
            participation_ids: &ids,
            total,
        });
        outbox::append(tx, batch, now, &event).await?;
    }
    Ok(())
}
