//! camt.053 and camt.054 of ISO 20022, any version of the messages that has the elements below: they have kept their names
//! and places since version 2. Elements of other names are passed over, so that extensions of banks do no harm.
//!
//! An entry that was not booked yet (`Sts` other than `BOOK`) is left out. An entry that stands for several transactions
//! is taken as these, and they have to sum up to it.

use std::io::BufRead;

use chassis::money::Currency;

use super::{
    Pieces, Stop, amount, iso_date, reference,
    xml::{self, Elements},
};
use crate::domain::statement::{Balance, Direction, Format, Head, Intake, RawEntry};

/// Where the reading is.
struct Camt<'a, 's> {
    intake: &'a mut Intake<'s>,
    /// `BkToCstmrStmt` and `Stmt`, or `BkToCstmrDbtCdtNtfctn` and `Ntfctn`.
    message: &'static str,
    part: &'static str,
    /// The attribute `Ccy` of the element in hand.
    currency: Option<String>,
    statement_count: u32,
    head: Head,
    balance: RawBalance,
    entry: RawGroup,
}

#[derive(Default)]
struct RawBalance {
    code: String,
    minor: Option<i64>,
    is_debit: bool,
    date: Option<time::Date>,
}

/// An entry, and the transactions that it stands for.
#[derive(Default)]
struct RawGroup {
    whole: RawEntry,
    is_booked: bool,
    transactions: Vec<RawEntry>,
}

/// Reads a message.
pub(super) fn read<R: BufRead>(
    format: Format,
    input: &mut Pieces<R>,
    intake: &mut Intake<'_>,
) -> Result<Head, Stop> {
    let (message, part) = if format.is_notification() {
        ("BkToCstmrDbtCdtNtfctn", "Ntfctn")
    } else {
        ("BkToCstmrStmt", "Stmt")
    };
    let mut camt = Camt {
        intake,
        message,
        part,
        currency: None,
        statement_count: 0,
        head: Head::default(),
        balance: RawBalance::default(),
        entry: RawGroup::default(),
    };
    let line = xml::walk(input, &mut camt)?;
    if camt.statement_count == 0 {
        return Err(camt.lost(line, "holds no statement of the format that was named"));
    }
    Ok(camt.head)
}

