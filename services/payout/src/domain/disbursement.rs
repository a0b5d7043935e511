//! Payments to persons and the batches that two people stand for.
//!
//! `READY → BATCHED → APPROVED → SENT → SETTLED | FAILED | UNKNOWN`; `UNKNOWN` is left by an inquiry alone, or by the
//! bank's report where payments go by file (`payment_file.rs`); `SETTLED` becomes `FAILED` when the rail has taken the
//! money back; `FAILED` becomes `READY` again when the person links an account, with time, or when an operator says so, as
//! its reason's remedy is (`rail.rs`); all but the sent ones can become `CANCELLED`, and a sent one that is refunded does.

use chassis::money::{Currency, Money, MoneyError};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    chart::{self, AccountKind},
    ledger::{AccountId, Code, Leg, Transfer, TransferId},
    rail::FailureReason,
};

/// The longest that an order waits between two inquiries.
const INQUIRY_DELAY_MAX: Duration = Duration::days(1);

/// The states of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisbursementState {
    /// Goes into the next batch once it is due.
    Ready,
    /// In a batch that waits for its approval.
    Batched,
    /// About to be sent.
    Approved,
    /// Sent; no clear answer yet.
    Sent,
    /// The answer was unclear.
    Unknown,
    /// The payee has the money.
    Settled,
    /// Refused by the rail; nothing was paid.
    Failed,
    /// The right ended before it was paid, or its money was refunded.
    Cancelled,
}

/// Why a payment that was not sent yet waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The person's payee account is held for review.
    PayeeAccountHeld,
    /// The person's payee account was rejected.
    PayeeAccountRejected,
    /// The participation is frozen.
    ParticipationFrozen,
}

/// How an operator ends a failed payment's standing still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is paid after all.
    Retry,
    /// It will never be paid.
    Refund,
}

/// A payment whose standing still cannot be ended: it has not failed, or its participation's money went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disbursement has not failed, or its money went back")]
pub struct NotFailed {
    /// The payment.
    pub id: Uuid,
    /// Its state.
    pub state: DisbursementState,
}

/// One payment of one benefit to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disbursement {
    /// Its id.
    pub id: Uuid,
    /// The participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The batch, by its resource name.
    pub batch: String,
    /// The benefit.
    pub benefit: String,
    /// The number of the instalment.
    pub instalment: i32,
    /// The amount.
    pub amount: Money,
    /// The state.
    pub state: DisbursementState,
    /// Why it failed, or was refunded.
    pub failure_reason: Option<FailureReason>,
    /// From when it may be paid.
    pub due_time: OffsetDateTime,
    /// Counts payment orders.
    pub attempt: i32,
    /// The batch of payments that it is in.
    pub disbursement_batch_id: Option<Uuid>,
    /// When the order in hand was last sent.
    pub send_time: Option<OffsetDateTime>,
    /// When it was settled.
    pub settle_time: Option<OffsetDateTime>,
}

/// The states of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchState {
    /// Waits for another person's approval.
    PendingApproval,
    /// Its lines are being sent.
    Approved,
}

/// How payments get to the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rail {
    /// One by one, through the rail's API.
    Api,
    /// All together, by a file.
    File,
}

/// Payments that are approved together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisbursementBatch {
    /// Its id.
    pub id: Uuid,
    /// Lines that are not cancelled.
    pub line_count: i64,
    /// Their sum.
    pub total: Money,
    /// The state.
    pub state: BatchState,
    /// How they get to the bank.
    pub rail: Rail,
    /// Who made it.
    pub maker: String,
    /// Who approved it.
    pub approver: Option<String>,
    /// When it was made.
    pub create_time: OffsetDateTime,
    /// When it was approved.
    pub approve_time: Option<OffsetDateTime>,
}

/// What an approver has to know of a batch: how many lines, and how much together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlTotals {
    /// The number of lines.
    pub line_count: i64,
    /// Their sum.
    pub total: Money,
}

/// Why a batch is not made or approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefusal {
    /// No payment is due.
    #[error("no disbursement is due")]
    NothingDue,
    /// Who made it may not approve it.
    #[error("who made a batch may not approve it")]
    ApproverIsMaker {
        /// Who made it.
        maker: String,
    },
    /// It has other totals than the approver has seen.
    #[error("the batch has other totals than the approver has seen")]
    ControlTotalWrong {
        /// The totals that it has.
        actual: ControlTotals,
    },
    /// It was approved before.
    #[error("the batch was approved already")]
    AlreadyApproved {
        /// The batch.
        id: Uuid,
    },
}

impl ControlTotals {
    /// Counts and adds up amounts.
    ///
    /// # Errors
    /// When the sum is beyond all money.
    pub fn of(
        amounts: impl Iterator<Item = Money>,
        currency: Currency,
    ) -> Result<ControlTotals, MoneyError> {
        let mut totals = ControlTotals {
            line_count: 0,
            total: Money::new(0, currency),
        };
        for amount in amounts {
            totals.line_count += 1;
            totals.total = totals.total.checked_add(amount)?;
        }
        Ok(totals)
    }
}

