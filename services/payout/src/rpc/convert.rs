//! The contract and the domain: requests in. Requests give all their violations at once; no violation repeats a value.
//! Answers are in `convert/answers.rs`.

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    money::{Currency, Money},
    names, paging,
    status::{Refusal, Violations},
};
use proto::{payout::v1 as pb, r#type::v1 as pb_type};
use uuid::Uuid;

use crate::{
    app::{
        disbursements::NewBatch,
        payees::NewPayeeAccount,
        treasury::{NewAllotment, NewAppropriation, NewReallocation},
    },
    domain::{
        disbursement::{ControlTotals, DisbursementState, Rail, Resolution},
        hold::HoldTerms,
        payee::Channel,
    },
    vault::Vault,
};

mod answers;
mod clawbacks;
mod ledger;
mod payment_files;
mod reconciliations;
mod traces;

pub(super) use answers::{fund_trace, timestamp, transfer_result};
pub(super) use clawbacks::{
    approve_clawback_write_off, create_clawback, list_clawbacks, record_repayment,
    request_clawback_write_off,
};
pub(super) use ledger::{
    create_ledger_accounts, create_transfers, get_ledger_account, list_ledger_accounts,
    list_transfers,
};
pub(super) use payment_files::{
    export_disbursement_batch, status_report_header, status_report_key,
};
pub(super) use reconciliations::{import_key, list_findings, statement_header};
pub(super) use traces::{get_fiscal_year_statement, participation_fund_trace, region_fund_trace};

const APPROPRIATION_ID_BYTES_MAX: usize = 40;
const FISCAL_YEARS: std::ops::RangeInclusive<i32> = 1_900..=9_999;
const LINE_COUNT_DEFAULT: i32 = 10_000;
const LINE_COUNT_MAX: i32 = 100_000;

const REASON_CHARS_MAX: usize = 500;

const NO_BATCH: &str = "is not of the form `batches/{batch}`";

pub(super) fn create_appropriation(
    principal: &Principal,
    request: &pb::CreateAppropriationRequest,
) -> Result<(RequestKey, NewAppropriation), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "CreateAppropriation",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = &request.appropriation_id;
    let is_id = (1..=APPROPRIATION_ID_BYTES_MAX).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    violations.check(
        is_id,
        "appropriation_id",
        "is not 1 to 40 lower-case letters, digits and hyphens",
    );
    let given = request.appropriation.clone().unwrap_or_default();
    violations.check(
        FISCAL_YEARS.contains(&given.fiscal_year),
        "appropriation.fiscal_year",
        "is not a year",
    );
    let amount = positive(
        "appropriation.amount",
        given.amount.as_ref(),
        &mut violations,
    );
    let new = amount.map(|amount| NewAppropriation {
        id: id.clone(),
        fiscal_year: given.fiscal_year,
        amount,
    });
    violations.finish(key.zip(new))
}

pub(super) fn create_allotment(
    principal: &Principal,
    request: &pb::CreateAllotmentRequest,
) -> Result<(RequestKey, NewAllotment), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "CreateAllotment",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let given = request.allotment.clone().unwrap_or_default();
    let appropriation_id = violations.require(
        names::parse(&given.appropriation, "appropriations").map(str::to_owned),
        "allotment.appropriation",
        "is not of the form `appropriations/{appropriation}`",
    );
    violations.check(is_batch(&given.batch), "allotment.batch", NO_BATCH);
    let amount = positive("allotment.amount", given.amount.as_ref(), &mut violations);
    let new = appropriation_id
        .zip(amount)
        .map(|(appropriation_id, amount)| NewAllotment {
            appropriation_id,
            batch: given.batch,
            amount,
        });
    violations.finish(key.zip(new))
}

pub(super) fn create_reallocation(
    principal: &Principal,
    request: &pb::CreateReallocationRequest,
) -> Result<(RequestKey, NewReallocation), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "CreateReallocation",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let given = request.reallocation.clone().unwrap_or_default();
    violations.check(
        is_batch(&given.source_batch),
        "reallocation.source_batch",
        NO_BATCH,
    );
    violations.check(
        is_batch(&given.target_batch),
        "reallocation.target_batch",
        NO_BATCH,
    );
    let is_other = given.source_batch.is_empty() || given.source_batch != given.target_batch;
    violations.check(is_other, "reallocation.target_batch", "is the source batch");
    let amount = positive(
        "reallocation.amount",
        given.amount.as_ref(),
        &mut violations,
    );
    let new = amount.map(|amount| NewReallocation {
        source_batch: given.source_batch,
        target_batch: given.target_batch,
        amount,
    });
    violations.finish(key.zip(new))
}

