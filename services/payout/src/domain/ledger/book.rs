//! The part of the ledger that one call works on: its accounts, locked by the caller, and the transfers that it may
//! repeat or end. Lines are booked in order, each with a verdict; the caller then writes what has changed.
//!
//! Invariant: every booking debits one account and credits another by the same amount.

use std::collections::{HashMap, HashSet};

use time::OffsetDateTime;

use super::{
    Account, AccountId, Booked, Difference, Leg, Movement, Sums, Transfer, TransferId,
    TransferKind, TransferRefusal, Verdict,
};

/// Accounts and transfers in memory.
#[derive(Clone, Debug, Default)]
pub struct Book {
    accounts: HashMap<AccountId, Account>,
    transfers: HashMap<TransferId, Booked>,
    /// The pending transfers that have ended, and how.
    ended: HashMap<TransferId, TransferKind>,
    touched: HashSet<AccountId>,
    new: Vec<TransferId>,
}

/// What a chain has done so far, to take it back.
#[derive(Debug, Default)]
struct Journal {
    sums: Vec<(AccountId, Sums)>,
    ended: Vec<TransferId>,
    booked: usize,
}

impl Book {
    /// Opens a book with these accounts and these transfers, booked before.
    pub fn open(
        accounts: impl IntoIterator<Item = Account>,
        booked: impl IntoIterator<Item = Booked>,
    ) -> Book {
        let mut book = Book {
            accounts: accounts
                .into_iter()
                .map(|account| (account.id, account))
                .collect(),
            ..Book::default()
        };
        book.know(booked);
        book
    }

    /// Adds transfers that were booked before.
    pub fn know(&mut self, booked: impl IntoIterator<Item = Booked>) {
        for booked in booked {
            if let Some(pending_id) = booked.pending_id {
                self.ended.insert(pending_id, booked.kind);
            }
            self.transfers.insert(booked.id, booked);
        }
    }

    /// Returns an account's sums as they are now; zero for an account that is not there.
    pub fn sums(&self, id: AccountId) -> Sums {
        self.accounts
            .get(&id)
            .map(|account| account.sums)
            .unwrap_or_default()
    }

