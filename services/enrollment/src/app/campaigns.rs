//! Campaigns.

use chassis::{
    idempotency::{self, RequestKey},
    names,
};
use proto::enrollment::v1 as pb;

use super::App;
use crate::{domain::campaign::Campaign, error::Error, storage};

impl App {
    /// Creates a campaign.
    pub async fn create_campaign(
        &self,
        key: RequestKey,
        mut campaign: Campaign,
    ) -> Result<pb::Campaign, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        campaign.create_time = now;
        if !storage::campaigns::insert(&mut tx, &campaign).await? {
            return Err(Error::CampaignExists(campaign.id));
        }
        let answer = pb::Campaign::from(campaign);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a campaign.
    pub async fn get_campaign(&self, campaign_id: &str) -> Result<Campaign, Error> {
        let mut connection = self.db.acquire().await?;
        storage::campaigns::find(&mut connection, campaign_id)
            .await?
            .ok_or_else(|| Error::NotFound(names::format("campaigns", campaign_id)))
    }
}