impl Elements for Camt<'_, '_> {
    fn open(&mut self, line: u64, path: &str) -> Result<(), Stop> {
        match self.inside(path) {
            Some("") => {
                self.statement_count += 1;
                if self.statement_count > 1 {
                    return Err(self.lost(line, "holds more than one statement"));
                }
            }
            Some("/Bal") => self.balance = RawBalance::default(),
            Some("/Ntry") => {
                self.entry = RawGroup::default();
                self.entry.whole.line = line;
            }
            Some("/Ntry/NtryDtls/TxDtls") => self.entry.transactions.push(RawEntry {
                line,
                ..RawEntry::default()
            }),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn close(
        &mut self,
        line: u64,
        path: &str,
        text: &str,
        currency: Option<&str>,
    ) -> Result<(), Stop> {
        self.currency = currency.map(str::to_owned);
        match self.inside(path) {
            Some(inside) => self.close_inside(line, inside, text),
            None => Ok(()),
        }
    }

    fn fault(&mut self, line: u64, what: &'static str) {
        self.intake.fault(line, what);
    }
}

impl Camt<'_, '_> {
    fn lost(&mut self, line: u64, what: &'static str) -> Stop {
        self.intake.fault(line, what);
        Stop::Lost
    }

    /// Returns the path below the statement; `None` outside of it.
    fn inside<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix("/Document/")?
            .strip_prefix(self.message)?
            .strip_prefix('/')?
            .strip_prefix(self.part)
    }

    fn close_inside(&mut self, line: u64, path: &str, text: &str) -> Result<(), Stop> {
        if let Some(path) = path.strip_prefix("/Ntry") {
            return self.close_entry(line, path, text);
        }
        match path {
            "/Id" => match reference(text) {
                Ok(id) => self.head.reference = id,
                Err(what) => self.intake.fault(line, what),
            },
            "/Acct/Id/IBAN" | "/Acct/Id/Othr/Id" => match reference(text) {
                Ok(number) => self.head.account_number = number,
                Err(what) => self.intake.fault(line, what),
            },
            "/Acct/Ccy" => self.head.currency = Currency::from_code(text),
            "/FrToDt/FrDtTm" => self.head.start_date = self.date(line, text),
            "/FrToDt/ToDtTm" => self.head.end_date = self.date(line, text),
            "/Bal/Tp/CdOrPrtry/Cd" => text.clone_into(&mut self.balance.code),
            "/Bal/Amt" => self.balance.minor = self.money(line, text),
            "/Bal/CdtDbtInd" => self.balance.is_debit = text == "DBIT",
            "/Bal/Dt/Dt" | "/Bal/Dt/DtTm" => self.balance.date = self.date(line, text),
            "/Bal" => self.close_balance(line),
            "/TxsSummry/TtlNtries/NbOfNtries" => self.head.counts[0] = text.parse().ok(),
            "/TxsSummry/TtlDbtNtries/NbOfNtries" => self.head.counts[1] = text.parse().ok(),
            "/TxsSummry/TtlCdtNtries/NbOfNtries" => self.head.counts[2] = text.parse().ok(),
            "/TxsSummry/TtlNtries/Sum" => self.head.sums[0] = self.sum(line, text),
            "/TxsSummry/TtlDbtNtries/Sum" => self.head.sums[1] = self.sum(line, text),
            "/TxsSummry/TtlCdtNtries/Sum" => self.head.sums[2] = self.sum(line, text),
            _ => {}
        }
        Ok(())
    }

    fn date(&mut self, line: u64, text: &str) -> Option<time::Date> {
        let date = iso_date(text);
        if date.is_none() {
            self.intake.fault(line, "is not a date");
        }
        date
    }

    /// Reads an amount in the currency of the account.
    fn money(&mut self, line: u64, text: &str) -> Option<i64> {
        let currency = self.currency.as_deref().and_then(Currency::from_code);
        let known = self.head.currency.or(currency);
        // Some banks leave the account's currency to its balances.
        self.head.currency = known;
        let (Some(currency), Some(known)) = (currency, known) else {
            self.intake.fault(line, "has no known currency");
            return None;
        };
        if currency != known {
            self.intake
                .fault(line, "is not in the currency of the account");
            return None;
        }
        self.sum(line, text)
    }

    fn sum(&mut self, line: u64, text: &str) -> Option<i64> {
        // Without a known currency nothing can be read, which is told at the end.
        let minor = amount(text, '.', self.head.currency?);
        if minor.is_none() {
            self.intake.fault(line, "is not an amount of the currency");
        }
        minor
    }

    fn close_balance(&mut self, line: u64) {
        let balance = std::mem::take(&mut self.balance);
        let place = match balance.code.as_str() {
            // What the statement before closed with is what this one opens with.
            "OPBD" | "PRCD" => &mut self.head.opening,
            "CLBD" => &mut self.head.closing,
            _ => return,
        };
        let (Some(minor), Some(date)) = (balance.minor, balance.date) else {
            self.intake
                .fault(line, "is a balance without amount or date");
            return;
        };
        let minor = if balance.is_debit { -minor } else { minor };
        *place = Some(Balance { minor, date });
    }

    fn close_entry(&mut self, line: u64, path: &str, text: &str) -> Result<(), Stop> {
        if let Some(path) = path.strip_prefix("/NtryDtls/TxDtls") {
            self.close_transaction(line, path, text);
            return Ok(());
        }
        match path {
            "" => return self.take_entry(),
            "/Amt" => self.entry.whole.amount_minor = self.entry_money(line, text),
            "/CdtDbtInd" => self.entry.whole.direction = direction(text),
            "/RvslInd" => self.entry.whole.is_return = matches!(text, "true" | "1"),
            // A code since version 7, a bare text before.
            "/Sts" | "/Sts/Cd" if !text.is_empty() => self.entry.is_booked = text == "BOOK",
            "/BookgDt/Dt" | "/BookgDt/DtTm" => {
                self.entry.whole.booking_date = self.entry_date(line, text);
            }
            "/ValDt/Dt" | "/ValDt/DtTm" => {
                self.entry.whole.value_date = self.entry_date(line, text);
            }
            "/AcctSvcrRef" => self.entry.whole.bank_reference = self.entry_reference(line, text),
            _ => {}
        }
        Ok(())
    }

    fn close_transaction(&mut self, line: u64, path: &str, text: &str) {
        let (mut minor, mut own_reference) = (None, None);
        match path {
            "/Amt" | "/AmtDtls/TxAmt/Amt" => minor = self.transaction_money(text),
            "/Refs/EndToEndId" | "/Refs/AcctSvcrRef" | "/RtrInf/Rsn/Cd" | "/RtrInf/Rsn/Prtry" => {
                own_reference = self.entry_reference(line, text);
            }
            _ => {}
        }
        let Some(transaction) = self.entry.transactions.last_mut() else {
            return;
        };
        match path {
            "/Amt" | "/AmtDtls/TxAmt/Amt" => transaction.amount_minor = minor,
            "/CdtDbtInd" => transaction.direction = direction(text),
            "/Refs/EndToEndId" => transaction.reference = own_reference,
            "/Refs/AcctSvcrRef" => transaction.bank_reference = own_reference,
            "/RtrInf/Rsn/Cd" | "/RtrInf/Rsn/Prtry" => transaction.return_reason = own_reference,
            "/RtrInf" => transaction.is_return = true,
            _ => {}
        }
    }

    fn entry_money(&mut self, line: u64, text: &str) -> Option<i64> {
        let currency = self.currency.as_deref().and_then(Currency::from_code);
        let known = *self.head.currency.get_or_insert(currency?);
        if currency != Some(known) {
            self.intake
                .entry_fault(line, "is not in the currency of the account");
            return None;
        }
        let minor = amount(text, '.', known);
        if minor.is_none() {
            self.intake
                .entry_fault(line, "has an amount that is none of the currency");
        }
        minor
    }

    /// Reads an amount that may be in the currency of the order: then it says nothing here.
    fn transaction_money(&self, text: &str) -> Option<i64> {
        let currency = self.currency.as_deref().and_then(Currency::from_code)?;
        let is_known = self.head.currency == Some(currency);
        is_known.then(|| amount(text, '.', currency)).flatten()
    }

    fn entry_date(&mut self, line: u64, text: &str) -> Option<time::Date> {
        let date = iso_date(text);
        if date.is_none() {
            self.intake
                .entry_fault(line, "has a date that is not in the calendar");
        }
        date
    }

    fn entry_reference(&mut self, line: u64, text: &str) -> Option<String> {
        reference(text).unwrap_or_else(|what| {
            self.intake.entry_fault(line, what);
            None
        })
    }

    /// Passes an entry on, or the transactions that it stands for.
    fn take_entry(&mut self) -> Result<(), Stop> {
        let RawGroup {
            whole,
            is_booked,
            mut transactions,
        } = std::mem::take(&mut self.entry);
        if !is_booked {
            return Ok(());
        }
        if let [only] = transactions.as_mut_slice() {
            // The amount of the transaction may be in the currency of the order; what was booked is the entry's.
            only.amount_minor = whole.amount_minor;
            only.direction = whole.direction;
        }
        if transactions.is_empty() {
            transactions.push(RawEntry {
                line: whole.line,
                amount_minor: whole.amount_minor,
                ..RawEntry::default()
            });
        }
        let sum: Option<i64> = transactions
            .iter()
            .map(|transaction| transaction.amount_minor)
            .try_fold(0_i64, |sum, minor| sum.checked_add(minor?));
        if sum != whole.amount_minor {
            self.intake
                .entry_fault(whole.line, "is not the sum of its transactions");
        }
        for transaction in transactions {
            let entry = RawEntry {
                direction: transaction.direction.or(whole.direction),
                booking_date: whole.booking_date,
                value_date: whole.value_date,
                bank_reference: transaction
                    .bank_reference
                    .or_else(|| whole.bank_reference.clone()),
                is_return: transaction.is_return || whole.is_return,
                ..transaction
            };
            if !self.intake.take(entry) {
                return Err(Stop::Lost);
            }
        }
        Ok(())
    }
}

fn direction(text: &str) -> Option<Direction> {
    match text {
        "DBIT" => Some(Direction::Debit),
        "CRDT" => Some(Direction::Credit),
        _ => None,
    }
}
