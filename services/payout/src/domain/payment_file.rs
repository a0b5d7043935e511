//! Payments by file, for a bank without an API: what is asked of it (pain.001), and what its answers mean (pain.002).
//! Tables decide; what they do not know is not believed to have failed.

use chassis::money::{Currency, Money};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    payee::AccountNumber,
    rail::{FailureReason, Holder},
    statement::Faults,
};

/// After so long without an answer a payment by file is UNKNOWN. Banks work files off until the evening.
pub const ANSWER_WITHIN: Duration = Duration::days(1);

/// A batch of payments as it is told to the bank, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentInitiation {
    /// The batch of payments.
    pub disbursement_batch_id: Uuid,
    /// How many payments it has.
    pub line_count: i64,
    /// Their sum.
    pub total: Money,
    /// The account that they come from.
    pub debtor_account: String,
    /// Who we are at the bank.
    pub initiator: String,
    /// When it was exported.
    pub create_time: OffsetDateTime,
}

/// A payment of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitiationLine {
    /// Our reference.
    pub reference: String,
    /// The amount.
    pub amount: Money,
    /// The payee's bank.
    pub bank_code: &'static str,
    /// The payee's account.
    pub number: AccountNumber,
    /// Whose it is.
    pub holder: Holder,
}

/// What the bank says of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStatus {
    /// The money has left for good.
    Settled,
    /// Nothing was paid and nothing will be.
    Failed(FailureReason),
    /// Nothing definite.
    Pending,
}

/// A payment in the bank's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedLine {
    /// Its number in the report, from 1.
    pub number: i64,
    /// The line of the file on which it begins.
    pub line: u64,
    /// The payment, and which of its orders; `None` when the reference has not the form of ours.
    pub order: Option<(Uuid, i32)>,
    /// What is said of it.
    pub status: LineStatus,
    /// The amount that the bank repeats.
    pub amount: Option<(i64, Currency)>,
}

/// What a report says as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportHead {
    /// The bank's id of the report.
    pub message_id: String,
    /// The id of the file that it answers.
    pub original_message_id: String,
    /// How many payments that file has, each time the report says so, with the line.
    pub original_counts: Vec<(u64, i64)>,
    /// What they sum up to, as it is written.
    pub original_sums: Vec<(u64, String)>,
    /// What holds of the payments that are not named one by one, with the line.
    pub rest: Option<(u64, LineStatus)>,
}

/// What became of the payments of a file by a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentStatusReport {
    /// Its id.
    pub id: Uuid,
    /// The batch of payments.
    pub disbursement_batch_id: Uuid,
    /// The bank's id of it.
    pub message_id: String,
    /// Payments that it settled.
    pub settled_count: i64,
    /// Payments that it let fail.
    pub failed_count: i64,
    /// Payments of which it says nothing definite.
    pub pending_count: i64,
    /// Payments of which it says what was known.
    pub repeated_count: i64,
    /// When it was imported.
    pub create_time: OffsetDateTime,
}

/// Why a batch is not told to the bank by a file, or a report is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileRefusal {
    /// The batch goes by the rail's API.
    #[error("the batch is not paid by file")]
    NotByFile(Uuid),
    /// The batch waits for its approval.
    #[error("the batch is not approved")]
    NotApproved(Uuid),
    /// There is no file of the batch yet.
    #[error("the batch was not exported")]
    NotExported(Uuid),
    /// The report is wrong in itself, or does not agree with the file that it answers.
    #[error("the report has {} faults", .0.count)]
    ReportFaulty(Faults),
    /// The report did not come to its end.
    #[error("the report did not come to its end")]
    ReportCut,
    /// Another report has the same id at the bank.
    #[error("another report of the same message id was imported")]
    ReportExists(Uuid),
}

/// What a code of ISO 20022's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Paid.
    Paid,
    /// Not paid, for good.
    Refused,
    /// Nothing definite.
    Pending,
}

/// The status codes of pain.002, of a payment or of the whole. `PART` is of the whole alone: some of both.
const STATUSES: &[(&str, Said)] = &[
    ("ACCC", Said::Paid),
    ("ACSC", Said::Paid),
    ("RJCT", Said::Refused),
    ("CANC", Said::Refused),
    ("ACCP", Said::Pending),
    ("ACFC", Said::Pending),
    ("ACSP", Said::Pending),
    ("ACTC", Said::Pending),
    ("ACWC", Said::Pending),
    ("ACWP", Said::Pending),
    ("BLCK", Said::Pending),
    ("PART", Said::Pending),
    ("PATC", Said::Pending),
    ("PDNG", Said::Pending),
    ("PRES", Said::Pending),
    ("RCVD", Said::Pending),
];

