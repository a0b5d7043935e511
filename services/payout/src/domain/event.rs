//! What payout tells others.

use chassis::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    award::Award, clawback::Clawback, disbursement::Disbursement, ledger::AccountId,
    rail::FailureReason,
};

/// Participations got their money.
#[derive(Clone, Copy, Debug)]
pub struct ParticipationsFunded<'a> {
    /// The batch.
    pub batch: &'a str,
    /// The awards.
    pub awards: &'a [Award],
}

/// Unspent money went back to the treasury.
#[derive(Clone, Copy, Debug)]
pub struct FundsReturned<'a> {
    /// The batch.
    pub batch: &'a str,
    /// Whose money.
    pub participation_ids: &'a [Uuid],
    /// How much together.
    pub total: Money,
}

/// A person owes money.
#[derive(Clone, Copy, Debug)]
pub struct ClawbackOpened<'a> {
    /// The claim.
    pub clawback: &'a Clawback,
}

/// A person has repaid money.
#[derive(Clone, Copy, Debug)]
pub struct ClawbackRepaid<'a> {
    /// The claim.
    pub clawback: &'a Clawback,
    /// How much.
    pub amount: Money,
    /// What is still owed.
    pub outstanding: Money,
}

/// A payment that a claim counts came back through the rail.
#[derive(Clone, Copy, Debug)]
pub struct ClawbackReduced<'a> {
    /// The claim.
    pub clawback: &'a Clawback,
    /// How much less is owed.
    pub amount: Money,
    /// What is still owed.
    pub outstanding: Money,
}

/// The rest of a claim was given up.
#[derive(Clone, Copy, Debug)]
pub struct ClawbackWrittenOff<'a> {
    /// The claim.
    pub clawback: &'a Clawback,
    /// How much.
    pub amount: Money,
}

/// A payment arrived.
#[derive(Clone, Copy, Debug)]
pub struct DisbursementSettled<'a> {
    /// The payment.
    pub payment: &'a Disbursement,
    /// When.
    pub settle_time: OffsetDateTime,
}

/// A payment was refused.
#[derive(Clone, Copy, Debug)]
pub struct DisbursementFailed<'a> {
    /// The payment.
    pub payment: &'a Disbursement,
    /// Why.
    pub reason: FailureReason,
}

/// Sums are not those of the transfers, or a batch's money is not all there.
#[derive(Clone, Copy, Debug)]
pub struct LedgerDifferenceFound<'a> {
    /// The first accounts that differ.
    pub account_ids: &'a [AccountId],
    /// How many differ.
    pub account_count: i64,
    /// The batches.
    pub batches: &'a [String],
    /// The moment that the audit describes.
    pub audit_time: OffsetDateTime,
}
