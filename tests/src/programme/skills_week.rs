//! A Skills Week: courses for anyone with an account.

use proto::enrollment::v1::{self as pb, campaign_service_client::CampaignServiceClient};
use time::OffsetDateTime;
use tonic::Status;

use super::{PATIENCE, Programme, patiently, request_id};
use crate::{
    accounts::Caller,
    cluster::{Client, to_timestamp},
    eventually::{check, eventually},
    process::Service,
};

impl Programme {
    /// Makes a campaign for everybody from 18 years on, and returns its name.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn create_campaign(
        &self,
        campaign_id: &str,
        start_time: OffsetDateTime,
        end_time: OffsetDateTime,
    ) -> Result<String, Status> {
        let request = pb::CreateCampaignRequest {
            request_id: request_id(),
            campaign_id: campaign_id.to_owned(),
            campaign: Some(pb::Campaign {
                display_name: "Indonesia Skills Week".to_owned(),
                start_time: Some(to_timestamp(start_time)),
                end_time: Some(to_timestamp(end_time)),
                age_min_years: 18,
                ..pb::Campaign::default()
            }),
        };
        let operator = self.client(Service::Enrollment, Caller::Operator1);
        let campaign = CampaignServiceClient::new(operator)
            .create_campaign(request)
            .await?;
        Ok(campaign.into_inner().name)
    }

    /// Claims a voucher and waits until it is issued or there was no seat.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn claim_voucher(
        &self,
        campaign: &str,
        account: &str,
        run: &str,
    ) -> Result<pb::Voucher, Status> {
        let request = pb::ClaimVoucherRequest {
            request_id: request_id(),
            campaign: campaign.to_owned(),
            account: account.to_owned(),
            run: run.to_owned(),
        };
        let campaigns = CampaignServiceClient::new(self.visitor());
        let call = || {
            let (mut campaigns, request) = (campaigns.clone(), request.clone());
            async move { campaigns.claim_voucher(request).await }
        };
        let voucher = patiently(call).await?;
        if voucher.state() != pb::voucher::State::Pending {
            return Ok(voucher);
        }
        let ended = eventually(PATIENCE, "the voucher is issued or failed", || async {
            let request = pb::GetVoucherRequest {
                name: voucher.name.clone(),
            };
            let voucher = CampaignServiceClient::new(self.visitor())
                .get_voucher(request)
                .await;
            let voucher = voucher.map_err(|status| status.to_string())?.into_inner();
            let pending = voucher.state() == pb::voucher::State::Pending;
            check(!pending, || "PENDING".to_owned()).map(|()| voucher)
        })
        .await;
        Ok(ended)
    }

    fn visitor(&self) -> Client {
        self.client(Service::Enrollment, Caller::Frontend)
    }
}
