//! MT940 of SWIFT, bare or in its blocks (`{1:…}{4:` … `-}`), also in several pages (60M and 62M).
//!
//! Read here and not by the crate `mt940`, which takes a whole file as one text and gives it back as one tree: some
//! gigabytes for a file of a million entries, and its first fault alone.
//!
//! A reference of ours has 32 characters and more, and field 61 has room for 16: it stands in field 86, behind `/EREF/`,
//! and the reason of a return behind `/RTRN/`.

use std::io::BufRead;

use chassis::money::Currency;
use time::Date;

use super::{NOT_UTF_8, Pieces, Stop, amount, date, reference};
use crate::domain::statement::{Balance, Direction, Head, Intake, RawEntry};

/// The longest field in bytes: six lines of 65, and some room for banks that do not count.
const FIELD_BYTES_MAX: usize = 4_096;

/// One field: its tag, and its lines.
struct Field {
    line: u64,
    tag: String,
    lines: Vec<String>,
}

struct Mt940<'a, 's> {
    intake: &'a mut Intake<'s>,
    head: Head,
    /// Waits for its field 86.
    entry: Option<RawEntry>,
    /// The closing balance of the page before, which the next page has to open with.
    page: Option<Balance>,
}

/// Reads a file.
pub(super) fn read<R: BufRead>(
    input: &mut Pieces<R>,
    intake: &mut Intake<'_>,
) -> Result<Head, Stop> {
    let mut mt940 = Mt940 {
        intake,
        head: Head::default(),
        entry: None,
        page: None,
    };
    let mut field: Option<Field> = None;
    let mut bytes = Vec::new();
    loop {
        input.end_piece();
        bytes.clear();
        let number = input.line;
        if input.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(mt940.lost(number, NOT_UTF_8));
        };
        let text = text.trim_end_matches(['\r', '\n']);
        // The blocks around the text, and what ends it.
        let text = match text.split_once("{4:") {
            Some((_, rest)) => rest,
            None if text.starts_with("{1:") => "",
            None => text,
        };
        if text.is_empty() || text == "-" || text.starts_with("-}") {
            mt940.end_field(field.take())?;
            continue;
        }
        if let Some((tag, rest)) = tag(text) {
            mt940.end_field(field.take())?;
            field = Some(Field {
                line: number,
                tag: tag.to_owned(),
                lines: vec![rest.to_owned()],
            });
            continue;
        }
        match &mut field {
            None => return Err(mt940.lost(number, "stands outside of a field")),
            Some(field) => {
                field.lines.push(text.to_owned());
                let length: usize = field.lines.iter().map(String::len).sum();
                if length > FIELD_BYTES_MAX {
                    return Err(mt940.lost(number, "belongs to a field longer than 4 KiB"));
                }
            }
        }
    }
    mt940.end_field(field.take())?;
    mt940.end_entry()?;
    if mt940.page.is_some() && mt940.head.closing.is_none() {
        mt940
            .intake
            .fault(input.line, "the last page of the statement is missing");
    }
    let Head {
        reference, closing, ..
    } = &mt940.head;
    // The numbers begin again with each year, so that the day belongs to them.
    let reference = reference.as_ref().zip(*closing);
    mt940.head.reference = reference.map(|(number, closing)| format!("{number}/{}", closing.date));
    Ok(mt940.head)
}

/// Splits `:61:…` into its tag and the rest.
fn tag(text: &str) -> Option<(&str, &str)> {
    let (tag, rest) = text.strip_prefix(':')?.split_once(':')?;
    let digits = tag.get(..2)?;
    let is_tag = digits.bytes().all(|digit| digit.is_ascii_digit())
        && tag.len() <= 3
        && tag[2..].bytes().all(|letter| letter.is_ascii_uppercase());
    is_tag.then_some((tag, rest))
}

impl Mt940<'_, '_> {
    fn lost(&mut self, line: u64, what: &'static str) -> Stop {
        self.intake.fault(line, what);
        Stop::Lost
    }

    fn end_field(&mut self, field: Option<Field>) -> Result<(), Stop> {
        let Some(field) = field else {
            return Ok(());
        };
        if field.tag != "86" {
            self.end_entry()?;
        }
        let line = field.line;
        let first = field.lines[0].as_str();
        match field.tag.as_str() {
            "20" if self.head.closing.is_some() => {
                return Err(self.lost(line, "begins a second statement"));
            }
            "25" => {
                // The account may stand behind the bank's code.
                let number = first.rsplit('/').next().unwrap_or_default();
                self.head.account_number = self.text(line, number);
            }
            "28C" => {
                // All pages of a statement have its number.
                let number = first.split('/').next().unwrap_or_default();
                let number = self.text(line, number);
                if self.page.is_some() && number != self.head.reference {
                    return Err(self.lost(line, "is a page of another statement"));
                }
                self.head.reference = number;
            }
            "60F" if self.head.opening.is_some() => {
                return Err(self.lost(line, "opens a second statement"));
            }
            "60F" => self.head.opening = self.balance(line, first),
            "60M" => {
                let opening = self.balance(line, first);
                let minor = |balance: Balance| balance.minor;
                if self.page.is_none() || opening.map(minor) != self.page.map(minor) {
                    self.intake
                        .fault(line, "is not the balance that the page before closes with");
                }
            }
            "62M" => self.page = self.balance(line, first),
            "62F" => self.head.closing = self.balance(line, first),
            "61" => {
                let entry = self.statement_line(line, first);
                self.entry = Some(entry);
            }
            "86" => self.details(&field),
            // 20 is the message's own reference; 21, 64 and 65 say nothing that is compared.
            _ => {}
        }
        Ok(())
    }

