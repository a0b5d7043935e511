//! The table `decisions`.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::undecodable;
use crate::domain::{
    application::Decision,
    decision::{DecisionId, StoredDecision},
};

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
                                region, groups, household, facts_change_time, list_snapshots, sex, age_band, exemptions,
                                decide_time)
         SELECT application_id, $1, batch_id, refusals = '', rule_set_hash, facts, facts_hash,
                string_to_array(refusals, ','), region, groups, household, facts_change_time, list_snapshots, sex,
                age_band, string_to_array(exemptions, ','), decide_time
         FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::jsonb[], $6::bytea[], $7::text[], $8::bigint[],
                     $9::bigint[], $10::bytea[], $11::timestamptz[], $12::jsonb[], $13::smallint[], $14::smallint[],
                     $15::text[], $16::timestamptz[])
              AS new (application_id, batch_id, rule_set_hash, facts, facts_hash, refusals, region, groups, household,
                      facts_change_time, list_snapshots, sex, age_band, exemptions, decide_time)
         ON CONFLICT (application_id, stage) DO UPDATE
         SET eligible = excluded.eligible, rule_set_hash = excluded.rule_set_hash, facts = excluded.facts,
             facts_hash = excluded.facts_hash, refusals = excluded.refusals, region = excluded.region,
             groups = excluded.groups, household = excluded.household,
             facts_change_time = excluded.facts_change_time, list_snapshots = excluded.list_snapshots,
             sex = excluded.sex, age_band = excluded.age_band, exemptions = excluded.exemptions, decide_time = excluded.decide_time",
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
        &rows.facts_change_times as &[Option<OffsetDateTime>],
        &rows.list_snapshots,
        &rows.sexes,
        &rows.age_bands,
        &rows.exemptions,
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
    facts_change_times: Vec<Option<OffsetDateTime>>,
    list_snapshots: Vec<serde_json::Value>,
    sexes: Vec<i16>,
    age_bands: Vec<i16>,
    exemptions: Vec<String>,
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
        self.facts_change_times.push(decision.facts_change_time);
        let mut snapshots = serde_json::Map::new();
        for (list, time) in &decision.list_snapshots {
            let micros = i64::try_from(time.unix_timestamp_nanos() / 1_000).map_err(undecodable)?;
            snapshots.insert(list.clone(), micros.into());
        }
        self.list_snapshots.push(snapshots.into());
        self.sexes.push(i16::from(decision.sex));
        self.age_bands.push(i16::from(decision.age_band));
        self.exemptions.push(decision.exemptions.join(","));
        self.decide_times.push(decision.time);
        Ok(())
    }
}

/// An application that is to be decided on again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The application.
    pub application_id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// When the person applied: ages are those of that day.
    pub apply_time: OffsetDateTime,
}

/// Returns those applications of these accounts whose newest decision rests on another version of the facts.
pub async fn list_changed(
    connection: &mut PgConnection,
    batch_id: &str,
    changes: &[(Uuid, OffsetDateTime)],
) -> Result<Vec<Stale>, sqlx::Error> {
    let (account_ids, change_times): (Vec<Uuid>, Vec<OffsetDateTime>) =
        changes.iter().copied().unzip();
    sqlx::query_as!(
        Stale,
        r#"SELECT a.application_id, a.account_id, a.create_time AS apply_time
           FROM unnest($2::uuid[], $3::timestamptz[]) AS change (account_id, change_time)
           JOIN applications AS a ON a.batch_id = $1 AND a.account_id = change.account_id
           CROSS JOIN LATERAL (SELECT facts_change_time FROM decisions
                               WHERE application_id = a.application_id
                               ORDER BY stage DESC
                               LIMIT 1) AS d
           WHERE d.facts_change_time IS DISTINCT FROM change.change_time"#,
        batch_id,
        &account_ids,
        &change_times,
    )
    .fetch_all(connection)
    .await
}

/// Returns those applications of these accounts, recipients by now, whose newest decision does not know that.
pub async fn list_new_recipients(
    connection: &mut PgConnection,
    batch_id: &str,
    account_ids: &[Uuid],
) -> Result<Vec<Stale>, sqlx::Error> {
    sqlx::query_as!(
        Stale,
        r#"SELECT a.application_id, a.account_id, a.create_time AS apply_time
           FROM applications AS a
           CROSS JOIN LATERAL (SELECT facts FROM decisions
                               WHERE application_id = a.application_id
                               ORDER BY stage DESC
                               LIMIT 1) AS d
           WHERE a.batch_id = $1 AND a.account_id = ANY($2)
             AND NOT coalesce((d.facts ->> 'already_recipient')::boolean, false)"#,
        batch_id,
        account_ids,
    )
    .fetch_all(connection)
    .await
}

