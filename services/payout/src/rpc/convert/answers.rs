//! The domain and the contract: answers out.

use chassis::{
    money::{Currency, Money},
    names,
};
use proto::payout::v1 as pb;
use time::OffsetDateTime;

use crate::{
    app::{disbursements::ShownDisbursement, holds::Balance},
    domain::{
        disbursement::{BatchState, DisbursementBatch, DisbursementState, Rail, WaitReason},
        hold::{Hold, HoldState},
        ledger::{Difference, Opening, TransferKind, TransferRefusal, Verdict},
        payee::{PayeeReview, PayeeState},
        rail::Remedy,
        treasury::{Allotment, AppropriationBalance, FundTrace, Reallocation},
    },
    storage::{
        ledger::books::{AccountRow, TransferRow},
        payee_accounts::LinkedAccount,
    },
};

pub(crate) fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or(0),
    }
}

pub(crate) fn fund_trace(batch: &str, trace: &FundTrace) -> pb::FundTrace {
    let money = |minor| Some(Money::new(minor, trace.currency).to_proto());
    pb::FundTrace {
        batch: batch.to_owned(),
        allotted: money(trace.allotted),
        received_from_batches: money(trace.received_from_batches),
        spent: money(trace.spent),
        incentives: money(trace.incentives),
        returned: money(trace.returned),
        reallocated: money(trace.reallocated),
        outstanding: money(trace.outstanding),
        funded_count: trace.funded_count,
        returned_count: trace.returned_count,
        paid_count: trace.paid_count,
    }
}

pub(super) fn transfer_kind(kind: TransferKind) -> pb::transfer::Kind {
    match kind {
        TransferKind::Posted => pb::transfer::Kind::Posted,
        TransferKind::Pending => pb::transfer::Kind::Pending,
        TransferKind::PostPending => pb::transfer::Kind::PostPending,
        TransferKind::VoidPending => pb::transfer::Kind::VoidPending,
        TransferKind::ExpirePending => pb::transfer::Kind::ExpirePending,
    }
}

/// Returns the state that a list is asked for; `None` for one that no payment is in.
pub(super) fn state_of(state: pb::disbursement::State) -> Option<DisbursementState> {
    match state {
        pb::disbursement::State::Unspecified | pb::disbursement::State::Pending => None,
        pb::disbursement::State::Ready => Some(DisbursementState::Ready),
        pb::disbursement::State::Batched => Some(DisbursementState::Batched),
        pb::disbursement::State::Approved => Some(DisbursementState::Approved),
        pb::disbursement::State::Sent => Some(DisbursementState::Sent),
        pb::disbursement::State::Unknown => Some(DisbursementState::Unknown),
        pb::disbursement::State::Settled => Some(DisbursementState::Settled),
        pb::disbursement::State::Failed => Some(DisbursementState::Failed),
        pb::disbursement::State::Cancelled => Some(DisbursementState::Cancelled),
    }
}

impl From<AppropriationBalance> for pb::Appropriation {
    fn from(balance: AppropriationBalance) -> pb::Appropriation {
        let appropriation = balance.appropriation;
        pb::Appropriation {
            name: names::format("appropriations", appropriation.id),
            fiscal_year: appropriation.fiscal_year,
            amount: Some(appropriation.amount.to_proto()),
            available: Some(balance.available.to_proto()),
            create_time: Some(timestamp(appropriation.create_time)),
        }
    }
}

impl From<Allotment> for pb::Allotment {
    fn from(allotment: Allotment) -> pb::Allotment {
        pb::Allotment {
            name: names::format("allotments", allotment.id),
            appropriation: names::format("appropriations", allotment.appropriation_id),
            batch: allotment.batch,
            amount: Some(allotment.amount.to_proto()),
            create_time: Some(timestamp(allotment.create_time)),
        }
    }
}

impl From<Reallocation> for pb::Reallocation {
    fn from(reallocation: Reallocation) -> pb::Reallocation {
        pb::Reallocation {
            name: names::format("reallocations", reallocation.id),
            source_batch: reallocation.source_batch,
            target_batch: reallocation.target_batch,
            amount: Some(reallocation.amount.to_proto()),
            create_time: Some(timestamp(reallocation.create_time)),
        }
    }
}

