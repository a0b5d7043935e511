//! Claims against persons: requests in, answers out.

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    money::Money,
    names, paging,
    status::{Refusal, Violations},
};
use proto::payout::v1 as pb;
use uuid::Uuid;

use super::{NO_BATCH, answers::timestamp, is_batch, positive};
use crate::{
    domain::clawback::{ClawbackBalance, ClawbackState, WriteOffRequest},
    storage::clawbacks::Filter,
};

const REASON_BYTES_MAX: usize = 60;
const RECEIPT_BYTES_MAX: usize = 40;

const NO_CLAWBACK: &str = "is not of the form `clawbacks/{uuid}`";
const NO_REASON: &str = "is not 1 to 60 upper-case letters, digits and underscores";

pub(in crate::rpc) fn create_clawback(
    principal: &Principal,
    request: &pb::CreateClawbackRequest,
) -> Result<(RequestKey, Uuid, String), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "CreateClawback",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let given = request.clawback.clone().unwrap_or_default();
    let participation_id = violations.require(
        names::parse_uuid(&given.participation, "participations"),
        "clawback.participation",
        "is not of the form `participations/{uuid}`",
    );
    violations.check(is_reason(&given.reason), "clawback.reason", NO_REASON);
    let (key, participation_id) = violations.finish(key.zip(participation_id))?;
    Ok((key, participation_id, given.reason))
}

pub(in crate::rpc) fn record_repayment(
    principal: &Principal,
    request: &pb::RecordRepaymentRequest,
) -> Result<(RequestKey, Uuid, Money), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "RecordRepayment",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        names::parse_uuid(&request.clawback, "clawbacks"),
        "clawback",
        NO_CLAWBACK,
    );
    let amount = positive("amount", request.amount.as_ref(), &mut violations);
    let is_receipt = (1..=RECEIPT_BYTES_MAX).contains(&request.receipt.len())
        && request
            .receipt
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric());
    violations.check(is_receipt, "receipt", "is not 1 to 40 letters and digits");
    let repayment = key.zip(id).zip(amount);
    let ((key, id), amount) = violations.finish(repayment)?;
    Ok((key, id, amount))
}

pub(in crate::rpc) fn request_clawback_write_off(
    principal: &Principal,
    request: &pb::RequestClawbackWriteOffRequest,
) -> Result<(RequestKey, Uuid), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "RequestClawbackWriteOff",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        names::parse_uuid(&request.name, "clawbacks"),
        "name",
        NO_CLAWBACK,
    );
    violations.check(is_reason(&request.reason), "reason", NO_REASON);
    violations.finish(key.zip(id))
}

pub(in crate::rpc) fn approve_clawback_write_off(
    principal: &Principal,
    request: &pb::ApproveClawbackWriteOffRequest,
) -> Result<(RequestKey, Uuid, WriteOffRequest), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "ApproveClawbackWriteOff",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        names::parse_uuid(&request.name, "clawbacks"),
        "name",
        NO_CLAWBACK,
    );
    violations.check(!request.requester.is_empty(), "requester", "is empty");
    violations.check(is_reason(&request.reason), "reason", NO_REASON);
    let (key, id) = violations.finish(key.zip(id))?;
    let seen = WriteOffRequest {
        requester: request.requester.clone(),
        reason: request.reason.clone(),
    };
    Ok((key, id, seen))
}

pub(in crate::rpc) fn list_clawbacks(
    request: &pb::ListClawbacksRequest,
) -> Result<(pb::ListClawbacksRequest, Filter), Refusal> {
    let mut violations = Violations::new();
    let is_any = request.batch.is_empty();
    violations.check(is_any || is_batch(&request.batch), "batch", NO_BATCH);
    use pb::clawback::State;
    let state = match State::try_from(request.state) {
        Ok(State::Unspecified) => Some((None, None)),
        Ok(State::Open) => Some((Some(ClawbackState::Open), Some(false))),
        Ok(State::Overdue) => Some((Some(ClawbackState::Open), Some(true))),
        Ok(State::Repaid) => Some((Some(ClawbackState::Repaid), None)),
        Ok(State::WrittenOff) => Some((Some(ClawbackState::WrittenOff), None)),
        Err(_) => None,
    };
    let state = violations.require(state, "state", "is not a state of clawbacks");
    paging::check_size(request.page_size, &mut violations);
    let (state, is_past_due) = violations.finish(state)?;
    let bound = pb::ListClawbacksRequest {
        batch: request.batch.clone(),
        state: request.state,
        ..Default::default()
    };
    let filter = Filter {
        batch: Some(request.batch.clone()).filter(|batch| !batch.is_empty()),
        state,
        is_past_due,
    };
    Ok((bound, filter))
}

fn is_reason(text: &str) -> bool {
    (1..=REASON_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

impl From<ClawbackBalance> for pb::Clawback {
    fn from(balance: ClawbackBalance) -> pb::Clawback {
        let is_overdue = balance.is_overdue();
        let clawback = balance.clawback;
        let money = |minor| Some(Money::new(minor, clawback.currency).to_proto());
        let state = match clawback.state {
            ClawbackState::Open if is_overdue => pb::clawback::State::Overdue,
            ClawbackState::Open => pb::clawback::State::Open,
            ClawbackState::Repaid => pb::clawback::State::Repaid,
            ClawbackState::WrittenOff => pb::clawback::State::WrittenOff,
        };
        pb::Clawback {
            name: names::format("clawbacks", clawback.id),
            participation: names::format("participations", clawback.participation_id),
            reason: clawback.reason,
            batch: clawback.batch,
            training_amount: money(clawback.amount.training),
            incentive_amount: money(clawback.amount.incentives),
            outstanding: money(balance.outstanding.sum()),
            state: state.into(),
            due_time: Some(timestamp(clawback.due_time)),
            create_time: Some(timestamp(clawback.create_time)),
            write_off_requester: clawback.write_off_requester.unwrap_or_default(),
            write_off_reason: clawback.write_off_reason.unwrap_or_default(),
            write_off_approver: clawback.write_off_approver.unwrap_or_default(),
            end_time: clawback.end_time.map(timestamp),
        }
    }
}
