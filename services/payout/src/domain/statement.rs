//! Bank statements, whatever format they came in, and how a file is checked against itself while it is read.
//!
//! Names and account numbers of payees are not part of the model: they are left in the file.

use chassis::money::Currency;
use time::Date;

/// How many faults of a file are kept; the others are only counted.
const FAULTS_MAX: usize = 100;

/// The most entries of a file: a hundred days' worth of the programme's payments.
const ENTRIES_MAX: i64 = 10_000_000;

/// The formats of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ISO 20022, a statement with balances.
    Camt053,
    /// ISO 20022, a notification without balances.
    Camt054,
    /// SWIFT.
    Mt940,
    /// Comma-separated values of our own making.
    Csv,
}

/// Whether money left the account or came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It left.
    Debit,
    /// It came in.
    Credit,
}

/// One booking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the file, from 1.
    pub number: i64,
    /// Where the money went.
    pub direction: Direction,
    /// How much, above zero.
    pub amount_minor: i64,
    /// When the bank booked it.
    pub booking_date: Date,
    /// From when it counts for interest.
    pub value_date: Date,
    /// The bank's own reference.
    pub bank_reference: Option<String>,
    /// The end-to-end reference of the order.
    pub reference: Option<String>,
    /// Whether the bank marks it as undoing another booking.
    pub is_return: bool,
    /// Why the bank returned it, in its code.
    pub return_reason: Option<String>,
}

/// A balance at the end of a day, below zero when overdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// How much.
    pub minor: i64,
    /// On which day.
    pub date: Date,
}

/// A statement without its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The bank's id of it.
    pub reference: String,
    /// The number of the account.
    pub account_number: String,
    /// The account's currency.
    pub currency: Currency,
    /// Its first day, if the file says it.
    pub start_date: Option<Date>,
    /// The day of its first booking.
    pub first_booking: Option<Date>,
    /// Its last day.
    pub end_date: Date,
    /// The opening and the closing balance; a notification has none.
    pub balances: Option<[i64; 2]>,
    /// How many entries it has.
    pub entry_count: i64,
}

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line of the file.
    pub line: u64,
    /// The entry, or 0.
    pub entry: i64,
    /// What is wrong, without a value of the file.
    pub what: &'static str,
}

/// All that is wrong in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first hundred.
    pub first: Vec<Fault>,
    /// How many there are.
    pub count: u64,
}

/// What a file says of itself, for [`Intake::finish`].
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The bank's id of the statement.
    pub reference: Option<String>,
    /// The number of the account.
    pub account_number: Option<String>,
    /// The account's currency.
    pub currency: Option<Currency>,
    /// The first day.
    pub start_date: Option<Date>,
    /// The last day, where no closing balance says it.
    pub end_date: Option<Date>,
    /// The opening balance.
    pub opening: Option<Balance>,
    /// The closing balance.
    pub closing: Option<Balance>,
    /// How many entries the file says it has: all, debits, credits.
    pub counts: [Option<i64>; 3],
    /// What the file says its entries sum up to: all, debits, credits.
    pub sums: [Option<i64>; 3],
}

/// An entry as a format reads it; what is missing was named as a fault or is one.
#[derive(Clone, Debug, Default)]
pub struct RawEntry {
    /// The line on which it begins.
    pub line: u64,
    /// Debit or credit.
    pub direction: Option<Direction>,
    /// The amount.
    pub amount_minor: Option<i64>,
    /// When it was booked.
    pub booking_date: Option<Date>,
    /// The value date; the booking date where there is none.
    pub value_date: Option<Date>,
    /// The bank's reference.
    pub bank_reference: Option<String>,
    /// The end-to-end reference.
    pub reference: Option<String>,
    /// Whether it undoes another booking.
    pub is_return: bool,
    /// Why.
    pub return_reason: Option<String>,
}

/// Takes in the entries of a file: numbers them, adds them up, passes them on, and collects what is wrong.
pub struct Intake<'s> {
    /// Gets each entry; `false` when nobody wants more.
    sink: &'s mut dyn FnMut(Entry) -> bool,
    faults: Faults,
    /// Entries that were begun, also the faulty ones.
    entry_count: i64,
    has_faulty_entry: bool,
    /// Whether the entry that comes next is.
    is_faulty: bool,
    /// Debits and credits.
    counts: [i64; 2],
    sums: [i64; 2],
    first_booking: Option<Date>,
    last_booking: Option<Date>,
}

// === impl Format ===

impl Format {
    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Camt053 => "CAMT_053",
            Format::Camt054 => "CAMT_054",
            Format::Mt940 => "MT940",
            Format::Csv => "CSV",
        }
    }

    /// Finds a format by its name.
    pub fn parse(name: &str) -> Option<Format> {
        [Format::Camt053, Format::Camt054, Format::Mt940, Format::Csv]
            .into_iter()
            .find(|format| format.as_str() == name)
    }

    /// Says whether it tells entries alone.
    pub fn is_notification(self) -> bool {
        self == Format::Camt054
    }
}

// === impl Faults ===

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, line: u64, entry: i64, what: &'static str) {
        self.count += 1;
        if self.first.len() < FAULTS_MAX {
            self.first.push(Fault { line, entry, what });
        }
    }
}

// === impl Intake ===

