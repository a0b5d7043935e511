//! Bank statements from a seed: one model of payments and bookings with twelve kinds of errors, written in the four formats
//! that payout reads. The tests of payout compile this file as well, because they may not depend on this crate.
//!
//! Each kind is seeded once for a thousand lines, in random places:
//!
//! | kind | what is done |
//! | --- | --- |
//! | `MISSING_AT_BANK` | a settled payment has no line |
//! | `UNKNOWN_REFERENCE` | a debit has a reference of our form that nobody gave out |
//! | `REFERENCE_MISSING` | a debit has no reference |
//! | `DOUBLE_ENTRY` | a payment is debited twice |
//! | `WRONG_AMOUNT` | a debit is one unit too large |
//! | `WRONG_CURRENCY` | a payment in dollars is debited in rupiah |
//! | `WRONG_DATE` | a payment of twenty days ago is booked now |
//! | `NOT_SETTLED` | a payment that has failed is debited |
//! | `OUTCOME_UNKNOWN` | a payment without a clear answer is debited |
//! | `RETURNED_TWICE` | a payment is debited and comes back twice |
//! | `RETURNED_UNPAID` | a payment that has failed comes back |
//! | `BANK_REFERENCE_REUSED` | a debit has the bank's reference of a credit of the day before |
//!
//! As often a payment comes back once (`RETURNED`, no error), and a credit has nothing to do with payments.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use time::{Date, Duration};
use uuid::Uuid;

/// The id of payment 0; the others count up from it.
const FIRST_ORDER: u128 = 0x0194_0000_0000_7000_8000_0000_0000_0000;
/// References from here on were never given out.
const UNKNOWN_ORDERS: u64 = 1 << 40;
const OPENING_MINOR: i64 = 1_000_000_000_000_000;
const REASONS: [&str; 3] = ["AC04", "AC06", "AM04"];

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ISO 20022, a statement.
    Camt053,
    /// ISO 20022, a notification.
    Camt054,
    /// SWIFT.
    Mt940,
    /// Comma-separated values.
    Csv,
}

/// What we say of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// It has arrived.
    Settled,
    /// It was refused.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// A payment on our side.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// What we say of it.
    pub state: OrderState,
    /// How much.
    pub amount_minor: i64,
    /// In which currency.
    pub currency: &'static str,
    /// When it was sent and, as the case may be, settled.
    pub day: Date,
}

/// A booking on the bank's side.
#[derive(Clone, Debug)]
struct Line {
    order: Option<u64>,
    /// The number behind the bank's reference.
    bank: u64,
    amount_minor: i64,
    is_credit: bool,
    return_reason: Option<&'static str>,
}

/// Something that a report has to list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// The number of the entry, or 0.
    pub entry_number: i64,
    /// The kind.
    pub kind: &'static str,
    /// The end-to-end reference, or nothing.
    pub reference: String,
}

/// A day's statement, the one of the day before, and the payments that they are compared with.
#[derive(Clone, Debug)]
pub struct Model {
    account: String,
    day: Date,
    /// Our payments.
    pub orders: Vec<Order>,
    before: Vec<Line>,
    lines: Vec<Line>,
    /// What the report of the day lists.
    pub expected: Vec<Expected>,
}

/// What stands around the lines of a statement.
struct Frame<'m> {
    lines: &'m [Line],
    account: &'m str,
    day: Date,
    /// Of the year, from 1.
    number: u16,
    opening_minor: i64,
}

/// Numbers that follow from the first one.
struct Chance(u64);

impl Chance {
    /// Returns a number below a limit.
    fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

// === impl Model ===

impl Model {
    /// Makes a statement of so many lines for an account and a day.
    pub fn new(seed: u64, line_count: usize, account: &str, day: Date) -> Model {
        let mut model = Model {
            account: account.to_owned(),
            day,
            orders: Vec::with_capacity(line_count),
            before: Vec::new(),
            lines: Vec::with_capacity(line_count),
            expected: Vec::new(),
        };
        let mut chance = Chance(seed);
        for _ in 0..(line_count / 1_000).max(1) {
            model.seed_errors(&mut chance);
        }
        while model.lines.len() < line_count {
            let order = model.order(&mut chance, OrderState::Settled, "IDR", day);
            model.pay(order);
        }
        for i in (1..model.lines.len()).rev() {
            let other = chance.below(i as u64 + 1);
            model.lines.swap(i, usize::try_from(other).unwrap_or(i));
        }
        model.number_expected();
        model
    }

