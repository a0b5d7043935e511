//! The table `purchases`. Every change names the step that it starts from, so that two who drive the same purchase
//! cannot move it twice.

use chassis::money::Money;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::undecodable;
use crate::domain::{
    participation::EarlierPurchase,
    purchase::{Offer, Purchase, Step},
};

struct PurchaseRow {
    purchase_id: Uuid,
    participation_id: Uuid,
    account_id: Uuid,
    run_id: Uuid,
    course_id: Option<Uuid>,
    provider_id: Option<Uuid>,
    course_title: Option<String>,
    course_category: Option<String>,
    price_minor: Option<i64>,
    currency: Option<String>,
    run_start_time: Option<OffsetDateTime>,
    run_end_time: Option<OffsetDateTime>,
    state: String,
    step: String,
    failure_reason: Option<String>,
    redeem_code: Option<String>,
    redeem_time: Option<OffsetDateTime>,
    create_time: OffsetDateTime,
    end_time: Option<OffsetDateTime>,
    attempt_count: i32,
}

impl PurchaseRow {
    fn into_purchase(self) -> Result<Purchase, sqlx::Error> {
        let offer = (|| {
            Some(Offer {
                course_id: self.course_id?,
                provider_id: self.provider_id?,
                course_title: self.course_title?,
                course_category: self.course_category?,
                price: Money::from_stored(self.price_minor?, &self.currency?)?,
                run_start_time: self.run_start_time?,
                run_end_time: self.run_end_time?,
            })
        })();
        Ok(Purchase {
            id: self.purchase_id,
            participation_id: self.participation_id,
            account_id: self.account_id,
            run_id: self.run_id,
            offer,
            state: self.state.parse().map_err(undecodable)?,
            step: self.step.parse().map_err(undecodable)?,
            failure_reason: self.failure_reason,
            redeem_code: self.redeem_code,
            redeem_time: self.redeem_time,
            create_time: self.create_time,
            end_time: self.end_time,
            attempt_count: self.attempt_count,
        })
    }
}

