//! The table `trustee_shares`.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::fixed;
use crate::domain::batch::TrusteeShare;

/// Inserts a trustee's commitment, or tells that there is one.
pub async fn insert(
    tx: &mut PgConnection,
    batch_id: &str,
    trustee: &str,
    commitment: &[u8; 32],
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO trustee_shares (batch_id, trustee, commitment, commit_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (batch_id, trustee) DO NOTHING",
        batch_id,
        trustee,
        commitment,
        now,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Stores a trustee's secret; one that is there stays.
pub async fn reveal(
    tx: &mut PgConnection,
    batch_id: &str,
    trustee: &str,
    secret: &[u8; 32],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE trustee_shares SET secret = $3, reveal_time = $4
         WHERE batch_id = $1 AND trustee = $2 AND secret IS NULL",
        batch_id,
        trustee,
        secret,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the shares of a batch in the order of its trustees.
pub async fn list(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<Vec<TrusteeShare>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT trustee, s.commitment, secret
         FROM trustee_shares AS s
         JOIN batches USING (batch_id)
         WHERE batch_id = $1
         ORDER BY array_position(trustees, trustee)",
        batch_id,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TrusteeShare {
                trustee: row.trustee,
                commitment: fixed(row.commitment)?,
                secret: row.secret.map(fixed).transpose()?,
            })
        })
        .collect()
}
