//! The table `decisions`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::undecodable;
use crate::domain::application::Decision;

/// The decision that is made when a person applies.
pub const AT_APPLICATION: i16 = 1;
/// The decision that is made at the freeze.
pub const AT_FREEZE: i16 = 2;

/// Inserts decisions. A freeze that is run again replaces its own.
pub async fn insert_all(
    tx: &mut PgConnection,
    stage: i16,
    decisions: &[(Uuid, &str, &Decision)],
) -> Result<(), sqlx::Error> {
    let mut rows = Rows::default();
    for (application_id, batch_id, decision) in decisions {
        rows.push(*application_id, batch_id, decision)?;
    }
    sqlx::query!(
        "INSERT INTO decisions (application_id, stage, batch_id, eligible, rule_set_hash, facts, facts_hash, refusals,
                                region, groups, household, decide_time)
         SELECT application_id, $1, batch_id, refusals = '', rule_set_hash, facts, facts_hash,
                string_to_array(refusals, ','), region, groups, household, decide_time
         FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::jsonb[], $6::bytea[], $7::text[], $8::bigint[],
                     $9::bigint[], $10::bytea[], $11::timestamptz[])
              AS new (application_id, batch_id, rule_set_hash, facts, facts_hash, refusals, region, groups, household,
                      decide_time)
         ON CONFLICT (application_id, stage) DO UPDATE
         SET eligible = excluded.eligible, rule_set_hash = excluded.rule_set_hash, facts = excluded.facts,
             facts_hash = excluded.facts_hash, refusals = excluded.refusals, region = excluded.region,
             groups = excluded.groups, household = excluded.household, decide_time = excluded.decide_time",
        stage,
        &rows.application_ids,
        &rows.batch_ids,
        &rows.rule_set_hashes,
        &rows.facts,
        &rows.facts_hashes,
        &rows.refusals,
        &rows.regions,
        &rows.groups,
        &rows.households as &[Option<Vec<u8>>],
        &rows.decide_times,
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(Default)]
struct Rows {
    application_ids: Vec<Uuid>,
    batch_ids: Vec<String>,
    rule_set_hashes: Vec<Vec<u8>>,
    facts: Vec<serde_json::Value>,
    facts_hashes: Vec<Vec<u8>>,
    refusals: Vec<String>,
    regions: Vec<i64>,
    groups: Vec<i64>,
    households: Vec<Option<Vec<u8>>>,
    decide_times: Vec<OffsetDateTime>,
}

impl Rows {
    fn push(
        &mut self,
        application_id: Uuid,
        batch_id: &str,
        decision: &Decision,
    ) -> Result<(), sqlx::Error> {
        self.application_ids.push(application_id);
        self.batch_ids.push(batch_id.to_owned());
        self.rule_set_hashes.push(decision.rule_set_hash.to_vec());
        self.facts
            .push(serde_json::to_value(&decision.facts).map_err(undecodable)?);
        self.facts_hashes.push(decision.facts.hash().to_vec());
        // An array of arrays of unequal lengths cannot be sent; a reason holds no comma.
        self.refusals.push(decision.refusals.join(","));
        self.regions.push(i64::from(decision.region));
        self.groups.push(i64::from(decision.groups));
        self.households
            .push(decision.household.map(|household| household.to_vec()));
        self.decide_times.push(decision.time);
        Ok(())
    }
}

/// Lists applications of a batch that the freeze has not decided on since `fresh_after`, by id.
pub async fn list_stale(
    connection: &mut PgConnection,
    batch_id: &str,
    fresh_after: OffsetDateTime,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT application_id, account_id
         FROM applications AS a
         WHERE batch_id = $1 AND application_id > $2
           AND NOT EXISTS (SELECT FROM decisions AS d
                           WHERE d.application_id = a.application_id AND stage = 2 AND decide_time > $3)
         ORDER BY application_id
         LIMIT $4",
        batch_id,
        after,
        fresh_after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.application_id, row.account_id))
        .collect())
}

/// Counts applications that the freeze has not decided on since `fresh_after`.
pub async fn count_stale(
    tx: &mut PgConnection,
    batch_id: &str,
    fresh_after: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM applications AS a
           WHERE batch_id = $1
             AND NOT EXISTS (SELECT FROM decisions AS d
                             WHERE d.application_id = a.application_id AND stage = 2 AND decide_time > $2)"#,
        batch_id,
        fresh_after,
    )
    .fetch_one(tx)
    .await
}
