//! The table `batches`. The state stands in every update's condition; the guard trigger refuses whatever gets past it.

use std::num::NonZeroU32;

use draw::DrandChain;
use sqlx::{PgConnection, types::Json};
use time::{Duration, OffsetDateTime};

use super::{fixed, undecodable};
use crate::domain::{
    batch::{Batch, BatchState, Beacon, Freeze, Funnel, NewBatch, RandomnessPlan},
    quota::QuotaPlan,
};

struct BatchRow {
    batch_id: String,
    scheme_id: String,
    state: String,
    quota_plan: Json<QuotaPlan>,
    trustees: Vec<String>,
    quorum: i16,
    reveal_window_seconds: i64,
    beacon_public_key: Option<Vec<u8>>,
    beacon_genesis_time: Option<i64>,
    beacon_period_seconds: Option<i32>,
    beacon_lead_seconds: Option<i64>,
    reveal_deadline: Option<OffsetDateTime>,
    beacon_signature: Option<Vec<u8>>,
    create_time: OffsetDateTime,
    open_time: Option<OffsetDateTime>,
    close_time: Option<OffsetDateTime>,
    freeze_time: Option<OffsetDateTime>,
    draw_time: Option<OffsetDateTime>,
    award_time: Option<OffsetDateTime>,
    entrant_count: Option<i64>,
    merkle_root: Option<Vec<u8>>,
    rule_set_hash: Option<Vec<u8>>,
    commitment: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    public_key: Option<Vec<u8>>,
}

impl BatchRow {
    fn into_batch(self) -> Result<Batch, sqlx::Error> {
        let beacon = self.beacon()?;
        let beacon_signature = self.beacon_signature.map(fixed).transpose()?;
        let freeze = (|| {
            Some(Freeze {
                time: self.freeze_time?,
                entrant_count: self.entrant_count?,
                merkle_root: self.merkle_root?,
                rule_set_hash: self.rule_set_hash?,
                encoded: self.commitment?,
                signature: self.signature?,
                public_key: self.public_key?,
                reveal_deadline: self.reveal_deadline?,
                beacon_signature,
            })
        })();
        Ok(Batch {
            id: self.batch_id,
            scheme_id: self.scheme_id,
            state: self.state.parse().map_err(undecodable)?,
            quota_plan: self.quota_plan.0,
            randomness: RandomnessPlan {
                trustees: self.trustees,
                quorum: u8::try_from(self.quorum).map_err(undecodable)?,
                reveal_window: Duration::seconds(self.reveal_window_seconds),
                beacon,
            },
            create_time: self.create_time,
            open_time: self.open_time,
            close_time: self.close_time,
            draw_time: self.draw_time,
            award_time: self.award_time,
            freeze,
        })
    }

    fn beacon(&self) -> Result<Option<Beacon>, sqlx::Error> {
        let Some(public_key) = self.beacon_public_key.clone() else {
            return Ok(None);
        };
        let absent = || undecodable("a part of a beacon");
        let period = u32::try_from(self.beacon_period_seconds.ok_or_else(absent)?);
        let genesis_time = u64::try_from(self.beacon_genesis_time.ok_or_else(absent)?);
        Ok(Some(Beacon {
            chain: DrandChain {
                public_key: fixed(public_key)?,
                genesis_time: genesis_time.map_err(undecodable)?,
                period_seconds: NonZeroU32::new(period.map_err(undecodable)?).ok_or_else(absent)?,
            },
            lead_time: Duration::seconds(self.beacon_lead_seconds.ok_or_else(absent)?),
        }))
    }
}

