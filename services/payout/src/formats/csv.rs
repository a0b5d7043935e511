//! Comma-separated values, for banks that deliver nothing better: services/payout/src/formats/README.md has the columns. One record
//! opens, one for each entry, one closes.

use std::io::BufRead;

use chassis::money::Currency;
use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::{NOT_UTF_8, Pieces, Stop, amount, iso_date, reference};
use crate::domain::statement::{Balance, Direction, Head, Intake, RawEntry};

/// The columns, all of them and in this order.
const COLUMNS: [&str; 12] = [
    "record",
    "statement",
    "account",
    "currency",
    "booking_date",
    "value_date",
    "direction",
    "amount",
    "bank_reference",
    "end_to_end_id",
    "return_reason",
    "entry_count",
];

/// Reads a file.
pub(super) fn read<R: BufRead>(
    input: &mut Pieces<R>,
    intake: &mut Intake<'_>,
) -> Result<Head, Stop> {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(input);
    let mut record = StringRecord::new();
    let mut head = Head::default();
    let mut is_first = true;
    loop {
        reader.get_mut().end_piece();
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(head),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                #[expect(
                    clippy::wildcard_enum_match_arm,
                    reason = "all other kinds, also of later versions, are about the form"
                )]
                return Err(match error.into_kind() {
                    ErrorKind::Io(error) => Stop::Input(error),
                    ErrorKind::Utf8 { .. } => lost(intake, line, NOT_UTF_8),
                    _ => lost(intake, line, "has not the twelve columns"),
                });
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        if std::mem::take(&mut is_first) {
            if record != COLUMNS[..] {
                return Err(lost(intake, line, "is not the line of the twelve columns"));
            }
            continue;
        }
        if head.closing.is_some() {
            return Err(lost(intake, line, "stands behind the closing record"));
        }
        match &record[0] {
            "OPENING" if head.currency.is_some() => {
                return Err(lost(intake, line, "opens a second statement"));
            }
            "OPENING" => open(intake, line, &record, &mut head),
            _ if head.currency.is_none() => {
                return Err(lost(intake, line, "stands before the opening record"));
            }
            "ENTRY" => {
                let entry = entry(intake, line, &record, head.currency);
                if !intake.take(entry) {
                    return Err(Stop::Lost);
                }
            }
            "CLOSING" => {
                head.closing = balance(intake, line, &record, head.currency);
                if !record[11].is_empty() {
                    head.counts[0] = record[11].parse().ok();
                    if head.counts[0].is_none() {
                        intake.fault(line, "has a number of entries that is none");
                    }
                }
            }
            _ => intake.fault(line, "is neither OPENING, ENTRY nor CLOSING"),
        }
    }
}

fn lost(intake: &mut Intake<'_>, line: u64, what: &'static str) -> Stop {
    intake.fault(line, what);
    Stop::Lost
}

fn open(intake: &mut Intake<'_>, line: u64, record: &StringRecord, head: &mut Head) {
    let mut text = |text: &str| {
        reference(text).unwrap_or_else(|what| {
            intake.fault(line, what);
            None
        })
    };
    head.reference = text(&record[1]);
    head.account_number = text(&record[2]);
    head.currency = Currency::from_code(&record[3]);
    if head.currency.is_some() {
        head.opening = balance(intake, line, record, head.currency);
    }
}

fn balance(
    intake: &mut Intake<'_>,
    line: u64,
    record: &StringRecord,
    currency: Option<Currency>,
) -> Option<Balance> {
    let date = iso_date(&record[4]);
    let minor = currency.and_then(|currency| amount(&record[7], '.', currency));
    let minor = match (direction(&record[6]), minor) {
        (Some(Direction::Debit), Some(minor)) => Some(-minor),
        (Some(Direction::Credit), Some(minor)) => Some(minor),
        _ => None,
    };
    let balance = minor.zip(date).map(|(minor, date)| Balance { minor, date });
    if balance.is_none() {
        intake.fault(line, "is a balance without date, direction or amount");
    }
    balance
}

fn entry(
    intake: &mut Intake<'_>,
    line: u64,
    record: &StringRecord,
    known: Option<Currency>,
) -> RawEntry {
    if !record[3].is_empty() && Currency::from_code(&record[3]) != known {
        intake.entry_fault(line, "is not in the currency of the account");
    }
    let amount_minor = known.and_then(|currency| amount(&record[7], '.', currency));
    if amount_minor.is_none() {
        intake.entry_fault(line, "has an amount that is none of the currency");
    }
    let mut date = |text: &str| {
        let date = iso_date(text);
        if date.is_none() && !text.is_empty() {
            intake.entry_fault(line, "has a date that is not in the calendar");
        }
        date
    };
    let (booking_date, value_date) = (date(&record[4]), date(&record[5]));
    let mut text = |text: &str| {
        reference(text).unwrap_or_else(|what| {
            intake.entry_fault(line, what);
            None
        })
    };
    let return_reason = text(&record[10]);
    RawEntry {
        line,
        direction: direction(&record[6]),
        amount_minor,
        booking_date,
        value_date,
        bank_reference: text(&record[8]),
        reference: text(&record[9]),
        is_return: return_reason.is_some(),
        return_reason,
    }
}

fn direction(text: &str) -> Option<Direction> {
    match text {
        "DEBIT" => Some(Direction::Debit),
        "CREDIT" => Some(Direction::Credit),
        _ => None,
    }
}
