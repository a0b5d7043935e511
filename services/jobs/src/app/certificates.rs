//! Use cases on certificates.

use sqlx::PgConnection;

use crate::storage::{self, certificates::NewCertificate};

/// Keeps what accounts have verifiably learned. Runs in the transaction of the events' inbox rows.
pub async fn on_certificates_issued(
    tx: &mut PgConnection,
    issued: &[NewCertificate],
) -> Result<(), sqlx::Error> {
    storage::certificates::insert_all(tx, issued).await
}
