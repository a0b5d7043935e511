//! `ApplicationService`.

use chassis::{auth::Principal, paging::PageRequest, task};
use futures::{StreamExt, stream::BoxStream};
use proto::enrollment::v1::{self as pb, application_service_server::ApplicationService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};
use crate::app::apply::Apply;

/// How many reports may wait for a slow caller.
const REPLAYS_AHEAD: usize = 4;

#[tonic::async_trait]
impl ApplicationService for Rpc {
    type ReplayDecisionsStream = BoxStream<'static, Result<pb::DecisionReplay, Status>>;

    async fn create_application(
        &self,
        request: Request<pb::CreateApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.ApplicationService/CreateApplication",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let batch_id = reader.chosen("batch", &asked.batch, "batches");
        let account_id = reader.uuid("account", &asked.account, "accounts");
        let ((key, batch_id), account_id) = reader.finish(key.zip(batch_id).zip(account_id))?;
        principal.authorize(account_id)?;
        let apply = Apply {
            key,
            batch_id,
            account_id,
        };
        Ok(Response::new(
            self.app.create_application(apply).await.map_err(status)?,
        ))
    }

    async fn get_application(
        &self,
        request: Request<pb::GetApplicationRequest>,
    ) -> Result<Response<pb::Application>, Status> {
        let id = convert::get_uuid(&request.get_ref().name, "applications")?;
        let view = self.app.get_application(id).await.map_err(status)?;
        Principal::of(&request)?.authorize(view.application.account_id)?;
        Ok(Response::new(view.into()))
    }

    async fn list_applications(
        &self,
        request: Request<pb::ListApplicationsRequest>,
    ) -> Result<Response<pb::ListApplicationsResponse>, Status> {
        let asked = request.get_ref();
        let of = convert::list_of(&asked.batch, &asked.account, asked.page_size)?;
        super::authorize_list(Principal::of(&request)?, &of)?;
        let asked = request.into_inner();
        let filter = pb::ListApplicationsRequest {
            page_size: 0,
            page_token: String::new(),
            ..asked.clone()
        };
        let page = PageRequest::parse(asked.page_size, &asked.page_token, &filter)?;
        let (views, next_page_token) =
            self.app.list_applications(of, page).await.map_err(status)?;
        Ok(Response::new(pb::ListApplicationsResponse {
            applications: views.into_iter().map(pb::Application::from).collect(),
            next_page_token,
        }))
    }

    async fn explain_decision(
        &self,
        request: Request<pb::ExplainDecisionRequest>,
    ) -> Result<Response<pb::DecisionExplanation>, Status> {
        let id = convert::get_decision(&request.get_ref().name)?;
        let view = self.app.get_decision(id).await.map_err(status)?;
        Principal::of(&request)?.authorize(view.decision.account_id)?;
        Ok(Response::new(view.into()))
    }

    async fn replay_decision(
        &self,
        request: Request<pb::ReplayDecisionRequest>,
    ) -> Result<Response<pb::DecisionReplay>, Status> {
        let id = convert::get_decision(&request.get_ref().name)?;
        let replay = self.app.replay_decision(id).await.map_err(status)?;
        Ok(Response::new(replay.into()))
    }

    async fn replay_decisions(
        &self,
        request: Request<pb::ReplayDecisionsRequest>,
    ) -> Result<Response<Self::ReplayDecisionsStream>, Status> {
        let batch_id = convert::get_batch(&request.get_ref().batch)?;
        let rules = self.app.open_replay(&batch_id).await.map_err(status)?;
        let (replays, received) = mpsc::channel(REPLAYS_AHEAD);
        let work = self.app.clone().replay_decisions(batch_id, rules, replays);
        task::spawn("replay-decisions", work);
        let answers = ReceiverStream::new(received)
            .map(|replay| replay.map(pb::DecisionReplay::from).map_err(status));
        Ok(Response::new(answers.boxed()))
    }
}
