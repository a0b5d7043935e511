//! `DisbursementService`.

use chassis::{auth::Principal, names, paging::PageRequest, status::Refusal};
use proto::payout::v1::{self as pb, disbursement_service_server::DisbursementService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};

#[tonic::async_trait]
impl DisbursementService for Rpc {
    async fn link_payee_account(
        &self,
        request: Request<pb::LinkPayeeAccountRequest>,
    ) -> Result<Response<pb::PayeeAccount>, Status> {
        let principal = Principal::of(&request)?;
        let (key, new) =
            convert::link_payee_account(self.app.vault(), principal, request.get_ref())?;
        principal.authorize(new.account_id)?;
        Ok(Response::new(self.app.link_payee_account(key, new).await?))
    }

    async fn get_payee_account(
        &self,
        request: Request<pb::GetPayeeAccountRequest>,
    ) -> Result<Response<pb::PayeeAccount>, Status> {
        let name = &request.get_ref().name;
        let id = name
            .strip_suffix("/payeeAccount")
            .and_then(|account| names::parse_uuid(account, "accounts"))
            .ok_or_else(|| Refusal::not_found(name))?;
        Principal::of(&request)?.authorize(id)?;
        Ok(Response::new(self.app.get_payee_account(id).await?.into()))
    }

    async fn list_payee_account_reviews(
        &self,
        request: Request<pb::ListPayeeAccountReviewsRequest>,
    ) -> Result<Response<pb::ListPayeeAccountReviewsResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListPayeeAccountReviewsRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (reviews, next_page_token) = self.app.list_payee_reviews(page).await?;
        Ok(Response::new(pb::ListPayeeAccountReviewsResponse {
            payee_account_reviews: reviews
                .into_iter()
                .map(pb::PayeeAccountReview::from)
                .collect(),
            next_page_token,
        }))
    }

    async fn review_payee_account(
        &self,
        request: Request<pb::ReviewPayeeAccountRequest>,
    ) -> Result<Response<pb::PayeeAccountReview>, Status> {
        let principal = Principal::of(&request)?;
        let (key, id, is_approved) = convert::review_payee_account(principal, request.get_ref())?;
        let (reviewer, reason) = (&principal.subject, request.get_ref().reason.clone());
        Ok(Response::new(
            self.app
                .review_payee_account(key, id, is_approved, reviewer, reason)
                .await?,
        ))
    }

    async fn get_disbursement(
        &self,
        request: Request<pb::GetDisbursementRequest>,
    ) -> Result<Response<pb::Disbursement>, Status> {
        let name = &request.get_ref().name;
        let id =
            names::parse_uuid(name, "disbursements").ok_or_else(|| Refusal::not_found(name))?;
        let disbursement = self.app.get_disbursement(id).await?;
        Principal::of(&request)?.authorize(disbursement.payment.account_id)?;
        Ok(Response::new(disbursement.into()))
    }

    async fn list_disbursements(
        &self,
        request: Request<pb::ListDisbursementsRequest>,
    ) -> Result<Response<pb::ListDisbursementsResponse>, Status> {
        let principal = Principal::of(&request)?;
        let (filter, account_id, state) =
            convert::list_disbursements(principal, request.get_ref())?;
        let page = PageRequest::parse(
            request.get_ref().page_size,
            &request.get_ref().page_token,
            &filter,
        )?;
        let (disbursements, next_page_token) =
            self.app.list_disbursements(account_id, state, page).await?;
        Ok(Response::new(pb::ListDisbursementsResponse {
            disbursements: disbursements
                .into_iter()
                .map(pb::Disbursement::from)
                .collect(),
            next_page_token,
        }))
    }

    async fn resolve_disbursement(
        &self,
        request: Request<pb::ResolveDisbursementRequest>,
    ) -> Result<Response<pb::Disbursement>, Status> {
        let principal = Principal::of(&request)?;
        let (key, id, resolution) = convert::resolve_disbursement(principal, request.get_ref())?;
        let (resolver, reason) = (&principal.subject, &request.get_ref().reason);
        Ok(Response::new(
            self.app
                .resolve_disbursement(key, id, resolution, resolver, reason)
                .await?,
        ))
    }

    async fn create_disbursement_batch(
        &self,
        request: Request<pb::CreateDisbursementBatchRequest>,
    ) -> Result<Response<pb::DisbursementBatch>, Status> {
        let principal = Principal::of(&request)?;
        let (key, new) = convert::create_disbursement_batch(principal, request.get_ref())?;
        let maker = &principal.subject;
        Ok(Response::new(
            self.app.create_disbursement_batch(key, maker, new).await?,
        ))
    }

    async fn get_disbursement_batch(
        &self,
        request: Request<pb::GetDisbursementBatchRequest>,
    ) -> Result<Response<pb::DisbursementBatch>, Status> {
        let name = &request.get_ref().name;
        let id = names::parse_uuid(name, "disbursementBatches")
            .ok_or_else(|| Refusal::not_found(name))?;
        Ok(Response::new(
            self.app.get_disbursement_batch(id).await?.into(),
        ))
    }

    async fn approve_disbursement_batch(
        &self,
        request: Request<pb::ApproveDisbursementBatchRequest>,
    ) -> Result<Response<pb::DisbursementBatch>, Status> {
        let principal = Principal::of(&request)?;
        let (key, id, seen) = convert::approve_disbursement_batch(principal, request.get_ref())?;
        let approver = &principal.subject;
        Ok(Response::new(
            self.app
                .approve_disbursement_batch(key, approver, id, seen)
                .await?,
        ))
    }
}
