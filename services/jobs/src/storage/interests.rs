//! The table `interests`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{interests::Interests, region::RegionCode};

/// Returns what an account is looking for.
pub async fn find(
    connection: &mut PgConnection,
    account_id: Uuid,
) -> Result<Option<Interests>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT keywords, regions FROM interests WHERE account_id = $1",
        account_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Interests {
        keywords: row.keywords,
        regions: row
            .regions
            .iter()
            .filter_map(|code| RegionCode::parse(code))
            .collect(),
    }))
}

/// Sets what an account is looking for, whole.
pub async fn upsert(
    tx: &mut PgConnection,
    account_id: Uuid,
    interests: &Interests,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let regions: Vec<String> = interests
        .regions
        .iter()
        .map(RegionCode::to_string)
        .collect();
    sqlx::query!(
        "INSERT INTO interests (account_id, keywords, regions, update_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (account_id) DO UPDATE
         SET keywords = excluded.keywords, regions = excluded.regions, update_time = excluded.update_time",
        account_id,
        &interests.keywords,
        &regions,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