    /// Books the lines of a call in order. A refused line changes nothing; a chain is booked whole or not at all, and not
    /// at all when its end is missing.
    pub fn apply(&mut self, lines: &[Transfer], now: OffsetDateTime) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(lines.len());
        for chain in lines.chunk_by(|line, _| line.linked) {
            if let Err((broken, refusal)) = self.apply_chain(chain, now, &mut verdicts) {
                verdicts.extend((0..chain.len()).map(|index| {
                    Verdict::Refused(if index == broken {
                        refusal.clone()
                    } else {
                        TransferRefusal::ChainBroken
                    })
                }));
            }
        }
        verdicts
    }

    /// Books a chain, or names the line that broke it.
    fn apply_chain(
        &mut self,
        chain: &[Transfer],
        now: OffsetDateTime,
        verdicts: &mut Vec<Verdict>,
    ) -> Result<(), (usize, TransferRefusal)> {
        let before = verdicts.len();
        let mut journal = Journal::default();
        for (index, line) in chain.iter().enumerate() {
            let is_open = line.linked && index + 1 == chain.len();
            let verdict = match is_open {
                true => Err(TransferRefusal::ChainOpen),
                false => self.apply_line(line, now, &mut journal),
            };
            match verdict {
                Ok(verdict) => verdicts.push(verdict),
                Err(refusal) => {
                    self.take_back(journal);
                    verdicts.truncate(before);
                    return Err((index, refusal));
                }
            }
        }
        Ok(())
    }

    fn apply_line(
        &mut self,
        line: &Transfer,
        now: OffsetDateTime,
        journal: &mut Journal,
    ) -> Result<Verdict, TransferRefusal> {
        if let Some(booked) = self.transfers.get(&line.id) {
            let pending = booked.pending_id.and_then(|id| self.transfers.get(&id));
            return match difference(line, booked, pending) {
                None => Ok(Verdict::Repeated),
                Some(difference) => Err(TransferRefusal::IdReused(difference)),
            };
        }
        let entry = self.entry(line, now)?;
        self.move_sums(&entry, journal)?;

        if let Some(pending_id) = entry.pending_id {
            self.ended.insert(pending_id, entry.kind);
            journal.ended.push(pending_id);
        }
        self.transfers.insert(line.id, entry);
        self.new.push(line.id);
        journal.booked += 1;
        Ok(Verdict::Applied)
    }

    /// Returns what a line would be booked as.
    fn entry(&self, line: &Transfer, now: OffsetDateTime) -> Result<Booked, TransferRefusal> {
        let mut entry = Booked {
            id: line.id,
            kind: TransferKind::Posted,
            leg: match line.pending_id() {
                Some(pending_id) => self.pending_leg(pending_id, line, now)?,
                None => line.leg().ok_or(TransferRefusal::PendingNotFound)?,
            },
            rest_minor: 0,
            timeout_seconds: None,
            pending_id: line.pending_id(),
            code: line.code,
            create_time: now,
        };
        match line.movement {
            Movement::Post(_) => {}
            Movement::Hold {
                timeout_seconds, ..
            } => {
                entry.kind = TransferKind::Pending;
                entry.timeout_seconds = timeout_seconds;
            }
            Movement::PostPending { amount, .. } => {
                entry.kind = TransferKind::PostPending;
                let pending = entry.leg.amount;
                entry.leg.amount = amount.unwrap_or(pending);
                if entry.leg.amount.currency() != pending.currency() {
                    return Err(TransferRefusal::CurrencyMismatched);
                }
                entry.rest_minor = pending.minor().saturating_sub(entry.leg.amount.minor());
                if entry.rest_minor < 0 {
                    return Err(TransferRefusal::PendingExceeded {
                        available: pending.minor(),
                    });
                }
            }
            Movement::VoidPending(_) => entry.kind = TransferKind::VoidPending,
            Movement::ExpirePending(_) => entry.kind = TransferKind::ExpirePending,
        }
        Ok(entry)
    }

    fn pending_leg(
        &self,
        pending_id: TransferId,
        line: &Transfer,
        now: OffsetDateTime,
    ) -> Result<Leg, TransferRefusal> {
        let pending = self
            .transfers
            .get(&pending_id)
            .filter(|booked| booked.kind == TransferKind::Pending)
            // Booked by somebody else since the accounts were locked, and therefore after this line.
            .filter(|booked| self.accounts.contains_key(&booked.leg.debit));
        let pending = pending.ok_or(TransferRefusal::PendingNotFound)?;
        match self.ended.get(&pending_id) {
            Some(TransferKind::VoidPending) => return Err(TransferRefusal::PendingVoided),
            Some(TransferKind::ExpirePending) => return Err(TransferRefusal::PendingExpired),
            Some(TransferKind::PostPending | TransferKind::Posted | TransferKind::Pending) => {
                return Err(TransferRefusal::PendingPosted);
            }
            None => {}
        }
        let is_over = pending.expire_time().is_some_and(|time| time <= now);
        if is_over && !matches!(line.movement, Movement::ExpirePending(_)) {
            return Err(TransferRefusal::PendingExpired);
        }
        Ok(pending.leg)
    }

    fn move_sums(&mut self, entry: &Booked, journal: &mut Journal) -> Result<(), TransferRefusal> {
        let Leg {
            debit,
            credit,
            amount,
        } = entry.leg;
        if amount.minor() <= 0 {
            return Err(TransferRefusal::AmountNotPositive);
        }
        if debit == credit {
            return Err(TransferRefusal::AccountsEqual);
        }
        let account = |id: AccountId| {
            let account = self.accounts.get(&id);
            let account = account.ok_or(TransferRefusal::AccountNotFound(id))?;
            match account.is_of_caller == entry.code.is_of_caller() {
                true => Ok(*account),
                false => Err(TransferRefusal::AccountReserved(id)),
            }
        };
        let (from, to) = (account(debit)?, account(credit)?);
        if from.currency != amount.currency() || to.currency != amount.currency() {
            return Err(TransferRefusal::CurrencyMismatched);
        }

        let (pending, posted) = match entry.kind {
            TransferKind::Posted => (0, amount.minor()),
            TransferKind::Pending => (amount.minor(), 0),
            TransferKind::PostPending => (-amount.minor() - entry.rest_minor, amount.minor()),
            TransferKind::VoidPending | TransferKind::ExpirePending => (-amount.minor(), 0),
        };
        let add = |sum: i64, change: i64| {
            // A pending sum below zero would be a bug of ours; it is refused like one that does not fit.
            sum.checked_add(change)
                .filter(|sum| *sum >= 0)
                .ok_or(TransferRefusal::Overflow)
        };
        let debited = Sums {
            debits_pending: add(from.sums.debits_pending, pending)?,
            debits_posted: add(from.sums.debits_posted, posted)?,
            ..from.sums
        };
        let credited = Sums {
            credits_pending: add(to.sums.credits_pending, pending)?,
            credits_posted: add(to.sums.credits_posted, posted)?,
            ..to.sums
        };
        let taken = add(debited.debits_pending, debited.debits_posted)?;
        if from.limits.debits_must_not_exceed_credits && taken > debited.credits_posted {
            return Err(TransferRefusal::Overdraft {
                available: from.sums.available(),
            });
        }
        let got = add(credited.credits_pending, credited.credits_posted)?;
        if to.limits.credits_must_not_exceed_debits && got > credited.debits_posted {
            return Err(TransferRefusal::Excess {
                available: to.sums.receivable(),
            });
        }
        for (id, before, after) in [(debit, from.sums, debited), (credit, to.sums, credited)] {
            journal.sums.push((id, before));
            self.set_sums(id, after);
            self.touched.insert(id);
        }
        Ok(())
    }

    fn set_sums(&mut self, id: AccountId, sums: Sums) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.sums = sums;
        }
    }

    fn take_back(&mut self, journal: Journal) {
        for (id, sums) in journal.sums.into_iter().rev() {
            self.set_sums(id, sums);
        }
        for pending_id in journal.ended {
            self.ended.remove(&pending_id);
        }
        for id in self.new.split_off(self.new.len() - journal.booked) {
            self.transfers.remove(&id);
        }
    }

    /// Returns the accounts whose sums may have changed.
    pub fn changed_accounts(&self) -> Vec<Account> {
        self.touched
            .iter()
            .filter_map(|id| self.accounts.get(id))
            .copied()
            .collect()
    }

    /// Returns what was booked since the opening, in order.
    pub fn new_transfers(&self) -> Vec<Booked> {
        self.new
            .iter()
            .filter_map(|id| self.transfers.get(id))
            .copied()
            .collect()
    }

    /// Returns the pending transfers with a time-out that were ended since the opening.
    pub fn ended_timeouts(&self) -> Vec<TransferId> {
        self.new
            .iter()
            .filter_map(|id| self.transfers.get(id)?.pending_id)
            .filter(|id| {
                let pending = self.transfers.get(id);
                pending.is_some_and(|booked| booked.timeout_seconds.is_some())
            })
            .collect()
    }
}