impl<'s> Intake<'s> {
    /// Begins with a file.
    pub fn new(sink: &'s mut dyn FnMut(Entry) -> bool) -> Intake<'s> {
        Intake {
            sink,
            faults: Faults::default(),
            entry_count: 0,
            has_faulty_entry: false,
            is_faulty: false,
            counts: [0; 2],
            sums: [0; 2],
            first_booking: None,
            last_booking: None,
        }
    }

    /// Adds a fault of the file.
    pub fn fault(&mut self, line: u64, what: &'static str) {
        self.faults.add(line, 0, what);
    }

    /// Adds a fault of the entry that comes next.
    pub fn entry_fault(&mut self, line: u64, what: &'static str) {
        self.has_faulty_entry = true;
        self.is_faulty = true;
        self.faults.add(line, self.entry_count + 1, what);
    }

    /// Takes in an entry; `false` when reading on makes no sense.
    pub fn take(&mut self, raw: RawEntry) -> bool {
        if !self.is_faulty {
            if raw.direction.is_none() {
                self.entry_fault(raw.line, "says neither debit nor credit");
            }
            if raw.amount_minor.is_none_or(|amount| amount <= 0) {
                self.entry_fault(raw.line, "has no amount above zero");
            }
            if raw.booking_date.is_none() {
                self.entry_fault(raw.line, "has no booking date");
            }
        }
        let is_faulty = std::mem::take(&mut self.is_faulty);
        self.entry_count += 1;
        if self.entry_count > ENTRIES_MAX {
            self.fault(raw.line, "the file has too many entries");
            return false;
        }
        let (Some(direction), Some(amount_minor), Some(booking_date)) =
            (raw.direction, raw.amount_minor, raw.booking_date)
        else {
            return true;
        };
        if is_faulty {
            return true;
        }
        let side = match direction {
            Direction::Debit => 0,
            Direction::Credit => 1,
        };
        self.counts[side] += 1;
        match self.sums[side].checked_add(amount_minor) {
            Some(sum) => self.sums[side] = sum,
            None => {
                self.fault(raw.line, "the amounts sum up to more than there is");
                return false;
            }
        }
        self.first_booking = Some(
            self.first_booking
                .map_or(booking_date, |first| first.min(booking_date)),
        );
        self.last_booking = Some(
            self.last_booking
                .map_or(booking_date, |last| last.max(booking_date)),
        );
        (self.sink)(Entry {
            number: self.entry_count,
            direction,
            amount_minor,
            booking_date,
            value_date: raw.value_date.unwrap_or(booking_date),
            bank_reference: raw.bank_reference,
            reference: raw.reference,
            is_return: raw.is_return,
            return_reason: raw.return_reason,
        })
    }

    /// Ends where nothing more can be made out.
    pub fn into_faults(self) -> Faults {
        self.faults
    }

    /// Compares what the file says of itself with its entries.
    ///
    /// # Errors
    /// When anything in it is wrong.
    pub fn finish(mut self, line: u64, format: Format, head: Head) -> Result<Statement, Faults> {
        if head.reference.is_none() {
            self.fault(line, "the statement has no reference");
        }
        if head.account_number.is_none() {
            self.fault(line, "the statement names no account");
        }
        if head.currency.is_none() {
            self.fault(line, "the statement names no known currency");
        }
        // One faulty entry would make all of these wrong.
        if !self.has_faulty_entry {
            self.check_controls(line, &head);
        }
        let balances = self.check_balances(line, format, &head);
        let end_date = head
            .closing
            .map(|closing| closing.date)
            .or(head.end_date)
            .or(self.last_booking);
        match end_date {
            None => self.fault(line, "the statement has no date"),
            Some(end) if self.last_booking.is_some_and(|last| last > end) => {
                self.fault(line, "an entry was booked after the statement's end");
            }
            Some(end) if head.start_date.is_some_and(|start| start > end) => {
                self.fault(line, "the statement ends before it starts");
            }
            Some(_) => {}
        }
        let starts_late = head
            .start_date
            .zip(self.first_booking)
            .is_some_and(|(start, first)| first < start);
        if starts_late {
            self.fault(line, "an entry was booked before the statement's start");
        }
        if self.faults.count > 0 {
            return Err(self.faults);
        }
        let statement = head
            .reference
            .zip(head.account_number)
            .zip(head.currency)
            .zip(end_date);
        let ((reference, account_number), currency, end_date) = match statement {
            Some(((names, currency), end_date)) => (names, currency, end_date),
            None => return Err(self.faults),
        };
        Ok(Statement {
            reference,
            account_number,
            currency,
            start_date: head.start_date,
            first_booking: self.first_booking,
            end_date,
            balances,
            entry_count: self.entry_count,
        })
    }

    fn check_controls(&mut self, line: u64, head: &Head) {
        let [debits, credits] = self.counts;
        let actual = [self.entry_count, debits, credits];
        for (said, actual) in head.counts.iter().zip(actual) {
            if said.is_some_and(|said| said != actual) {
                self.fault(line, "the number of entries is not the control number");
            }
        }
        let [debits, credits] = self.sums;
        let actual = [debits.saturating_add(credits), debits, credits];
        for (said, actual) in head.sums.iter().zip(actual) {
            if said.is_some_and(|said| said != actual) {
                self.fault(line, "the sum of the entries is not the control sum");
            }
        }
    }

    fn check_balances(&mut self, line: u64, format: Format, head: &Head) -> Option<[i64; 2]> {
        if format.is_notification() {
            return None;
        }
        if head.opening.is_none() {
            self.fault(line, "the statement has no opening balance");
        }
        if head.closing.is_none() {
            self.fault(line, "the statement has no closing balance");
        }
        let (opening, closing) = head.opening.zip(head.closing)?;
        let [debits, credits] = self.sums;
        let expected = opening
            .minor
            .checked_add(credits)
            .and_then(|sum| sum.checked_sub(debits));
        if !self.has_faulty_entry && expected != Some(closing.minor) {
            self.fault(
                line,
                "opening balance and entries do not give the closing balance",
            );
        }
        Some([opening.minor, closing.minor])
    }
}
