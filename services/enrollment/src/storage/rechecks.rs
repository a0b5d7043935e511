//! The table `rechecks`: participations to which the rules are to be applied again.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A mark that was taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recheck {
    /// The participation.
    pub participation_id: Uuid,
    /// The mark.
    pub mark_id: Uuid,
    /// Whose participation.
    pub account_id: Uuid,
    /// Of which batch.
    pub batch_id: String,
    /// When the person applied: ages stay those of that day.
    pub apply_time: OffsetDateTime,
}

/// Marks the participations of these accounts, and returns how many there are. A mark that stands becomes another one.
pub async fn mark(
    tx: &mut PgConnection,
    account_ids: &[Uuid],
    now: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    // In the order of ids, so that two who mark the same do not wait for each other.
    let marked = sqlx::query!(
        "INSERT INTO rechecks (participation_id, mark_id, next_attempt_time)
         SELECT participation_id, $2, $3
         FROM participations
         WHERE account_id = ANY($1) AND state <> 'REVOKED'
         ORDER BY participation_id
         ON CONFLICT (participation_id) DO UPDATE
         SET mark_id = excluded.mark_id, next_attempt_time = excluded.next_attempt_time",
        account_ids,
        Uuid::now_v7(),
        now,
    )
    .execute(tx)
    .await?;
    Ok(marked.rows_affected())
}

/// Marks those of a batch's participations whose persons' facts are others than those of their newest decision: each
/// account is given with the version that its facts have now.
pub async fn mark_changed(
    connection: &mut PgConnection,
    batch_id: &str,
    changes: &[(Uuid, OffsetDateTime)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let (account_ids, change_times): (Vec<Uuid>, Vec<OffsetDateTime>) =
        changes.iter().copied().unzip();
    // Of a batch that was just awarded the statistics know nothing. OFFSET 0 leaves the index by account as the only way
    // to the participations: by the batch, all its participants are read for each change.
    sqlx::query!(
        "INSERT INTO rechecks (participation_id, mark_id, next_attempt_time)
         SELECT p.participation_id, $4, $5
         FROM unnest($2::uuid[], $3::timestamptz[]) AS change (account_id, change_time)
         CROSS JOIN LATERAL (SELECT participation_id, application_id, batch_id, state FROM participations
                             WHERE account_id = change.account_id
                             OFFSET 0) AS p
         CROSS JOIN LATERAL (SELECT facts_change_time FROM decisions
                             WHERE application_id = p.application_id
                             ORDER BY stage DESC
                             LIMIT 1) AS d
         WHERE p.batch_id = $1 AND d.facts_change_time IS DISTINCT FROM change.change_time AND p.state <> 'REVOKED'
         ORDER BY p.participation_id
         ON CONFLICT (participation_id) DO UPDATE
         SET mark_id = excluded.mark_id, next_attempt_time = excluded.next_attempt_time",
        batch_id,
        &account_ids,
        &change_times,
        Uuid::now_v7(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes up marks that are due, and keeps others off them until `lease_end`.
pub async fn claim_due(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    lease_end: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Recheck>, sqlx::Error> {
    sqlx::query_as!(
        Recheck,
        "WITH due AS MATERIALIZED (
             SELECT participation_id
             FROM rechecks
             WHERE next_attempt_time <= $1
             ORDER BY next_attempt_time
             LIMIT $3
             FOR UPDATE SKIP LOCKED)
         UPDATE rechecks AS r
         SET next_attempt_time = $2
         FROM due
         JOIN participations AS p USING (participation_id)
         JOIN applications AS a USING (application_id)
         WHERE r.participation_id = due.participation_id
         RETURNING r.participation_id, r.mark_id, p.account_id, p.batch_id, a.create_time AS apply_time",
        now,
        lease_end,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Takes the marks away and returns the participations whose mark was still the one that was taken up: of the others
/// newer facts are asked for, or were.
pub async fn finish(tx: &mut PgConnection, marks: &[Recheck]) -> Result<Vec<Uuid>, sqlx::Error> {
    let participation_ids: Vec<Uuid> = marks.iter().map(|mark| mark.participation_id).collect();
    let mark_ids: Vec<Uuid> = marks.iter().map(|mark| mark.mark_id).collect();
    sqlx::query_scalar!(
        "WITH done AS MATERIALIZED (
             SELECT r.participation_id
             FROM rechecks AS r
             JOIN unnest($1::uuid[], $2::uuid[]) AS taken (participation_id, mark_id)
                  USING (participation_id, mark_id)
             ORDER BY r.participation_id
             FOR UPDATE OF r)
         DELETE FROM rechecks AS r
         USING done
         WHERE r.participation_id = done.participation_id
         RETURNING r.participation_id",
        &participation_ids,
        &mark_ids,
    )
    .fetch_all(tx)
    .await
}

/// Gives marks back, to be taken up again from `next_attempt_time` on.
pub async fn postpone(
    connection: &mut PgConnection,
    marks: &[Recheck],
    next_attempt_time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let participation_ids: Vec<Uuid> = marks.iter().map(|mark| mark.participation_id).collect();
    let mark_ids: Vec<Uuid> = marks.iter().map(|mark| mark.mark_id).collect();
    sqlx::query!(
        "WITH waiting AS MATERIALIZED (
             SELECT r.participation_id
             FROM rechecks AS r
             JOIN unnest($1::uuid[], $2::uuid[]) AS taken (participation_id, mark_id)
                  USING (participation_id, mark_id)
             ORDER BY r.participation_id
             FOR UPDATE OF r)
         UPDATE rechecks AS r
         SET next_attempt_time = $3
         FROM waiting
         WHERE r.participation_id = waiting.participation_id",
        &participation_ids,
        &mark_ids,
        next_attempt_time,
    )
    .execute(connection)
    .await?;
    Ok(())
}
