//! The table `funds_holds`.

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{known, money};
use crate::domain::hold::{Hold, HoldState, HoldTerms};

/// Takes the ids of holds that may be new, each in the state that it is going to have, and returns those that are new.
/// Waits for a concurrent holder of the same id.
pub async fn claim_all(
    tx: &mut PgConnection,
    holds: &[(HoldTerms, HoldState)],
    now: OffsetDateTime,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = holds.iter().map(|(terms, _)| terms.id).collect();
    let participation_ids: Vec<Uuid> = holds
        .iter()
        .map(|(terms, _)| terms.participation_id)
        .collect();
    let provider_ids: Vec<Uuid> = holds.iter().map(|(terms, _)| terms.provider_id).collect();
    let amounts: Vec<i64> = holds
        .iter()
        .map(|(terms, _)| terms.amount.minor())
        .collect();
    let currencies: Vec<&str> = holds
        .iter()
        .map(|(terms, _)| terms.amount.currency().code())
        .collect();
    let states: Vec<&str> = holds.iter().map(|(_, state)| state.as_str()).collect();
    let claimed = sqlx::query_scalar!(
        "INSERT INTO funds_holds
            (id, participation_id, provider_id, amount_minor, currency, state, create_time, end_time)
         SELECT id, participation_id, provider_id, amount_minor, currency, state, $7::timestamptz,
                CASE WHEN state = 'HELD' THEN NULL ELSE $7 END
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[])
            AS new (id, participation_id, provider_id, amount_minor, currency, state)
         ORDER BY id
         ON CONFLICT (id) DO NOTHING
         RETURNING id",
        &ids,
        &participation_ids,
        &provider_ids,
        &amounts,
        &currencies as &[&str],
        &states as &[&str],
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(claimed.into_iter().collect())
}

/// Locks holds, in the order of their ids, and returns those that are there.
pub async fn lock_all(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Hold>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, participation_id, provider_id, amount_minor, currency, state, create_time
         FROM funds_holds
         WHERE id = ANY($1::uuid[])
         ORDER BY id
         FOR UPDATE",
        ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Hold {
                terms: HoldTerms {
                    id: row.id,
                    participation_id: row.participation_id,
                    provider_id: row.provider_id,
                    amount: money(row.amount_minor, &row.currency)?,
                },
                state: known(HoldState::parse(&row.state), &row.state)?,
                create_time: row.create_time,
            })
        })
        .collect()
}

/// Ends holds.
pub async fn end_all(
    tx: &mut PgConnection,
    ends: &[(Uuid, HoldState)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = ends.iter().map(|(id, _)| *id).collect();
    let states: Vec<&str> = ends.iter().map(|(_, state)| state.as_str()).collect();
    sqlx::query!(
        "UPDATE funds_holds
         SET state = new.state, end_time = $3
         FROM unnest($1::uuid[], $2::text[]) AS new (id, state)
         WHERE funds_holds.id = new.id",
        &ids,
        &states as &[&str],
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives back the ids that were taken for holds which are refused, so that they leave no trace.
pub async fn release_claims(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM funds_holds WHERE id = ANY($1::uuid[])", ids)
        .execute(tx)
        .await?;
    Ok(())
}
