//! What a comparison of a statement with the payments finds, and how it looks on paper.

use std::fmt::Write;

use chassis::money::{Currency, Money};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::statement::Format;

/// How long before its order was sent a payment may be booked, in days: the bank's day may begin before ours.
pub const DAYS_BEFORE: i32 = 1;

/// How long after it was settled a payment may be booked, in days: a long weekend.
pub const DAYS_AFTER: i32 = 5;

/// The kinds of differences, in the order of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// Settled with us, and no statement has it.
    MissingAtBank,
    /// A reference that is none of ours.
    UnknownReference,
    /// A debit that nobody ordered.
    ReferenceMissing,
    /// A second debit of a reference.
    DoubleEntry,
    /// Another amount.
    WrongAmount,
    /// Another currency.
    WrongCurrency,
    /// Booked outside of the window.
    WrongDate,
    /// Paid by the bank, and not settled with us.
    NotSettled,
    /// Paid by the bank, and without a clear answer with us.
    OutcomeUnknown,
    /// It came back; the reversal is posted.
    Returned,
    /// It came back once more.
    ReturnedTwice,
    /// It came back and is not settled with us.
    ReturnedUnpaid,
    /// A reference of the bank's own that another statement has.
    BankReferenceReused,
    /// The balance before is another one.
    BalanceBroken,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The statement.
    pub statement_id: Uuid,
    /// Its number in the statement, from 1.
    pub number: i64,
    /// The kind.
    pub kind: FindingKind,
    /// The entry.
    pub entry_number: Option<i64>,
    /// The payment.
    pub disbursement_id: Option<Uuid>,
    /// The end-to-end reference.
    pub reference: Option<String>,
    /// The bank's reference.
    pub bank_reference: Option<String>,
    /// What we expected.
    pub expected_amount: Option<Money>,
    /// What the statement says.
    pub actual_amount: Option<Money>,
    /// When it was settled or sent.
    pub expected_date: Option<Date>,
    /// When the bank booked.
    pub actual_date: Option<Date>,
    /// The payment's state at the comparison.
    pub state: Option<String>,
    /// Why it came back.
    pub return_reason: Option<String>,
}

/// A statement that was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// The statement's id.
    pub id: Uuid,
    /// The format of its file.
    pub format: Format,
    /// The bank's id of it.
    pub statement_reference: String,
    /// The number of the account.
    pub account_number: String,
    /// The account's currency.
    pub currency: Currency,
    /// The first day that is compared.
    pub start_date: Date,
    /// The last day.
    pub end_date: Date,
    /// The opening balance.
    pub opening: Option<Money>,
    /// The closing balance.
    pub closing: Option<Money>,
    /// How many entries it has.
    pub entry_count: i64,
    /// How many agree.
    pub matched_count: i64,
    /// How many are none of our business.
    pub unrelated_count: i64,
    /// How many findings there are of each kind that there is.
    pub kind_counts: Vec<(FindingKind, i64)>,
    /// When it was compared.
    pub create_time: OffsetDateTime,
}

