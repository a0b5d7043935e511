//! The table `certificates`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::recommendation::Certificate;

/// A certificate and whose it is.
#[derive(Clone, Debug)]
pub struct NewCertificate {
    /// Whose.
    pub account_id: Uuid,
    /// The id.
    pub certificate_id: Uuid,
    /// What it is about.
    pub certificate: Certificate,
    /// When it was issued.
    pub issue_time: OffsetDateTime,
}

/// Keeps certificates; those that are known already stay as they are.
pub async fn insert_all(tx: &mut PgConnection, new: &[NewCertificate]) -> Result<(), sqlx::Error> {
    let mut columns = (vec![], vec![], vec![], vec![], vec![]);
    for row in new {
        columns.0.push(row.account_id);
        columns.1.push(row.certificate_id);
        columns.2.push(row.certificate.course_title.as_str());
        columns.3.push(row.certificate.course_category.as_str());
        columns.4.push(row.issue_time);
    }
    sqlx::query!(
        "INSERT INTO certificates (account_id, certificate_id, course_title, course_category, issue_time)
         SELECT account_id, certificate_id, course_title, course_category, issue_time
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[])
              AS new (account_id, certificate_id, course_title, course_category, issue_time)
         ON CONFLICT (account_id, certificate_id) DO NOTHING",
        &columns.0,
        &columns.1,
        &columns.2 as &[&str],
        &columns.3 as &[&str],
        &columns.4,
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
