//! `ExclusionListService`.

use chassis::{auth::Principal, paging::PageRequest};
use proto::identity::v1::{self as pb, exclusion_list_service_server::ExclusionListService};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Rpc, convert, snapshots};

#[tonic::async_trait]
impl ExclusionListService for Rpc {
    type ImportSnapshotStream = ReceiverStream<Result<pb::ImportSnapshotResponse, Status>>;

    async fn create_exclusion_list(
        &self,
        request: Request<pb::CreateExclusionListRequest>,
    ) -> Result<Response<pb::ExclusionList>, Status> {
        let principal = Principal::of(&request)?;
        let (key, new) = convert::create_exclusion_list(principal, request.get_ref())?;
        Ok(Response::new(
            self.app.create_exclusion_list(key, new).await?,
        ))
    }

    async fn get_exclusion_list(
        &self,
        request: Request<pb::GetExclusionListRequest>,
    ) -> Result<Response<pb::ExclusionList>, Status> {
        let id = convert::get_exclusion_list(&request.get_ref().name)?;
        Ok(Response::new(
            self.app.get_exclusion_list(&id).await?.into(),
        ))
    }

    async fn list_exclusion_lists(
        &self,
        request: Request<pb::ListExclusionListsRequest>,
    ) -> Result<Response<pb::ListExclusionListsResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListExclusionListsRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (lists, next_page_token) = self.app.list_exclusion_lists(page).await?;
        Ok(Response::new(pb::ListExclusionListsResponse {
            exclusion_lists: lists.into_iter().map(pb::ExclusionList::from).collect(),
            next_page_token,
        }))
    }

    async fn import_snapshot(
        &self,
        request: Request<Streaming<pb::ImportSnapshotRequest>>,
    ) -> Result<Response<Self::ImportSnapshotStream>, Status> {
        let principal = Principal::of(&request)?.clone();
        Ok(Response::new(snapshots::serve(
            self.app.clone(),
            principal,
            request.into_inner(),
        )))
    }
}
