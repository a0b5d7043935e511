//! `ParticipationService`.

use chassis::{auth::Principal, paging::PageRequest};
use proto::enrollment::v1::{self as pb, participation_service_server::ParticipationService};
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};

#[tonic::async_trait]
impl ParticipationService for Rpc {
    async fn get_participation(
        &self,
        request: Request<pb::GetParticipationRequest>,
    ) -> Result<Response<pb::Participation>, Status> {
        let id = convert::get_uuid(&request.get_ref().name, "participations")?;
        let participation = self.app.get_participation(id).await.map_err(status)?;
        Principal::of(&request)?.authorize(participation.account_id)?;
        Ok(Response::new(participation.into()))
    }

    async fn list_participations(
        &self,
        request: Request<pb::ListParticipationsRequest>,
    ) -> Result<Response<pb::ListParticipationsResponse>, Status> {
        let asked = request.get_ref();
        let of = convert::list_of(&asked.batch, &asked.account, asked.page_size)?;
        super::authorize_list(Principal::of(&request)?, &of)?;
        let asked = request.into_inner();
        let filter = pb::ListParticipationsRequest {
            page_size: 0,
            page_token: String::new(),
            ..asked.clone()
        };
        let page = PageRequest::parse(asked.page_size, &asked.page_token, &filter)?;
        let (participations, next_page_token) = self
            .app
            .list_participations(of, page)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::ListParticipationsResponse {
            participations: participations
                .into_iter()
                .map(pb::Participation::from)
                .collect(),
            next_page_token,
        }))
    }

    async fn freeze_participation(
        &self,
        request: Request<pb::FreezeParticipationRequest>,
    ) -> Result<Response<pb::Participation>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.ParticipationService/FreezeParticipation",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let id = reader.uuid("name", &asked.name, "participations");
        let reason = reader.code("reason", &asked.reason);
        let ((key, id), reason) = reader.finish(key.zip(id).zip(reason))?;
        let frozen = self
            .app
            .freeze_participation(key, principal, id, reason)
            .await;
        Ok(Response::new(frozen.map_err(status)?))
    }

    async fn unfreeze_participation(
        &self,
        request: Request<pb::UnfreezeParticipationRequest>,
    ) -> Result<Response<pb::Participation>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.ParticipationService/UnfreezeParticipation",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let id = reader.uuid("name", &asked.name, "participations");
        let reason = reader.code("reason", &asked.reason);
        let ((key, id), reason) = reader.finish(key.zip(id).zip(reason))?;
        let freed = self
            .app
            .unfreeze_participation(key, principal, id, &reason)
            .await;
        Ok(Response::new(freed.map_err(status)?))
    }

    async fn revoke_participation(
        &self,
        request: Request<pb::RevokeParticipationRequest>,
    ) -> Result<Response<pb::Participation>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.ParticipationService/RevokeParticipation",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let id = reader.uuid("name", &asked.name, "participations");
        let reason = reader.code("reason", &asked.reason);
        let ((key, id), reason) = reader.finish(key.zip(id).zip(reason))?;
        let revoked = self
            .app
            .revoke_participation(key, principal, id, &reason)
            .await;
        Ok(Response::new(revoked.map_err(status)?))
    }

    async fn create_purchase(
        &self,
        request: Request<pb::CreatePurchaseRequest>,
    ) -> Result<Response<pb::Purchase>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.ParticipationService/CreatePurchase",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let participation_id = reader.uuid("participation", &asked.participation, "participations");
        let run_id = reader.uuid("run", &asked.run, "runs");
        let ((key, participation_id), run_id) =
            reader.finish(key.zip(participation_id).zip(run_id))?;
        let purchase = self
            .app
            .create_purchase(key, principal, participation_id, run_id)
            .await
            .map_err(status)?;
        Ok(Response::new(purchase.into()))
    }

    async fn get_purchase(
        &self,
        request: Request<pb::GetPurchaseRequest>,
    ) -> Result<Response<pb::Purchase>, Status> {
        let id = convert::get_uuid(&request.get_ref().name, "purchases")?;
        let purchase = self.app.get_purchase(id).await.map_err(status)?;
        Principal::of(&request)?.authorize(purchase.account_id)?;
        Ok(Response::new(purchase.into()))
    }

    async fn list_purchases(
        &self,
        request: Request<pb::ListPurchasesRequest>,
    ) -> Result<Response<pb::ListPurchasesResponse>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.ParticipationService/ListPurchases",
            principal,
            asked,
        );
        let participation_id = reader.uuid("participation", &asked.participation, "participations");
        reader.page_size(asked.page_size);
        let participation_id = reader.finish(participation_id)?;
        let filter = pb::ListPurchasesRequest {
            participation: asked.participation.clone(),
            ..pb::ListPurchasesRequest::default()
        };
        let page = PageRequest::parse(asked.page_size, &asked.page_token, &filter)?;
        let listed = self
            .app
            .list_purchases(principal, participation_id, page)
            .await;
        let (purchases, next_page_token) = listed.map_err(status)?;
        Ok(Response::new(pb::ListPurchasesResponse {
            purchases: purchases.into_iter().map(pb::Purchase::from).collect(),
            next_page_token,
        }))
    }
}
