//! The bank's own book: accounts, and transfers by the payer's reference.
//!
//! Invariant: a reference is credited at most once, whatever is asked of the bank. The book is the measure that tests
//! hold the ledger against.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::{Duration, Instant},
};

use ::tests::fakes::{AccountState, BankAccount, BookEntry, BookSummary, Credit};

use crate::answer::{Case, ServiceCode};

#[derive(Default)]
pub(crate) struct Book {
    /// By bank code and number.
    accounts: HashMap<(String, String), Account>,
    transfers: BTreeMap<String, Transfer>,
    attempts: HashMap<String, u64>,
    inquiries: HashMap<String, u64>,
    requests: BTreeMap<String, u64>,
    conflicts: u64,
    /// What happens by itself, and when.
    due: BinaryHeap<Reverse<(Instant, String)>>,
    notices: Vec<Notice>,
    /// Notices that the payer has not taken yet.
    untold: u64,
}

/// What the payer is told of by itself.
#[derive(Debug)]
pub(crate) struct Notice {
    pub(crate) reference: String,
    pub(crate) bank_reference: String,
    pub(crate) amount: String,
    /// SNAP's `latestTransactionStatus`.
    pub(crate) state: &'static str,
}

struct Account {
    details: BankAccount,
    balance_minor: i64,
    cap_minor: Option<i64>,
}

/// What the payer orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) reference: String,
    pub(crate) bank_code: String,
    pub(crate) account_no: String,
    pub(crate) amount_minor: i64,
}

/// A transfer in the book.
pub(crate) struct Transfer {
    pub(crate) order: Order,
    pub(crate) bank_reference: String,
    pub(crate) state: State,
    credited: u32,
}

/// Where a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Refused for good.
    Refused(Case),
    /// To be paid at a time; until then an inquiry sees it, or does not.
    Open { due: Instant, visible: bool },
    /// Paid; to be taken back at a time, perhaps.
    Paid { reversal_due: Option<Instant> },
    /// Taken back.
    Reversed,
}

impl State {
    /// Returns SNAP's `latestTransactionStatus`.
    pub(crate) fn digits(self) -> &'static str {
        match self {
            State::Paid { .. } => "00",
            State::Open { visible: true, .. } => "03",
            State::Reversed => "04",
            State::Refused(_) => "06",
            State::Open { visible: false, .. } => "07",
        }
    }
}

impl Book {
    // Accounts

    pub(crate) fn open_account(&mut self, details: BankAccount) -> Result<(), String> {
        let cap_minor = match &details.balance_cap {
            None => None,
            Some(text) => Some(parse_amount(text).ok_or(format!("`{text}` is no amount"))?),
        };
        let key = (details.bank_code.clone(), details.account_no.clone());
        let account = Account {
            details,
            balance_minor: 0,
            cap_minor,
        };
        self.accounts.insert(key, account);
        Ok(())
    }

    pub(crate) fn accounts(&self) -> Vec<BankAccount> {
        let mut all: Vec<_> = self.accounts.values().map(|a| a.details.clone()).collect();
        all.sort_by(|a, b| (&a.bank_code, &a.account_no).cmp(&(&b.bank_code, &b.account_no)));
        all
    }

    /// Finds an account that takes money, or says why not.
    pub(crate) fn payable(&self, bank_code: &str, account_no: &str) -> Result<&BankAccount, Case> {
        let key = (bank_code.to_owned(), account_no.to_owned());
        let account = self.accounts.get(&key).ok_or(Case::InvalidAccount)?;
        match account.details.state {
            AccountState::Active => Ok(&account.details),
            AccountState::Blocked => Err(Case::DoNotHonor),
            AccountState::Dormant => Err(Case::DormantAccount),
            AccountState::Closed => Err(Case::InactiveAccount),
        }
    }

    // Transfers

