//! The table `vouchers`. As with purchases, every change names the step that it starts from.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::undecodable;
use crate::domain::{campaign::Voucher, purchase::Step};

/// The constraints that refuse a second voucher for a run and for a course.
pub const RUN_KEY: &str = "vouchers_run_id_key";
/// See [`RUN_KEY`].
pub const COURSE_KEY: &str = "vouchers_course_id_key";

struct VoucherRow {
    voucher_id: Uuid,
    campaign_id: String,
    account_id: Uuid,
    run_id: Uuid,
    course_id: Option<Uuid>,
    state: String,
    step: String,
    failure_reason: Option<String>,
    voucher_code: Option<String>,
    create_time: OffsetDateTime,
    attempt_count: i32,
}

impl VoucherRow {
    fn into_voucher(self) -> Result<Voucher, sqlx::Error> {
        Ok(Voucher {
            id: self.voucher_id,
            campaign_id: self.campaign_id,
            account_id: self.account_id,
            run_id: self.run_id,
            course_id: self.course_id,
            state: self.state.parse().map_err(undecodable)?,
            step: self.step.parse().map_err(undecodable)?,
            failure_reason: self.failure_reason,
            voucher_code: self.voucher_code,
            create_time: self.create_time,
            attempt_count: self.attempt_count,
        })
    }
}

/// Inserts a voucher at its first step.
pub async fn insert(
    tx: &mut PgConnection,
    voucher: &Voucher,
    next_attempt_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO vouchers (voucher_id, campaign_id, account_id, run_id, state, step, create_time, next_attempt_time)
         VALUES ($1, $2, $3, $4, 'PENDING', 'HOLD_SEAT', $5, $6)",
        voucher.id,
        voucher.campaign_id,
        voucher.account_id,
        voucher.run_id,
        voucher.create_time,
        next_attempt_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Finds a voucher.
pub async fn find(
    connection: &mut PgConnection,
    voucher_id: Uuid,
) -> Result<Option<Voucher>, sqlx::Error> {
    let row = sqlx::query_as!(
        VoucherRow,
        "SELECT voucher_id, campaign_id, account_id, run_id, course_id, state, step, failure_reason, voucher_code,
                create_time, attempt_count
         FROM vouchers
         WHERE voucher_id = $1",
        voucher_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(VoucherRow::into_voucher).transpose()
}

/// Finds the voucher of a person for a run or, where it is known, its course.
pub async fn find_standing(
    connection: &mut PgConnection,
    campaign_id: &str,
    account_id: Uuid,
    run_id: Uuid,
    course_id: Option<Uuid>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT voucher_id
         FROM vouchers
         WHERE campaign_id = $1 AND account_id = $2 AND (run_id = $3 OR course_id = $4) AND failure_reason IS NULL
         ORDER BY voucher_id
         LIMIT 1",
        campaign_id,
        account_id,
        run_id,
        course_id,
    )
    .fetch_optional(connection)
    .await
}

/// Goes on from the seat's hold. Breaks [`COURSE_KEY`] when the person has a voucher for another run of the course.
pub async fn advance_with_course(
    connection: &mut PgConnection,
    voucher_id: Uuid,
    course_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE vouchers SET step = 'CONFIRM_SEAT', course_id = $2 WHERE voucher_id = $1 AND step = 'HOLD_SEAT'",
        voucher_id,
        course_id,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Turns to the way back from the seat's hold, because the person has a voucher for the course.
pub async fn refuse_course(
    connection: &mut PgConnection,
    voucher_id: Uuid,
    course_id: Uuid,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE vouchers SET step = 'RELEASE_SEAT', course_id = $2, failure_reason = $3
         WHERE voucher_id = $1 AND step = 'HOLD_SEAT'",
        voucher_id,
        course_id,
        reason,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Turns to the way back.
pub async fn compensate(
    connection: &mut PgConnection,
    voucher_id: Uuid,
    from: Step,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE vouchers SET step = 'RELEASE_SEAT', failure_reason = $3 WHERE voucher_id = $1 AND step = $2",
        voucher_id,
        from.to_string(),
        reason,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// From `CONFIRM_SEAT` to ISSUED.
pub async fn issue(
    connection: &mut PgConnection,
    voucher_id: Uuid,
    code: &str,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE vouchers SET state = 'ISSUED', step = 'DONE', voucher_code = $2
         WHERE voucher_id = $1 AND step = 'CONFIRM_SEAT'",
        voucher_id,
        code,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// From `RELEASE_SEAT` to FAILED.
pub async fn fail(connection: &mut PgConnection, voucher_id: Uuid) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE vouchers SET state = 'FAILED', step = 'DONE' WHERE voucher_id = $1 AND step = 'RELEASE_SEAT'",
        voucher_id,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Leaves a voucher to a later round of the sweeper.
pub async fn postpone(
    connection: &mut PgConnection,
    voucher_id: Uuid,
    next_attempt_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE vouchers SET next_attempt_time = $2, attempt_count = attempt_count + 1
         WHERE voucher_id = $1 AND state = 'PENDING'",
        voucher_id,
        next_attempt_time,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes up vouchers that are due, and keeps other sweepers off them until `lease_end`.
pub async fn claim_due(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    lease_end: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "WITH due AS MATERIALIZED (
             SELECT voucher_id
             FROM vouchers
             WHERE state = 'PENDING' AND next_attempt_time <= $1
             ORDER BY next_attempt_time
             LIMIT $3
             FOR NO KEY UPDATE SKIP LOCKED)
         UPDATE vouchers AS v
         SET next_attempt_time = $2
         FROM due
         WHERE v.voucher_id = due.voucher_id
         RETURNING v.voucher_id",
        now,
        lease_end,
        limit,
    )
    .fetch_all(connection)
    .await
}
