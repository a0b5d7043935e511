//! Requests about exclusion lists and their snapshots.

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    names,
    status::{Refusal, Violations},
};
use proto::identity::v1::{self as pb, snapshot_header::Kind};
use time::{Date, Duration};

use super::date;
use crate::domain::{
    exclusion_list::{ExclusionListId, NewExclusionList, is_list_text},
    snapshot::{CHUNK_ROWS_MAX, Chunk, RowFault, Snapshot, SnapshotKind},
};

/// A day may have begun where a list is kept before it begins in UTC.
const AHEAD_MAX: Duration = Duration::days(1);

const NOT_AN_ID: &str =
    "is not 1 to 40 lower case letters, digits and single hyphens, a letter first";
const NOT_A_TEXT: &str = "is not a text of 1 to 200 characters";

pub(in crate::rpc) fn create_exclusion_list(
    principal: &Principal,
    request: &pb::CreateExclusionListRequest,
) -> Result<(RequestKey, NewExclusionList), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        "CreateExclusionList",
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let id = violations.require(
        ExclusionListId::parse(&request.exclusion_list_id),
        "exclusion_list_id",
        NOT_AN_ID,
    );
    let list = request.exclusion_list.clone().unwrap_or_default();
    violations.check(
        is_list_text(&list.display_name),
        "exclusion_list.display_name",
        NOT_A_TEXT,
    );
    violations.check(
        is_list_text(&list.source),
        "exclusion_list.source",
        NOT_A_TEXT,
    );
    let new = id.map(|id| NewExclusionList {
        id,
        display_name: list.display_name,
        source: list.source,
    });
    violations.finish(key.zip(new))
}

pub(in crate::rpc) fn get_exclusion_list(name: &str) -> Result<ExclusionListId, Refusal> {
    list_id(name).ok_or_else(|| Refusal::not_found(name))
}

/// Reads the header of a snapshot. A date in the future would refuse every later snapshot until then.
pub(in crate::rpc) fn snapshot_header(
    method: &'static str,
    principal: &Principal,
    header: &pb::SnapshotHeader,
    today: Date,
) -> Result<(RequestKey, Snapshot), Refusal> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        method,
        principal,
        header,
        &header.request_id,
        &mut violations,
    );
    let list_id = violations.require(
        list_id(&header.exclusion_list),
        "header.exclusion_list",
        "is not of the form `exclusionLists/{id}`",
    );
    let snapshot_date = violations.require(
        date(header.snapshot_date).filter(|date| *date <= today.saturating_add(AHEAD_MAX)),
        "header.snapshot_date",
        "is not a date up to tomorrow",
    );
    let kind = match header.kind() {
        Kind::Full => Some(SnapshotKind::Full),
        Kind::Incremental => Some(SnapshotKind::Incremental),
        Kind::Unspecified => None,
    };
    let kind = violations.require(kind, "header.kind", "is neither FULL nor INCREMENTAL");
    let snapshot = list_id
        .zip(snapshot_date)
        .zip(kind)
        .map(|((list_id, date), kind)| Snapshot {
            list_id,
            date,
            kind,
        });
    violations.finish(key.zip(snapshot))
}

pub(in crate::rpc) fn snapshot_chunk(
    kind: SnapshotKind,
    chunk: pb::SnapshotChunk,
) -> Result<(Chunk, Vec<RowFault>), Refusal> {
    let mut violations = Violations::new();
    violations.check(
        chunk.chunk_number > 0,
        "chunk.chunk_number",
        "is not positive",
    );
    violations.check(
        chunk.listed_hashes.len() + chunk.lifted_hashes.len() <= CHUNK_ROWS_MAX,
        "chunk",
        "has more than 10,000 rows",
    );
    violations.into_result()?;
    Ok(Chunk::read(
        kind,
        chunk.chunk_number,
        chunk.listed_hashes,
        chunk.lifted_hashes,
    ))
}

fn list_id(name: &str) -> Option<ExclusionListId> {
    names::parse(name, "exclusionLists").and_then(ExclusionListId::parse)
}
