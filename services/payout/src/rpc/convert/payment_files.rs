//! Payments by file: the contract and the domain.

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    names,
    status::{Refusal, Violations},
};
use prost::Message;
use proto::payout::v1 as pb;
use uuid::Uuid;

use super::timestamp;
use crate::domain::payment_file::{PaymentInitiation, PaymentStatusReport};

pub(in crate::rpc) fn export_disbursement_batch(
    principal: &Principal,
    request: &pb::ExportDisbursementBatchRequest,
) -> Result<(RequestKey, Uuid), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "ExportDisbursementBatch",
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
    violations.finish(key.zip(id))
}

pub(in crate::rpc) fn status_report_header(
    principal: &Principal,
    header: &pb::PaymentStatusReportHeader,
) -> Result<(), Refusal> {
    let mut violations = Violations::new();
    // The id alone is looked at here; the content, which the key covers, is still to come.
    RequestKey::parse(
        "ImportPaymentStatusReport",
        principal,
        header,
        &header.request_id,
        &mut violations,
    );
    violations.into_result()
}

/// The key of an import: its header, and the hash of the file.
pub(in crate::rpc) fn status_report_key(
    principal: &Principal,
    header: &pb::PaymentStatusReportHeader,
    content_hash: &[u8; 32],
) -> Result<RequestKey, Refusal> {
    let mut content = header.encode_to_vec();
    content.extend(content_hash);
    let content = pb::ImportPaymentStatusReportRequest {
        part: Some(pb::import_payment_status_report_request::Part::Content(
            content,
        )),
    };
    RequestKey::new(
        "ImportPaymentStatusReport",
        principal,
        &content,
        &header.request_id,
    )
}

impl From<PaymentInitiation> for pb::PaymentInitiation {
    fn from(initiation: PaymentInitiation) -> pb::PaymentInitiation {
        let batch = names::format("disbursementBatches", initiation.disbursement_batch_id);
        pb::PaymentInitiation {
            name: format!("{batch}/paymentInitiation"),
            message_id: initiation.message_id(),
            line_count: initiation.line_count,
            total: Some(initiation.total.to_proto()),
            create_time: Some(timestamp(initiation.create_time)),
        }
    }
}

impl From<PaymentStatusReport> for pb::PaymentStatusReport {
    fn from(report: PaymentStatusReport) -> pb::PaymentStatusReport {
        pb::PaymentStatusReport {
            name: names::format("paymentStatusReports", report.id),
            disbursement_batch: names::format("disbursementBatches", report.disbursement_batch_id),
            message_id: report.message_id,
            settled_count: report.settled_count,
            failed_count: report.failed_count,
            pending_count: report.pending_count,
            repeated_count: report.repeated_count,
            create_time: Some(timestamp(report.create_time)),
        }
    }
}
