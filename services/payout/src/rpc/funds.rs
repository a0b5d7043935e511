//! `FundsService`.

use chassis::{auth::Principal, names, status::Refusal};
use proto::payout::v1::{self as pb, funds_service_server::FundsService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};
use crate::domain::hold::HoldCommand;

#[tonic::async_trait]
impl FundsService for Rpc {
    async fn hold_funds(
        &self,
        request: Request<pb::HoldFundsRequest>,
    ) -> Result<Response<pb::FundsHold>, Status> {
        let request = request.get_ref();
        let terms = convert::hold_terms(
            &request.name,
            &request.participation,
            &request.provider,
            request.amount.as_ref(),
        )?;
        Ok(Response::new(
            self.app
                .command_hold(HoldCommand::Hold(terms))
                .await?
                .into(),
        ))
    }

    async fn capture_funds(
        &self,
        request: Request<pb::CaptureFundsRequest>,
    ) -> Result<Response<pb::FundsHold>, Status> {
        let name = &request.get_ref().name;
        let id = names::parse_uuid(name, "fundsHolds").ok_or_else(|| Refusal::not_found(name))?;
        Ok(Response::new(
            self.app
                .command_hold(HoldCommand::Capture(id))
                .await?
                .into(),
        ))
    }

    async fn release_funds(
        &self,
        request: Request<pb::ReleaseFundsRequest>,
    ) -> Result<Response<pb::FundsHold>, Status> {
        let request = request.get_ref();
        let terms = convert::hold_terms(
            &request.name,
            &request.participation,
            &request.provider,
            request.amount.as_ref(),
        )?;
        Ok(Response::new(
            self.app
                .command_hold(HoldCommand::Release(terms))
                .await?
                .into(),
        ))
    }

    async fn get_balance(
        &self,
        request: Request<pb::GetBalanceRequest>,
    ) -> Result<Response<pb::Balance>, Status> {
        let name = &request.get_ref().name;
        let id = name
            .strip_suffix("/balance")
            .and_then(|participation| names::parse_uuid(participation, "participations"))
            .ok_or_else(|| Refusal::not_found(name))?;
        let balance = self.app.get_balance(id).await?;
        Principal::of(&request)?.authorize(balance.account_id)?;
        Ok(Response::new(balance.into()))
    }
}
