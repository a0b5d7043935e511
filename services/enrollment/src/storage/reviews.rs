//! The table `reviews`.

use sqlx::PgConnection;

use crate::domain::completion::Review;

/// Inserts a review, or tells that there is one.
pub async fn insert(tx: &mut PgConnection, review: &Review) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO reviews (certificate_id, stars, text, create_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (certificate_id) DO NOTHING",
        review.certificate_id,
        review.stars,
        review.text,
        review.create_time,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