pub(super) fn batch(name: &str) -> Result<(), Refusal> {
    let mut violations = Violations::new();
    violations.check(is_batch(name), "batch", NO_BATCH);
    violations.into_result()
}

pub(super) fn hold_terms(
    name: &str,
    participation: &str,
    provider: &str,
    amount: Option<&pb_type::Money>,
) -> Result<HoldTerms, Refusal> {
    let mut violations = Violations::new();
    let mut id = |field: &'static str, name: &str, collection: &str| {
        let text = format!("is not of the form `{collection}/{{uuid}}`");
        violations.require(names::parse_uuid(name, collection), field, text)
    };
    let id_of_hold = id("name", name, "fundsHolds");
    let participation_id = id("participation", participation, "participations");
    let provider_id = id("provider", provider, "providers");
    let amount = Money::from_proto("amount", amount, &mut violations);
    let amount = amount.filter(|amount| {
        violations.check(amount.minor() >= 0, "amount", "is below zero");
        amount.minor() >= 0
    });
    let terms = id_of_hold
        .zip(participation_id)
        .zip(provider_id)
        .zip(amount)
        .map(
            |(((id, participation_id), provider_id), amount)| HoldTerms {
                id,
                participation_id,
                provider_id,
                amount,
            },
        );
    violations.finish(terms)
}

pub(super) fn link_payee_account(
    vault: &Vault,
    principal: &Principal,
    request: &pb::LinkPayeeAccountRequest,
) -> Result<(RequestKey, NewPayeeAccount), Refusal> {
    let mut violations = Violations::new();
    let given = request.payee_account.clone().unwrap_or_default();
    // The fingerprint is a plain hash: the number is hidden behind a keyed one first.
    let hidden = pb::LinkPayeeAccountRequest {
        payee_account: Some(pb::PayeeAccount {
            account_number: vault.request_hash(&given.account_number),
            ..given.clone()
        }),
        ..request.clone()
    };
    let key = RequestKey::parse(
        "LinkPayeeAccount",
        principal,
        &hidden,
        &request.request_id,
        &mut violations,
    );
    let account_id = violations.require(
        names::parse_uuid(&request.account, "accounts"),
        "account",
        "is not of the form `accounts/{uuid}`",
    );
    let channel = violations.require(
        Channel::find(&given.channel),
        "payee_account.channel",
        "is not a known channel",
    );
    let number = match channel {
        Some(channel) => violations.require(
            channel.number(&given.account_number),
            "payee_account.account_number",
            "is not a number of this channel, in digits",
        ),
        None => {
            let is_digits = !given.account_number.is_empty()
                && given
                    .account_number
                    .bytes()
                    .all(|byte| byte.is_ascii_digit());
            violations.check(
                is_digits,
                "payee_account.account_number",
                "is not a number, in digits",
            );
            None
        }
    };
    let new = account_id
        .zip(channel)
        .zip(number)
        .map(|((account_id, channel), number)| NewPayeeAccount {
            account_id,
            channel,
            number,
        });
    violations.finish(key.zip(new))
}

pub(super) fn review_payee_account(
    principal: &Principal,
    request: &pb::ReviewPayeeAccountRequest,
) -> Result<(RequestKey, Uuid, bool), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "ReviewPayeeAccount",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        names::parse_uuid(&request.name, "payeeAccountReviews"),
        "name",
        "is not of the form `payeeAccountReviews/{uuid}`",
    );
    let is_approved = match request.decision() {
        pb::payee_account_review::Decision::Unspecified => None,
        pb::payee_account_review::Decision::Approved => Some(true),
        pb::payee_account_review::Decision::Rejected => Some(false),
    };
    let is_approved = violations.require(is_approved, "decision", "is not a decision");
    check_reason(&request.reason, &mut violations);
    let decision = key.zip(id).zip(is_approved);
    violations.finish(decision.map(|((key, id), is_approved)| (key, id, is_approved)))
}

