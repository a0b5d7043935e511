//! The tables `appropriations`, `allotments`, `reallocations` and `batch_budgets`, and the trace over the ledger.

use chassis::money::Currency;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{currency, money};
use crate::domain::treasury::{Allotment, Appropriation, FundTrace, Reallocation};

/// Adds an appropriation.
pub async fn insert_appropriation(
    tx: &mut PgConnection,
    new: &Appropriation,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO appropriations (id, fiscal_year, amount_minor, currency, create_time)
         VALUES ($1, $2, $3, $4, $5)",
        new.id,
        new.fiscal_year,
        new.amount.minor(),
        new.amount.currency().code(),
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Returns an appropriation.
pub async fn find_appropriation(
    connection: &mut PgConnection,
    id: &str,
) -> Result<Option<Appropriation>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT id, fiscal_year, amount_minor, currency, create_time FROM appropriations WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Appropriation {
            amount: money(row.amount_minor, &row.currency)?,
            id: row.id,
            fiscal_year: row.fiscal_year,
            create_time: row.create_time,
        })
    })
    .transpose()
}

/// Gives a batch its currency with the first money, and returns the currency that it has.
pub async fn ensure_budget(
    tx: &mut PgConnection,
    batch: &str,
    first: Currency,
    now: OffsetDateTime,
) -> Result<Currency, sqlx::Error> {
    sqlx::query!(
        "INSERT INTO batch_budgets (batch, currency, create_time) VALUES ($1, $2, $3) ON CONFLICT (batch) DO NOTHING",
        batch,
        first.code(),
        now,
    )
    .execute(&mut *tx)
    .await?;
    // A statement of its own: it sees the row for which the insert waited.
    let code = sqlx::query_scalar!("SELECT currency FROM batch_budgets WHERE batch = $1", batch)
        .fetch_one(tx)
        .await?;
    currency(&code)
}

/// Returns a batch's currency; `None` when it never had money.
pub async fn find_currency(
    connection: &mut PgConnection,
    batch: &str,
) -> Result<Option<Currency>, sqlx::Error> {
    let code = sqlx::query_scalar!("SELECT currency FROM batch_budgets WHERE batch = $1", batch)
        .fetch_optional(connection)
        .await?;
    code.map(|code| currency(&code)).transpose()
}

/// Adds an allotment.
pub async fn insert_allotment(tx: &mut PgConnection, new: &Allotment) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO allotments (id, appropriation_id, batch, amount_minor, currency, create_time)
         VALUES ($1, $2, $3, $4, $5, $6)",
        new.id,
        new.appropriation_id,
        new.batch,
        new.amount.minor(),
        new.amount.currency().code(),
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds a re-allocation.
pub async fn insert_reallocation(
    tx: &mut PgConnection,
    new: &Reallocation,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO reallocations (id, source_batch, target_batch, amount_minor, currency, create_time)
         VALUES ($1, $2, $3, $4, $5, $6)",
        new.id,
        new.source_batch,
        new.target_batch,
        new.amount.minor(),
        new.amount.currency().code(),
        new.create_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the re-allocations out of or into a batch, oldest first.
pub async fn list_reallocations(
    connection: &mut PgConnection,
    batch: &str,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Reallocation>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, source_batch, target_batch, amount_minor, currency, create_time
         FROM reallocations
         WHERE (source_batch = $1 OR target_batch = $1) AND ($2::uuid IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3",
        batch,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Reallocation {
                amount: money(row.amount_minor, &row.currency)?,
                id: row.id,
                source_batch: row.source_batch,
                target_batch: row.target_batch,
                create_time: row.create_time,
            })
        })
        .collect()
}

/// Tells where a batch's money is; `None` when it never had any. One statement, and so one moment.
pub async fn trace(
    connection: &mut PgConnection,
    batch: &str,
) -> Result<Option<FundTrace>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT budgets.currency,
                  sums.allotted AS "allotted!", sums.spent AS "spent!", sums.incentives AS "incentives!",
                  sums.returned AS "returned!", sums.reallocated AS "reallocated!", sums.outstanding AS "outstanding!",
                  (SELECT coalesce(sum(amount_minor), 0)::bigint FROM reallocations
                   WHERE target_batch = budgets.batch) AS "received_from_batches!",
                  funds.funded_count AS "funded_count!", funds.returned_count AS "returned_count!",
                  (SELECT count(*) FROM disbursements
                   WHERE batch = budgets.batch AND state = 'SETTLED') AS "paid_count!"
           FROM batch_budgets AS budgets
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(credits_posted) FILTER (WHERE kind = 'batch-budget'), 0)::bigint AS allotted,
                      coalesce(sum(balance) FILTER (WHERE kind IN (
                          'provider-payable', 'training-claim', 'training-receivable'
                      )), 0)::bigint AS spent,
                      coalesce(sum(balance) FILTER (WHERE kind IN (
                          'paid', 'incentive-claim', 'incentive-receivable'
                      )), 0)::bigint AS incentives,
                      coalesce(sum(balance) FILTER (WHERE kind = 'returned'), 0)::bigint AS returned,
                      coalesce(sum(debits_posted) FILTER (WHERE kind = 'returned'), 0)::bigint AS reallocated,
                      coalesce(sum(balance) FILTER (WHERE kind IN (
                          'batch-budget', 'training-balance', 'incentive-commitment', 'rail-in-flight'
                      )), 0)::bigint AS outstanding
               FROM (
                   SELECT kind, credits_posted, debits_posted, credits_posted - debits_posted AS balance
                   FROM ledger_accounts
                   WHERE batch = budgets.batch
               ) AS accounts
           ) AS sums
           CROSS JOIN LATERAL (
               SELECT count(*) AS funded_count, count(return_time) AS returned_count
               FROM participation_funds
               WHERE batch = budgets.batch
           ) AS funds
           WHERE budgets.batch = $1"#,
        batch,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(FundTrace {
            currency: currency(&row.currency)?,
            allotted: row.allotted,
            received_from_batches: row.received_from_batches,
            spent: row.spent,
            incentives: row.incentives,
            returned: row.returned,
            reallocated: row.reallocated,
            outstanding: row.outstanding,
            funded_count: row.funded_count,
            returned_count: row.returned_count,
            paid_count: row.paid_count,
        })
    })
    .transpose()
}