impl From<Hold> for pb::FundsHold {
    fn from(hold: Hold) -> pb::FundsHold {
        let state = match hold.state {
            HoldState::Held => pb::funds_hold::State::Held,
            HoldState::Captured => pb::funds_hold::State::Captured,
            HoldState::Released => pb::funds_hold::State::Released,
        };
        pb::FundsHold {
            name: names::format("fundsHolds", hold.terms.id),
            participation: names::format("participations", hold.terms.participation_id),
            provider: names::format("providers", hold.terms.provider_id),
            amount: Some(hold.terms.amount.to_proto()),
            state: state.into(),
            create_time: Some(timestamp(hold.create_time)),
        }
    }
}

impl From<Balance> for pb::Balance {
    fn from(balance: Balance) -> pb::Balance {
        pb::Balance {
            name: format!("participations/{}/balance", balance.participation_id),
            training_available: Some(balance.training_available.to_proto()),
            training_held: Some(balance.training_held.to_proto()),
            incentive_committed: Some(balance.incentive_committed.to_proto()),
        }
    }
}

impl From<LinkedAccount> for pb::PayeeAccount {
    fn from(linked: LinkedAccount) -> pb::PayeeAccount {
        let state = match linked.state {
            PayeeState::Active => pb::payee_account::State::Active,
            PayeeState::HeldForReview => pb::payee_account::State::HeldForReview,
            PayeeState::Rejected => pb::payee_account::State::Rejected,
        };
        let review_reason = linked
            .review_reason
            .filter(|_| linked.state == PayeeState::Rejected);
        pb::PayeeAccount {
            name: format!("accounts/{}/payeeAccount", linked.account_id),
            channel: linked.channel,
            account_number: String::new(),
            account_number_suffix: linked.number_suffix,
            link_time: Some(timestamp(linked.link_time)),
            state: state.into(),
            review_reason: review_reason.unwrap_or_default(),
        }
    }
}

impl From<PayeeReview> for pb::PayeeAccountReview {
    fn from(review: PayeeReview) -> pb::PayeeAccountReview {
        use pb::payee_account_review::Decision;
        let decision = match review.decision.as_ref().map(|decided| decided.is_approved) {
            None => Decision::Unspecified,
            Some(true) => Decision::Approved,
            Some(false) => Decision::Rejected,
        };
        let review_time = review
            .decision
            .as_ref()
            .map(|decided| timestamp(decided.review_time));
        let (reviewer, reason) = review
            .decision
            .map(|decided| (decided.reviewer, decided.reason))
            .unwrap_or_default();
        let sharing = review.sharing_account_ids.iter();
        pb::PayeeAccountReview {
            name: names::format("payeeAccountReviews", review.id),
            account: names::format("accounts", review.account_id),
            channel: review.channel,
            account_number_suffix: review.number_suffix,
            link_time: Some(timestamp(review.link_time)),
            sharing_accounts: sharing.map(|id| names::format("accounts", id)).collect(),
            decision: decision.into(),
            reviewer,
            reason,
            review_time,
        }
    }
}

fn remedy_of(remedy: Remedy) -> pb::disbursement::Remedy {
    match remedy {
        Remedy::RetryLater(_) => pb::disbursement::Remedy::RetryLater,
        Remedy::FixAccount => pb::disbursement::Remedy::FixAccount,
        Remedy::Freeze => pb::disbursement::Remedy::Freeze,
        Remedy::Refund => pb::disbursement::Remedy::Refund,
    }
}

