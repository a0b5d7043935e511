//! `ApplicationService`.

use chassis::{auth::Principal, paging::PageRequest};
use proto::enrollment::v1::{self as pb, application_service_server::ApplicationService};
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};
use crate::app::apply::Apply;

#[tonic::async_trait]
impl ApplicationService for Rpc {
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
}
