//! Use cases on certificates.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{domain::recommendation::Certificate, storage};

/// Keeps what an account has verifiably learned. Runs in the transaction of the event's inbox row.
pub async fn on_certificate_issued(
    tx: &mut PgConnection,
    account_id: Uuid,
    certificate_id: Uuid,
    certificate: &Certificate,
    issue_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    storage::certificates::insert(tx, account_id, certificate_id, certificate, issue_time).await
}