impl From<ShownDisbursement> for pb::Disbursement {
    fn from(shown: ShownDisbursement) -> pb::Disbursement {
        let payment = shown.payment;
        let remedy = payment
            .failure_reason
            .map_or(pb::disbursement::Remedy::Unspecified, |reason| {
                remedy_of(reason.remedy())
            });
        let wait_reason = match shown.wait_reason {
            None => pb::disbursement::WaitReason::Unspecified,
            Some(WaitReason::PayeeAccountHeld) => pb::disbursement::WaitReason::PayeeAccountHeld,
            Some(WaitReason::PayeeAccountRejected) => {
                pb::disbursement::WaitReason::PayeeAccountRejected
            }
            Some(WaitReason::ParticipationFrozen) => {
                pb::disbursement::WaitReason::ParticipationFrozen
            }
        };
        let state = match payment.state {
            DisbursementState::Ready => pb::disbursement::State::Ready,
            DisbursementState::Batched => pb::disbursement::State::Batched,
            DisbursementState::Approved => pb::disbursement::State::Approved,
            DisbursementState::Sent => pb::disbursement::State::Sent,
            DisbursementState::Unknown => pb::disbursement::State::Unknown,
            DisbursementState::Settled => pb::disbursement::State::Settled,
            DisbursementState::Failed => pb::disbursement::State::Failed,
            DisbursementState::Cancelled => pb::disbursement::State::Cancelled,
        };
        let batch = payment.disbursement_batch_id;
        pb::Disbursement {
            name: names::format("disbursements", payment.id),
            participation: names::format("participations", payment.participation_id),
            account: names::format("accounts", payment.account_id),
            instalment: payment.instalment,
            amount: Some(payment.amount.to_proto()),
            state: state.into(),
            failure_reason: payment
                .failure_reason
                .map(|reason| reason.as_str().to_owned())
                .unwrap_or_default(),
            due_time: Some(timestamp(payment.due_time)),
            reference: payment.reference(),
            disbursement_batch: batch
                .map(|id| names::format("disbursementBatches", id))
                .unwrap_or_default(),
            settle_time: payment.settle_time.map(timestamp),
            benefit: payment.benefit,
            remedy: remedy.into(),
            wait_reason: wait_reason.into(),
        }
    }
}

impl From<DisbursementBatch> for pb::DisbursementBatch {
    fn from(batch: DisbursementBatch) -> pb::DisbursementBatch {
        let state = match batch.state {
            BatchState::PendingApproval => pb::disbursement_batch::State::PendingApproval,
            BatchState::Approved => pb::disbursement_batch::State::Approved,
        };
        let rail = match batch.rail {
            Rail::Api => pb::disbursement_batch::Rail::Api,
            Rail::File => pb::disbursement_batch::Rail::File,
        };
        pb::DisbursementBatch {
            rail: rail.into(),
            name: names::format("disbursementBatches", batch.id),
            line_count: batch.line_count,
            total: Some(batch.total.to_proto()),
            state: state.into(),
            maker: batch.maker,
            approver: batch.approver.unwrap_or_default(),
            create_time: Some(timestamp(batch.create_time)),
            approve_time: batch.approve_time.map(timestamp),
        }
    }
}

impl From<AccountRow> for pb::LedgerAccount {
    fn from(row: AccountRow) -> pb::LedgerAccount {
        let currency: Currency = row.account.currency;
        let money = |minor| Some(Money::new(minor, currency).to_proto());
        pb::LedgerAccount {
            name: names::format("ledgerAccounts", row.account.id.0),
            kind: row.account.kind.as_str().to_owned(),
            owner: row.account.owner,
            batch: row.account.batch.unwrap_or_default(),
            debits_pending: money(row.sums.debits_pending),
            debits_posted: money(row.sums.debits_posted),
            credits_pending: money(row.sums.credits_pending),
            credits_posted: money(row.sums.credits_posted),
            debits_must_not_exceed_credits: row.limits.debits_must_not_exceed_credits,
            credits_must_not_exceed_debits: row.limits.credits_must_not_exceed_debits,
            read_time: row.read_time.map(timestamp),
        }
    }
}

impl From<TransferRow> for pb::Transfer {
    fn from(row: TransferRow) -> pb::Transfer {
        let booked = row.booked;
        let currency = booked.leg.amount.currency();
        pb::Transfer {
            name: names::format("transfers", booked.id.0),
            debit_account: names::format("ledgerAccounts", booked.leg.debit.0),
            credit_account: names::format("ledgerAccounts", booked.leg.credit.0),
            amount: Some(booked.leg.amount.to_proto()),
            kind: transfer_kind(booked.kind).into(),
            pending_transfer: booked
                .pending_id
                .map(|id| names::format("transfers", id.0))
                .unwrap_or_default(),
            code: booked.code.name().into_owned(),
            create_time: Some(timestamp(booked.create_time)),
            expire_time: booked.expire_time().map(timestamp),
            rest: Some(booked.rest_minor)
                .filter(|rest| *rest > 0)
                .map(|rest| Money::new(rest, currency).to_proto()),
            balance: Some(Money::new(row.balance, currency).to_proto()),
        }
    }
}

