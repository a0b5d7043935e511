//! Payments whose money came back after it had arrived. That a payment was reversed is recorded by the database, in
//! `disbursement_reversals`.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Row, disbursements};
use crate::domain::disbursement::Disbursement;

/// A payment whose money came back by a statement.
#[derive(Clone, Copy, Debug)]
pub struct Returned {
    /// The number of the finding.
    pub number: i64,
    /// The payment.
    pub disbursement_id: Uuid,
    /// Its participation.
    pub participation_id: Uuid,
}

/// Lists the payments whose money came back by a statement, in the order of the findings after one.
pub async fn list_returned(
    tx: &mut PgConnection,
    statement_id: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<Returned>, sqlx::Error> {
    sqlx::query_as!(
        Returned,
        r#"SELECT finding_number AS number, disbursements.id AS disbursement_id, participation_id
           FROM findings
           JOIN disbursements ON disbursements.id = findings.disbursement_id
           WHERE statement_id = $1 AND kind = 'RETURNED' AND finding_number > $2
           ORDER BY finding_number
           LIMIT $3"#,
        statement_id,
        after,
        limit,
    )
    .fetch_all(tx)
    .await
}

/// Locks those of the payments that are settled.
pub async fn lock_settled(
    tx: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Disbursement>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state,
                failure_reason, due_time, attempt, disbursement_batch_id, send_time, settle_time
         FROM disbursements
         WHERE id = ANY($1::uuid[]) AND state = 'SETTLED'
         ORDER BY id
         FOR NO KEY UPDATE",
        ids,
    )
    .fetch_all(tx)
    .await?;
    disbursements(rows)
}

/// Lets locked settled payments have failed, because their money came back.
pub async fn set_reversed(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE disbursements
         SET state = 'FAILED', failure_reason = 'REVERSED', settle_time = NULL, next_inquiry_time = NULL
         WHERE id = ANY($1::uuid[])",
        ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}
