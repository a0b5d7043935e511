//! `SchemeService`.

use chassis::{auth::Principal, paging::PageRequest, task};
use futures::{StreamExt, stream::BoxStream};
use proto::enrollment::v1::{self as pb, scheme_service_server::SchemeService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Rpc, convert, status};

/// How many reports may wait for a slow caller.
const REPLAYS_AHEAD: usize = 4;

#[tonic::async_trait]
impl SchemeService for Rpc {
    type ReplayDraftStream = BoxStream<'static, Result<pb::DraftReplay, Status>>;

    async fn import_scheme(
        &self,
        request: Request<pb::ImportSchemeRequest>,
    ) -> Result<Response<pb::Scheme>, Status> {
        let key = convert::import_scheme(Principal::of(&request)?, request.get_ref())?;
        let pb::ImportSchemeRequest {
            file_name, content, ..
        } = request.into_inner();
        let scheme = self
            .app
            .import_scheme(key, &file_name, &content)
            .await
            .map_err(status)?;
        Ok(Response::new(scheme))
    }

    async fn end_scheme(
        &self,
        request: Request<pb::EndSchemeRequest>,
    ) -> Result<Response<pb::Scheme>, Status> {
        let (key, id, last) = convert::end_scheme(Principal::of(&request)?, request.get_ref())?;
        let scheme = self.app.end_scheme(key, &id, last).await.map_err(status)?;
        Ok(Response::new(scheme))
    }

    async fn get_scheme(
        &self,
        request: Request<pb::GetSchemeRequest>,
    ) -> Result<Response<pb::Scheme>, Status> {
        let id = convert::get_chosen(&request.get_ref().name, "schemes")?;
        let scheme = self.app.get_scheme(&id).await.map_err(status)?;
        Ok(Response::new((&scheme).into()))
    }

    async fn list_schemes(
        &self,
        request: Request<pb::ListSchemesRequest>,
    ) -> Result<Response<pb::ListSchemesResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListSchemesRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (schemes, next_page_token) = self.app.list_schemes(page).await.map_err(status)?;
        Ok(Response::new(pb::ListSchemesResponse {
            schemes: schemes.iter().map(pb::Scheme::from).collect(),
            next_page_token,
        }))
    }

    async fn replay_draft(
        &self,
        request: Request<pb::ReplayDraftRequest>,
    ) -> Result<Response<Self::ReplayDraftStream>, Status> {
        let batch_id = convert::replay_draft(request.get_ref())?;
        let asked = request.into_inner();
        let draft = self
            .app
            .open_draft(batch_id, &asked.file_name, &asked.content)
            .await
            .map_err(status)?;
        let (replays, received) = mpsc::channel(REPLAYS_AHEAD);
        task::spawn("replay-draft", draft.replay(replays));
        let answers = ReceiverStream::new(received)
            .map(|replay| replay.map(pb::DraftReplay::from).map_err(status));
        Ok(Response::new(answers.boxed()))
    }
}