/// Returns the first thing in which a line is not what was booked under its id. `pending` is what the booked one ended.
fn difference(line: &Transfer, booked: &Booked, pending: Option<&Booked>) -> Option<Difference> {
    let kind = match line.movement {
        Movement::Post(_) => TransferKind::Posted,
        Movement::Hold { .. } => TransferKind::Pending,
        Movement::PostPending { .. } => TransferKind::PostPending,
        Movement::VoidPending(_) => TransferKind::VoidPending,
        Movement::ExpirePending(_) => TransferKind::ExpirePending,
    };
    if kind != booked.kind {
        return Some(Difference::Kind);
    }
    if line.pending_id() != booked.pending_id {
        return Some(Difference::PendingTransfer);
    }
    if let Some(leg) = line.leg() {
        if leg.debit != booked.leg.debit {
            return Some(Difference::DebitAccount);
        }
        if leg.credit != booked.leg.credit {
            return Some(Difference::CreditAccount);
        }
    }
    let amount = match line.movement {
        Movement::Post(leg) | Movement::Hold { leg, .. } => Some(leg.amount),
        // Without an amount all is meant.
        Movement::PostPending { amount, .. } => {
            amount.or(pending.map(|pending| pending.leg.amount))
        }
        Movement::VoidPending(_) | Movement::ExpirePending(_) => None,
    };
    if let Some(amount) = amount {
        if amount.currency() != booked.leg.amount.currency() {
            return Some(Difference::Currency);
        }
        if amount != booked.leg.amount {
            return Some(Difference::Amount);
        }
    }
    if let Movement::Hold {
        timeout_seconds, ..
    } = line.movement
        && timeout_seconds != booked.timeout_seconds
    {
        return Some(Difference::Timeout);
    }
    (line.code != booked.code).then_some(Difference::Code)
}

#[cfg(test)]
mod tests;
