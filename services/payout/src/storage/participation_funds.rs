//! The table `participation_funds`.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::money;
use crate::domain::{
    award::{Award, Incentive, Terms},
    hold::HolderFunds,
};

/// A participation's funds, as far as decisions need them.
#[derive(Clone, Debug)]
pub struct FundsRow {
    /// The participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// Batch, currency, and whether the money went back or stands still.
    pub funds: HolderFunds,
}

/// Adds those awards that are not there yet, and returns them.
pub async fn insert_all(
    tx: &mut PgConnection,
    terms: &Terms,
    awards: &[Award],
    now: OffsetDateTime,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let participation_ids: Vec<Uuid> = awards.iter().map(|award| award.participation_id).collect();
    let account_ids: Vec<Uuid> = awards.iter().map(|award| award.account_id).collect();
    let regions: Vec<&str> = awards.iter().map(|award| award.region.as_str()).collect();
    let incentives = sqlx::types::Json(&terms.incentives);
    let inserted = sqlx::query_scalar!(
        "INSERT INTO participation_funds
            (participation_id, account_id, batch, region, currency, incentives, award_time, fund_time)
         SELECT participation_id, account_id, $4, region, $5, $6, $7, $8
         FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new (participation_id, account_id, region)
         ORDER BY participation_id
         ON CONFLICT (participation_id) DO NOTHING
         RETURNING participation_id",
        &participation_ids,
        &account_ids,
        &regions as &[&str],
        terms.batch,
        terms.currency().code(),
        incentives as _,
        terms.award_time,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Locks participations' funds, in the order of their ids, and returns those that are there.
pub async fn lock_all(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<FundsRow>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT participation_id, account_id, batch, currency, return_time, freeze_time
         FROM participation_funds
         WHERE participation_id = ANY($1::uuid[])
         ORDER BY participation_id
         FOR NO KEY UPDATE",
        participation_ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(FundsRow {
                participation_id: row.participation_id,
                account_id: row.account_id,
                funds: HolderFunds {
                    batch: row.batch,
                    zero: money(0, &row.currency)?,
                    is_returned: row.return_time.is_some(),
                    is_frozen: row.freeze_time.is_some(),
                },
            })
        })
        .collect()
}

/// Locks the funds of a person's participations and returns their ids.
pub async fn lock_of_account(
    tx: &mut PgConnection,
    account_id: Uuid,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT participation_id
         FROM participation_funds
         WHERE account_id = $1
         ORDER BY participation_id
         FOR NO KEY UPDATE",
        account_id,
    )
    .fetch_all(tx)
    .await
}

/// Returns a participation's funds.
pub async fn find(
    connection: &mut PgConnection,
    participation_id: Uuid,
) -> Result<Option<FundsRow>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT participation_id, account_id, batch, currency, return_time, freeze_time
         FROM participation_funds
         WHERE participation_id = $1",
        participation_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(FundsRow {
            participation_id: row.participation_id,
            account_id: row.account_id,
            funds: HolderFunds {
                batch: row.batch,
                zero: money(0, &row.currency)?,
                is_returned: row.return_time.is_some(),
                is_frozen: row.freeze_time.is_some(),
            },
        })
    })
    .transpose()
}

/// Marks participations whose money goes back.
pub async fn set_returned(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
    return_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE participation_funds SET return_time = $2 WHERE participation_id = ANY($1::uuid[])",
        participation_ids,
        return_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Freezes participations, and returns those that it has frozen: an earlier freeze than the one in force, or than the last
/// unfreezing, changes nothing.
pub async fn set_frozen(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
    reason: &str,
    freeze_time: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE participation_funds
         SET freeze_time = $3, freeze_reason = $2
         WHERE participation_id = ANY($1::uuid[])
           AND (freeze_time IS NULL OR freeze_time < $3)
           AND (unfreeze_time IS NULL OR unfreeze_time <= $3)
         RETURNING participation_id",
        participation_ids,
        reason,
        freeze_time,
    )
    .fetch_all(tx)
    .await
}

/// Unfreezes participations that were not frozen at that time or later.
pub async fn set_unfrozen(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
    unfreeze_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE participation_funds
         SET unfreeze_time = $2,
             freeze_time = CASE WHEN freeze_time >= $2 THEN freeze_time END,
             freeze_reason = CASE WHEN freeze_time >= $2 THEN freeze_reason END
         WHERE participation_id = ANY($1::uuid[]) AND (unfreeze_time IS NULL OR unfreeze_time < $2)",
        participation_ids,
        unfreeze_time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records the first certificate, and locks the row; false when the participation is not there.
pub async fn set_certificate_time(
    tx: &mut PgConnection,
    participation_id: Uuid,
    certificate_time: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query!(
        "UPDATE participation_funds
         SET certificate_time = coalesce(certificate_time, $2)
         WHERE participation_id = $1",
        participation_id,
        certificate_time,
    )
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Records the first review, and locks the row; false when the participation is not there.
pub async fn set_review_time(
    tx: &mut PgConnection,
    participation_id: Uuid,
    review_time: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query!(
        "UPDATE participation_funds SET review_time = coalesce(review_time, $2) WHERE participation_id = $1",
        participation_id,
        review_time,
    )
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// A participation whose conditions for the first completion are all met.
#[derive(Clone, Debug)]
pub struct EntitledRow {
    /// The participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The batch.
    pub batch: String,
    /// The currency's code.
    pub currency: String,
    /// What was promised.
    pub incentives: Vec<Incentive>,
}

/// Returns those of the participations that have certificate, review and payee account, and their money. The caller has
/// locked the rows by an earlier statement: only then does this one see what others have committed before.
pub async fn find_entitled(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<EntitledRow>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT funds.participation_id, funds.account_id, funds.batch, funds.currency,
                  funds.incentives AS "incentives: sqlx::types::Json<Vec<Incentive>>"
           FROM participation_funds AS funds
           JOIN payee_accounts AS payee ON payee.account_id = funds.account_id AND payee.replace_time IS NULL
           WHERE funds.participation_id = ANY($1::uuid[])
             AND funds.certificate_time IS NOT NULL
             AND funds.review_time IS NOT NULL
             AND funds.return_time IS NULL
           ORDER BY funds.participation_id"#,
        participation_ids,
    )
    .fetch_all(tx)
    .await?;
    let entitled = rows.into_iter().map(|row| EntitledRow {
        participation_id: row.participation_id,
        account_id: row.account_id,
        batch: row.batch,
        currency: row.currency,
        incentives: row.incentives.0,
    });
    Ok(entitled.collect())
}