/// ISO 20022's external codes of status reasons, and what they mean for the payment. `None`: it was refused as a double of
/// what came before, so that nothing is said of what came before.
const REASONS: &[(&str, Option<FailureReason>)] = &[
    ("AM05", None),
    ("DU01", None),
    ("DU02", None),
    ("DU03", None),
    ("DU04", None),
    ("DU05", None),
    ("AC01", Some(FailureReason::AccountNotFound)),
    ("AC03", Some(FailureReason::AccountNotFound)),
    ("BE06", Some(FailureReason::AccountNotFound)),
    ("AC04", Some(FailureReason::AccountClosed)),
    ("AC07", Some(FailureReason::AccountClosed)),
    ("AC06", Some(FailureReason::AccountBlocked)),
    ("AM02", Some(FailureReason::LimitExceeded)),
    ("AM13", Some(FailureReason::LimitExceeded)),
    ("AM14", Some(FailureReason::LimitExceeded)),
    ("AM21", Some(FailureReason::LimitExceeded)),
    ("BE01", Some(FailureReason::HolderMismatched)),
    ("AB05", Some(FailureReason::PartnerUnavailable)),
    ("AB06", Some(FailureReason::PartnerUnavailable)),
    ("AB07", Some(FailureReason::PartnerUnavailable)),
    ("AB08", Some(FailureReason::PartnerUnavailable)),
    // Of the payer: too little money, an account or a file that the bank does not take, too late in the day.
    ("AC02", Some(FailureReason::OrderRejected)),
    ("AC05", Some(FailureReason::OrderRejected)),
    ("AM04", Some(FailureReason::OrderRejected)),
    ("BE05", Some(FailureReason::OrderRejected)),
    ("DT01", Some(FailureReason::OrderRejected)),
    ("FF01", Some(FailureReason::OrderRejected)),
    ("RC01", Some(FailureReason::OrderRejected)),
    ("TM01", Some(FailureReason::OrderRejected)),
    ("FRAD", Some(FailureReason::FraudSuspected)),
    ("LEGL", Some(FailureReason::ComplianceRejected)),
    ("RR04", Some(FailureReason::ComplianceRejected)),
    ("MD07", Some(FailureReason::PayeeDeceased)),
    // By order of the beneficiary.
    ("MS02", Some(FailureReason::PayeeRefused)),
];

/// Reads a status code; `None` when no table knows it.
pub fn read_status(code: &str) -> Option<Said> {
    let row = STATUSES.iter().find(|(known, _)| *known == code);
    row.map(|(_, said)| *said)
}

/// Returns what a status and its reason mean for one payment.
pub fn line_status(said: Said, reason: Option<&str>) -> LineStatus {
    match said {
        Said::Paid => LineStatus::Settled,
        Said::Pending => LineStatus::Pending,
        Said::Refused => {
            let row = REASONS.iter().find(|(known, _)| Some(*known) == reason);
            match row {
                Some((_, None)) => LineStatus::Pending,
                Some((_, Some(reason))) => LineStatus::Failed(*reason),
                None => LineStatus::Failed(FailureReason::Refused),
            }
        }
    }
}

/// Returns what a status of the whole means for each payment. Why a file was refused has nothing to do with a payee.
pub fn whole_status(said: Said, reason: Option<&str>) -> LineStatus {
    match line_status(said, reason) {
        LineStatus::Failed(_) => LineStatus::Failed(FailureReason::OrderRejected),
        status @ (LineStatus::Settled | LineStatus::Pending) => status,
    }
}

impl PaymentInitiation {
    /// Returns the id of the file at the bank: the same for the same batch.
    pub fn message_id(&self) -> String {
        message_id(self.disbursement_batch_id)
    }
}

impl LineStatus {
    /// Returns its name in the database, and the reason.
    pub fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            LineStatus::Settled => ("SETTLED", None),
            LineStatus::Failed(reason) => ("FAILED", Some(reason.as_str())),
            LineStatus::Pending => ("PENDING", None),
        }
    }
}

/// Returns the id of a batch's file at the bank.
pub fn message_id(disbursement_batch_id: Uuid) -> String {
    disbursement_batch_id.simple().to_string()
}

/// Reads which batch a file's id belongs to; `None` when it is none of ours.
pub fn parse_message_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (message_id(id) == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_and_its_reason_mean_one_thing() {
        for (code, reason, expected) in [
            ("ACSC", None, LineStatus::Settled),
            ("ACCC", Some("AC04"), LineStatus::Settled),
            ("PDNG", None, LineStatus::Pending),
            (
                "RJCT",
                Some("AC04"),
                LineStatus::Failed(FailureReason::AccountClosed),
            ),
            (
                "RJCT",
                Some("MD07"),
                LineStatus::Failed(FailureReason::PayeeDeceased),
            ),
            (
                "RJCT",
                Some("ZZ99"),
                LineStatus::Failed(FailureReason::Refused),
            ),
            ("RJCT", None, LineStatus::Failed(FailureReason::Refused)),
            // A double was refused: the first one may have been paid.
            ("RJCT", Some("AM05"), LineStatus::Pending),
        ] {
            let said = read_status(code).unwrap();
            assert_eq!(line_status(said, reason), expected, "{code} {reason:?}");
        }
        assert_eq!(read_status("PAID"), None);
        assert_eq!(
            whole_status(Said::Refused, Some("AC04")),
            LineStatus::Failed(FailureReason::OrderRejected)
        );
        assert_eq!(
            whole_status(Said::Refused, Some("DU01")),
            LineStatus::Pending
        );
    }

    #[test]
    fn a_file_s_id_leads_back_to_its_batch() {
        let id = Uuid::from_u128(7);

        assert_eq!(parse_message_id(&message_id(id)), Some(id));
        for wrong in ["", "7", &id.to_string()] {
            assert_eq!(parse_message_id(wrong), None, "{wrong}");
        }
    }
}
