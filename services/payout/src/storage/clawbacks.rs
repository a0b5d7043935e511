//! The tables `clawbacks` and `repayments`.

use chassis::money::Money;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{currency, known};
use crate::domain::clawback::{Clawback, ClawbackState, Shares};

/// A row of `clawbacks`, with the account of its participation.
struct StoredClawback {
    id: Uuid,
    participation_id: Uuid,
    account_id: Uuid,
    batch: String,
    reason: String,
    training_minor: i64,
    incentives_minor: i64,
    currency: String,
    state: String,
    due_time: OffsetDateTime,
    create_time: OffsetDateTime,
    write_off_requester: Option<String>,
    write_off_reason: Option<String>,
    write_off_approver: Option<String>,
    end_time: Option<OffsetDateTime>,
}

impl TryFrom<StoredClawback> for Clawback {
    type Error = sqlx::Error;

    fn try_from(row: StoredClawback) -> Result<Clawback, sqlx::Error> {
        Ok(Clawback {
            id: row.id,
            participation_id: row.participation_id,
            account_id: row.account_id,
            batch: row.batch,
            reason: row.reason,
            amount: Shares {
                training: row.training_minor,
                incentives: row.incentives_minor,
            },
            currency: currency(&row.currency)?,
            state: known(ClawbackState::parse(&row.state), &row.state)?,
            due_time: row.due_time,
            create_time: row.create_time,
            write_off_requester: row.write_off_requester,
            write_off_reason: row.write_off_reason,
            write_off_approver: row.write_off_approver,
            end_time: row.end_time,
        })
    }
}

/// Adds a claim.
pub async fn insert(tx: &mut PgConnection, new: &Clawback) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO clawbacks
            (id, participation_id, batch, reason, training_minor, incentives_minor, currency, state, due_time, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id,
        new.participation_id,
        new.batch,
        new.reason,
        new.amount.training,
        new.amount.incentives,
        new.currency.code(),
        new.state.as_str(),
        new.due_time,
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks a claim and returns it.
pub async fn lock(tx: &mut PgConnection, id: Uuid) -> Result<Option<Clawback>, sqlx::Error> {
    let row = sqlx::query_as!(
        StoredClawback,
        "SELECT clawbacks.id, participation_id, account_id, clawbacks.batch, reason, training_minor, incentives_minor,
                clawbacks.currency, state, due_time, create_time, write_off_requester, write_off_reason,
                write_off_approver, end_time
         FROM clawbacks
         JOIN participation_funds USING (participation_id)
         WHERE clawbacks.id = $1
         FOR NO KEY UPDATE OF clawbacks",
        id,
    )
    .fetch_optional(tx)
    .await?;
    row.map(Clawback::try_from).transpose()
}

/// Locks the open claims of participations, in the order of their ids, and returns them.
pub async fn lock_open(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<Clawback>, sqlx::Error> {
    let rows = sqlx::query_as!(
        StoredClawback,
        "SELECT clawbacks.id, participation_id, account_id, clawbacks.batch, reason, training_minor, incentives_minor,
                clawbacks.currency, state, due_time, create_time, write_off_requester, write_off_reason,
                write_off_approver, end_time
         FROM clawbacks
         JOIN participation_funds USING (participation_id)
         WHERE participation_id = ANY($1::uuid[]) AND state = 'OPEN'
         ORDER BY clawbacks.id
         FOR NO KEY UPDATE OF clawbacks",
        participation_ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Clawback::try_from).collect()
}

/// Returns a claim.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Clawback>, sqlx::Error> {
    let row = sqlx::query_as!(
        StoredClawback,
        "SELECT clawbacks.id, participation_id, account_id, clawbacks.batch, reason, training_minor, incentives_minor,
                clawbacks.currency, state, due_time, create_time, write_off_requester, write_off_reason,
                write_off_approver, end_time
         FROM clawbacks
         JOIN participation_funds USING (participation_id)
         WHERE clawbacks.id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(Clawback::try_from).transpose()
}

/// Which claims are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this batch.
    pub batch: Option<String>,
    /// In this state.
    pub state: Option<ClawbackState>,
    /// Due before now, or not.
    pub is_past_due: Option<bool>,
}

/// Lists claims, oldest first.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    now: OffsetDateTime,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Clawback>, sqlx::Error> {
    let rows = sqlx::query_as!(
        StoredClawback,
        "SELECT clawbacks.id, participation_id, account_id, clawbacks.batch, reason, training_minor, incentives_minor,
                clawbacks.currency, state, due_time, create_time, write_off_requester, write_off_reason,
                write_off_approver, end_time
         FROM clawbacks
         JOIN participation_funds USING (participation_id)
         WHERE ($1::text IS NULL OR clawbacks.batch = $1)
           AND ($2::text IS NULL OR state = $2)
           AND ($3::boolean IS NULL OR (due_time < $4) = $3)
           AND ($5::uuid IS NULL OR clawbacks.id > $5)
         ORDER BY clawbacks.id
         LIMIT $6",
        filter.batch,
        filter.state.map(ClawbackState::as_str),
        filter.is_past_due,
        now,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Clawback::try_from).collect()
}

/// Adds a repayment.
pub async fn insert_repayment(
    tx: &mut PgConnection,
    id: Uuid,
    clawback_id: Uuid,
    amount: Money,
    receipt: &str,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO repayments (id, clawback_id, amount_minor, currency, receipt, create_time)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        clawback_id,
        amount.minor(),
        amount.currency().code(),
        receipt,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks locked claims of which nothing is owed any more.
pub async fn set_repaid(
    tx: &mut PgConnection,
    ids: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE clawbacks SET state = 'REPAID', end_time = $2 WHERE id = ANY($1::uuid[])",
        ids,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes who wants the rest of a locked claim to be given up.
pub async fn set_write_off_request(
    tx: &mut PgConnection,
    id: Uuid,
    requester: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE clawbacks SET write_off_requester = $2, write_off_reason = $3 WHERE id = $1",
        id,
        requester,
        reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Marks a locked claim that is given up.
pub async fn set_written_off(
    tx: &mut PgConnection,
    id: Uuid,
    approver: &str,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE clawbacks SET state = 'WRITTEN_OFF', write_off_approver = $2, end_time = $3 WHERE id = $1",
        id,
        approver,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
