//! `ReconciliationService`.

use chassis::{auth::Principal, names, paging::PageRequest, status::Refusal};
use proto::payout::v1::{
    self as pb, import_statement_request::Part,
    reconciliation_service_server::ReconciliationService,
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{
    Rpc, convert,
    uploads::{self, PIECES_WAITING_MAX, violation},
};

/// The largest file: a camt.053 with ten million entries and all that banks write about them.
const FILE_GIB_MAX: u64 = 16;

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
            uploads::receive(&mut stream, pieces, FILE_GIB_MAX, content_of),
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

fn content_of(request: pb::ImportStatementRequest) -> Result<Vec<u8>, Refusal> {
    match request.part {
        Some(Part::Content(piece)) => Ok(piece),
        Some(Part::Header(_)) => Err(violation("header", "comes once, first")),
        None => Err(violation("part", "is required")),
    }
}

/// Reads `statements/{uuid}/reconciliation`.
fn parse_name(name: &str) -> Result<Uuid, Refusal> {
    name.strip_suffix("/reconciliation")
        .and_then(|statement| names::parse_uuid(statement, "statements"))
        .ok_or_else(|| Refusal::not_found(name))
}