    /// Counts an attempt at a reference and returns its number.
    pub(crate) fn count_attempt(&mut self, reference: &str) -> u64 {
        let count = self.attempts.entry(reference.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Counts an inquiry of a reference and returns its number.
    pub(crate) fn count_inquiry(&mut self, reference: &str) -> u64 {
        let count = self.inquiries.entry(reference.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Takes an order. A reference that is there already gets its first outcome when the order is the same, and is a
    /// conflict when it is not.
    pub(crate) fn take(
        &mut self,
        order: Order,
        refusal: Option<Case>,
        wait: Option<State>,
    ) -> Result<&Transfer, Case> {
        self.catch_up(&order.reference);
        if let Some(known) = self.transfers.get(&order.reference)
            && known.order != order
        {
            self.conflicts += 1;
            return Err(Case::DuplicateReference);
        }
        let reference = order.reference.clone();
        if !self.transfers.contains_key(&reference) {
            let refusal = refusal.or_else(|| self.refusal(&order));
            let state = match (refusal, wait) {
                (Some(case), _) => State::Refused(case),
                (None, Some(state)) => state,
                (None, None) => State::Paid { reversal_due: None },
            };
            let transfer = Transfer {
                bank_reference: format!("{:012}", self.transfers.len() + 1),
                order,
                state,
                credited: 0,
            };
            if let Some(at) = transfer.state.next_change() {
                self.due.push(Reverse((at, reference.clone())));
            }
            self.transfers.insert(reference.clone(), transfer);
        }
        // A resend of an order that waits unseen brings it forward.
        if let Some(transfer) = self.transfers.get_mut(&reference)
            && let State::Open { visible: false, .. } = transfer.state
            && self
                .attempts
                .get(&reference)
                .is_some_and(|attempts| *attempts > 1)
        {
            transfer.state = State::Paid { reversal_due: None };
        }
        self.credit(&reference);
        self.catch_up(&reference);
        Ok(&self.transfers[&reference])
    }

    /// Finds a transfer as it stands now; one that is not visible yet is not found.
    pub(crate) fn find(&mut self, reference: &str) -> Option<&Transfer> {
        self.catch_up(reference);
        self.transfers
            .get(reference)
            .filter(|transfer| transfer.state.digits() != "07")
    }

    /// Takes a paid transfer back; false when there is none.
    pub(crate) fn reverse(&mut self, reference: &str) -> bool {
        self.catch_up(reference);
        let Some(transfer) = self.transfers.get_mut(reference) else {
            return false;
        };
        if !matches!(transfer.state, State::Paid { .. }) {
            return false;
        }
        transfer.state = State::Reversed;
        let (key, amount) = (transfer.order.account(), transfer.order.amount_minor);
        if let Some(account) = self.accounts.get_mut(&key) {
            account.balance_minor -= amount;
        }
        self.tell(reference);
        true
    }

    /// Has the payer told where a transfer stands.
    pub(crate) fn tell(&mut self, reference: &str) {
        let Some(transfer) = self.transfers.get(reference) else {
            return;
        };
        self.notices.push(Notice {
            reference: reference.to_owned(),
            bank_reference: transfer.bank_reference.clone(),
            amount: format_amount(transfer.order.amount_minor),
            state: transfer.state.digits(),
        });
        self.untold += 1;
    }

    /// Lets what has become due happen, and returns what the payer is to be told.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        self.catch_up_due();
        std::mem::take(&mut self.notices)
    }

    /// Counts a notice as told.
    pub(crate) fn count_told(&mut self) {
        self.untold = self.untold.saturating_sub(1);
    }

    fn refusal(&self, order: &Order) -> Option<Case> {
        if let Err(case) = self.payable(&order.bank_code, &order.account_no) {
            return Some(case);
        }
        let account = &self.accounts[&order.account()];
        let after = account.balance_minor.saturating_add(order.amount_minor);
        let over = account.cap_minor.is_some_and(|cap| after > cap);
        over.then_some(Case::AccountLimitExceeded)
    }

    /// Does what has become due since the last look.
    fn catch_up(&mut self, reference: &str) {
        let now = Instant::now();
        let Some(transfer) = self.transfers.get_mut(reference) else {
            return;
        };
        match transfer.state {
            State::Open { due, .. } if due <= now => {
                transfer.state = State::Paid { reversal_due: None };
                self.credit(reference);
                self.tell(reference);
            }
            State::Paid {
                reversal_due: Some(due),
            } if due <= now => {
                self.reverse_now(reference);
            }
            State::Open { .. } | State::Paid { .. } | State::Refused(_) | State::Reversed => {}
        }
    }

    fn reverse_now(&mut self, reference: &str) {
        if let Some(transfer) = self.transfers.get_mut(reference) {
            transfer.state = State::Paid { reversal_due: None };
        }
        self.reverse(reference);
    }

    /// Credits a paid transfer, once.
    fn credit(&mut self, reference: &str) {
        let Some(transfer) = self.transfers.get_mut(reference) else {
            return;
        };
        if transfer.credited > 0 || !matches!(transfer.state, State::Paid { .. }) {
            return;
        }
        transfer.credited += 1;
        let (key, amount) = (transfer.order.account(), transfer.order.amount_minor);
        if let Some(account) = self.accounts.get_mut(&key) {
            account.balance_minor += amount;
        }
    }

    // Reports

    pub(crate) fn count_request(&mut self, service: ServiceCode) {
        let digits = service.digits().to_owned();
        *self.requests.entry(digits).or_default() += 1;
    }

    pub(crate) fn count_conflict(&mut self) {
        self.conflicts += 1;
    }

    pub(crate) fn credits(&mut self) -> Vec<Credit> {
        self.catch_up_due();
        let credit = |transfer: &Transfer| Credit {
            reference: transfer.order.reference.clone(),
            status: transfer.state.digits().to_owned(),
            credited: transfer.credited,
        };
        self.transfers.values().map(credit).collect()
    }

    pub(crate) fn entries(&mut self) -> Vec<BookEntry> {
        self.catch_up_due();
        self.transfers
            .values()
            .map(|transfer| BookEntry {
                reference: transfer.order.reference.clone(),
                bank_reference: transfer.bank_reference.clone(),
                account_no: transfer.order.account_no.clone(),
                bank_code: transfer.order.bank_code.clone(),
                amount: format_amount(transfer.order.amount_minor),
                currency: "IDR".to_owned(),
                status: transfer.state.digits().to_owned(),
                refused_with: match transfer.state {
                    State::Refused(case) => {
                        Some(case.response_code(ServiceCode::TransferInterbank))
                    }
                    State::Open { .. } | State::Paid { .. } | State::Reversed => None,
                },
                credited: transfer.credited,
                attempts: self
                    .attempts
                    .get(&transfer.order.reference)
                    .copied()
                    .unwrap_or_default(),
            })
            .collect()
    }

    pub(crate) fn summary(&mut self, faults: BTreeMap<String, u64>) -> BookSummary {
        self.catch_up_due();
        let mut summary = BookSummary {
            requests: self.requests.clone(),
            conflicts: self.conflicts,
            untold: self.untold,
            faults,
            ..BookSummary::default()
        };
        let mut paid_minor = 0;
        for transfer in self.transfers.values() {
            match transfer.state {
                State::Paid { .. } => {
                    summary.paid += 1;
                    paid_minor += transfer.order.amount_minor;
                }
                State::Refused(_) => summary.refused += 1,
                State::Open { .. } => summary.open += 1,
                State::Reversed => summary.reversed += 1,
            }
        }
        summary.paid_amount = format_amount(paid_minor);
        summary
    }

    fn catch_up_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.due.peek()
            && *at <= now
        {
            if let Some(Reverse((_, reference))) = self.due.pop() {
                self.catch_up(&reference);
            }
        }
    }
}

impl Order {
    fn account(&self) -> (String, String) {
        (self.bank_code.clone(), self.account_no.clone())
    }
}

impl State {
    /// Returns when it changes by itself.
    fn next_change(self) -> Option<Instant> {
        match self {
            State::Open { due, .. } => Some(due),
            State::Paid { reversal_due } => reversal_due,
            State::Refused(_) | State::Reversed => None,
        }
    }

    /// Open, and seen by an inquiry as pending.
    pub(crate) fn pending(wait: Duration) -> State {
        State::Open {
            due: Instant::now() + wait,
            visible: true,
        }
    }

    /// Open, and not found by an inquiry.
    pub(crate) fn unseen(wait: Duration) -> State {
        State::Open {
            due: Instant::now() + wait,
            visible: false,
        }
    }

    /// Paid, and taken back later.
    pub(crate) fn reversing(wait: Duration) -> State {
        State::Paid {
            reversal_due: Some(Instant::now() + wait),
        }
    }
}

/// Reads whole rupiah and two digits, such as `600000.00`, as hundredths.
pub(crate) fn parse_amount(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() > 16 || fraction.len() != 2 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = fraction.parse().ok()?;
    whole.checked_mul(100)?.checked_add(fraction)
}

/// Writes hundredths as whole rupiah and two digits.
pub(crate) fn format_amount(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_book() -> Book {
        let mut book = Book::default();
        let account =
            r#"{"account_no":"1","bank_code":"009","holder_name":"X","balance_cap":"1000.00"}"#;
        book.open_account(serde_json::from_str(account).unwrap())
            .unwrap();
        book
    }

    fn an_order(reference: &str, amount_minor: i64) -> Order {
        Order {
            reference: reference.to_owned(),
            bank_code: "009".to_owned(),
            account_no: "1".to_owned(),
            amount_minor,
        }
    }

    #[test]
    fn the_same_order_is_credited_once_and_another_is_a_conflict() {
        let mut book = a_book();

        for _ in 0..3 {
            book.take(an_order("r", 60_000), None, None).ok().unwrap();
        }
        let other = book.take(an_order("r", 50_000), None, None).err();

        assert_eq!(other, Some(Case::DuplicateReference));
        let entries = book.entries();
        assert_eq!((entries.len(), entries[0].credited), (1, 1));
        assert_eq!(book.summary(BTreeMap::new()).paid_amount, "600.00");
    }

    #[test]
    fn an_unseen_order_is_not_found_and_then_paid_once_also_when_sent_again() {
        let mut book = a_book();
        book.count_attempt("r");
        let unseen = Some(State::unseen(Duration::from_secs(60)));
        book.take(an_order("r", 100), None, unseen).ok().unwrap();
        assert!(book.find("r").is_none());

        book.count_attempt("r");
        book.take(an_order("r", 100), None, None).ok().unwrap();

        assert_eq!(book.find("r").unwrap().state.digits(), "00");
        assert_eq!(book.entries()[0].credited, 1);
    }

    #[test]
    fn what_happens_after_the_answer_is_told_once() {
        let mut book = a_book();
        let at_once = Duration::ZERO;
        book.take(an_order("answered", 100), None, None)
            .ok()
            .unwrap();
        book.take(an_order("late", 100), None, Some(State::pending(at_once)))
            .ok()
            .unwrap();
        book.take(
            an_order("taken-back", 100),
            None,
            Some(State::reversing(at_once)),
        )
        .ok()
        .unwrap();

        let told: Vec<_> = book
            .take_notices()
            .into_iter()
            .map(|notice| (notice.reference, notice.state))
            .collect();

        assert_eq!(
            told,
            [("late".to_owned(), "00"), ("taken-back".to_owned(), "04")]
        );
        assert!(book.take_notices().is_empty());
        assert_eq!(book.summary(BTreeMap::new()).untold, 2);
    }

    #[test]
    fn more_than_the_cap_is_refused_and_a_reversal_makes_room() {
        let mut book = a_book();
        book.take(an_order("a", 90_000), None, None).ok().unwrap();
        let second = book.take(an_order("b", 20_000), None, None).ok().unwrap();
        assert_eq!(second.state, State::Refused(Case::AccountLimitExceeded));

        assert!(book.reverse("a"));
        assert!(!book.reverse("a"));

        let third = book.take(an_order("c", 20_000), None, None).ok().unwrap();
        assert_eq!(third.state.digits(), "00");
    }

    #[test]
    fn amounts_have_two_digits_after_the_point() {
        assert_eq!(parse_amount("600000.00"), Some(60_000_000));
        for wrong in ["600000", "600000.0", "-1.00", ".00", "1e5.00", "1.000"] {
            assert_eq!(parse_amount(wrong), None, "{wrong}");
        }
        assert_eq!(format_amount(60_000_005), "600000.05");
    }
}