    fn end_entry(&mut self) -> Result<(), Stop> {
        let goes_on = self
            .entry
            .take()
            .is_none_or(|entry| self.intake.take(entry));
        if goes_on { Ok(()) } else { Err(Stop::Lost) }
    }

    fn text(&mut self, line: u64, text: &str) -> Option<String> {
        reference(text).unwrap_or_else(|what| {
            self.intake.fault(line, what);
            None
        })
    }

    /// Reads `C260203IDR1000,00`.
    fn balance(&mut self, line: u64, text: &str) -> Option<Balance> {
        let parsed = read_balance(text);
        let Some((balance, currency)) = parsed else {
            self.intake
                .fault(line, "is not a balance with date, currency and amount");
            return None;
        };
        if *self.head.currency.get_or_insert(currency) != currency {
            self.intake
                .fault(line, "is not in the currency of the account");
        }
        Some(balance)
    }

    /// Reads `2602030203D600000,00NTRFNONREF//bank reference`.
    fn statement_line(&mut self, line: u64, text: &str) -> RawEntry {
        let mut entry = RawEntry {
            line,
            ..RawEntry::default()
        };
        let Some(currency) = self.head.currency else {
            self.intake
                .entry_fault(line, "stands before the opening balance");
            return entry;
        };
        let Some(value_date) = text.get(..6).and_then(short_date) else {
            self.intake
                .entry_fault(line, "does not begin with a value date");
            return entry;
        };
        entry.value_date = Some(value_date);
        let mut rest = &text[6..];
        entry.booking_date = Some(value_date);
        if let Some(entry_date) = rest
            .get(..4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
        {
            entry.booking_date = booking_date(value_date, entry_date);
            if entry.booking_date.is_none() {
                self.intake
                    .entry_fault(line, "has a date that is not in the calendar");
                return entry;
            }
            rest = &rest[4..];
        }
        let marks = [
            ("RC", Direction::Debit, true),
            ("RD", Direction::Credit, true),
            ("C", Direction::Credit, false),
            ("D", Direction::Debit, false),
        ];
        let mark = marks.iter().find(|(mark, ..)| rest.starts_with(mark));
        let Some((mark, direction, is_reversal)) = mark else {
            self.intake
                .entry_fault(line, "says neither debit nor credit");
            return entry;
        };
        entry.direction = Some(*direction);
        rest = &rest[mark.len()..];
        // The third letter of the currency may follow.
        rest = rest
            .strip_prefix(|letter: char| letter.is_ascii_uppercase())
            .unwrap_or(rest);
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != ',')
            .unwrap_or(rest.len());
        entry.amount_minor = Some(&rest[..digits])
            .filter(|text| text.contains(','))
            .and_then(|text| amount(text, ',', currency));
        if entry.amount_minor.is_none() {
            self.intake
                .entry_fault(line, "has an amount that is none of the currency");
            return entry;
        }
        rest = &rest[digits..];
        let Some((kind, references)) = rest.split_at_checked(4) else {
            self.intake
                .entry_fault(line, "does not say what kind of booking it is");
            return entry;
        };
        let is_returned_item = kind.ends_with("RTI");
        entry.is_return = *is_reversal || is_returned_item;
        let (own, bank) = references.split_once("//").unwrap_or((references, ""));
        for (text, place) in [
            (own, &mut entry.reference),
            (bank, &mut entry.bank_reference),
        ] {
            match reference(text) {
                Ok(reference) => *place = reference,
                Err(what) => self.intake.entry_fault(line, what),
            }
        }
        entry
    }

    /// Reads what field 86 says of the entry before it.
    fn details(&mut self, field: &Field) {
        let Some(entry) = &mut self.entry else {
            return;
        };
        // A line that is full goes on in the next one, also in the middle of a reference.
        let text = field.lines.concat();
        for (code, place) in [
            ("/EREF/", &mut entry.reference),
            ("/RTRN/", &mut entry.return_reason),
        ] {
            let Some((_, rest)) = text.split_once(code) else {
                continue;
            };
            match reference(rest.split('/').next().unwrap_or_default()) {
                Ok(reference) => *place = reference,
                Err(what) => self.intake.entry_fault(field.line, what),
            }
        }
        entry.is_return |= entry.return_reason.is_some();
    }
}

fn read_balance(text: &str) -> Option<(Balance, Currency)> {
    let is_debit = match text.get(..1)? {
        "C" => false,
        "D" => true,
        _ => return None,
    };
    let date = short_date(text.get(1..7)?)?;
    let currency = Currency::from_code(text.get(7..10)?)?;
    let digits = text.get(10..).filter(|digits| digits.contains(','))?;
    let minor = amount(digits, ',', currency)?;
    let minor = if is_debit { -minor } else { minor };
    Some((Balance { minor, date }, currency))
}

/// Reads `260203`. Statements are of this century.
fn short_date(text: &str) -> Option<Date> {
    if text.len() != 6 || !text.is_ascii() {
        return None;
    }
    date(&format!("20{}", &text[..2]), &text[2..4], &text[4..])
}

/// Reads the month and day of the booking, in that year in which it is nearest to the value date.
fn booking_date(value_date: Date, text: &str) -> Option<Date> {
    let year = value_date.year();
    [year - 1, year, year + 1]
        .into_iter()
        .filter_map(|year| date(&year.to_string(), &text[..2], &text[2..]))
        .min_by_key(|date| (*date - value_date).abs())
}
