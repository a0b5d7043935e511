//! The formats of banks' files, each read or written in one pass and with little memory, whatever the size of the file:
//! statements, and payments by file with the reports on them.
//!
//! A reader names every fault that it can go on after; only what it has lost its place in ends the reading.

use std::io::{self, BufRead, Read};

use chassis::money::Currency;
use time::{Date, Month};

use crate::domain::statement::{Entry, Faults, Format, Intake, Statement};

mod camt;
mod csv;
mod mt940;
pub mod pain001;
pub mod pain002;
mod xml;

/// The longest element, line or record, in bytes. Real ones are some hundred.
const PIECE_BYTES_MAX: u64 = 256 * 1024;

/// The longest reference, in characters. ISO 20022 has 35, and banks' own ones are no longer than this.
const REFERENCE_CHARS_MAX: usize = 70;

const NOT_UTF_8: &str = "is not UTF-8";
const TOO_LONG: &str = "something in the file is longer than 256 KiB";

/// Why a file gave no statement.
#[derive(Debug)]
pub enum Unread {
    /// It is wrong in itself.
    Faulty(Faults),
    /// It did not come to its end.
    Cut(io::Error),
}

/// Reads a file, and passes its entries on as they come; `sink` answers `false` when it wants no more.
///
/// # Errors
/// When anything in the file is wrong, with all of it; the entries that were passed on are worth nothing then.
pub fn read(
    format: Format,
    input: impl BufRead,
    sink: &mut dyn FnMut(Entry) -> bool,
) -> Result<Statement, Unread> {
    let mut input = Pieces::new(input);
    let mut intake = Intake::new(sink);
    let read = match format {
        Format::Camt053 | Format::Camt054 => camt::read(format, &mut input, &mut intake),
        Format::Mt940 => mt940::read(&mut input, &mut intake),
        Format::Csv => csv::read(&mut input, &mut intake),
    };
    let head = match read {
        Ok(head) => head,
        // What stands behind the place is not known: nothing is said of it.
        Err(Stop::Lost) => return Err(Unread::Faulty(intake.into_faults())),
        Err(Stop::Input(_)) if input.is_too_long() => {
            intake.fault(input.line, TOO_LONG);
            return Err(Unread::Faulty(intake.into_faults()));
        }
        Err(Stop::Input(error)) => return Err(Unread::Cut(error)),
    };
    intake
        .finish(input.line, format, head)
        .map_err(Unread::Faulty)
}

/// Why a reader stops before the end.
enum Stop {
    /// It named a fault after which nothing can be made out.
    Lost,
    /// The input failed.
    Input(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Input(error)
    }
}

/// Input that counts its lines, and fails when a piece of it is too long.
struct Pieces<R> {
    input: R,
    line: u64,
    piece_bytes: u64,
}

impl<R> Pieces<R> {
    fn new(input: R) -> Pieces<R> {
        Pieces {
            input,
            line: 1,
            piece_bytes: 0,
        }
    }

    /// Ends a piece; the next one may be as long again.
    fn end_piece(&mut self) {
        self.piece_bytes = 0;
    }

    fn is_too_long(&self) -> bool {
        self.piece_bytes > PIECE_BYTES_MAX
    }
}

impl<R: BufRead> BufRead for Pieces<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.is_too_long() {
            return Err(io::Error::other(TOO_LONG));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // The buffer is filled: this reads nothing.
        if let Ok(buffer) = self.input.fill_buf() {
            let lines = buffer.iter().take(amount).filter(|byte| **byte == b'\n');
            self.line += u64::try_from(lines.count()).unwrap_or(0);
        }
        self.piece_bytes += u64::try_from(amount).unwrap_or(u64::MAX);
        self.input.consume(amount);
    }
}

impl<R: BufRead> Read for Pieces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

/// Reads an amount without a sign, such as `600000.00`, into minor units: digits, and a fraction no finer than the
/// currency's.
pub fn amount(text: &str, separator: char, currency: Currency) -> Option<i64> {
    let (whole, fraction) = text.split_once(separator).unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let per_unit = currency.minor_per_unit();
    let digits = usize::try_from(per_unit.ilog10()).ok()?;
    // Zeros behind the minor unit say nothing.
    let (minor, finer) = fraction.split_at(digits.min(fraction.len()));
    if finer.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let minor: i64 = format!("{minor:0<digits$}0").parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole.checked_mul(per_unit)?.checked_add(minor / 10)
}

/// Reads a date such as `2026-02-03`, also as the beginning of a time.
fn iso_date(text: &str) -> Option<Date> {
    let day = text.get(..10)?;
    let rest = &text[10..];
    if !(rest.is_empty() || rest.starts_with('T') || rest.starts_with(['+', '-', 'Z'])) {
        return None;
    }
    if day.as_bytes()[4] != b'-' || day.as_bytes()[7] != b'-' {
        return None;
    }
    date(&day[..4], &day[5..7], &day[8..])
}

/// Reads a date from its digits.
fn date(year: &str, month: &str, day: &str) -> Option<Date> {
    let digits = [year, month, day];
    if digits
        .iter()
        .any(|part| !part.bytes().all(|digit| digit.is_ascii_digit()))
    {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

/// Reads a reference: trimmed, not empty, not too long, and fit for a terminal. `Err`: it is none.
fn reference(text: &str) -> Result<Option<String>, &'static str> {
    let text = text.trim();
    if text.chars().count() > REFERENCE_CHARS_MAX {
        return Err("has a reference longer than 70 characters");
    }
    if text.chars().any(char::is_control) {
        return Err("has a reference with control characters");
    }
    // What banks write where there is none.
    let is_none = text.is_empty() || text == "NOTPROVIDED" || text == "NONREF";
    Ok((!is_none).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests;
