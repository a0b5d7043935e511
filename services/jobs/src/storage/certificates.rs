//! The table `certificates`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::recommendation::Certificate;

/// Keeps a certificate; one that is known already stays as it is.
pub async fn insert(
    tx: &mut PgConnection,
    account_id: Uuid,
    certificate_id: Uuid,
    certificate: &Certificate,
    issue_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO certificates (account_id, certificate_id, course_title, course_category, issue_time)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account_id, certificate_id) DO NOTHING",
        account_id,
        certificate_id,
        certificate.course_title,
        certificate.course_category,
        issue_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns an account's certificates, newest first.
pub async fn list_newest(
    connection: &mut PgConnection,
    account_id: Uuid,
    limit: i64,
) -> Result<Vec<Certificate>, sqlx::Error> {
    sqlx::query_as!(
        Certificate,
        "SELECT course_title, course_category
         FROM certificates
         WHERE account_id = $1
         ORDER BY issue_time DESC, certificate_id DESC
         LIMIT $2",
        account_id,
        limit,
    )
    .fetch_all(connection)
    .await
}