impl From<Opening> for pb::LedgerAccountResult {
    fn from(opening: Opening) -> pb::LedgerAccountResult {
        use pb::ledger_account_result::Outcome;
        let outcome = match opening {
            Opening::Opened => Outcome::Created,
            Opening::Repeated => Outcome::Exists,
            Opening::OwnerDiffers => Outcome::ExistsWithDifferentOwner,
            Opening::CurrencyDiffers => Outcome::ExistsWithDifferentCurrency,
            Opening::LimitsDiffer => Outcome::ExistsWithDifferentFlags,
            Opening::OwnerHasAnother => Outcome::OwnerHasAnother,
        };
        pb::LedgerAccountResult {
            outcome: outcome.into(),
        }
    }
}

/// Tells what became of a transfer; `currency` is that of the amounts in the verdict, where the order names one.
pub(crate) fn transfer_result(verdict: &Verdict, currency: Option<Currency>) -> pb::TransferResult {
    let available = |outcome, minor| {
        let money = currency.map(|currency| Money::new(minor, currency).to_proto());
        (outcome, None, money)
    };
    use pb::transfer_result::Outcome;
    let (outcome, account, available) = match verdict {
        Verdict::Applied => (Outcome::Created, None, None),
        Verdict::Repeated => (Outcome::Exists, None, None),
        Verdict::Refused(refusal) => match refusal {
            TransferRefusal::AccountNotFound(id) => (Outcome::AccountNotFound, Some(*id), None),
            TransferRefusal::AccountReserved(id) => (Outcome::AccountReserved, Some(*id), None),
            TransferRefusal::CurrencyMismatched => (Outcome::CurrencyMismatched, None, None),
            TransferRefusal::AmountNotPositive => (Outcome::AmountNotPositive, None, None),
            TransferRefusal::AccountsEqual => (Outcome::AccountsEqual, None, None),
            TransferRefusal::Overdraft { available: minor } => {
                available(Outcome::ExceedsCredits, *minor)
            }
            TransferRefusal::Excess { available: minor } => {
                available(Outcome::ExceedsDebits, *minor)
            }
            TransferRefusal::PendingExceeded { available: minor } => {
                available(Outcome::ExceedsPendingAmount, *minor)
            }
            TransferRefusal::Overflow => (Outcome::Overflows, None, None),
            TransferRefusal::IdReused(difference) => (exists_with(*difference), None, None),
            TransferRefusal::PendingNotFound => (Outcome::PendingNotFound, None, None),
            TransferRefusal::PendingPosted => (Outcome::PendingAlreadyPosted, None, None),
            TransferRefusal::PendingVoided => (Outcome::PendingAlreadyVoided, None, None),
            TransferRefusal::PendingExpired => (Outcome::PendingExpired, None, None),
            TransferRefusal::ChainBroken => (Outcome::LinkedEventFailed, None, None),
            TransferRefusal::ChainOpen => (Outcome::LinkedEventChainOpen, None, None),
        },
    };
    pb::TransferResult {
        outcome: outcome.into(),
        account: account
            .map(|id| names::format("ledgerAccounts", id.0))
            .unwrap_or_default(),
        available,
    }
}

fn exists_with(difference: Difference) -> pb::transfer_result::Outcome {
    use pb::transfer_result::Outcome;
    match difference {
        Difference::Kind => Outcome::ExistsWithDifferentKind,
        Difference::DebitAccount => Outcome::ExistsWithDifferentDebitAccount,
        Difference::CreditAccount => Outcome::ExistsWithDifferentCreditAccount,
        Difference::Currency => Outcome::ExistsWithDifferentCurrency,
        Difference::Amount => Outcome::ExistsWithDifferentAmount,
        Difference::PendingTransfer => Outcome::ExistsWithDifferentPendingTransfer,
        Difference::Timeout => Outcome::ExistsWithDifferentTimeout,
        Difference::Code => Outcome::ExistsWithDifferentCode,
    }
}
