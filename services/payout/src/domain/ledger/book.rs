//! The part of the ledger that one call works on: its accounts, locked by the caller, and the transfers that it may
//! repeat or end. Lines are booked in order, each with a verdict; the caller then writes what has changed.
//!
//! Invariant: every booking debits one account and credits another by the same amount.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Account, AccountId, Booked, Leg, Movement, Sums, Transfer, TransferId, TransferKind,
    TransferRefusal, Verdict,
};

/// Accounts and transfers in memory.
#[derive(Clone, Debug, Default)]
pub struct Book {
    accounts: BTreeMap<AccountId, Account>,
    transfers: HashMap<TransferId, Booked>,
    /// The pending transfers that have ended.
    ended: BTreeSet<TransferId>,
    touched: BTreeSet<AccountId>,
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
        let transfers: HashMap<TransferId, Booked> = booked
            .into_iter()
            .map(|booked| (booked.id, booked))
            .collect();
        let ended = transfers
            .values()
            .filter_map(|booked| booked.pending_id)
            .collect();
        Book {
            accounts: accounts
                .into_iter()
                .map(|account| (account.id, account))
                .collect(),
            transfers,
            ended,
            ..Book::default()
        }
    }

    /// Adds transfers that were booked before.
    pub fn know(&mut self, booked: impl IntoIterator<Item = Booked>) {
        for booked in booked {
            self.ended.extend(booked.pending_id);
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

    /// Books the lines in order. A refused line changes nothing; a chain is booked whole or not at all.
    pub fn apply(&mut self, lines: &[Transfer]) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(lines.len());
        for chain in lines.chunk_by(|line, _| line.linked) {
            self.apply_chain(chain, &mut verdicts);
        }
        verdicts
    }

    fn apply_chain(&mut self, chain: &[Transfer], verdicts: &mut Vec<Verdict>) {
        let mut journal = Journal::default();
        for (index, line) in chain.iter().enumerate() {
            match self.apply_line(line, &mut journal) {
                Ok(verdict) => verdicts.push(verdict),
                Err(refusal) => {
                    self.take_back(journal);
                    verdicts.truncate(verdicts.len() - index);
                    let broken = |position: usize| match position == index {
                        true => Verdict::Refused(refusal.clone()),
                        false => Verdict::Refused(TransferRefusal::ChainBroken),
                    };
                    verdicts.extend((0..chain.len()).map(broken));
                    return;
                }
            }
        }
    }

    fn apply_line(
        &mut self,
        line: &Transfer,
        journal: &mut Journal,
    ) -> Result<Verdict, TransferRefusal> {
        if let Some(booked) = self.transfers.get(&line.id) {
            return if repeats(line, booked) {
                Ok(Verdict::Repeated)
            } else {
                Err(TransferRefusal::IdReused)
            };
        }
        let (kind, leg) = match line.movement {
            Movement::Post(leg) => (TransferKind::Posted, leg),
            Movement::Hold(leg) => (TransferKind::Pending, leg),
            Movement::PostPending(pending_id) => {
                (TransferKind::PostPending, self.pending_leg(pending_id)?)
            }
            Movement::VoidPending(pending_id) => {
                (TransferKind::VoidPending, self.pending_leg(pending_id)?)
            }
        };
        self.move_sums(kind, leg, journal)?;

        let pending_id = line.pending_id();
        self.ended.extend(pending_id);
        journal.ended.extend(pending_id);
        self.transfers.insert(
            line.id,
            Booked {
                id: line.id,
                kind,
                leg,
                pending_id,
                code: line.code,
            },
        );
        self.new.push(line.id);
        journal.booked += 1;
        Ok(Verdict::Applied)
    }

    fn pending_leg(&self, pending_id: TransferId) -> Result<Leg, TransferRefusal> {
        let pending = self
            .transfers
            .get(&pending_id)
            .filter(|booked| booked.kind == TransferKind::Pending);
        let pending = pending.ok_or(TransferRefusal::PendingNotFound)?;
        if self.ended.contains(&pending_id) {
            return Err(TransferRefusal::PendingEnded);
        }
        Ok(pending.leg)
    }

    fn move_sums(
        &mut self,
        kind: TransferKind,
        leg: Leg,
        journal: &mut Journal,
    ) -> Result<(), TransferRefusal> {
        let Leg {
            debit,
            credit,
            amount,
        } = leg;
        if amount.minor() <= 0 {
            return Err(TransferRefusal::AmountNotPositive);
        }
        if debit == credit {
            return Err(TransferRefusal::AccountsEqual);
        }
        let from = *self
            .accounts
            .get(&debit)
            .ok_or(TransferRefusal::AccountNotFound(debit))?;
        let to = *self
            .accounts
            .get(&credit)
            .ok_or(TransferRefusal::AccountNotFound(credit))?;
        if from.currency != amount.currency() || to.currency != amount.currency() {
            return Err(TransferRefusal::CurrencyMismatched);
        }

        let (pending, posted) = match kind {
            TransferKind::Posted => (0, amount.minor()),
            TransferKind::Pending => (amount.minor(), 0),
            TransferKind::PostPending => (-amount.minor(), amount.minor()),
            TransferKind::VoidPending => (-amount.minor(), 0),
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
        if from.debits_must_not_exceed_credits && taken > debited.credits_posted {
            return Err(TransferRefusal::Overdraft {
                available: from.sums.available(),
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

    /// Returns the accounts whose sums may have changed, by id.
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
}

fn repeats(line: &Transfer, booked: &Booked) -> bool {
    let same_movement = match line.movement {
        Movement::Post(leg) => booked.kind == TransferKind::Posted && booked.leg == leg,
        Movement::Hold(leg) => booked.kind == TransferKind::Pending && booked.leg == leg,
        Movement::PostPending(id) => {
            booked.kind == TransferKind::PostPending && booked.pending_id == Some(id)
        }
        Movement::VoidPending(id) => {
            booked.kind == TransferKind::VoidPending && booked.pending_id == Some(id)
        }
    };
    same_movement && booked.code == line.code
}

#[cfg(test)]
mod tests;