    fn seed_errors(&mut self, chance: &mut Chance) {
        use OrderState::{Failed, Settled, Unknown};
        let day = self.day;
        self.order(chance, Settled, "IDR", day);
        self.line(Some(UNKNOWN_ORDERS + chance.below(1 << 30)), 60_000_000);
        self.line(None, 250_000);
        let doubled = self.order(chance, Settled, "IDR", day);
        self.pay(doubled);
        self.pay(doubled);
        let wrong = self.order(chance, Settled, "IDR", day);
        self.pay(wrong);
        if let Some(line) = self.lines.last_mut() {
            line.amount_minor += 100;
        }
        for (state, currency, day) in [
            (Settled, "USD", day),
            (Settled, "IDR", day - Duration::days(20)),
            (Failed, "IDR", day),
            (Unknown, "IDR", day),
        ] {
            let order = self.order(chance, state, currency, day);
            self.pay(order);
        }
        for return_count in [1, 2] {
            let order = self.order(chance, Settled, "IDR", day);
            self.pay(order);
            for _ in 0..return_count {
                self.give_back(chance, order);
            }
        }
        let unpaid = self.order(chance, Failed, "IDR", day);
        self.give_back(chance, unpaid);

        let reused = self.order(chance, Settled, "IDR", day);
        let bank = 900_000_000 + self.before.len() as u64;
        self.pay(reused);
        if let Some(line) = self.lines.last_mut() {
            line.bank = bank;
        }
        self.before.push(Line {
            order: None,
            bank,
            amount_minor: 1_000_000,
            is_credit: true,
            return_reason: None,
        });
        self.line(None, 77_700);
        if let Some(line) = self.lines.last_mut() {
            line.is_credit = true;
        }
    }

    /// Adds a payment and returns its number.
    fn order(
        &mut self,
        chance: &mut Chance,
        state: OrderState,
        currency: &'static str,
        day: Date,
    ) -> u64 {
        let number = self.orders.len() as u64;
        let amounts = [60_000_000, 5_000_000];
        let amount = amounts[usize::from(chance.below(4) == 0)];
        self.orders.push(Order {
            id: order_id(number),
            state,
            amount_minor: amount,
            currency,
            day,
        });
        number
    }

    fn amount_of(&self, order: u64) -> i64 {
        usize::try_from(order)
            .ok()
            .and_then(|order| self.orders.get(order))
            .map_or(0, |order| order.amount_minor)
    }

    fn pay(&mut self, order: u64) {
        self.line(Some(order), self.amount_of(order));
    }

    fn give_back(&mut self, chance: &mut Chance, order: u64) {
        self.line(Some(order), self.amount_of(order));
        let reason = REASONS[usize::try_from(chance.below(3)).unwrap_or(0)];
        if let Some(line) = self.lines.last_mut() {
            line.is_credit = true;
            line.return_reason = Some(reason);
        }
    }

    fn line(&mut self, order: Option<u64>, amount_minor: i64) {
        self.lines.push(Line {
            order,
            bank: self.lines.len() as u64,
            amount_minor,
            is_credit: false,
            return_reason: None,
        });
    }