/// Inserts a batch in DRAFT, or tells that its id is taken.
pub async fn insert(
    tx: &mut PgConnection,
    new: &NewBatch,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let plan = &new.randomness;
    let beacon = plan.beacon;
    let genesis_time = beacon
        .map(|beacon| i64::try_from(beacon.chain.genesis_time))
        .transpose()
        .map_err(undecodable)?;
    let period = beacon
        .map(|beacon| i32::try_from(beacon.chain.period_seconds.get()))
        .transpose()
        .map_err(undecodable)?;
    let inserted = sqlx::query!(
        "INSERT INTO batches (batch_id, scheme_id, state, quota_plan, trustees, quorum, reveal_window_seconds,
                              beacon_public_key, beacon_genesis_time, beacon_period_seconds, beacon_lead_seconds,
                              create_time)
         VALUES ($1, $2, 'DRAFT', $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (batch_id) DO NOTHING",
        new.id,
        new.scheme_id,
        Json(&new.quota_plan) as _,
        &plan.trustees,
        i16::from(plan.quorum),
        plan.reveal_window.whole_seconds(),
        beacon.map(|beacon| beacon.chain.public_key.to_vec()),
        genesis_time,
        period,
        beacon.map(|beacon| beacon.lead_time.whole_seconds()),
        now,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Finds a batch.
pub async fn find(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<Option<Batch>, sqlx::Error> {
    let row = sqlx::query_as!(
        BatchRow,
        r#"SELECT batch_id, scheme_id, state, quota_plan AS "quota_plan: Json<QuotaPlan>", trustees, quorum,
                  reveal_window_seconds, beacon_public_key, beacon_genesis_time, beacon_period_seconds,
                  beacon_lead_seconds, reveal_deadline, beacon_signature, create_time, open_time, close_time, freeze_time, draw_time, award_time, entrant_count, merkle_root, rule_set_hash,
                  commitment, signature, public_key
           FROM batches
           WHERE batch_id = $1"#,
        batch_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(BatchRow::into_batch).transpose()
}

/// Finds a batch and locks it until the transaction ends: changes of its state wait.
pub async fn find_for_update(
    tx: &mut PgConnection,
    batch_id: &str,
) -> Result<Option<Batch>, sqlx::Error> {
    sqlx::query!(
        "SELECT batch_id FROM batches WHERE batch_id = $1 FOR NO KEY UPDATE",
        batch_id
    )
    .fetch_optional(&mut *tx)
    .await?;
    // A statement of its own sees what whoever held the lock before has committed.
    find(tx, batch_id).await
}

/// Locks batches against changes of their state and returns their states; applications of others go on beside.
pub async fn states_for_share(
    tx: &mut PgConnection,
    batch_ids: &[String],
) -> Result<Vec<(String, BatchState)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT batch_id, state FROM batches WHERE batch_id = ANY($1) ORDER BY batch_id FOR SHARE",
        batch_ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.batch_id, row.state.parse().map_err(undecodable)?)))
        .collect()
}

