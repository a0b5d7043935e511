//! `TreasuryService`.

use chassis::{auth::Principal, names, paging::PageRequest, status::Refusal};
use proto::payout::v1::{self as pb, treasury_service_server::TreasuryService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};

#[tonic::async_trait]
impl TreasuryService for Rpc {
    async fn create_appropriation(
        &self,
        request: Request<pb::CreateAppropriationRequest>,
    ) -> Result<Response<pb::Appropriation>, Status> {
        let (key, new) =
            convert::create_appropriation(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app.create_appropriation(key, new).await?,
        ))
    }

    async fn get_appropriation(
        &self,
        request: Request<pb::GetAppropriationRequest>,
    ) -> Result<Response<pb::Appropriation>, Status> {
        let name = &request.get_ref().name;
        let id = names::parse(name, "appropriations").ok_or_else(|| Refusal::not_found(name))?;
        Ok(Response::new(self.app.get_appropriation(id).await?.into()))
    }

    async fn create_allotment(
        &self,
        request: Request<pb::CreateAllotmentRequest>,
    ) -> Result<Response<pb::Allotment>, Status> {
        let (key, new) = convert::create_allotment(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(self.app.create_allotment(key, new).await?))
    }

    async fn create_reallocation(
        &self,
        request: Request<pb::CreateReallocationRequest>,
    ) -> Result<Response<pb::Reallocation>, Status> {
        let (key, new) = convert::create_reallocation(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(self.app.create_reallocation(key, new).await?))
    }

    async fn list_reallocations(
        &self,
        request: Request<pb::ListReallocationsRequest>,
    ) -> Result<Response<pb::ListReallocationsResponse>, Status> {
        let request = request.into_inner();
        convert::batch(&request.batch)?;
        let filter = pb::ListReallocationsRequest {
            batch: request.batch,
            ..Default::default()
        };
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (reallocations, next_page_token) =
            self.app.list_reallocations(&filter.batch, page).await?;
        Ok(Response::new(pb::ListReallocationsResponse {
            reallocations: reallocations
                .into_iter()
                .map(pb::Reallocation::from)
                .collect(),
            next_page_token,
        }))
    }

    async fn trace_funds(
        &self,
        request: Request<pb::TraceFundsRequest>,
    ) -> Result<Response<pb::FundTrace>, Status> {
        let batch = &request.get_ref().batch;
        convert::batch(batch)?;
        let trace = self.app.trace_funds(batch).await?;
        Ok(Response::new(convert::fund_trace(batch, &trace)))
    }

    async fn trace_region_funds(
        &self,
        request: Request<pb::TraceRegionFundsRequest>,
    ) -> Result<Response<pb::TraceRegionFundsResponse>, Status> {
        let request = request.into_inner();
        convert::batch(&request.batch)?;
        let filter = pb::TraceRegionFundsRequest {
            batch: request.batch,
            ..Default::default()
        };
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (traces, next_page_token) = self.app.trace_region_funds(&filter.batch, page).await?;
        Ok(Response::new(pb::TraceRegionFundsResponse {
            regions: traces
                .regions
                .into_iter()
                .map(|(region, is_withheld)| {
                    convert::region_fund_trace(region, is_withheld, traces.currency)
                })
                .collect(),
            next_page_token,
        }))
    }

    async fn trace_participation_funds(
        &self,
        request: Request<pb::TraceParticipationFundsRequest>,
    ) -> Result<Response<pb::ParticipationFundTrace>, Status> {
        let name = &request.get_ref().name;
        let id =
            names::parse_uuid(name, "participations").ok_or_else(|| Refusal::not_found(name))?;
        let filter = pb::TraceParticipationFundsRequest {
            name: name.clone(),
            ..Default::default()
        };
        let page = PageRequest::parse(
            request.get_ref().page_size,
            &request.get_ref().page_token,
            &filter,
        )?;
        let (trace, movements, next_page_token) =
            self.app.trace_participation_funds(id, page).await?;
        Principal::of(&request)?.authorize(trace.account_id)?;
        Ok(Response::new(convert::participation_fund_trace(
            trace,
            movements,
            next_page_token,
        )))
    }

    async fn create_clawback(
        &self,
        request: Request<pb::CreateClawbackRequest>,
    ) -> Result<Response<pb::Clawback>, Status> {
        let (key, participation_id, reason) =
            convert::create_clawback(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app
                .create_clawback(key, participation_id, reason)
                .await?,
        ))
    }

    async fn record_repayment(
        &self,
        request: Request<pb::RecordRepaymentRequest>,
    ) -> Result<Response<pb::Clawback>, Status> {
        let (key, id, amount) =
            convert::record_repayment(Principal::of(&request)?, request.get_ref())?;
        let receipt = &request.get_ref().receipt;
        Ok(Response::new(
            self.app.record_repayment(key, id, amount, receipt).await?,
        ))
    }

    async fn request_clawback_write_off(
        &self,
        request: Request<pb::RequestClawbackWriteOffRequest>,
    ) -> Result<Response<pb::Clawback>, Status> {
        let principal = Principal::of(&request)?;
        let (key, id) = convert::request_clawback_write_off(principal, request.get_ref())?;
        let reason = request.get_ref().reason.clone();
        let requester = &principal.subject;
        Ok(Response::new(
            self.app
                .request_clawback_write_off(key, requester, id, reason)
                .await?,
        ))
    }

    async fn approve_clawback_write_off(
        &self,
        request: Request<pb::ApproveClawbackWriteOffRequest>,
    ) -> Result<Response<pb::Clawback>, Status> {
        let principal = Principal::of(&request)?;
        let (key, id, seen) = convert::approve_clawback_write_off(principal, request.get_ref())?;
        let approver = &principal.subject;
        Ok(Response::new(
            self.app
                .approve_clawback_write_off(key, approver, id, seen)
                .await?,
        ))
    }

    async fn get_clawback(
        &self,
        request: Request<pb::GetClawbackRequest>,
    ) -> Result<Response<pb::Clawback>, Status> {
        let name = &request.get_ref().name;
        let id = names::parse_uuid(name, "clawbacks").ok_or_else(|| Refusal::not_found(name))?;
        let balance = self.app.get_clawback(id).await?;
        let principal = Principal::of(&request)?;
        principal.authorize(balance.clawback.account_id)?;
        let mut answer = pb::Clawback::from(balance);
        if principal.account.is_some() {
            // The person deals with the programme, and not with its operators.
            answer.write_off_requester.clear();
            answer.write_off_approver.clear();
        }
        Ok(Response::new(answer))
    }

    async fn list_clawbacks(
        &self,
        request: Request<pb::ListClawbacksRequest>,
    ) -> Result<Response<pb::ListClawbacksResponse>, Status> {
        let (bound, filter) = convert::list_clawbacks(request.get_ref())?;
        let page = PageRequest::parse(
            request.get_ref().page_size,
            &request.get_ref().page_token,
            &bound,
        )?;
        let (clawbacks, next_page_token) = self.app.list_clawbacks(&filter, page).await?;
        Ok(Response::new(pb::ListClawbacksResponse {
            clawbacks: clawbacks.into_iter().map(pb::Clawback::from).collect(),
            next_page_token,
        }))
    }

    async fn get_fiscal_year_statement(
        &self,
        request: Request<pb::GetFiscalYearStatementRequest>,
    ) -> Result<Response<pb::FiscalYearStatement>, Status> {
        let (year, currency) = convert::get_fiscal_year_statement(request.get_ref())?;
        Ok(Response::new(
            self.app
                .get_fiscal_year_statement(year, currency)
                .await?
                .into(),
        ))
    }
}
