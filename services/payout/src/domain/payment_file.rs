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
    /// The bank has answered for all of the file.
    #[error("the bank has answered for every payment of the file")]
    Answered(Uuid),
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

/// What the codes of one place in a report say together of why something was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// Whether there are any.
    is_given: bool,
    /// Whether one of them says that it is the double of what came before.
    is_double: bool,
    /// What the first says that a table knows.
    failure: Option<FailureReason>,
}

/// A status and its reasons, as they are written in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportedStatus {
    /// The status.
    pub said: Option<Said>,
    /// The reasons.
    pub reasons: Reasons,
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
    ("DUPL", None),
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

/// How many status codes there are.
pub const STATUS_COUNT: usize = STATUSES.len();

/// Reads a status code; `None` when no table knows it.
pub fn read_status(code: &str) -> Option<Said> {
    let row = STATUSES.iter().find(|(known, _)| *known == code);
    row.map(|(_, said)| *said)
}

/// Returns what a payment's own status means. A refusal without a reason has that of the whole; a double refuses nothing.
pub fn line_status(said: Said, reasons: Reasons, whole: ReportedStatus) -> LineStatus {
    let is_whole_why = whole.said == Some(Said::Refused) || whole.reasons.is_given;
    match said {
        Said::Paid => LineStatus::Settled,
        Said::Pending => LineStatus::Pending,
        Said::Refused if reasons.is_double || whole.reasons.is_double => LineStatus::Pending,
        Said::Refused if !reasons.is_given && is_whole_why => {
            whole_status(Said::Refused, whole.reasons)
        }
        Said::Refused => LineStatus::Failed(reasons.failure.unwrap_or(FailureReason::Refused)),
    }
}

/// Returns what a status of the whole means for each payment. Why a file was refused has nothing to do with a payee; where no
/// table knows why, it may be that the bank has it already.
pub fn whole_status(said: Said, reasons: Reasons) -> LineStatus {
    match said {
        Said::Paid => LineStatus::Settled,
        Said::Pending => LineStatus::Pending,
        Said::Refused if reasons.is_double || reasons.failure.is_none() => LineStatus::Pending,
        Said::Refused => LineStatus::Failed(FailureReason::OrderRejected),
    }
}

impl Reasons {
    /// Adds a code, ISO's or the bank's own.
    pub fn add(&mut self, code: &str) {
        let row = REASONS.iter().find(|(known, _)| *known == code);
        let meaning = row.map(|(_, meaning)| *meaning);
        self.is_given = true;
        self.is_double |= meaning == Some(None);
        self.failure = self.failure.or(meaning.flatten());
    }

    /// Returns these, or those when there are none; a double in either is one.
    fn or(self, others: Reasons) -> Reasons {
        let chosen = if self.is_given { self } else { others };
        Reasons {
            is_double: self.is_double || others.is_double,
            ..chosen
        }
    }
}

impl ReportedStatus {
    /// Returns this, with what it does not say from another one.
    pub fn or(self, other: ReportedStatus) -> ReportedStatus {
        ReportedStatus {
            said: self.said.or(other.said),
            reasons: self.reasons.or(other.reasons),
        }
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

    fn reasons(codes: &[&str]) -> Reasons {
        let mut reasons = Reasons::default();
        codes.iter().for_each(|code| reasons.add(code));
        reasons
    }

    const REFUSED: LineStatus = LineStatus::Failed(FailureReason::Refused);
    const CLOSED: LineStatus = LineStatus::Failed(FailureReason::AccountClosed);
    const REJECTED: LineStatus = LineStatus::Failed(FailureReason::OrderRejected);

    #[test]
    fn a_status_and_its_reasons_mean_one_thing() {
        for (code, codes, expected) in [
            ("ACSC", &[][..], LineStatus::Settled),
            ("ACCC", &["AC04"], LineStatus::Settled),
            ("PDNG", &[], LineStatus::Pending),
            ("RJCT", &["AC04"], CLOSED),
            (
                "RJCT",
                &["MD07"],
                LineStatus::Failed(FailureReason::PayeeDeceased),
            ),
            ("RJCT", &["ZZ99"], REFUSED),
            ("RJCT", &["ZZ99", "AC04", "BE01"], CLOSED),
            ("RJCT", &[], REFUSED),
            // A double was refused: the first one may have been paid.
            ("RJCT", &["AM05"], LineStatus::Pending),
            ("CANC", &["ZZ99", "AC04", "DUPL"], LineStatus::Pending),
        ] {
            let said = read_status(code).unwrap();
            let status = line_status(said, reasons(codes), ReportedStatus::default());
            assert_eq!(status, expected, "{code} {codes:?}");
        }
        assert_eq!(read_status("PAID"), None);
    }

    #[test]
    fn the_whole_is_refused_for_what_a_table_knows_alone() {
        for (codes, expected) in [
            (&["AC04"][..], REJECTED),
            (&["ZZ99", "FF01"], REJECTED),
            (&["FF01", "DU01"], LineStatus::Pending),
            (&["DUPL"], LineStatus::Pending),
            (&["ZZ99"], LineStatus::Pending),
            (&[], LineStatus::Pending),
        ] {
            let status = whole_status(Said::Refused, reasons(codes));
            assert_eq!(status, expected, "{codes:?}");
        }
    }

    #[test]
    fn a_refusal_without_a_reason_has_that_of_the_whole_and_a_double_is_one_for_all() {
        for (own, said, whole, expected) in [
            (&[][..], Some(Said::Refused), &["FF01"][..], REJECTED),
            (&[], Some(Said::Refused), &["DU01"], LineStatus::Pending),
            (&[], Some(Said::Refused), &["ZZ99"], LineStatus::Pending),
            (&[], Some(Said::Refused), &[], LineStatus::Pending),
            (&["AC04"], Some(Said::Refused), &["FF01"], CLOSED),
            (&["AC04"], Some(Said::Refused), &["ZZ99"], CLOSED),
            (
                &["AC04"],
                Some(Said::Refused),
                &["DUPL"],
                LineStatus::Pending,
            ),
            (&[], Some(Said::Pending), &[], REFUSED),
            (&[], None, &["AM05"], LineStatus::Pending),
        ] {
            let whole = ReportedStatus {
                said,
                reasons: reasons(whole),
            };
            let status = line_status(Said::Refused, reasons(own), whole);
            assert_eq!(status, expected, "{own:?} {whole:?}");
        }
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
