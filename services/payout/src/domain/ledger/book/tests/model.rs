//! The naive book: a list of what was booked, read from the start whenever something is asked, and copied before a chain.

use super::*;

/// All that was ever booked.
#[derive(Clone)]
pub(super) struct Model {
    accounts: Vec<Account>,
    booked: Vec<(Transfer, OffsetDateTime)>,
}

impl Model {
    pub(super) fn new(accounts: impl IntoIterator<Item = Account>) -> Model {
        Model {
            accounts: accounts.into_iter().collect(),
            booked: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, lines: &[Transfer], now: OffsetDateTime) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        while verdicts.len() < lines.len() {
            let rest = &lines[verdicts.len()..];
            let links = rest.iter().take_while(|line| line.linked).count();
            let (chain, is_open) = match links < rest.len() {
                true => (&rest[..=links], false),
                false => (rest, true),
            };
            let before = self.clone();
            let mut of_chain: Vec<Verdict> = Vec::new();
            for (index, line) in chain.iter().enumerate() {
                let outcome = match is_open && index + 1 == chain.len() {
                    true => Err(TransferRefusal::ChainOpen),
                    false => self.book(line, now),
                };
                match outcome {
                    Ok(verdict) => of_chain.push(verdict),
                    Err(refusal) => {
                        *self = before;
                        of_chain = vec![refused(TransferRefusal::ChainBroken); chain.len()];
                        of_chain[index] = refused(refusal);
                        break;
                    }
                }
            }
            verdicts.extend(of_chain);
        }
        verdicts
    }

    /// Returns the sums by adding up everything.
    pub(super) fn sums(&self, id: AccountId) -> Sums {
        let mut sums = Sums::default();
        for (line, _) in &self.booked {
            let (leg, pending, posted) = self.effect(line);
            if leg.debit == id {
                sums.debits_pending += pending;
                sums.debits_posted += posted;
            }
            if leg.credit == id {
                sums.credits_pending += pending;
                sums.credits_posted += posted;
            }
        }
        sums
    }

    /// Returns between which accounts a line moves how much, pending and posted.
    fn effect(&self, line: &Transfer) -> (Leg, i64, i64) {
        let held = |id| self.find(id).unwrap().0.leg().unwrap();
        match line.movement {
            Movement::Post(leg) => (leg, 0, leg.amount.minor()),
            Movement::Hold { leg, .. } => (leg, leg.amount.minor(), 0),
            Movement::PostPending { pending_id, amount } => {
                let leg = held(pending_id);
                let posted = amount.unwrap_or(leg.amount).minor();
                (leg, -leg.amount.minor(), posted)
            }
            Movement::VoidPending(id) | Movement::ExpirePending(id) => {
                let leg = held(id);
                (leg, -leg.amount.minor(), 0)
            }
        }
    }

    fn find(&self, id: TransferId) -> Option<&(Transfer, OffsetDateTime)> {
        self.booked.iter().find(|(line, _)| line.id == id)
    }

    fn book(&mut self, line: &Transfer, now: OffsetDateTime) -> Result<Verdict, TransferRefusal> {
        if let Some((first, _)) = self.find(line.id) {
            return match self.first_difference(line, first) {
                None => Ok(Verdict::Repeated),
                Some(difference) => Err(TransferRefusal::IdReused(difference)),
            };
        }
        let ending = line.pending_id();
        if let Some(pending_id) = ending {
            let pending = self.find(pending_id);
            let (pending, booked_at) = pending
                .filter(|(pending, _)| matches!(pending.movement, Movement::Hold { .. }))
                .ok_or(TransferRefusal::PendingNotFound)?;
            let end = self
                .booked
                .iter()
                .find(|(other, _)| other.pending_id() == Some(pending_id));
            match end.map(|(end, _)| &end.movement) {
                None => {}
                Some(Movement::VoidPending(_)) => return Err(TransferRefusal::PendingVoided),
                Some(Movement::ExpirePending(_)) => return Err(TransferRefusal::PendingExpired),
                Some(_) => return Err(TransferRefusal::PendingPosted),
            }
            let Movement::Hold {
                leg,
                timeout_seconds,
            } = pending.movement
            else {
                panic!("filtered above")
            };
            let age = (now - *booked_at).whole_seconds();
            let is_over = timeout_seconds.is_some_and(|seconds| age >= i64::from(seconds));
            if is_over && !matches!(line.movement, Movement::ExpirePending(_)) {
                return Err(TransferRefusal::PendingExpired);
            }
            if let Movement::PostPending {
                amount: Some(amount),
                ..
            } = line.movement
                && amount.minor() > leg.amount.minor()
            {
                let available = leg.amount.minor();
                return Err(TransferRefusal::PendingExceeded { available });
            }
        }
        let (leg, _, posted) = self.effect(line);
        let amount = if matches!(line.movement, Movement::PostPending { .. }) {
            posted
        } else {
            leg.amount.minor()
        };
        if amount <= 0 {
            return Err(TransferRefusal::AmountNotPositive);
        }
        if leg.debit == leg.credit {
            return Err(TransferRefusal::AccountsEqual);
        }
        for id in [leg.debit, leg.credit] {
            if !self.accounts.iter().any(|account| account.id == id) {
                return Err(TransferRefusal::AccountNotFound(id));
            }
        }

        let before = (self.sums(leg.debit), self.sums(leg.credit));
        self.booked.push((line.clone(), now));
        let limits = |id| {
            self.accounts
                .iter()
                .find(|account| account.id == id)
                .unwrap()
                .limits
        };
        let (from, to) = (self.sums(leg.debit), self.sums(leg.credit));
        if limits(leg.debit).debits_must_not_exceed_credits
            && from.debits_pending + from.debits_posted > from.credits_posted
        {
            self.booked.pop();
            let before = before.0;
            let available = before.credits_posted - before.debits_posted - before.debits_pending;
            return Err(TransferRefusal::Overdraft { available });
        }
        if limits(leg.credit).credits_must_not_exceed_debits
            && to.credits_pending + to.credits_posted > to.debits_posted
        {
            self.booked.pop();
            let before = before.1;
            let available = before.debits_posted - before.credits_posted - before.credits_pending;
            return Err(TransferRefusal::Excess { available });
        }
        Ok(Verdict::Applied)
    }

    fn first_difference(&self, line: &Transfer, first: &Transfer) -> Option<Difference> {
        let kind = |line: &Transfer| std::mem::discriminant(&line.movement);
        if kind(line) != kind(first) {
            return Some(Difference::Kind);
        }
        if line.pending_id() != first.pending_id() {
            return Some(Difference::PendingTransfer);
        }
        let ((one, _, posted), (other, _, first_posted)) = (self.effect(line), self.effect(first));
        let timeout = |line: &Transfer| {
            if let Movement::Hold {
                timeout_seconds, ..
            } = line.movement
            {
                timeout_seconds
            } else {
                None
            }
        };
        [
            (one.debit != other.debit, Difference::DebitAccount),
            (one.credit != other.credit, Difference::CreditAccount),
            (
                one.amount != other.amount || posted != first_posted,
                Difference::Amount,
            ),
            (timeout(line) != timeout(first), Difference::Timeout),
            (line.code != first.code, Difference::Code),
        ]
        .into_iter()
        .find(|(differs, _)| *differs)
        .map(|(_, difference)| difference)
    }
}
