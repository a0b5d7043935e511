//! The table `participation_holds`. Whoever changes it holds the lock of the participations, and sees to their states
//! before the commit, which looks.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::undecodable;
use crate::domain::participation::{Hold, HoldKind};

/// What the holds of a participation come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldSum {
    /// The participation.
    pub participation_id: Uuid,
    /// The first reason of those that stand; none when none does.
    pub standing: Option<String>,
    /// When the last one was lifted.
    pub last_lift_time: Option<OffsetDateTime>,
}

/// Places holds; one that stands already stays as it is.
pub async fn insert_all(
    tx: &mut PgConnection,
    holds: &[Hold],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let participation_ids: Vec<Uuid> = holds.iter().map(|hold| hold.participation_id).collect();
    let ids: Vec<Uuid> = holds.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = holds.iter().map(|hold| hold.kind.to_string()).collect();
    let reasons: Vec<&str> = holds.iter().map(|hold| hold.reason.as_str()).collect();
    let placers: Vec<&str> = holds.iter().map(|hold| hold.placed_by.as_str()).collect();
    sqlx::query!(
        "INSERT INTO participation_holds (participation_id, hold_id, kind, reason, placed_by, place_time)
         SELECT participation_id, hold_id, kind, reason, placed_by, $6
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
              AS new (participation_id, hold_id, kind, reason, placed_by)
         ON CONFLICT (participation_id, kind, reason) WHERE lift_time IS NULL DO NOTHING",
        &participation_ids,
        &ids,
        &kinds,
        &reasons as &[&str],
        &placers as &[&str],
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Who lifts holds, and the code of why.
#[derive(Clone, Copy, Debug)]
pub struct Lifting<'a> {
    /// The name of an account or service account.
    pub lifted_by: &'a str,
    /// What an operator gave as the reason.
    pub reason: Option<&'a str>,
    /// When.
    pub time: OffsetDateTime,
}

/// Lifts the holds of a kind that stand for these pairs of participation and reason.
pub async fn lift_all(
    tx: &mut PgConnection,
    kind: HoldKind,
    pairs: &[(Uuid, &str)],
    lifting: Lifting<'_>,
) -> Result<u64, sqlx::Error> {
    let participation_ids: Vec<Uuid> = pairs.iter().map(|(id, _)| *id).collect();
    let reasons: Vec<&str> = pairs.iter().map(|(_, reason)| *reason).collect();
    let lifted = sqlx::query!(
        "UPDATE participation_holds AS h
         SET lift_time = $4, lifted_by = $5, lift_reason = $6
         FROM unnest($1::uuid[], $2::text[]) AS gone (participation_id, reason)
         WHERE h.participation_id = gone.participation_id AND h.reason = gone.reason AND h.kind = $3
           AND h.lift_time IS NULL",
        &participation_ids,
        &reasons as &[&str],
        kind.to_string(),
        lifting.time,
        lifting.lifted_by,
        lifting.reason,
    )
    .execute(tx)
    .await?;
    Ok(lifted.rows_affected())
}

/// Lists the holds that stand on these participations.
pub async fn list_standing(
    connection: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<Hold>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT participation_id, kind, reason, placed_by
         FROM participation_holds
         WHERE participation_id = ANY($1) AND lift_time IS NULL
         ORDER BY participation_id, kind, reason",
        participation_ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Hold {
                participation_id: row.participation_id,
                kind: row.kind.parse().map_err(undecodable)?,
                reason: row.reason,
                placed_by: row.placed_by,
            })
        })
        .collect()
}

/// Sums up the holds of these participations; one that never had any is left out.
pub async fn sum_up(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<HoldSum>, sqlx::Error> {
    sqlx::query_as!(
        HoldSum,
        "SELECT participation_id, min(reason) FILTER (WHERE lift_time IS NULL) AS standing,
                max(lift_time) AS last_lift_time
         FROM participation_holds
         WHERE participation_id = ANY($1)
         GROUP BY participation_id",
        participation_ids,
    )
    .fetch_all(tx)
    .await
}
