//! The table `exemptions`: rules that granted appeals have taken from accounts. Whoever applies a scheme's rules leaves
//! these out.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Adds what an appeal exempts its account from. What an earlier one granted stays.
pub async fn insert_all(
    tx: &mut PgConnection,
    appeal_id: Uuid,
    reasons: &[String],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO exemptions (account_id, programme, reason, appeal_id, create_time)
         SELECT account_id, programme, reason, appeal_id, $3
         FROM appeals
         CROSS JOIN unnest($2::text[]) AS new (reason)
         WHERE appeal_id = $1
         ON CONFLICT (account_id, programme, reason) DO NOTHING",
        appeal_id,
        reasons,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns the reasons that are not held against these accounts in a programme; an account without any is left out.
pub async fn find(
    tx: &mut PgConnection,
    programme: &str,
    account_ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<String>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT account_id, array_agg(reason ORDER BY reason) AS "reasons!"
           FROM exemptions
           WHERE programme = $1 AND account_id = ANY($2)
           GROUP BY account_id"#,
        programme,
        account_ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.account_id, row.reasons))
        .collect())
}
