//! The table `seat_holds`. Its triggers count the seats of the runs, which the caller has locked first.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::decode;
use crate::domain::seat_hold::{HoldState, SeatHold};

struct Row {
    id: Uuid,
    run_id: Uuid,
    account_id: Uuid,
    state: String,
    expire_time: OffsetDateTime,
}

impl TryFrom<Row> for SeatHold {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<SeatHold, sqlx::Error> {
        Ok(SeatHold {
            id: row.id,
            run_id: row.run_id,
            account_id: row.account_id,
            state: row.state.parse().map_err(decode)?,
            expire_time: row.expire_time,
        })
    }
}

/// Inserts holds in the order of their ids and returns the ids of those that did not exist. One is left out when another
/// transaction has used its id for another run meanwhile; for the same run it cannot, because that is locked.
pub async fn insert_missing(
    tx: &mut PgConnection,
    holds: &[SeatHold],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = holds.iter().map(|hold| hold.id).collect();
    let run_ids: Vec<Uuid> = holds.iter().map(|hold| hold.run_id).collect();
    let account_ids: Vec<Uuid> = holds.iter().map(|hold| hold.account_id).collect();
    let states: Vec<String> = holds
        .iter()
        .map(|hold| hold.state.as_str().to_owned())
        .collect();
    let expire_times: Vec<OffsetDateTime> = holds.iter().map(|hold| hold.expire_time).collect();
    sqlx::query_scalar!(
        "INSERT INTO seat_holds (id, run_id, account_id, state, expire_time, create_time, update_time)
         SELECT id, run_id, account_id, state, expire_time, $6, $6
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[])
             AS new (id, run_id, account_id, state, expire_time)
         ORDER BY id
         ON CONFLICT ON CONSTRAINT seat_holds_pkey DO NOTHING
         RETURNING id",
        &ids,
        &run_ids,
        &account_ids,
        &states,
        &expire_times,
        now,
    )
    .fetch_all(tx)
    .await
}

/// Returns these holds.
pub async fn list(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<SeatHold>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, run_id, account_id, state, expire_time FROM seat_holds WHERE id = ANY($1)",
        ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(SeatHold::try_from).collect()
}

/// Finds a hold.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<SeatHold>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT id, run_id, account_id, state, expire_time FROM seat_holds WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?
    .map(SeatHold::try_from)
    .transpose()
}

/// Confirms a hold that is HELD and has not run out; else changes nothing and returns `None`. No count changes, so that
/// the run need not be locked.
pub async fn confirm(
    connection: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<SeatHold>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "UPDATE seat_holds
         SET state = 'CONFIRMED', update_time = $2
         WHERE id = $1 AND state = 'HELD' AND expire_time > $2
         RETURNING id, run_id, account_id, state, expire_time",
        id,
        now,
    )
    .fetch_optional(connection)
    .await?
    .map(SeatHold::try_from)
    .transpose()
}

/// Ends a hold that is HELD or CONFIRMED as RELEASED and returns it; else changes nothing and returns `None`.
pub async fn release(
    tx: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<Option<SeatHold>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "UPDATE seat_holds
         SET state = $3, update_time = $2
         WHERE id = $1 AND state IN ('HELD', 'CONFIRMED')
         RETURNING id, run_id, account_id, state, expire_time",
        id,
        now,
        HoldState::Released.as_str(),
    )
    .fetch_optional(tx)
    .await?
    .map(SeatHold::try_from)
    .transpose()
}

/// Returns some runs that have holds which ran out, those first that ran out first.
pub async fn list_expired_runs(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT DISTINCT run_id
         FROM (
             SELECT run_id FROM seat_holds
             WHERE state = 'HELD' AND expire_time <= $1
             ORDER BY expire_time
             LIMIT $2
         ) AS due",
        now,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Ends up to `limit_per_run` holds of each of these runs that ran out, and returns how many seats each run got back.
/// The caller has locked the runs. A hold that is being confirmed at this moment is waited for, and then left alone.
pub async fn expire(
    tx: &mut PgConnection,
    run_ids: &[Uuid],
    now: OffsetDateTime,
    limit_per_run: i64,
) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"WITH expired AS (
               UPDATE seat_holds
               SET state = 'EXPIRED', update_time = $2
               WHERE state = 'HELD' AND expire_time <= $2 AND id IN (
                   SELECT due.id
                   FROM unnest($1::uuid[]) AS named (run_id)
                   CROSS JOIN LATERAL (
                       SELECT id FROM seat_holds
                       WHERE run_id = named.run_id AND state = 'HELD' AND expire_time <= $2
                       ORDER BY expire_time
                       LIMIT $3
                   ) AS due
               )
               RETURNING run_id
           )
           SELECT run_id, count(*) AS "seat_count!" FROM expired GROUP BY run_id"#,
        run_ids,
        now,
        limit_per_run,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.run_id, row.seat_count))
        .collect())
}
