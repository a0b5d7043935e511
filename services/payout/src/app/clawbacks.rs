//! Claims against persons who were wrongly enrolled: made, repaid, reduced by what comes back by itself, written off.

use std::collections::HashMap;

use chassis::{
    db,
    idempotency::{self, RequestKey},
    money::Money,
    names,
    paging::PageRequest,
};
use messaging::outbox;
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    App,
    ledger::{apply_all, book_lines, close_book, first_refusal, open_book},
};
use crate::{
    domain::{
        chart::{self, AccountKind},
        clawback::{
            Clawback, ClawbackAccounts, ClawbackBalance, ClawbackRefusal, ClawbackState, Shares,
            WriteOffRequest, due_time,
        },
        disbursement::Disbursement,
        event::{ClawbackOpened, ClawbackReduced, ClawbackRepaid, ClawbackWrittenOff},
        ledger::{AccountId, Sums, Transfer},
        treasury::check_currency,
    },
    error::Error,
    storage::{self, clawbacks::Filter},
};

impl App {
    /// Claims what was spent and paid of a participation whose unspent money went back.
    pub async fn create_clawback(
        &self,
        key: RequestKey,
        participation_id: Uuid,
        reason: String,
    ) -> Result<pb::Clawback, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        // Nothing of a participation is held, released, returned or taken back by the rail while its funds are locked. A
        // payment under way may arrive: until then it counts as outstanding, and both are read in one statement.
        let funds = storage::participation_funds::lock_all(&mut tx, &[participation_id]).await?;
        let funds = funds
            .into_iter()
            .next()
            .ok_or_else(|| Error::NotFound(names::format("participations", participation_id)))?;
        let amount = reclaimable(&mut tx, participation_id, funds.funds.is_returned).await?;
        let clawback = Clawback {
            id: Uuid::now_v7(),
            participation_id,
            account_id: funds.account_id,
            batch: funds.funds.batch,
            reason,
            amount,
            currency: funds.funds.zero.currency(),
            state: ClawbackState::Open,
            due_time: due_time(now),
            create_time: now,
            write_off_requester: None,
            write_off_reason: None,
            write_off_approver: None,
            end_time: None,
        };
        storage::clawbacks::insert(&mut tx, &clawback)
            .await
            .map_err(|error| match db::constraint(&error) {
                Some("clawbacks_participation_id_key") => {
                    Error::Clawback(ClawbackRefusal::Exists { participation_id })
                }
                Some(_) | None => error.into(),
            })?;
        let accounts = accounts_of(&clawback);
        storage::ledger::insert_accounts(&mut tx, &accounts.all()).await?;
        apply_all(&mut tx, &accounts.claim(clawback.id, amount), now).await?;