    /// Says what the report lists, from what was seeded and where it came to stand.
    fn number_expected(&mut self) {
        let mut debits: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        let mut credits: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        let mut expected = Vec::new();
        let mut expect = |entry_number: i64, kind: &'static str, order: Option<u64>| {
            expected.push(Expected {
                entry_number,
                kind,
                reference: order.map(reference).unwrap_or_default(),
            });
        };
        for (number, line) in (1..).zip(&self.lines) {
            match (line.order, line.is_credit) {
                (None, true) => {}
                (None, false) => expect(number, "REFERENCE_MISSING", None),
                (Some(order), false) => debits.entry(order).or_default().push(number),
                (Some(order), true) => credits.entry(order).or_default().push(number),
            }
            if line.bank >= 900_000_000 {
                expect(number, "BANK_REFERENCE_REUSED", line.order);
            }
        }
        for (order, numbers) in &debits {
            let number = numbers[0];
            for number in &numbers[1..] {
                expect(*number, "DOUBLE_ENTRY", Some(*order));
            }
            let known = usize::try_from(*order)
                .ok()
                .and_then(|order| self.orders.get(order));
            let Some(known) = known else {
                expect(number, "UNKNOWN_REFERENCE", Some(*order));
                continue;
            };
            match known.state {
                OrderState::Failed => expect(number, "NOT_SETTLED", Some(*order)),
                OrderState::Unknown => expect(number, "OUTCOME_UNKNOWN", Some(*order)),
                OrderState::Settled if known.currency != "IDR" => {
                    expect(number, "WRONG_CURRENCY", Some(*order));
                }
                OrderState::Settled if known.day != self.day => {
                    expect(number, "WRONG_DATE", Some(*order));
                }
                OrderState::Settled => {
                    let line = usize::try_from(number - 1)
                        .ok()
                        .and_then(|index| self.lines.get(index));
                    if line.is_some_and(|line| line.amount_minor != known.amount_minor) {
                        expect(number, "WRONG_AMOUNT", Some(*order));
                    }
                }
            }
        }
        for (order, numbers) in &credits {
            let first = match debits.contains_key(order) {
                true => "RETURNED",
                false => "RETURNED_UNPAID",
            };
            expect(numbers[0], first, Some(*order));
            for number in &numbers[1..] {
                expect(*number, "RETURNED_TWICE", Some(*order));
            }
        }
        for (number, order) in (0..).zip(&self.orders) {
            let is_missing = order.state == OrderState::Settled && !debits.contains_key(&number);
            if is_missing {
                expect(0, "MISSING_AT_BANK", Some(number));
            }
        }
        expected.sort();
        self.expected = expected;
    }

    /// Writes the statement of the day.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        let frame = Frame {
            lines: &self.lines,
            account: &self.account,
            day: self.day,
            number: 2,
            opening_minor: OPENING_MINOR + sums(&self.before)[1],
        };
        frame.write(format, out)
    }

    /// Writes the statement of the day before.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write_before(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        let frame = Frame {
            lines: &self.before,
            account: &self.account,
            day: self.day - Duration::days(1),
            number: 1,
            opening_minor: OPENING_MINOR,
        };
        frame.write(format, out)
    }
}

fn order_id(number: u64) -> Uuid {
    Uuid::from_u128(FIRST_ORDER + u128::from(number))
}

fn reference(order: u64) -> String {
    order_id(order).simple().to_string()
}

/// Returns the sums of debits and credits.
fn sums(lines: &[Line]) -> [i64; 2] {
    let sum = |is_credit| {
        lines
            .iter()
            .filter(|line| line.is_credit == is_credit)
            .map(|line| line.amount_minor)
            .sum()
    };
    [sum(false), sum(true)]
}

fn amount(minor: i64, separator: char) -> String {
    format!("{}{separator}{:02}", minor / 100, minor % 100)
}

// === impl Frame ===