pub(super) fn resolve_disbursement(
    principal: &Principal,
    request: &pb::ResolveDisbursementRequest,
) -> Result<(RequestKey, Uuid, Resolution), Refusal> {
    use pb::resolve_disbursement_request::Resolution as Asked;
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "ResolveDisbursement",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        names::parse_uuid(&request.name, "disbursements"),
        "name",
        "is not of the form `disbursements/{uuid}`",
    );
    let resolution = match request.resolution() {
        Asked::Unspecified => None,
        Asked::Retry => Some(Resolution::Retry),
        Asked::Refund => Some(Resolution::Refund),
    };
    let resolution = violations.require(resolution, "resolution", "is not a resolution");
    check_reason(&request.reason, &mut violations);
    let resolved = key.zip(id).zip(resolution);
    violations.finish(resolved.map(|((key, id), resolution)| (key, id, resolution)))
}

fn check_reason(reason: &str, violations: &mut Violations) {
    let is_reason = !reason.trim().is_empty() && reason.chars().count() <= REASON_CHARS_MAX;
    violations.check(is_reason, "reason", "is not 1 to 500 characters");
}

/// Returns the filter that pages are bound to, the account and the state. An account's own token lists its own.
pub(super) fn list_disbursements(
    principal: &Principal,
    request: &pb::ListDisbursementsRequest,
) -> Result<
    (
        pb::ListDisbursementsRequest,
        Option<Uuid>,
        Option<DisbursementState>,
    ),
    Refusal,
> {
    let mut violations = Violations::new();
    let account_id = match request.account.as_str() {
        "" => principal.account,
        name => violations.require(
            names::parse_uuid(name, "accounts"),
            "account",
            "is not of the form `accounts/{uuid}`",
        ),
    };
    let state = match pb::disbursement::State::try_from(request.state) {
        Ok(pb::disbursement::State::Unspecified) => Some(None),
        Ok(state) => answers::state_of(state).map(Some),
        Err(_) => None,
    };
    let state = violations.require(state, "state", "is not a state that can be listed");
    paging::check_size(request.page_size, &mut violations);
    let filter = pb::ListDisbursementsRequest {
        account: account_id
            .map(|id| names::format("accounts", id))
            .unwrap_or_default(),
        state: request.state,
        ..Default::default()
    };
    let state = violations.finish(state)?;
    if let Some(account_id) = account_id {
        principal.authorize(account_id)?;
    }
    Ok((filter, account_id, state))
}

pub(super) fn create_disbursement_batch(
    principal: &Principal,
    request: &pb::CreateDisbursementBatchRequest,
) -> Result<(RequestKey, NewBatch), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "CreateDisbursementBatch",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let currency = violations.require(
        Currency::from_code(&request.currency_code),
        "currency_code",
        "is not a currency of ISO 4217",
    );
    violations.check(request.line_count_max >= 0, "line_count_max", "is negative");
    let line_count_max = match request.line_count_max {
        0 => LINE_COUNT_DEFAULT,
        asked => asked.min(LINE_COUNT_MAX),
    };
    let rail = match pb::disbursement_batch::Rail::try_from(request.rail) {
        Ok(pb::disbursement_batch::Rail::Unspecified | pb::disbursement_batch::Rail::Api) => {
            Some(Rail::Api)
        }
        Ok(pb::disbursement_batch::Rail::File) => Some(Rail::File),
        Err(_) => None,
    };
    let rail = violations.require(rail, "rail", "is not a known rail");
    let batch = key.zip(currency).zip(rail).map(|((key, currency), rail)| {
        let new = NewBatch {
            currency,
            line_count_max: i64::from(line_count_max),
            rail,
        };
        (key, new)
    });
    violations.finish(batch)
}

pub(super) fn approve_disbursement_batch(
    principal: &Principal,
    request: &pb::ApproveDisbursementBatchRequest,
) -> Result<(RequestKey, Uuid, ControlTotals), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "ApproveDisbursementBatch",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        names::parse_uuid(&request.name, "disbursementBatches"),
        "name",
        "is not of the form `disbursementBatches/{uuid}`",
    );
    violations.check(request.line_count > 0, "line_count", "is not above zero");
    let total = positive("total", request.total.as_ref(), &mut violations);
    let approval = key.zip(id).zip(total).map(|((key, id), total)| {
        let seen = ControlTotals {
            line_count: request.line_count,
            total,
        };
        (key, id, seen)
    });
    violations.finish(approval)
}

fn is_batch(name: &str) -> bool {
    names::parse(name, "batches").is_some()
}

fn positive(
    field: &'static str,
    money: Option<&pb_type::Money>,
    violations: &mut Violations,
) -> Option<Money> {
    let amount = Money::from_proto(field, money, violations)?;
    violations.check(amount.minor() > 0, field, "is not above zero");
    Some(amount)
}
