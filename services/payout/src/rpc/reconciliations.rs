//! `ReconciliationService`. An import's stream is read on as fast as its file is: a slow database slows the caller.

use std::io;

use chassis::{
    auth::Principal,
    names,
    paging::PageRequest,
    status::{Refusal, Violations},
};
use proto::payout::v1::{
    self as pb, import_statement_request::Part,
    reconciliation_service_server::ReconciliationService,
};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{Rpc, convert};

/// The largest piece of a file.
const PIECE_BYTES_MAX: usize = 1024 * 1024;

/// The largest file: a camt.053 with ten million entries and all that banks write about them.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Pieces that wait for the reader of the file.
const PIECES_WAITING_MAX: usize = 2;

#[tonic::async_trait]
impl ReconciliationService for Rpc {
    async fn import_statement(
        &self,
        request: Request<Streaming<pb::ImportStatementRequest>>,
    ) -> Result<Response<pb::Reconciliation>, Status> {
        let principal = Principal::of(&request)?.clone();
        let mut stream = request.into_inner();
        let header = match stream.message().await?.and_then(|first| first.part) {
            Some(Part::Header(header)) => header,
            Some(Part::Content(_)) | None => {
                return Err(violation("header", "comes first").into());
            }
        };
        let format = convert::statement_header(&principal, &header)?;

        let (pieces, content) = mpsc::channel(PIECES_WAITING_MAX);
        let (staged, received) = tokio::join!(
            self.app.stage_statement(format, content),
            receive(&mut stream, pieces),
        );
        // What broke the rules of the stream has cut the file: it is the cause.
        let content_hash = received?;
        let staged = staged?;
        let key = convert::import_key(&principal, &header, &content_hash)?;
        Ok(Response::new(
            self.app
                .import_statement(key, &staged, content_hash, header.utc_offset_minutes)
                .await?,
        ))
    }

    async fn get_reconciliation(
        &self,
        request: Request<pb::GetReconciliationRequest>,
    ) -> Result<Response<pb::Reconciliation>, Status> {
        let id = parse_name(&request.get_ref().name)?;
        Ok(Response::new(self.app.get_reconciliation(id).await?.into()))
    }

    async fn list_reconciliations(
        &self,
        request: Request<pb::ListReconciliationsRequest>,
    ) -> Result<Response<pb::ListReconciliationsResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListReconciliationsRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (rows, next_page_token) = self.app.list_reconciliations(page).await?;
        Ok(Response::new(pb::ListReconciliationsResponse {
            reconciliations: rows.into_iter().map(pb::Reconciliation::from).collect(),
            next_page_token,
        }))
    }

    async fn list_findings(
        &self,
        request: Request<pb::ListFindingsRequest>,
    ) -> Result<Response<pb::ListFindingsResponse>, Status> {
        let request = request.into_inner();
        let (statement_id, kind) = convert::list_findings(&request)?;
        let filter = pb::ListFindingsRequest {
            page_size: 0,
            page_token: String::new(),
            ..request.clone()
        };
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (rows, next_page_token) = self.app.list_findings(statement_id, kind, page).await?;
        Ok(Response::new(pb::ListFindingsResponse {
            findings: rows.into_iter().map(pb::Finding::from).collect(),
            next_page_token,
        }))
    }

    async fn get_reconciliation_table(
        &self,
        request: Request<pb::GetReconciliationTableRequest>,
    ) -> Result<Response<pb::ReconciliationTable>, Status> {
        let name = request.into_inner().name;
        let text = self
            .app
            .get_reconciliation_table(parse_name(&name)?)
            .await?;
        Ok(Response::new(pb::ReconciliationTable { name, text }))
    }
}

/// Passes the pieces of a file on, and returns the hash of all of them. A stream that is cut, or breaks its rules, cuts the
/// file. When the reader wants no more, the rest is not asked for.
async fn receive(
    stream: &mut Streaming<pb::ImportStatementRequest>,
    pieces: mpsc::Sender<io::Result<Vec<u8>>>,
) -> Result<[u8; 32], Status> {
    let mut hash = Sha256::new();
    let mut length = 0;
    loop {
        let piece = match next(stream, &mut length).await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(hash.finalize().into()),
            Err(status) => {
                let cut = io::Error::other("the stream was cut");
                // The reader may have given up before.
                let _ = pieces.send(Err(cut)).await;
                return Err(status);
            }
        };
        hash.update(&piece);
        if pieces.send(Ok(piece)).await.is_err() {
            return Ok(hash.finalize().into());
        }
    }
}

async fn next(
    stream: &mut Streaming<pb::ImportStatementRequest>,
    length: &mut u64,
) -> Result<Option<Vec<u8>>, Status> {
    let Some(request) = stream.message().await? else {
        return Ok(None);
    };
    let piece = match request.part {
        Some(Part::Content(piece)) => piece,
        Some(Part::Header(_)) => return Err(violation("header", "comes once, first").into()),
        None => return Err(violation("part", "is required").into()),
    };
    if piece.len() > PIECE_BYTES_MAX {
        return Err(violation("content", "is longer than 1 MiB").into());
    }
    *length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
    if *length > FILE_BYTES_MAX {
        return Err(violation("content", "is together longer than 16 GiB").into());
    }
    Ok(Some(piece))
}

fn violation(field: &str, description: &str) -> Refusal {
    let mut violations = Violations::new();
    violations.add(field, description);
    Refusal::invalid(violations)
}

/// Reads `statements/{uuid}/reconciliation`.
fn parse_name(name: &str) -> Result<Uuid, Refusal> {
    name.strip_suffix("/reconciliation")
        .and_then(|statement| names::parse_uuid(statement, "statements"))
        .ok_or_else(|| Refusal::not_found(name))
}