/// Inserts a purchase at its first step.
pub async fn insert(
    tx: &mut PgConnection,
    purchase: &Purchase,
    next_attempt_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO purchases (purchase_id, participation_id, account_id, run_id, state, step, create_time,
                                next_attempt_time)
         VALUES ($1, $2, $3, $4, 'PENDING', 'HOLD_SEAT', $5, $6)",
        purchase.id,
        purchase.participation_id,
        purchase.account_id,
        purchase.run_id,
        purchase.create_time,
        next_attempt_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Finds a purchase.
pub async fn find(
    connection: &mut PgConnection,
    purchase_id: Uuid,
) -> Result<Option<Purchase>, sqlx::Error> {
    let row = sqlx::query_as!(
        PurchaseRow,
        "SELECT purchase_id, participation_id, account_id, run_id, course_id, provider_id, course_title,
                course_category, price_minor, currency, run_start_time, run_end_time, state, step, failure_reason,
                redeem_code, redeem_time, create_time, end_time, attempt_count
         FROM purchases
         WHERE purchase_id = $1",
        purchase_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(PurchaseRow::into_purchase).transpose()
}

/// Finds a purchase and locks it until the transaction ends.
pub async fn find_for_update(
    tx: &mut PgConnection,
    purchase_id: Uuid,
) -> Result<Option<Purchase>, sqlx::Error> {
    let row = sqlx::query_as!(
        PurchaseRow,
        "SELECT purchase_id, participation_id, account_id, run_id, course_id, provider_id, course_title,
                course_category, price_minor, currency, run_start_time, run_end_time, state, step, failure_reason,
                redeem_code, redeem_time, create_time, end_time, attempt_count
         FROM purchases
         WHERE purchase_id = $1
         FOR NO KEY UPDATE",
        purchase_id,
    )
    .fetch_optional(tx)
    .await?;
    row.map(PurchaseRow::into_purchase).transpose()
}

/// Finds a purchase by its code and locks it until the transaction ends.
pub async fn find_by_code_for_update(
    tx: &mut PgConnection,
    redeem_code: &str,
) -> Result<Option<Purchase>, sqlx::Error> {
    let row = sqlx::query_as!(
        PurchaseRow,
        "SELECT purchase_id, participation_id, account_id, run_id, course_id, provider_id, course_title,
                course_category, price_minor, currency, run_start_time, run_end_time, state, step, failure_reason,
                redeem_code, redeem_time, create_time, end_time, attempt_count
         FROM purchases
         WHERE redeem_code = $1
         FOR NO KEY UPDATE",
        redeem_code,
    )
    .fetch_optional(tx)
    .await?;
    row.map(PurchaseRow::into_purchase).transpose()
}

/// Lists the purchases of a participation, oldest first.
pub async fn list(
    connection: &mut PgConnection,
    participation_id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Purchase>, sqlx::Error> {
    let rows = sqlx::query_as!(
        PurchaseRow,
        "SELECT purchase_id, participation_id, account_id, run_id, course_id, provider_id, course_title,
                course_category, price_minor, currency, run_start_time, run_end_time, state, step, failure_reason,
                redeem_code, redeem_time, create_time, end_time, attempt_count
         FROM purchases
         WHERE participation_id = $1 AND purchase_id > $2
         ORDER BY purchase_id
         LIMIT $3",
        participation_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PurchaseRow::into_purchase).collect()
}

/// Lists the courses that a participation has bought, with what has become of them.
pub async fn list_earlier(
    tx: &mut PgConnection,
    participation_id: Uuid,
) -> Result<Vec<EarlierPurchase>, sqlx::Error> {
    sqlx::query_as!(
        EarlierPurchase,
        r#"SELECT p.purchase_id AS id, c.issue_time AS "certificate_time?",
                  r.certificate_id IS NOT NULL AS "reviewed!"
           FROM purchases AS p
           LEFT JOIN certificates AS c USING (purchase_id)
           LEFT JOIN reviews AS r USING (certificate_id)
           WHERE p.participation_id = $1 AND p.state = 'COMPLETED'
           ORDER BY p.purchase_id"#,
        participation_id,
    )
    .fetch_all(tx)
    .await
}

/// Goes on to the next step.
pub async fn advance(
    connection: &mut PgConnection,
    purchase_id: Uuid,
    from: Step,
    to: Step,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE purchases SET step = $3 WHERE purchase_id = $1 AND step = $2",
        purchase_id,
        from.to_string(),
        to.to_string(),
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Goes on from the seat's hold, with what it told.
pub async fn advance_with_offer(
    connection: &mut PgConnection,
    purchase_id: Uuid,
    offer: &Offer,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE purchases
         SET step = 'HOLD_FUNDS', course_id = $2, provider_id = $3, course_title = $4, course_category = $5,
             price_minor = $6, currency = $7, run_start_time = $8, run_end_time = $9
         WHERE purchase_id = $1 AND step = 'HOLD_SEAT'",
        purchase_id,
        offer.course_id,
        offer.provider_id,
        offer.course_title,
        offer.course_category,
        offer.price.minor(),
        offer.price.currency().code(),
        offer.run_start_time,
        offer.run_end_time,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Turns to the way back.
pub async fn compensate(
    connection: &mut PgConnection,
    purchase_id: Uuid,
    from: Step,
    to: Step,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE purchases SET step = $3, failure_reason = $4 WHERE purchase_id = $1 AND step = $2",
        purchase_id,
        from.to_string(),
        to.to_string(),
        reason,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// From `CAPTURE_FUNDS` to COMPLETED.
pub async fn complete(
    tx: &mut PgConnection,
    purchase_id: Uuid,
    redeem_code: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE purchases SET state = 'COMPLETED', step = 'DONE', redeem_code = $2, end_time = $3
         WHERE purchase_id = $1 AND step = 'CAPTURE_FUNDS'",
        purchase_id,
        redeem_code,
        now,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// From `RELEASE_SEAT` to FAILED.
pub async fn fail(
    tx: &mut PgConnection,
    purchase_id: Uuid,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE purchases SET state = 'FAILED', step = 'DONE', end_time = $2
         WHERE purchase_id = $1 AND step = 'RELEASE_SEAT'",
        purchase_id,
        now,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Leaves a purchase to a later round of the sweeper.
pub async fn postpone(
    connection: &mut PgConnection,
    purchase_id: Uuid,
    next_attempt_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE purchases SET next_attempt_time = $2, attempt_count = attempt_count + 1
         WHERE purchase_id = $1 AND state = 'PENDING'",
        purchase_id,
        next_attempt_time,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes up purchases that are due, and keeps other sweepers off them until `lease_end`.
pub async fn claim_due(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    lease_end: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "WITH due AS MATERIALIZED (
             SELECT purchase_id
             FROM purchases
             WHERE state = 'PENDING' AND next_attempt_time <= $1
             ORDER BY next_attempt_time
             LIMIT $3
             FOR NO KEY UPDATE SKIP LOCKED)
         UPDATE purchases AS p
         SET next_attempt_time = $2
         FROM due
         WHERE p.purchase_id = due.purchase_id
         RETURNING p.purchase_id",
        now,
        lease_end,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Marks a code as redeemed. The row is locked by the caller.
pub async fn redeem(
    tx: &mut PgConnection,
    purchase_id: Uuid,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE purchases SET redeem_time = $2 WHERE purchase_id = $1 AND redeem_time IS NULL",
        purchase_id,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