impl Frame<'_> {
    fn closing_minor(&self) -> i64 {
        let [debits, credits] = sums(self.lines);
        self.opening_minor + credits - debits
    }

    fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Camt053 => self.write_camt(true, out),
            Format::Camt054 => self.write_camt(false, out),
            Format::Mt940 => self.write_mt940(out),
            Format::Csv => self.write_csv(out),
        }
    }

    fn write_camt(&self, is_statement: bool, out: &mut impl Write) -> io::Result<()> {
        let (version, message, part) = match is_statement {
            true => ("camt.053.001.08", "BkToCstmrStmt", "Stmt"),
            false => ("camt.054.001.08", "BkToCstmrDbtCdtNtfctn", "Ntfctn"),
        };
        let (day, account) = (self.day, self.account);
        writeln!(
            out,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{version}"><{message}>
<GrpHdr><MsgId>M{day}</MsgId><CreDtTm>{day}T23:30:00+07:00</CreDtTm></GrpHdr>
<{part}><Id>S{day}</Id><ElctrncSeqNb>{}</ElctrncSeqNb><CreDtTm>{day}T23:30:00+07:00</CreDtTm>
<FrToDt><FrDtTm>{day}T00:00:00+07:00</FrDtTm><ToDtTm>{day}T23:59:59+07:00</ToDtTm></FrToDt>
<Acct><Id><Othr><Id>{account}</Id></Othr></Id><Ccy>IDR</Ccy></Acct>"#,
            self.number,
        )?;
        if is_statement {
            for (code, minor) in [("OPBD", self.opening_minor), ("CLBD", self.closing_minor())] {
                writeln!(
                    out,
                    r#"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="IDR">{}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"#,
                    amount(minor, '.'),
                )?;
            }
        }
        let [debits, credits] = sums(self.lines);
        writeln!(
            out,
            "<TxsSummry><TtlNtries><NbOfNtries>{}</NbOfNtries><Sum>{}</Sum></TtlNtries><TtlDbtNtries><Sum>{}</Sum></TtlDbtNtries></TxsSummry>",
            self.lines.len(),
            amount(debits + credits, '.'),
            amount(debits, '.'),
        )?;
        for line in self.lines {
            let side = if line.is_credit { "CRDT" } else { "DBIT" };
            let end_to_end = line.order.map_or("NOTPROVIDED".to_owned(), reference);
            write!(
                out,
                r#"<Ntry><Amt Ccy="IDR">{}</Amt><CdtDbtInd>{side}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt><AcctSvcrRef>B{:010}</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{end_to_end}</EndToEndId></Refs><RltdPties><Cdtr><Pty><Nm>A &amp; B</Nm></Pty></Cdtr></RltdPties>"#,
                amount(line.amount_minor, '.'),
                line.bank,
            )?;
            if let Some(reason) = line.return_reason {
                write!(out, "<RtrInf><Rsn><Cd>{reason}</Cd></Rsn></RtrInf>")?;
            }
            writeln!(out, "</TxDtls></NtryDtls></Ntry>")?;
        }
        writeln!(out, "</{part}></{message}></Document>")
    }

    fn write_mt940(&self, out: &mut impl Write) -> io::Result<()> {
        let date = self.short_date();
        let number = self.number;
        write!(
            out,
            "{{1:F01BEKALIDJAXXX0000000000}}{{2:I940BEKALIDJXXXXN}}{{4:\r\n:20:STMT{date}\r\n:25:{}\r\n:28C:{number:05}/001\r\n:60F:C{date}IDR{}\r\n",
            self.account,
            amount(self.opening_minor, ','),
        )?;
        for line in self.lines {
            let side = if line.is_credit { "C" } else { "D" };
            let kind = match line.return_reason {
                Some(_) => "NRTI",
                None => "NTRF",
            };
            let amount = amount(line.amount_minor, ',');
            write!(
                out,
                ":61:{date}{}{side}R{amount}{kind}NONREF//B{:010}\r\n",
                &date[2..],
                line.bank,
            )?;
            match (line.order, line.return_reason) {
                (Some(order), Some(reason)) => {
                    write!(out, ":86:/EREF/{}//RTRN/{reason}/\r\n", reference(order))?;
                }
                (Some(order), None) => {
                    write!(out, ":86:/EREF/{}//NAME/A B\r\n", reference(order))?;
                }
                (None, _) => write!(out, ":86:/REMI/OTHER\r\n")?,
            }
        }
        write!(
            out,
            ":62F:C{date}IDR{}\r\n-}}\r\n",
            amount(self.closing_minor(), ','),
        )
    }

    fn short_date(&self) -> String {
        let month = u8::from(self.day.month());
        let year = self.day.year() % 100;
        format!("{year:02}{month:02}{:02}", self.day.day())
    }

    fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        let (day, account) = (self.day, self.account);
        writeln!(
            out,
            "record,statement,account,currency,booking_date,value_date,direction,amount,bank_reference,end_to_end_id,return_reason,entry_count"
        )?;
        writeln!(
            out,
            "OPENING,S{day},{account},IDR,{day},,CREDIT,{},,,,",
            amount(self.opening_minor, '.'),
        )?;
        for line in self.lines {
            let side = if line.is_credit { "CREDIT" } else { "DEBIT" };
            writeln!(
                out,
                "ENTRY,,,IDR,{day},{day},{side},{},B{:010},{},{},",
                amount(line.amount_minor, '.'),
                line.bank,
                line.order.map(reference).unwrap_or_default(),
                line.return_reason.unwrap_or_default(),
            )?;
        }
        writeln!(
            out,
            "CLOSING,,,IDR,{day},,CREDIT,{},,,,{}",
            amount(self.closing_minor(), '.'),
            self.lines.len(),
        )
    }
}