impl FindingKind {
    /// All kinds, in the order of the contract.
    pub const ALL: [FindingKind; 14] = [
        FindingKind::MissingAtBank,
        FindingKind::UnknownReference,
        FindingKind::ReferenceMissing,
        FindingKind::DoubleEntry,
        FindingKind::WrongAmount,
        FindingKind::WrongCurrency,
        FindingKind::WrongDate,
        FindingKind::NotSettled,
        FindingKind::OutcomeUnknown,
        FindingKind::Returned,
        FindingKind::ReturnedTwice,
        FindingKind::ReturnedUnpaid,
        FindingKind::BankReferenceReused,
        FindingKind::BalanceBroken,
    ];

    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::MissingAtBank => "MISSING_AT_BANK",
            FindingKind::UnknownReference => "UNKNOWN_REFERENCE",
            FindingKind::ReferenceMissing => "REFERENCE_MISSING",
            FindingKind::DoubleEntry => "DOUBLE_ENTRY",
            FindingKind::WrongAmount => "WRONG_AMOUNT",
            FindingKind::WrongCurrency => "WRONG_CURRENCY",
            FindingKind::WrongDate => "WRONG_DATE",
            FindingKind::NotSettled => "NOT_SETTLED",
            FindingKind::OutcomeUnknown => "OUTCOME_UNKNOWN",
            FindingKind::Returned => "RETURNED",
            FindingKind::ReturnedTwice => "RETURNED_TWICE",
            FindingKind::ReturnedUnpaid => "RETURNED_UNPAID",
            FindingKind::BankReferenceReused => "BANK_REFERENCE_REUSED",
            FindingKind::BalanceBroken => "BALANCE_BROKEN",
        }
    }

    /// Finds a kind by its name.
    pub fn parse(name: &str) -> Option<FindingKind> {
        FindingKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl Reconciliation {
    /// Returns the number of findings.
    pub fn finding_count(&self) -> i64 {
        self.kind_counts.iter().map(|(_, count)| count).sum()
    }

    /// Writes the table for people, with its first findings.
    pub fn table(&self, findings: &[Finding]) -> String {
        let mut text = String::new();
        let money = |money: Option<Money>| money.map(|money| money.to_string()).unwrap_or_default();
        let lines = [
            ("statement", self.statement_reference.clone()),
            ("format", self.format.as_str().to_owned()),
            ("account", self.account_number.clone()),
            ("days", format!("{} to {}", self.start_date, self.end_date)),
            ("opening balance", money(self.opening)),
            ("closing balance", money(self.closing)),
            ("entries", self.entry_count.to_string()),
            ("matched", self.matched_count.to_string()),
            ("unrelated", self.unrelated_count.to_string()),
            ("findings", self.finding_count().to_string()),
        ];
        let counts = self
            .kind_counts
            .iter()
            .map(|(kind, count)| (kind.as_str(), count.to_string()));
        for (name, value) in lines.into_iter().chain(counts) {
            put(&mut text, format_args!("{name:<22} {value}\n"));
        }
        if !findings.is_empty() {
            put(
                &mut text,
                format_args!(
                    "\n{:>8} {:<22} {:>9} {:<36} {:<20} {:>22} {:>22} {:<10} {:<10} {:<9} reason\n",
                    "number",
                    "kind",
                    "entry",
                    "reference",
                    "bank reference",
                    "expected",
                    "actual",
                    "expected",
                    "booked",
                    "state"
                ),
            );
        }
        for finding in findings {
            let date = |date: Option<Date>| date.map(|date| date.to_string()).unwrap_or_default();
            let entry = finding.entry_number.map(|number| number.to_string());
            put(
                &mut text,
                format_args!(
                    "{:>8} {:<22} {:>9} {:<36} {:<20} {:>22} {:>22} {:<10} {:<10} {:<9} {}\n",
                    finding.number,
                    finding.kind.as_str(),
                    entry.unwrap_or_default(),
                    finding.reference.as_deref().unwrap_or_default(),
                    finding.bank_reference.as_deref().unwrap_or_default(),
                    money(finding.expected_amount),
                    money(finding.actual_amount),
                    date(finding.expected_date),
                    date(finding.actual_date),
                    finding.state.as_deref().unwrap_or_default(),
                    finding.return_reason.as_deref().unwrap_or_default(),
                ),
            );
        }
        let left = self
            .finding_count()
            .saturating_sub(i64::try_from(findings.len()).unwrap_or(i64::MAX));
        if left > 0 {
            put(
                &mut text,
                format_args!("and {left} more, which ListFindings gives\n"),
            );
        }
        text
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a String takes every text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names() {
        for kind in FindingKind::ALL {
            assert_eq!(FindingKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(FindingKind::parse("MATCHED"), None);
    }
}
