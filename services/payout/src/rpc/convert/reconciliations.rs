//! Statements and their comparison: the contract and the domain.

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    names, paging,
    status::{Refusal, Violations},
};
use prost::Message;
use proto::{payout::v1 as pb, r#type::v1 as pb_type};
use time::Date;
use uuid::Uuid;

use super::timestamp;
use crate::domain::{
    reconciliation::{Finding, FindingKind, Reconciliation},
    statement::Format,
};

/// The places of the earth that are farthest from UTC, in minutes.
const UTC_OFFSETS: std::ops::RangeInclusive<i32> = -720..=840;

pub(in crate::rpc) fn statement_header(
    principal: &Principal,
    header: &pb::StatementHeader,
) -> Result<Format, Refusal> {
    let mut violations = Violations::new();
    // The id alone is looked at here; the content, which the key covers, is still to come.
    RequestKey::parse(
        "ImportStatement",
        principal,
        header,
        &header.request_id,
        &mut violations,
    );
    let format = match header.format() {
        pb::StatementFormat::Unspecified => None,
        pb::StatementFormat::Camt053 => Some(Format::Camt053),
        pb::StatementFormat::Camt054 => Some(Format::Camt054),
        pb::StatementFormat::Mt940 => Some(Format::Mt940),
        pb::StatementFormat::Csv => Some(Format::Csv),
    };
    let format = violations.require(format, "format", "is not a known format");
    violations.check(
        UTC_OFFSETS.contains(&header.utc_offset_minutes),
        "utc_offset_minutes",
        "is not between -720 and 840",
    );
    violations.finish(format)
}

/// The key of an import: its header, and the hash of the file.
pub(in crate::rpc) fn import_key(
    principal: &Principal,
    header: &pb::StatementHeader,
    content_hash: &[u8; 32],
) -> Result<RequestKey, Refusal> {
    let mut content = header.encode_to_vec();
    content.extend(content_hash);
    let content = pb::ImportStatementRequest {
        part: Some(pb::import_statement_request::Part::Content(content)),
    };
    RequestKey::new("ImportStatement", principal, &content, &header.request_id)
}

pub(in crate::rpc) fn list_findings(
    request: &pb::ListFindingsRequest,
) -> Result<(Uuid, Option<FindingKind>), Refusal> {
    let mut violations = Violations::new();
    let statement_id = violations.require(
        names::parse_uuid(&request.parent, "statements"),
        "parent",
        "is not of the form `statements/{uuid}`",
    );
    let kind = match pb::finding::Kind::try_from(request.kind) {
        Ok(pb::finding::Kind::Unspecified) => Some(None),
        Ok(kind) => FindingKind::ALL
            .into_iter()
            .find(|ours| kind_of(*ours) == kind)
            .map(Some),
        Err(_) => None,
    };
    let kind = violations.require(kind, "kind", "is not a known kind");
    paging::check_size(request.page_size, &mut violations);
    violations.finish(statement_id.zip(kind))
}

fn kind_of(kind: FindingKind) -> pb::finding::Kind {
    match kind {
        FindingKind::MissingAtBank => pb::finding::Kind::MissingAtBank,
        FindingKind::UnknownReference => pb::finding::Kind::UnknownReference,
        FindingKind::ReferenceMissing => pb::finding::Kind::ReferenceMissing,
        FindingKind::DoubleEntry => pb::finding::Kind::DoubleEntry,
        FindingKind::WrongAmount => pb::finding::Kind::WrongAmount,
        FindingKind::WrongCurrency => pb::finding::Kind::WrongCurrency,
        FindingKind::WrongDate => pb::finding::Kind::WrongDate,
        FindingKind::NotSettled => pb::finding::Kind::NotSettled,
        FindingKind::OutcomeUnknown => pb::finding::Kind::OutcomeUnknown,
        FindingKind::Returned => pb::finding::Kind::Returned,
        FindingKind::ReturnedTwice => pb::finding::Kind::ReturnedTwice,
        FindingKind::ReturnedUnpaid => pb::finding::Kind::ReturnedUnpaid,
        FindingKind::BankReferenceReused => pb::finding::Kind::BankReferenceReused,
        FindingKind::BalanceBroken => pb::finding::Kind::BalanceBroken,
    }
}

fn date(date: Date) -> pb_type::Date {
    pb_type::Date {
        year: date.year(),
        month: u8::from(date.month()).into(),
        day: date.day().into(),
    }
}

impl From<Reconciliation> for pb::Reconciliation {
    fn from(reconciliation: Reconciliation) -> pb::Reconciliation {
        let format = match reconciliation.format {
            Format::Camt053 => pb::StatementFormat::Camt053,
            Format::Camt054 => pb::StatementFormat::Camt054,
            Format::Mt940 => pb::StatementFormat::Mt940,
            Format::Csv => pb::StatementFormat::Csv,
        };
        let kind_counts =
            reconciliation
                .kind_counts
                .iter()
                .map(|(kind, count)| pb::reconciliation::KindCount {
                    kind: kind_of(*kind).into(),
                    count: *count,
                });
        pb::Reconciliation {
            name: format!(
                "{}/reconciliation",
                names::format("statements", reconciliation.id)
            ),
            format: format.into(),
            kind_counts: kind_counts.collect(),
            finding_count: reconciliation.finding_count(),
            statement_reference: reconciliation.statement_reference,
            account_number: reconciliation.account_number,
            start_date: Some(date(reconciliation.start_date)),
            end_date: Some(date(reconciliation.end_date)),
            opening_balance: reconciliation.opening.map(|money| money.to_proto()),
            closing_balance: reconciliation.closing.map(|money| money.to_proto()),
            entry_count: reconciliation.entry_count,
            matched_count: reconciliation.matched_count,
            unrelated_count: reconciliation.unrelated_count,
            create_time: Some(timestamp(reconciliation.create_time)),
        }
    }
}

impl From<Finding> for pb::Finding {
    fn from(finding: Finding) -> pb::Finding {
        pb::Finding {
            name: format!(
                "{}/{}",
                names::format("statements", finding.statement_id),
                names::format("findings", finding.number)
            ),
            kind: kind_of(finding.kind).into(),
            entry_number: finding.entry_number.unwrap_or_default(),
            disbursement: finding
                .disbursement_id
                .map(|id| names::format("disbursements", id))
                .unwrap_or_default(),
            reference: finding.reference.unwrap_or_default(),
            bank_reference: finding.bank_reference.unwrap_or_default(),
            expected_amount: finding.expected_amount.map(|money| money.to_proto()),
            actual_amount: finding.actual_amount.map(|money| money.to_proto()),
            expected_date: finding.expected_date.map(date),
            actual_date: finding.actual_date.map(date),
            state: finding.state.unwrap_or_default(),
            return_reason: finding.return_reason.unwrap_or_default(),
        }
    }
}
