//! `CampaignService`.

use chassis::auth::Principal;
use proto::enrollment::v1::{self as pb, campaign_service_server::CampaignService};
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};

#[tonic::async_trait]
impl CampaignService for Rpc {
    async fn create_campaign(
        &self,
        request: Request<pb::CreateCampaignRequest>,
    ) -> Result<Response<pb::Campaign>, Status> {
        let (key, campaign) =
            convert::create_campaign(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app
                .create_campaign(key, campaign)
                .await
                .map_err(status)?,
        ))
    }

    async fn get_campaign(
        &self,
        request: Request<pb::GetCampaignRequest>,
    ) -> Result<Response<pb::Campaign>, Status> {
        let id = convert::get_chosen(&request.get_ref().name, "campaigns")?;
        let campaign = self.app.get_campaign(&id).await.map_err(status)?;
        Ok(Response::new(campaign.into()))
    }

    async fn claim_voucher(
        &self,
        request: Request<pb::ClaimVoucherRequest>,
    ) -> Result<Response<pb::Voucher>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.CampaignService/ClaimVoucher",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let campaign_id = reader.chosen("campaign", &asked.campaign, "campaigns");
        let account_id = reader.uuid("account", &asked.account, "accounts");
        let run_id = reader.uuid("run", &asked.run, "runs");
        let read = key.zip(campaign_id).zip(account_id).zip(run_id);
        let (((key, campaign_id), account_id), run_id) = reader.finish(read)?;
        principal.authorize(account_id)?;
        let voucher = self
            .app
            .claim_voucher(key, &campaign_id, account_id, run_id)
            .await
            .map_err(status)?;
        Ok(Response::new(voucher.into()))
    }

    async fn get_voucher(
        &self,
        request: Request<pb::GetVoucherRequest>,
    ) -> Result<Response<pb::Voucher>, Status> {
        let id = convert::get_uuid(&request.get_ref().name, "vouchers")?;
        let voucher = self.app.get_voucher(id).await.map_err(status)?;
        Principal::of(&request)?.authorize(voucher.account_id)?;
        Ok(Response::new(voucher.into()))
    }
}
