//! The table `campaigns`.

use sqlx::PgConnection;

use crate::domain::campaign::Campaign;

/// Inserts a campaign, or tells that its id is taken.
pub async fn insert(tx: &mut PgConnection, campaign: &Campaign) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO campaigns (campaign_id, display_name, start_time, end_time, age_min_years, create_time)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (campaign_id) DO NOTHING",
        campaign.id,
        campaign.display_name,
        campaign.start_time,
        campaign.end_time,
        campaign.age_min_years,
        campaign.create_time,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Finds a campaign with the number of its vouchers.
pub async fn find(
    connection: &mut PgConnection,
    campaign_id: &str,
) -> Result<Option<Campaign>, sqlx::Error> {
    sqlx::query_as!(
        Campaign,
        r#"SELECT campaign_id AS id, display_name, start_time, end_time, age_min_years, create_time,
                  (SELECT count(*) FROM vouchers
                   WHERE vouchers.campaign_id = campaigns.campaign_id AND state = 'ISSUED') AS "voucher_count!"
           FROM campaigns
           WHERE campaign_id = $1"#,
        campaign_id,
    )
    .fetch_optional(connection)
    .await
}