/// Returns the applications that a rule refused, although an appeal against it was granted since.
pub async fn list_exempted(
    connection: &mut PgConnection,
    batch_id: &str,
    programme: &str,
) -> Result<Vec<Stale>, sqlx::Error> {
    sqlx::query_as!(
        Stale,
        r#"SELECT DISTINCT a.application_id, a.account_id, a.create_time AS apply_time
           FROM exemptions AS e
           JOIN applications AS a ON a.batch_id = $1 AND a.account_id = e.account_id
           CROSS JOIN LATERAL (SELECT refusals FROM decisions
                               WHERE application_id = a.application_id
                               ORDER BY stage DESC
                               LIMIT 1) AS d
           WHERE e.programme = $2 AND e.reason = ANY(d.refusals)"#,
        batch_id,
        programme,
    )
    .fetch_all(connection)
    .await
}

struct DecisionRow {
    application_id: Uuid,
    stage: i16,
    batch_id: String,
    account_id: Uuid,
    eligible: bool,
    rule_set_hash: Vec<u8>,
    facts: serde_json::Value,
    facts_hash: Vec<u8>,
    refusals: Vec<String>,
    exemptions: Vec<String>,
    region: i64,
    groups: i64,
    facts_change_time: Option<OffsetDateTime>,
    list_snapshots: serde_json::Value,
    decide_time: OffsetDateTime,
}

impl DecisionRow {
    fn into_decision(self) -> Result<StoredDecision, sqlx::Error> {
        let snapshots: BTreeMap<String, i64> =
            serde_json::from_value(self.list_snapshots).map_err(undecodable)?;
        let mut list_snapshots = BTreeMap::new();
        for (fact, micros) in snapshots {
            let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000);
            list_snapshots.insert(fact, time.map_err(undecodable)?);
        }
        Ok(StoredDecision {
            id: DecisionId {
                application_id: self.application_id,
                stage: self.stage,
            },
            batch_id: self.batch_id,
            account_id: self.account_id,
            eligible: self.eligible,
            rule_set_hash: self.rule_set_hash,
            facts: serde_json::from_value(self.facts).map_err(undecodable)?,
            facts_hash: self.facts_hash,
            refusals: self.refusals,
            exemptions: self.exemptions,
            region: self.region,
            groups: self.groups,
            facts_change_time: self.facts_change_time,
            list_snapshots,
            decide_time: self.decide_time,
        })
    }
}

/// Finds a decision.
pub async fn find(
    connection: &mut PgConnection,
    id: DecisionId,
) -> Result<Option<StoredDecision>, sqlx::Error> {
    let row = sqlx::query_as!(
        DecisionRow,
        "SELECT d.application_id, stage, d.batch_id, account_id, eligible, rule_set_hash, facts, facts_hash, refusals,
                exemptions, region, groups, facts_change_time, list_snapshots, decide_time
         FROM decisions AS d
         JOIN applications AS a USING (application_id)
         WHERE d.application_id = $1 AND stage = $2",
        id.application_id,
        id.stage,
    )
    .fetch_optional(connection)
    .await?;
    row.map(DecisionRow::into_decision).transpose()
}

/// Lists the decisions on the applications of a batch after one, by application and stage; `limit` counts applications.
pub async fn list_of_batch(
    connection: &mut PgConnection,
    batch_id: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<StoredDecision>, sqlx::Error> {
    let rows = sqlx::query_as!(
        DecisionRow,
        "SELECT d.application_id, stage, d.batch_id, account_id, eligible, rule_set_hash, facts, facts_hash, refusals,
                exemptions, region, groups, facts_change_time, list_snapshots, decide_time
         FROM (SELECT application_id, account_id FROM applications
               WHERE batch_id = $1 AND application_id > $2
               ORDER BY application_id
               LIMIT $3) AS a
         JOIN decisions AS d USING (application_id)
         ORDER BY application_id, stage",
        batch_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(DecisionRow::into_decision).collect()
}
