//! What can go wrong, and which code and reason the caller sees.

use std::sync::Arc;

use chassis::{
    db,
    gather::GatherError,
    idempotency::{self, ClaimError},
    names,
    status::{Refusal, Violations},
};
use proto::payout::v1::ErrorReason;
use tonic::Code;
use uuid::Uuid;

use crate::{
    domain::{
        clawback::ClawbackRefusal,
        disbursement::{BatchRefusal, NotFailed},
        hold::HoldRefusal,
        ledger::TransferRefusal,
        payee::LinkRefusal,
        payment_file::FileRefusal,
        statement::Faults,
        treasury::TreasuryRefusal,
    },
    rail::Outage,
    vault::SealError,
};

/// The `ErrorInfo` domain of this service's own reasons.
const DOMAIN: &str = "payout.bekal";

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such resource.
    #[error("no such resource: {0}")]
    NotFound(String),
    /// Public money does not move.
    #[error("move public money")]
    Treasury(#[source] TreasuryRefusal),
    /// A claim against a person is not made, repaid or written off.
    #[error("claim money back")]
    Clawback(#[source] ClawbackRefusal),
    /// A hold is not made or ended.
    #[error("make or end a hold")]
    Hold(#[source] HoldRefusal),
    /// A payee account is not linked.
    #[error("link a payee account")]
    Link(#[source] LinkRefusal),
    /// An account that is held was decided about, or replaced.
    #[error("decide about a payee account once more")]
    ReviewEnded(Uuid),
    /// A payment's standing still cannot be ended.
    #[error("resolve a payment")]
    Resolve(#[source] NotFailed),
    /// A batch is not told to the bank by a file, or a report is not taken in.
    #[error("pay by file")]
    File(#[source] FileRefusal),
    /// A batch of payments is not made or approved.
    #[error("make or approve a batch of payments")]
    Batch(#[source] BatchRefusal),
    /// A statement's file is wrong in itself.
    #[error("read a statement with {} faults", .0.count)]
    StatementFaulty(Faults),
    /// A statement's file did not come to its end.
    #[error("read a statement to its end")]
    StatementCut(#[source] std::io::Error),
    /// Another file of the same statement was imported.
    #[error("import another file of the same statement")]
    StatementExists(Uuid),
    /// A reader of a statement or of regions ended without a result.
    #[error("wait for a reader")]
    Reading(#[from] tokio::task::JoinError),
    /// The ledger refused a line that nothing speaks against.
    #[error("book a transfer")]
    Booking(#[source] TransferRefusal),
    /// The ledger refused what a bank's report says of payments; the log says why.
    #[error("write {0} results of a report")]
    ResultsRefused(usize),
    /// What was in the way is gone; the call is to be made again.
    #[error("a concurrent change won")]
    Conflict,
    /// The `request_id` cannot be claimed.
    #[error("claim the request_id")]
    Claim(#[from] ClaimError),
    /// The gatherer gave no answer.
    #[error("wait for the batch")]
    Gather(#[from] GatherError),
    /// A stored answer is of another type.
    #[error("read the stored answer")]
    StoredAnswer(#[from] prost::DecodeError),
    /// identity did not answer.
    #[error("ask identity about a holder")]
    Identity(#[source] Box<tonic::Status>),
    /// The rail did not answer.
    #[error("ask the rail about an account")]
    Rail(#[from] Outage),
    /// An account number cannot be sealed.
    #[error("seal an account number")]
    Seal(#[from] SealError),
    /// The database failed.
    #[error("work with the database")]
    Database(#[from] sqlx::Error),
    /// The database failed in a gathered batch; each of its callers is told.
    #[error("work with the database in a batch")]
    SharedDatabase(#[source] Arc<sqlx::Error>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error {
            Error::NotFound(name) => Refusal::not_found(name),
            Error::Treasury(refusal) => treasury(refusal),
            Error::Clawback(refusal) => clawback(refusal),
            Error::Hold(refusal) => hold(refusal),
            Error::Link(refusal) => link(refusal),
            Error::ReviewEnded(id) => own(
                Code::FailedPrecondition,
                ErrorReason::ReviewEnded,
                "the review was decided, or the person has linked another account".to_owned(),
            )
            .with(
                "payee_account_review",
                names::format("payeeAccountReviews", id),
            ),
            Error::Resolve(refusal) => own(
                Code::FailedPrecondition,
                ErrorReason::DisbursementNotFailed,
                refusal.to_string(),
            )
            .with("disbursement", names::format("disbursements", refusal.id))
            .with("state", refusal.state.as_str()),
            Error::File(refusal) => file(refusal),
            Error::Batch(refusal) => batch(refusal),
            Error::StatementFaulty(faults) => faulty(
                ErrorReason::StatementFaulty,
                "the statement is wrong in itself; nothing of it was stored",
                faults,
            ),
            Error::StatementCut(error) => cut().because(error),
            Error::StatementExists(id) => own(
                Code::AlreadyExists,
                ErrorReason::StatementExists,
                "another file of the same statement was imported".to_owned(),
            )
            .with("statement", names::format("statements", id)),
            Error::Conflict => Refusal::conflict(),
            Error::Claim(error) => error.into(),
            Error::Gather(error) => error.into(),
            Error::Identity(status) => Refusal::peer("identity", *status),
            Error::Rail(outage) => Refusal::unavailable("rail", outage),
            Error::Booking(_)
            | Error::ResultsRefused(_)
            | Error::StoredAnswer(_)
            | Error::Seal(_)
            | Error::Reading(_) => Refusal::internal(error),
            Error::Database(error) => Refusal::database(error),
            Error::SharedDatabase(error) if db::is_transient(&error) => {
                Refusal::unavailable("database", error)
            }
            Error::SharedDatabase(error) => Refusal::internal(error),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> tonic::Status {
        Refusal::from(error).into()
    }
}

fn treasury(refusal: TreasuryRefusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        TreasuryRefusal::AppropriationExists { appropriation } => {
            own(Code::AlreadyExists, ErrorReason::AppropriationExists, text)
                .with("appropriation", appropriation)
        }
        TreasuryRefusal::FundsInsufficient { available } => own(
            Code::FailedPrecondition,
            ErrorReason::FundsInsufficient,
            text,
        )
        .with("available", available.to_string()),
        TreasuryRefusal::CurrencyMismatched { currency_code } => {
            currency_mismatched(text, currency_code)
        }
    }
}

fn clawback(refusal: ClawbackRefusal) -> Refusal {
    let text = refusal.to_string();
    let of = |code, reason, participation_id| {
        let name = names::format("participations", participation_id);
        own(code, reason, text.clone()).with("participation", name)
    };
    match refusal {
        ClawbackRefusal::Exists { participation_id } => of(
            Code::AlreadyExists,
            ErrorReason::ClawbackExists,
            participation_id,
        ),
        ClawbackRefusal::FundsOutstanding { participation_id } => of(
            Code::FailedPrecondition,
            ErrorReason::FundsOutstanding,
            participation_id,
        ),
        ClawbackRefusal::NothingSpent { participation_id } => of(
            Code::FailedPrecondition,
            ErrorReason::NothingSpent,
            participation_id,
        ),
        ClawbackRefusal::RepaymentExcessive { outstanding } => own(
            Code::FailedPrecondition,
            ErrorReason::RepaymentExcessive,
            text,
        )
        .with("outstanding", outstanding.to_string()),
        ClawbackRefusal::ReceiptRecorded { receipt } => {
            own(Code::AlreadyExists, ErrorReason::ReceiptRecorded, text).with("receipt", receipt)
        }
        ClawbackRefusal::Ended { state } => {
            own(Code::FailedPrecondition, ErrorReason::ClawbackEnded, text)
                .with("state", state.as_str())
        }
        ClawbackRefusal::WriteOffNotRequested => own(
            Code::FailedPrecondition,
            ErrorReason::WriteOffNotRequested,
            text,
        ),
        ClawbackRefusal::WriteOffReplaced { actual } => own(
            Code::FailedPrecondition,
            ErrorReason::WriteOffReplaced,
            text,
        )
        .with("requester", actual.requester)
        .with("reason", actual.reason),
        ClawbackRefusal::ApproverIsRequester { requester } => own(
            Code::PermissionDenied,
            ErrorReason::ApproverIsRequester,
            text,
        )
        .with("requester", requester),
    }
}

fn hold(refusal: HoldRefusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        HoldRefusal::NotFound(id) => Refusal::not_found(names::format("fundsHolds", id)),
        HoldRefusal::BalanceNotFound { participation_id } => {
            own(Code::FailedPrecondition, ErrorReason::BalanceNotFound, text).with(
                "participation",
                names::format("participations", participation_id),
            )
        }
        HoldRefusal::ParticipationFrozen { participation_id } => own(
            Code::FailedPrecondition,
            ErrorReason::ParticipationFrozen,
            text,
        )
        .with(
            "participation",
            names::format("participations", participation_id),
        ),
        HoldRefusal::BalanceInsufficient { available } => own(
            Code::FailedPrecondition,
            ErrorReason::BalanceInsufficient,
            text,
        )
        .with("available", available.to_string()),
        HoldRefusal::HoldEnded { id, state } => {
            own(Code::FailedPrecondition, ErrorReason::HoldEnded, text)
                .with("funds_hold", names::format("fundsHolds", id))
                .with("state", state.as_str())
        }
        HoldRefusal::CurrencyMismatched { currency_code } => {
            currency_mismatched(text, currency_code)
        }
        HoldRefusal::IdReused(id) => idempotency::reused(id),
    }
}

fn link(refusal: LinkRefusal) -> Refusal {
    let (code, reason) = match refusal {
        LinkRefusal::NotFound => (Code::FailedPrecondition, ErrorReason::PayeeAccountNotFound),
        LinkRefusal::Closed => (Code::FailedPrecondition, ErrorReason::PayeeAccountClosed),
        LinkRefusal::Blocked => (Code::FailedPrecondition, ErrorReason::PayeeAccountBlocked),
        LinkRefusal::HolderMismatched => (Code::FailedPrecondition, ErrorReason::HolderMismatched),
        LinkRefusal::PhoneMismatched => (Code::FailedPrecondition, ErrorReason::PhoneMismatched),
        LinkRefusal::Shared => (Code::AlreadyExists, ErrorReason::PayeeAccountShared),
    };
    own(code, reason, refusal.to_string())
}

fn batch(refusal: BatchRefusal) -> Refusal {
    let text = refusal.to_string();
    match refusal {
        BatchRefusal::NothingDue => own(Code::FailedPrecondition, ErrorReason::NothingDue, text),
        BatchRefusal::ApproverIsMaker { maker } => {
            own(Code::PermissionDenied, ErrorReason::ApproverIsMaker, text).with("maker", maker)
        }
        BatchRefusal::ControlTotalWrong { actual } => own(
            Code::FailedPrecondition,
            ErrorReason::ControlTotalWrong,
            text,
        )
        .with("line_count", actual.line_count.to_string())
        .with("total", actual.total.to_string()),
        BatchRefusal::AlreadyApproved { id } => {
            own(Code::FailedPrecondition, ErrorReason::AlreadyApproved, text).with(
                "disbursement_batch",
                names::format("disbursementBatches", id),
            )
        }
    }
}

fn file(refusal: FileRefusal) -> Refusal {
    let text = refusal.to_string();
    let of_batch = |reason, id| {
        own(Code::FailedPrecondition, reason, text.clone()).with(
            "disbursement_batch",
            names::format("disbursementBatches", id),
        )
    };
    match refusal {
        FileRefusal::NotByFile(id) => of_batch(ErrorReason::BatchNotByFile, id),
        FileRefusal::NotApproved(id) => of_batch(ErrorReason::BatchNotApproved, id),
        FileRefusal::NotExported(id) => of_batch(ErrorReason::BatchNotExported, id),
        FileRefusal::Answered(id) => of_batch(ErrorReason::BatchAnswered, id),
        FileRefusal::ReportFaulty(faults) => faulty(
            ErrorReason::StatusReportFaulty,
            "the report does not agree with its file or with what is known; nothing of it took effect",
            faults,
        ),
        FileRefusal::ReportCut => cut(),
        FileRefusal::ReportExists(id) => {
            own(Code::AlreadyExists, ErrorReason::StatusReportExists, text).with(
                "payment_status_report",
                names::format("paymentStatusReports", id),
            )
        }
    }
}

fn cut() -> Refusal {
    let mut violations = Violations::new();
    violations.add("content", "did not come to its end");
    Refusal::invalid(violations)
}

fn faulty(reason: ErrorReason, text: &str, faults: Faults) -> Refusal {
    let mut violations = Violations::new();
    for fault in faults.first {
        let place = match fault.entry {
            0 => format!("line {}", fault.line),
            entry => format!("line {}, entry {entry}", fault.line),
        };
        violations.add(place, fault.what);
    }
    own(Code::InvalidArgument, reason, text.to_owned())
        .with("fault_count", faults.count.to_string())
        .with_violations(violations)
}

fn currency_mismatched(text: String, currency_code: &'static str) -> Refusal {
    own(
        Code::FailedPrecondition,
        ErrorReason::CurrencyMismatched,
        text,
    )
    .with("currency_code", currency_code)
}

fn own(code: Code, reason: ErrorReason, message: String) -> Refusal {
    Refusal::new(code, DOMAIN, reason.as_str_name(), message)
}
