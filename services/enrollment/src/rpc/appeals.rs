//! `AppealService`.

use chassis::{auth::Principal, paging::PageRequest, status::Refusal};
use proto::{
    enrollment::v1::{self as pb, appeal_service_server::AppealService},
    r#type::v1::ErrorReason,
};
use tonic::{Code, Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};

#[tonic::async_trait]
impl AppealService for Rpc {
    async fn create_appeal(
        &self,
        request: Request<pb::CreateAppealRequest>,
    ) -> Result<Response<pb::Appeal>, Status> {
        let principal = Principal::of(&request)?;
        let (key, new) = convert::create_appeal(principal, request.get_ref())?;
        let appeal = self.app.create_appeal(key, principal, new).await;
        Ok(Response::new(appeal.map_err(status)?))
    }

    async fn get_appeal(
        &self,
        request: Request<pb::GetAppealRequest>,
    ) -> Result<Response<pb::Appeal>, Status> {
        let id = convert::get_uuid(&request.get_ref().name, "appeals")?;
        let appeal = self.app.get_appeal(id).await.map_err(status)?;
        Principal::of(&request)?.authorize(appeal.account_id)?;
        Ok(Response::new(appeal.into()))
    }

    async fn list_appeals(
        &self,
        request: Request<pb::ListAppealsRequest>,
    ) -> Result<Response<pb::ListAppealsResponse>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.AppealService/ListAppeals",
            principal,
            asked,
        );
        // The outer `None` is a violation, the inner one is nobody's list.
        let account_id = match asked.account.as_str() {
            "" => Some(None),
            name => reader.uuid("account", name, "accounts").map(Some),
        };
        reader.page_size(asked.page_size);
        let account_id = reader.finish(account_id)?;
        match account_id {
            Some(account_id) => principal.authorize(account_id)?,
            None if principal.account.is_none() => {}
            None => {
                let refusal = Refusal::shared(
                    Code::PermissionDenied,
                    ErrorReason::NotOwner,
                    "the account may act for itself alone",
                );
                return Err(refusal.into());
            }
        }
        let filter = pb::ListAppealsRequest {
            account: asked.account.clone(),
            ..pb::ListAppealsRequest::default()
        };
        let page = PageRequest::parse(asked.page_size, &asked.page_token, &filter)?;
        let listed = self.app.list_appeals(account_id, page).await;
        let (appeals, next_page_token) = listed.map_err(status)?;
        Ok(Response::new(pb::ListAppealsResponse {
            appeals: appeals.into_iter().map(pb::Appeal::from).collect(),
            next_page_token,
        }))
    }

    async fn resolve_appeal(
        &self,
        request: Request<pb::ResolveAppealRequest>,
    ) -> Result<Response<pb::Appeal>, Status> {
        let principal = Principal::of(&request)?;
        let asked = convert::resolve_appeal(principal, request.get_ref())?;
        let appeal = self
            .app
            .resolve_appeal(
                asked.key,
                principal,
                asked.appeal_id,
                asked.state,
                asked.reason,
            )
            .await;
        Ok(Response::new(appeal.map_err(status)?))
    }
}