impl Disbursement {
    /// Returns the reference of the order in hand at the rail: the same for every sending of it, another for the order
    /// that follows a final refusal.
    pub fn reference(&self) -> String {
        reference(self.id, self.attempt)
    }

    /// Takes the money out of the commitment and puts it in flight.
    pub fn put_in_flight(&self) -> Transfer {
        self.line(
            "send",
            Code::Incentive,
            self.commitment(),
            self.of_batch(AccountKind::RailInFlight),
        )
    }

    /// Books that it arrived.
    pub fn settle(&self) -> Transfer {
        self.line(
            "settle",
            Code::Incentive,
            self.of_batch(AccountKind::RailInFlight),
            self.of_batch(AccountKind::Paid),
        )
    }

    /// Books that it came back from the rail: into the commitment, or on to the treasury when the participation's money
    /// went back meanwhile.
    pub fn take_back(&self, is_returned: bool) -> Transfer {
        let in_flight = self.of_batch(AccountKind::RailInFlight);
        if is_returned {
            self.line(
                "fail",
                Code::Return,
                in_flight,
                self.of_batch(AccountKind::Returned),
            )
        } else {
            self.line("fail", Code::Incentive, in_flight, self.commitment())
        }
    }

    /// Books that the rail took it back after it had arrived: into the commitment, or on to the treasury when the
    /// participation's money went back meanwhile.
    pub fn reverse(&self, is_returned: bool) -> Transfer {
        let paid = self.of_batch(AccountKind::Paid);
        if is_returned {
            self.line(
                "reverse",
                Code::Return,
                paid,
                self.of_batch(AccountKind::Returned),
            )
        } else {
            self.line("reverse", Code::Incentive, paid, self.commitment())
        }
    }

    /// Books that it will never be paid, after it has failed.
    pub fn refund(&self) -> Transfer {
        self.line(
            "refund",
            Code::Return,
            self.commitment(),
            self.of_batch(AccountKind::Returned),
        )
    }

    /// Books that it was cancelled when it was approved and not yet sent.
    pub fn cancel_in_flight(&self) -> Transfer {
        self.line(
            "cancel",
            Code::Return,
            self.of_batch(AccountKind::RailInFlight),
            self.of_batch(AccountKind::Returned),
        )
    }

    /// Returns the ids of all transfers that a payment with so many orders may have had after it was put in flight; most of
    /// them were never booked.
    pub fn transfers_after_sending(id: Uuid, attempts: i32) -> impl Iterator<Item = TransferId> {
        (1..=attempts).flat_map(move |attempt| {
            ["settle", "fail", "reverse", "cancel"]
                .map(|step| chart::transfer_id(id, &format!("{step}-{attempt}")))
        })
    }

    fn commitment(&self) -> AccountId {
        chart::own_id(AccountKind::IncentiveCommitment, self.participation_id)
    }

    fn of_batch(&self, kind: AccountKind) -> AccountId {
        chart::of_batch(kind, &self.batch, self.amount.currency()).id
    }

    fn line(&self, step: &str, code: Code, debit: AccountId, credit: AccountId) -> Transfer {
        let id = chart::transfer_id(self.id, &format!("{step}-{}", self.attempt));
        Transfer::post(
            id,
            code,
            Leg {
                debit,
                credit,
                amount: self.amount,
            },
        )
    }
}

/// Returns the reference of a payment's order at the rail.
pub fn reference(id: Uuid, attempt: i32) -> String {
    match attempt {
        1 => id.simple().to_string(),
        later => format!("{}-{later}", id.simple()),
    }
}

/// Reads which payment and which of its orders a reference belongs to; `None` when it is none of ours.
pub fn parse_reference(text: &str) -> Option<(Uuid, i32)> {
    let (id, attempt) = match text.split_once('-') {
        None => (text, 1),
        Some((id, attempt)) => (id, attempt.parse().ok()?),
    };
    let id = Uuid::try_parse(id).ok()?;
    // One order, one reference: `…-1`, `…-02` and upper case are somebody else's.
    (reference(id, attempt) == text).then_some((id, attempt))
}

/// When the rail is asked about an order that stays unclear, and when the order is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InquiryPlan {
    /// From the sending to the first inquiry; each later one waits twice as long as the one before, up to a day.
    pub first_delay: Duration,
    /// From the sending to the moment from which "not found" is believed.
    pub resend_after: Duration,
}

impl InquiryPlan {
    /// Returns when to ask next, after so many inquiries without an outcome. An order that may be sent again at a known
    /// moment is asked about then at the latest.
    pub fn next_inquiry(
        &self,
        now: OffsetDateTime,
        inquiry_count: i32,
        send_time: OffsetDateTime,
    ) -> OffsetDateTime {
        let doublings = u32::try_from(inquiry_count).unwrap_or(0).min(20);
        let delay = self
            .first_delay
            .saturating_mul(2_i32.pow(doublings))
            .min(INQUIRY_DELAY_MAX.max(self.first_delay));
        let regular = now + delay;
        let cut_off = send_time + self.resend_after;
        if now < cut_off {
            regular.min(cut_off)
        } else {
            regular
        }
    }

