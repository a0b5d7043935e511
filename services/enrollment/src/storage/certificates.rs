//! The table `certificates`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::completion::{Certificate, Evidence};

struct CertificateRow {
    certificate_id: Uuid,
    number: String,
    purchase_id: Uuid,
    participation_id: Uuid,
    account_id: Uuid,
    course_id: Uuid,
    course_title: String,
    first: bool,
    attendance_permille: i32,
    pre_test_score: i32,
    post_test_score: i32,
    practical_assignment_uri: String,
    trainer_feedback_time: OffsetDateTime,
    issue_time: OffsetDateTime,
}

impl From<CertificateRow> for Certificate {
    fn from(row: CertificateRow) -> Certificate {
        Certificate {
            id: row.certificate_id,
            number: row.number,
            purchase_id: row.purchase_id,
            participation_id: row.participation_id,
            account_id: row.account_id,
            course_id: row.course_id,
            course_title: row.course_title,
            first: row.first,
            evidence: Evidence {
                attendance_permille: row.attendance_permille,
                pre_test_score: row.pre_test_score,
                post_test_score: row.post_test_score,
                practical_assignment_uri: row.practical_assignment_uri,
                trainer_feedback_time: row.trainer_feedback_time,
            },
            issue_time: row.issue_time,
        }
    }
}

/// Inserts a certificate. The purchase's row is locked by the caller.
pub async fn insert(tx: &mut PgConnection, certificate: &Certificate) -> Result<(), sqlx::Error> {
    let evidence = &certificate.evidence;
    sqlx::query!(
        "INSERT INTO certificates (certificate_id, number, purchase_id, participation_id, account_id, first,
                                   attendance_permille, pre_test_score, post_test_score, practical_assignment_uri,
                                   trainer_feedback_time, issue_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        certificate.id,
        certificate.number,
        certificate.purchase_id,
        certificate.participation_id,
        certificate.account_id,
        certificate.first,
        evidence.attendance_permille,
        evidence.pre_test_score,
        evidence.post_test_score,
        evidence.practical_assignment_uri,
        evidence.trainer_feedback_time,
        certificate.issue_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Finds a certificate.
pub async fn find(
    connection: &mut PgConnection,
    certificate_id: Uuid,
) -> Result<Option<Certificate>, sqlx::Error> {
    let row = sqlx::query_as!(
        CertificateRow,
        r#"SELECT c.certificate_id, c.number, c.purchase_id, c.participation_id, c.account_id,
                  p.course_id AS "course_id!", p.course_title AS "course_title!", c.first, c.attendance_permille,
                  c.pre_test_score, c.post_test_score, c.practical_assignment_uri, c.trainer_feedback_time, c.issue_time
           FROM certificates AS c
           JOIN purchases AS p USING (purchase_id)
           WHERE c.certificate_id = $1"#,
        certificate_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Certificate::from))
}

/// Finds the certificate of a purchase.
pub async fn find_of_purchase(
    tx: &mut PgConnection,
    purchase_id: Uuid,
) -> Result<Option<Certificate>, sqlx::Error> {
    let row = sqlx::query_as!(
        CertificateRow,
        r#"SELECT c.certificate_id, c.number, c.purchase_id, c.participation_id, c.account_id,
                  p.course_id AS "course_id!", p.course_title AS "course_title!", c.first, c.attendance_permille,
                  c.pre_test_score, c.post_test_score, c.practical_assignment_uri, c.trainer_feedback_time, c.issue_time
           FROM certificates AS c
           JOIN purchases AS p USING (purchase_id)
           WHERE c.purchase_id = $1"#,
        purchase_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Certificate::from))
}

/// Lists an account's certificates, oldest first.
pub async fn list(
    connection: &mut PgConnection,
    account_id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Certificate>, sqlx::Error> {
    let rows = sqlx::query_as!(
        CertificateRow,
        r#"SELECT c.certificate_id, c.number, c.purchase_id, c.participation_id, c.account_id,
                  p.course_id AS "course_id!", p.course_title AS "course_title!", c.first, c.attendance_permille,
                  c.pre_test_score, c.post_test_score, c.practical_assignment_uri, c.trainer_feedback_time, c.issue_time
           FROM certificates AS c
           JOIN purchases AS p USING (purchase_id)
           WHERE c.account_id = $1 AND c.certificate_id > $2
           ORDER BY c.certificate_id
           LIMIT $3"#,
        account_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Certificate::from).collect())
}