/// Lists batches by creation.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<(OffsetDateTime, String)>,
    limit: i64,
) -> Result<Vec<Batch>, sqlx::Error> {
    let (after_time, after_id) = after.unzip();
    let rows = sqlx::query_as!(
        BatchRow,
        r#"SELECT batch_id, scheme_id, state, quota_plan AS "quota_plan: Json<QuotaPlan>", trustees, quorum,
                  reveal_window_seconds, beacon_public_key, beacon_genesis_time, beacon_period_seconds,
                  beacon_lead_seconds, reveal_deadline, beacon_signature, create_time, open_time, close_time, freeze_time, draw_time, award_time, entrant_count, merkle_root, rule_set_hash,
                  commitment, signature, public_key
           FROM batches
           WHERE $1::timestamptz IS NULL OR (create_time, batch_id) > ($1, $2::text)
           ORDER BY create_time, batch_id
           LIMIT $3"#,
        after_time,
        after_id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(BatchRow::into_batch).collect()
}

/// DRAFT to OPEN, while the scheme is in force.
pub async fn open(
    tx: &mut PgConnection,
    batch_id: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches AS b
         SET state = 'OPEN', open_time = $2
         FROM schemes AS s
         WHERE b.batch_id = $1 AND b.state = 'DRAFT' AND s.scheme_id = b.scheme_id AND s.period @> $2::timestamptz",
        batch_id,
        now,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// OPEN to CLOSED.
pub async fn close(
    tx: &mut PgConnection,
    batch_id: &str,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches SET state = 'CLOSED', close_time = $2 WHERE batch_id = $1 AND state = 'OPEN'",
        batch_id,
        now,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// CLOSED to FROZEN, with what the freeze fixes.
pub async fn freeze(
    tx: &mut PgConnection,
    batch_id: &str,
    freeze: &Freeze,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches
         SET state = 'FROZEN', freeze_time = $2, entrant_count = $3, merkle_root = $4, rule_set_hash = $5,
             commitment = $6, signature = $7, public_key = $8, reveal_deadline = $9
         WHERE batch_id = $1 AND state = 'CLOSED'",
        batch_id,
        freeze.time,
        freeze.entrant_count,
        freeze.merkle_root,
        freeze.rule_set_hash,
        freeze.encoded,
        freeze.signature,
        freeze.public_key,
        freeze.reveal_deadline,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Stores the signature of the beacon's round; one that is there stays.
pub async fn record_beacon(
    tx: &mut PgConnection,
    batch_id: &str,
    signature: &[u8; 48],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE batches SET beacon_signature = $2 WHERE batch_id = $1 AND beacon_signature IS NULL",
        batch_id,
        signature,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// FROZEN to DRAWN.
pub async fn draw(
    tx: &mut PgConnection,
    batch_id: &str,
    drawn_count: i64,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches SET state = 'DRAWN', draw_time = $2, drawn_count = $3 WHERE batch_id = $1 AND state = 'FROZEN'",
        batch_id,
        now,
        drawn_count,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Begins an award or goes on with it: returns the time of the whole award, fixed by the first call, and the first
/// pseudonym of the last run whose winners are awarded. `None` when the batch is not DRAWN.
pub async fn begin_award(
    connection: &mut PgConnection,
    batch_id: &str,
    now: OffsetDateTime,
) -> Result<Option<(OffsetDateTime, Vec<u8>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"UPDATE batches
           SET award_time = coalesce(award_time, $2)
           WHERE batch_id = $1 AND state = 'DRAWN'
           RETURNING award_time AS "award_time!", awarded_run"#,
        batch_id,
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.award_time, row.awarded_run)))
}

/// Notes how far an award has come, and locks the batch. False when it is not where it was.
pub async fn advance_award(
    tx: &mut PgConnection,
    batch_id: &str,
    from_run: &[u8],
    to_run: &[u8],
    winner_count: i64,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches
         SET awarded_run = $3, awarded_count = awarded_count + $4, last_award_time = $5
         WHERE batch_id = $1 AND state = 'DRAWN' AND awarded_run = $2",
        batch_id,
        from_run,
        to_run,
        winner_count,
        now,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Counts the winners whom awards of a programme's other batches have come past: another number says that one went on.
pub async fn count_awarded_elsewhere(
    tx: &mut PgConnection,
    programme: &str,
    batch_id: &str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(sum(awarded_count), 0)::bigint AS "count!"
           FROM batches JOIN schemes USING (scheme_id)
           WHERE programme = $1 AND batch_id <> $2"#,
        programme,
        batch_id,
    )
    .fetch_one(tx)
    .await
}

/// DRAWN to AWARDED.
pub async fn award(tx: &mut PgConnection, batch_id: &str) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches SET state = 'AWARDED' WHERE batch_id = $1 AND state = 'DRAWN'",
        batch_id,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// CLOSED, FROZEN or DRAWN to ANNULLED. The guard trigger asks for two people.
pub async fn annul(tx: &mut PgConnection, batch_id: &str) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE batches SET state = 'ANNULLED'
         WHERE batch_id = $1 AND state IN ('CLOSED', 'FROZEN', 'DRAWN') AND award_time IS NULL",
        batch_id,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Counts a batch's applications by outcome.
pub async fn funnel(connection: &mut PgConnection, batch_id: &str) -> Result<Funnel, sqlx::Error> {
    // The newest decision counts: the second where the freeze made one.
    let counts = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM applications WHERE batch_id = $1) AS "applied!",
                  (SELECT count(*) FROM decisions AS d
                   WHERE batch_id = $1 AND NOT eligible
                     AND NOT EXISTS (SELECT FROM decisions AS n
                                     WHERE n.application_id = d.application_id AND n.stage > d.stage)) AS "refused!",
                  coalesce(entrant_count, 0) AS "entrants!",
                  coalesce(drawn_count, 0) AS "drawn!"
           FROM batches
           WHERE batch_id = $1"#,
        batch_id,
    )
    .fetch_one(&mut *connection)
    .await?;
    let reasons = sqlx::query!(
        r#"SELECT reason AS "reason!", count(*) AS "count!"
           FROM decisions AS d
           CROSS JOIN unnest(refusals) AS reason
           WHERE batch_id = $1 AND NOT eligible
             AND NOT EXISTS (SELECT FROM decisions AS n
                             WHERE n.application_id = d.application_id AND n.stage > d.stage)
           GROUP BY reason"#,
        batch_id,
    )
    .fetch_all(&mut *connection)
    .await?;
    let states = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE coalesce(frozen_from, state) IN ('ACTIVE', 'COMPLETED')) AS "active!",
                  count(*) FILTER (WHERE coalesce(frozen_from, state) = 'COMPLETED') AS "completed!",
                  count(*) FILTER (WHERE state = 'REVOKED') AS "revoked!"
           FROM participations
           WHERE batch_id = $1"#,
        batch_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(Funnel {
        applied: counts.applied,
        refused_by_reason: reasons
            .into_iter()
            .map(|row| (row.reason, row.count))
            .collect(),
        refused: counts.refused,
        entrants: counts.entrants,
        drawn: counts.drawn,
        active: states.active,
        completed: states.completed,
        revoked: states.revoked,
    })
}