        let event = pb::ClawbackOpened::from(ClawbackOpened {
            clawback: &clawback,
        });
        let subject = names::format("clawbacks", clawback.id);
        outbox::append(&mut tx, &subject, now, &event).await?;
        let answer = pb::Clawback::from(ClawbackBalance {
            outstanding: clawback.amount,
            clawback,
            read_time: now,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Books money that a person has repaid: it is the batch's returned money from then on.
    pub async fn record_repayment(
        &self,
        key: RequestKey,
        id: Uuid,
        amount: Money,
        receipt: &str,
    ) -> Result<pb::Clawback, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let mut clawback = lock_open(&mut tx, id).await?;
        check_currency(amount, clawback.currency).map_err(Error::Treasury)?;
        let repayment_id = Uuid::now_v7();
        storage::clawbacks::insert_repayment(&mut tx, repayment_id, id, amount, receipt, now)
            .await
            .map_err(|error| match db::constraint(&error) {
                Some("repayments_receipt_key") => {
                    Error::Clawback(ClawbackRefusal::ReceiptRecorded {
                        receipt: receipt.to_owned(),
                    })
                }
                Some(_) | None => error.into(),
            })?;

        let accounts = accounts_of(&clawback);
        let ids = accounts.all().into_iter().map(|account| account.id);
        let mut book = open_book(&mut tx, ids.collect()).await?;
        let owed = Shares {
            training: book.sums(accounts.training.id).available(),
            incentives: book.sums(accounts.incentives.id).available(),
        };
        if amount.minor() > owed.sum() {
            let outstanding = Money::new(owed.sum(), clawback.currency);
            return Err(Error::Clawback(ClawbackRefusal::RepaymentExcessive {
                outstanding,
            }));
        }
        let part = owed.take(amount.minor());
        let lines = accounts.repay(repayment_id, part);
        if let Some(refusal) = first_refusal(book_lines(&mut tx, &mut book, &lines, now).await?) {
            return Err(Error::Booking(refusal));
        }
        close_book(&mut tx, &book).await?;
        let outstanding = owed.less(part);
        if outstanding.sum() == 0 {
            storage::clawbacks::set_repaid(&mut tx, &[id], now).await?;
            clawback.state = ClawbackState::Repaid;
            clawback.end_time = Some(now);
        }

        let event = pb::ClawbackRepaid::from(ClawbackRepaid {
            clawback: &clawback,
            amount,
            outstanding: Money::new(outstanding.sum(), clawback.currency),
        });
        outbox::append(&mut tx, &names::format("clawbacks", id), now, &event).await?;
        let answer = pb::Clawback::from(ClawbackBalance {
            clawback,
            outstanding,
            read_time: now,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Asks for the rest of a claim to be given up; whoever asks last stands for it.
    pub async fn request_clawback_write_off(
        &self,
        key: RequestKey,
        requester: &str,
        id: Uuid,
        reason: String,
    ) -> Result<pb::Clawback, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let mut clawback = lock_open(&mut tx, id).await?;
        storage::clawbacks::set_write_off_request(&mut tx, id, requester, &reason).await?;
        clawback.write_off_requester = Some(requester.to_owned());
        clawback.write_off_reason = Some(reason);
        let answer = pb::Clawback::from(with_balance(&mut tx, clawback, now).await?);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Gives up the rest of a claim, as another person has asked and the approver has seen.
    pub async fn approve_clawback_write_off(
        &self,
        key: RequestKey,
        approver: &str,
        id: Uuid,
        seen: WriteOffRequest,
    ) -> Result<pb::Clawback, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let mut clawback = lock_open(&mut tx, id).await?;
        let actual = clawback
            .write_off_request()
            .ok_or(Error::Clawback(ClawbackRefusal::WriteOffNotRequested))?;
        if actual != seen {
            return Err(Error::Clawback(ClawbackRefusal::WriteOffReplaced {
                actual,
            }));
        }
        storage::clawbacks::set_written_off(&mut tx, id, approver, now)
            .await
            .map_err(|error| match db::constraint(&error) {
                Some("clawbacks_write_off_approver_check") => {
                    Error::Clawback(ClawbackRefusal::ApproverIsRequester {
                        requester: actual.requester,
                    })
                }
                Some(_) | None => error.into(),
            })?;
        let accounts = accounts_of(&clawback);
        let rest = owed(&mut tx, &clawback).await?;
        apply_all(&mut tx, &accounts.write_off(id, rest), now).await?;

        clawback.state = ClawbackState::WrittenOff;
        clawback.write_off_approver = Some(approver.to_owned());
        clawback.end_time = Some(now);
        let event = pb::ClawbackWrittenOff::from(ClawbackWrittenOff {
            clawback: &clawback,
            amount: Money::new(rest.sum(), clawback.currency),
        });
        outbox::append(&mut tx, &names::format("clawbacks", id), now, &event).await?;
        let answer = pb::Clawback::from(ClawbackBalance {
            clawback,
            outstanding: Shares::default(),
            read_time: now,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Returns a claim and what is owed of it.
    pub async fn get_clawback(&self, id: Uuid) -> Result<ClawbackBalance, Error> {
        let now = self.clock.now();
        let mut tx = self.begin_reading().await?;
        let clawback = storage::clawbacks::find(&mut tx, id).await?;
        let clawback = clawback.ok_or_else(|| Error::NotFound(names::format("clawbacks", id)))?;
        with_balance(&mut tx, clawback, now).await
    }

    /// Lists claims, oldest first.
    pub async fn list_clawbacks(
        &self,
        filter: &Filter,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<ClawbackBalance>, String), Error> {
        let now = self.clock.now();
        let mut tx = self.begin_reading().await?;
        let rows = storage::clawbacks::list(&mut tx, filter, now, page.after, page.limit()).await?;
        let (clawbacks, next_page_token) = page.finish(rows, |last| last.id);
        let sums = sums_of(&mut tx, &clawbacks).await?;
        let balances = clawbacks
            .into_iter()
            .map(|clawback| ClawbackBalance {
                outstanding: owed_of(&clawback, &sums),
                clawback,
                read_time: now,
            })
            .collect();
        Ok((balances, next_page_token))
    }
}

/// The open claims of participations whose payments the rail takes back, locked.
#[derive(Debug, Default)]
pub(super) struct OpenClaims(HashMap<Uuid, OpenClaim>);

#[derive(Debug)]
struct OpenClaim {
    clawback: Clawback,
    /// What is owed before anything is taken off.
    owed: Shares,
    /// What is left of it so far.
    left: Shares,
}

impl OpenClaims {
    /// Locks the claims of participations whose money went back. Their funds are locked: none is made meanwhile.
    pub(super) async fn lock(
        tx: &mut PgConnection,
        participation_ids: &[Uuid],
    ) -> Result<OpenClaims, sqlx::Error> {
        if participation_ids.is_empty() {
            return Ok(OpenClaims::default());
        }
        let clawbacks = storage::clawbacks::lock_open(tx, participation_ids).await?;
        let sums = sums_of(tx, &clawbacks).await?;
        let claims = clawbacks.into_iter().map(|clawback| {
            let owed = owed_of(&clawback, &sums);
            let claim = OpenClaim {
                clawback,
                owed,
                left: owed,
            };
            (claim.clawback.participation_id, claim)
        });
        Ok(OpenClaims(claims.collect()))
    }

    /// Books a settled payment back, and off the claim that counts it: both or neither.
    pub(super) fn reverse(&mut self, payment: &Disbursement, is_returned: bool) -> Vec<Transfer> {
        let mut chain = vec![payment.reverse(is_returned)];
        if let Some(claim) = self.0.get_mut(&payment.participation_id) {
            let part = claim
                .left
                .take(payment.amount.minor().min(claim.left.sum()));
            claim.left = claim.left.less(part);
            chain.extend(accounts_of(&claim.clawback).reduce(payment, part));
        }
        if let Some((_, tied)) = chain.split_last_mut() {
            tied.iter_mut().for_each(|line| line.linked = true);
        }
        chain
    }

    /// Ends the claims of which nothing is owed any more, now that the reversals are booked, and tells of those that have
    /// become less.
    pub(super) async fn close(
        self,
        tx: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<(), sqlx::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (clawbacks, owed): (Vec<Clawback>, Vec<Shares>) = self
            .0
            .into_values()
            .map(|claim| (claim.clawback, claim.owed))
            .unzip();
        // What the ledger says, and not what was planned: it may have refused a line.
        let sums = sums_of(tx, &clawbacks).await?;
        let mut ended = Vec::new();
        let mut events = Vec::new();
        for (clawback, owed) in clawbacks.iter().zip(owed) {
            let outstanding = owed_of(clawback, &sums).sum();
            if outstanding == owed.sum() {
                continue;
            }
            if outstanding == 0 {
                ended.push(clawback.id);
            }
            events.push(pb::ClawbackReduced::from(ClawbackReduced {
                clawback,
                amount: Money::new(owed.sum() - outstanding, clawback.currency),
                outstanding: Money::new(outstanding, clawback.currency),
            }));
        }
        storage::clawbacks::set_repaid(tx, &ended, now).await?;
        let events: Vec<(&str, &pb::ClawbackReduced)> = events
            .iter()
            .map(|event| (event.clawback.as_str(), event))
            .collect();
        outbox::append_all(tx, now, &events).await
    }
}

/// Returns what was spent and paid of a participation, when none of its money can move any more but by a claim.
async fn reclaimable(
    tx: &mut PgConnection,
    participation_id: Uuid,
    is_returned: bool,
) -> Result<Shares, Error> {
    let (mut accounts, transfers) = super::traces::movements_of(tx, participation_id).await?;
    // What was repaid of an earlier claim was spent all the same: that claim is in the way of another.
    let receivables = receivables_of(participation_id);
    accounts.retain(|id| !receivables.contains(id));
    let sums = storage::traces::sum_movements(tx, &accounts, &transfers).await?;
    if !is_returned || sums.outstanding > 0 {
        return Err(Error::Clawback(ClawbackRefusal::FundsOutstanding {
            participation_id,
        }));
    }
    let amount = Shares {
        training: sums.spent,
        incentives: sums.incentives,
    };
    if amount.sum() == 0 {
        return Err(Error::Clawback(ClawbackRefusal::NothingSpent {
            participation_id,
        }));
    }
    Ok(amount)
}

fn accounts_of(clawback: &Clawback) -> ClawbackAccounts {
    ClawbackAccounts::of(
        clawback.participation_id,
        &clawback.batch,
        clawback.currency,
    )
}

async fn lock_open(tx: &mut PgConnection, id: Uuid) -> Result<Clawback, Error> {
    let clawback = storage::clawbacks::lock(tx, id).await?;
    let clawback = clawback.ok_or_else(|| Error::NotFound(names::format("clawbacks", id)))?;
    match clawback.state {
        ClawbackState::Open => Ok(clawback),
        state @ (ClawbackState::Repaid | ClawbackState::WrittenOff) => {
            Err(Error::Clawback(ClawbackRefusal::Ended { state }))
        }
    }
}

async fn with_balance(
    connection: &mut PgConnection,
    clawback: Clawback,
    now: OffsetDateTime,
) -> Result<ClawbackBalance, Error> {
    Ok(ClawbackBalance {
        outstanding: owed(connection, &clawback).await?,
        clawback,
        read_time: now,
    })
}

/// Returns what is owed of a claim. Its row is locked where that matters: whoever books on its receivables locks it first.
async fn owed(connection: &mut PgConnection, clawback: &Clawback) -> Result<Shares, sqlx::Error> {
    let sums = sums_of(connection, std::slice::from_ref(clawback)).await?;
    Ok(owed_of(clawback, &sums))
}

async fn sums_of(
    connection: &mut PgConnection,
    clawbacks: &[Clawback],
) -> Result<Vec<(AccountId, Sums)>, sqlx::Error> {
    let ids: Vec<AccountId> = clawbacks
        .iter()
        .flat_map(|clawback| receivables_of(clawback.participation_id))
        .collect();
    storage::ledger::books::find_sums(connection, &ids).await
}

fn receivables_of(participation_id: Uuid) -> [AccountId; 2] {
    [
        AccountKind::TrainingReceivable,
        AccountKind::IncentiveReceivable,
    ]
    .map(|kind| chart::own_id(kind, participation_id))
}

fn owed_of(clawback: &Clawback, sums: &[(AccountId, Sums)]) -> Shares {
    let [training, incentives] = receivables_of(clawback.participation_id).map(|wanted| {
        let found = sums.iter().find(|(id, _)| *id == wanted);
        found.map_or(0, |(_, sums)| sums.available())
    });
    Shares {
        training,
        incentives,
    }
}