    /// Says whether an order that the rail does not know may be sent again, under the same reference.
    pub fn may_resend(&self, now: OffsetDateTime, send_time: OffsetDateTime) -> bool {
        now >= send_time + self.resend_after
    }
}

impl WaitReason {
    const ALL: [WaitReason; 3] = [
        WaitReason::PayeeAccountHeld,
        WaitReason::PayeeAccountRejected,
        WaitReason::ParticipationFrozen,
    ];

    /// Returns its name in queries.
    pub fn as_str(self) -> &'static str {
        match self {
            WaitReason::PayeeAccountHeld => "PAYEE_ACCOUNT_HELD",
            WaitReason::PayeeAccountRejected => "PAYEE_ACCOUNT_REJECTED",
            WaitReason::ParticipationFrozen => "PARTICIPATION_FROZEN",
        }
    }

    /// Finds a reason by its name.
    pub fn parse(name: &str) -> Option<WaitReason> {
        WaitReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == name)
    }
}

impl DisbursementState {
    const ALL: [DisbursementState; 8] = [
        DisbursementState::Ready,
        DisbursementState::Batched,
        DisbursementState::Approved,
        DisbursementState::Sent,
        DisbursementState::Unknown,
        DisbursementState::Settled,
        DisbursementState::Failed,
        DisbursementState::Cancelled,
    ];

    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            DisbursementState::Ready => "READY",
            DisbursementState::Batched => "BATCHED",
            DisbursementState::Approved => "APPROVED",
            DisbursementState::Sent => "SENT",
            DisbursementState::Unknown => "UNKNOWN",
            DisbursementState::Settled => "SETTLED",
            DisbursementState::Failed => "FAILED",
            DisbursementState::Cancelled => "CANCELLED",
        }
    }

    /// Finds a state by its name.
    pub fn parse(name: &str) -> Option<DisbursementState> {
        DisbursementState::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Rail {
    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Rail::Api => "API",
            Rail::File => "FILE",
        }
    }

    /// Finds a rail by its name.
    pub fn parse(name: &str) -> Option<Rail> {
        [Rail::Api, Rail::File]
            .into_iter()
            .find(|rail| rail.as_str() == name)
    }
}

impl BatchState {
    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchState::PendingApproval => "PENDING_APPROVAL",
            BatchState::Approved => "APPROVED",
        }
    }

    /// Finds a state by its name.
    pub fn parse(name: &str) -> Option<BatchState> {
        [BatchState::PendingApproval, BatchState::Approved]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const PLAN: InquiryPlan = InquiryPlan {
        first_delay: Duration::minutes(10),
        resend_after: Duration::hours(1),
    };
    const SENT: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    #[test]
    fn inquiries_become_rarer_and_meet_the_cut_off() {
        for (now, count, expected) in [
            (SENT, 0, datetime!(2026-01-01 00:10 UTC)),
            (
                datetime!(2026-01-01 00:10 UTC),
                1,
                datetime!(2026-01-01 00:30 UTC),
            ),
            (
                datetime!(2026-01-01 00:30 UTC),
                2,
                datetime!(2026-01-01 01:00 UTC),
            ),
            (
                datetime!(2026-01-01 01:00 UTC),
                3,
                datetime!(2026-01-01 02:20 UTC),
            ),
            (
                datetime!(2026-01-01 02:20 UTC),
                31,
                datetime!(2026-01-02 02:20 UTC),
            ),
        ] {
            assert_eq!(
                PLAN.next_inquiry(now, count, SENT),
                expected,
                "{now} {count}"
            );
        }
    }

    #[test]
    fn a_resend_waits_for_the_cut_off() {
        assert!(!PLAN.may_resend(datetime!(2026-01-01 00:59:59 UTC), SENT));
        assert!(PLAN.may_resend(datetime!(2026-01-01 01:00 UTC), SENT));
    }

    #[test]
    fn every_sending_of_an_order_has_one_reference_and_a_new_order_another() {
        let id = Uuid::from_u128(7);

        assert_eq!(reference(id, 1), "00000000000000000000000000000007");
        assert_eq!(reference(id, 2), "00000000000000000000000000000007-2");
        assert!(reference(Uuid::max(), i32::MAX).len() <= 64);
    }

    #[test]
    fn a_reference_leads_back_to_its_order() {
        let id = Uuid::from_u128(7);

        for attempt in [1, 2, 31] {
            assert_eq!(
                parse_reference(&reference(id, attempt)),
                Some((id, attempt))
            );
        }
        let text = reference(id, 1);
        for wrong in [
            "",
            "-",
            "x",
            &format!("{text}-1"),
            &format!("{text}-02"),
            &format!("{text}-x"),
            &id.to_string(),
        ] {
            assert_eq!(parse_reference(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn states_have_names() {
        for state in DisbursementState::ALL {
            assert_eq!(DisbursementState::parse(state.as_str()), Some(state));
        }
        for reason in WaitReason::ALL {
            assert_eq!(WaitReason::parse(reason.as_str()), Some(reason));
        }
    }
}
