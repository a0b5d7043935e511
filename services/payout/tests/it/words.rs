//! Requests, events and refusals in the tests' words. Amounts are whole rupiah.

use proto::{enrollment::v1 as enrollment_pb, payout::v1 as pb, r#type::v1::Money};
use time::OffsetDateTime;
use tonic::Status;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::world::{BATCH, JOB_SEARCH, Participation, TRAINING};

pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

pub(crate) fn idr(units: i64) -> Option<Money> {
    Some(Money {
        currency_code: "IDR".to_owned(),
        units,
        nanos: 0,
    })
}

pub(crate) fn usd(units: i64) -> Option<Money> {
    Some(Money {
        currency_code: "USD".to_owned(),
        units,
        nanos: 0,
    })
}

pub(crate) fn units(money: Option<Money>) -> i64 {
    money.unwrap().units
}

pub(crate) fn new_appropriation(id: &str, units: i64) -> pb::CreateAppropriationRequest {
    pb::CreateAppropriationRequest {
        request_id: request_id(),
        appropriation_id: id.to_owned(),
        appropriation: Some(pb::Appropriation {
            fiscal_year: 2026,
            amount: idr(units),
            ..Default::default()
        }),
    }
}

pub(crate) fn new_allotment(
    appropriation: &str,
    batch: &str,
    units: i64,
) -> pb::CreateAllotmentRequest {
    pb::CreateAllotmentRequest {
        request_id: request_id(),
        allotment: Some(pb::Allotment {
            appropriation: format!("appropriations/{appropriation}"),
            batch: batch.to_owned(),
            amount: idr(units),
            ..Default::default()
        }),
    }
}

pub(crate) fn new_reallocation(
    source: &str,
    target: &str,
    units: i64,
) -> pb::CreateReallocationRequest {
    pb::CreateReallocationRequest {
        request_id: request_id(),
        reallocation: Some(pb::Reallocation {
            source_batch: source.to_owned(),
            target_batch: target.to_owned(),
            amount: idr(units),
            ..Default::default()
        }),
    }
}

pub(crate) fn incentive(
    benefit: &str,
    trigger: enrollment_pb::incentive::Trigger,
    units: i64,
    instalment_count: i32,
) -> enrollment_pb::Incentive {
    enrollment_pb::Incentive {
        benefit: benefit.to_owned(),
        trigger: trigger.into(),
        amount: idr(units),
        instalment_count,
        instalment_interval_days: 30,
    }
}

pub(crate) fn awarded(
    batch: &str,
    participations: &[Participation],
) -> enrollment_pb::ParticipationsAwarded {
    use enrollment_pb::incentive::Trigger;
    enrollment_pb::ParticipationsAwarded {
        batch: batch.to_owned(),
        training_balance: idr(TRAINING),
        incentives: vec![
            incentive("job-search", Trigger::FirstCompletion, JOB_SEARCH, 1),
            incentive("survey", Trigger::Survey, 50_000, 2),
        ],
        awards: participations
            .iter()
            .map(|participation| enrollment_pb::Award {
                participation: participation.name(),
                account: participation.account(),
                region: "32".to_owned(),
            })
            .collect(),
        award_time: Some(prost_types::Timestamp {
            seconds: 1_770_000_000,
            nanos: 0,
        }),
    }
}

pub(crate) fn revoked(participations: &[Participation]) -> enrollment_pb::ParticipationsRevoked {
    enrollment_pb::ParticipationsRevoked {
        batch: BATCH.to_owned(),
        participations: participations.iter().map(Participation::name).collect(),
        revoke_time: Some(prost_types::Timestamp {
            seconds: 1_770_100_000,
            nanos: 0,
        }),
    }
}

pub(crate) fn frozen(
    participations: &[Participation],
    time: OffsetDateTime,
) -> enrollment_pb::ParticipationsFrozen {
    enrollment_pb::ParticipationsFrozen {
        batch: BATCH.to_owned(),
        participations: participations.iter().map(Participation::name).collect(),
        reason: "EXCLUDED".to_owned(),
        freeze_time: timestamp(time),
    }
}

pub(crate) fn unfrozen(
    participations: &[Participation],
    time: OffsetDateTime,
) -> enrollment_pb::ParticipationsUnfrozen {
    enrollment_pb::ParticipationsUnfrozen {
        batch: BATCH.to_owned(),
        participations: participations.iter().map(Participation::name).collect(),
        unfreeze_time: timestamp(time),
    }
}

fn timestamp(time: OffsetDateTime) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: 0,
    })
}

pub(crate) fn certificate(participation: &Participation) -> enrollment_pb::CertificateIssued {
    enrollment_pb::CertificateIssued {
        certificate: format!("certificates/{}", Uuid::now_v7()),
        account: participation.account(),
        participation: participation.name(),
        first: true,
        ..Default::default()
    }
}

pub(crate) fn review(participation: &Participation) -> enrollment_pb::ReviewCreated {
    enrollment_pb::ReviewCreated {
        certificate: format!("certificates/{}", Uuid::now_v7()),
        participation: participation.name(),
        stars: 5,
        first: true,
        ..Default::default()
    }
}

pub(crate) fn hold_request(participation: &Participation, units: i64) -> pb::HoldFundsRequest {
    pb::HoldFundsRequest {
        name: format!("fundsHolds/{}", Uuid::now_v7()),
        participation: participation.name(),
        provider: format!("providers/{}", Uuid::from_u128(77)),
        amount: idr(units),
    }
}

pub(crate) fn link_request(
    account: &str,
    channel: &str,
    number: &str,
) -> pb::LinkPayeeAccountRequest {
    pb::LinkPayeeAccountRequest {
        request_id: request_id(),
        account: account.to_owned(),
        payee_account: Some(pb::PayeeAccount {
            channel: channel.to_owned(),
            account_number: number.to_owned(),
            ..Default::default()
        }),
    }
}

pub(crate) fn batch_request() -> pb::CreateDisbursementBatchRequest {
    pb::CreateDisbursementBatchRequest {
        request_id: request_id(),
        currency_code: "IDR".to_owned(),
        line_count_max: 0,
        rail: 0,
    }
}

pub(crate) fn approval(batch: &pb::DisbursementBatch) -> pb::ApproveDisbursementBatchRequest {
    pb::ApproveDisbursementBatchRequest {
        request_id: request_id(),
        name: batch.name.clone(),
        line_count: batch.line_count,
        total: batch.total.clone(),
    }
}

/// Returns the reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// Returns a value of a refusal's metadata.
pub(crate) fn metadata(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info();
    info.and_then(|info| info.metadata.get(key).cloned())
        .unwrap_or_default()
}

/// Returns the fields that a refusal complains of.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|request| request.field_violations);
    violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}
