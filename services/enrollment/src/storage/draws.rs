//! The tables `entrant_runs`, `result_runs` and `award_refusals`. The first two are written once.

use std::collections::HashMap;

use draw::{Entrant, OUTCOME_BYTES, Outcome};
use futures::{Stream, StreamExt};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{fixed, undecodable};

/// How many entrants a run holds: few enough to look one of them up, enough to make a row's own cost small.
pub const RUN_ENTRANTS: usize = 256;

/// How many runs are read or written by one statement; some 700 kB.
pub const RUNS_MAX: usize = 40;

/// An eligible applicant, as the list of a draw needs it.
#[derive(Clone, Debug)]
pub struct Eligible {
    /// The name in the list.
    pub pseudonym: [u8; 16],
    /// The application.
    pub application_id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// When the person applied.
    pub apply_time: OffsetDateTime,
    /// The region of residence, a dotted path.
    pub region_path: String,
    /// The region of the first level as the draw's number.
    pub region: u32,
    /// The reserved groups, as bits.
    pub groups: u32,
    /// The household's pseudonym.
    pub household: Option<[u8; 16]>,
    /// Members of the household who were recipients already.
    pub household_prior: u8,
    /// As in the public list.
    pub sex: u8,
    /// As in the public list.
    pub age_band: u8,
}

/// Neighbours in the list of a draw, with what an award needs of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntrantRun {
    /// The first one's name, by which the run is found.
    pub first_pseudonym: Vec<u8>,
    /// How many they are.
    pub entrant_count: i32,
    /// Their records in the public list.
    pub records: Vec<u8>,
    /// 16 bytes of each one's application.
    pub application_ids: Vec<u8>,
    /// 16 bytes of each one's account.
    pub account_ids: Vec<u8>,
    /// Each one's region, a dotted path and a line feed.
    pub regions: String,
}

/// A winner who is to become a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Winner {
    /// The position in the order of the draw.
    pub rank: u32,
    /// The application.
    pub application_id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// The region of residence, a dotted path.
    pub region: String,
    /// The household's pseudonym.
    pub household: Option<[u8; 16]>,
}

/// Where a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunStart {
    /// The first one's name.
    pub first_pseudonym: Vec<u8>,
    /// How many entrants it holds.
    pub entrant_count: i32,
}

impl EntrantRun {
    /// Adds the next entrant.
    pub fn push(&mut self, entrant: &Entrant, eligible: &Eligible) {
        if self.entrant_count == 0 {
            self.first_pseudonym = entrant.pseudonym.to_vec();
        }
        self.entrant_count += 1;
        entrant.write_record(&mut self.records);
        self.application_ids
            .extend_from_slice(eligible.application_id.as_bytes());
        self.account_ids
            .extend_from_slice(eligible.account_id.as_bytes());
        self.regions.push_str(&eligible.region_path);
        self.regions.push('\n');
    }

    /// Says whether the next entrant belongs to another run.
    pub fn is_full(&self) -> bool {
        usize::try_from(self.entrant_count).is_ok_and(|count| count >= RUN_ENTRANTS)
    }

    /// Returns the winners among the entrants, whose outcomes these are.
    pub fn winners(&self, outcomes: &[Outcome]) -> Result<Vec<Winner>, sqlx::Error> {
        let entrants = entrants(&self.records)?;
        let ids = |bytes: &[u8], i: usize| {
            let id = bytes.get(16 * i..16 * (i + 1));
            id.and_then(|id| Uuid::from_slice(id).ok())
                .ok_or_else(|| undecodable("a run without an id"))
        };
        let mut regions = self.regions.split('\n');
        let mut winners = Vec::new();
        for (i, (entrant, outcome)) in entrants.iter().zip(outcomes).enumerate() {
            let region = regions.next().unwrap_or_default();
            if outcome.won() {
                winners.push(Winner {
                    rank: outcome.rank,
                    application_id: ids(&self.application_ids, i)?,
                    account_id: ids(&self.account_ids, i)?,
                    region: region.to_owned(),
                    household: entrant.household,
                });
            }
        }
        Ok(winners)
    }
}

/// Reads the records of a run.
pub fn entrants(mut records: &[u8]) -> Result<Vec<Entrant>, sqlx::Error> {
    let mut entrants = Vec::with_capacity(RUN_ENTRANTS);
    while !records.is_empty() {
        let (entrant, rest) =
            Entrant::read_record(records).ok_or_else(|| undecodable("a run without a record"))?;
        entrants.push(entrant);
        records = rest;
    }
    Ok(entrants)
}

/// Reads the outcomes of a run.
pub fn outcomes(bytes: &[u8]) -> Result<Vec<Outcome>, sqlx::Error> {
    let (records, rest) = bytes.as_chunks::<OUTCOME_BYTES>();
    if !rest.is_empty() {
        return Err(undecodable("a part of an outcome"));
    }
    records
        .iter()
        .map(|record| {
            Outcome::from_record(*record).ok_or_else(|| undecodable("an unknown outcome"))
        })
        .collect()
}

/// Streams those of a batch whose newest decision finds them eligible, in ascending order of their pseudonyms, with the
/// recipients that their households had before.
pub fn stream_eligible<'c>(
    connection: &'c mut PgConnection,
    batch_id: &'c str,
    programme: &'c str,
) -> impl Stream<Item = Result<Eligible, sqlx::Error>> + Send + 'c {
    sqlx::query!(
        r#"WITH newest AS (
               SELECT application_id, facts, region, groups, household, sex, age_band
               FROM decisions
               WHERE batch_id = $1 AND stage = 2 AND eligible
               UNION ALL
               SELECT application_id, facts, region, groups, household, sex, age_band
               FROM decisions AS d
               WHERE batch_id = $1 AND stage = 1 AND eligible
                 AND NOT EXISTS (SELECT FROM decisions AS n
                                 WHERE n.batch_id = $1 AND n.stage = 2 AND n.application_id = d.application_id)
           ), prior AS (
               SELECT household, least(count(*), 254)::smallint AS recipients
               FROM participations
               WHERE programme = $2 AND household IS NOT NULL
               GROUP BY household
           )
           SELECT a.pseudonym AS "pseudonym!", a.application_id AS "application_id!", a.account_id AS "account_id!",
                  a.create_time AS "create_time!", coalesce(d.facts ->> 'region', '') AS "region_path!",
                  d.region AS "region!", d.groups AS "groups!", d.household, coalesce(p.recipients, 0) AS "prior!",
                  d.sex AS "sex!", d.age_band AS "age_band!"
           FROM applications AS a
           JOIN newest AS d USING (application_id)
           LEFT JOIN prior AS p ON p.household = d.household
           WHERE a.batch_id = $1
           ORDER BY a.pseudonym"#,
        batch_id,
        programme,
    )
    .fetch(connection)
    .map(|row| {
        let row = row?;
        Ok(Eligible {
            pseudonym: fixed(row.pseudonym)?,
            application_id: row.application_id,
            account_id: row.account_id,
            apply_time: row.create_time,
            region_path: row.region_path,
            region: u32::try_from(row.region).map_err(undecodable)?,
            groups: u32::try_from(row.groups).map_err(undecodable)?,
            household: row.household.map(fixed).transpose()?,
            household_prior: u8::try_from(row.prior).map_err(undecodable)?,
            sex: u8::try_from(row.sex).map_err(undecodable)?,
            age_band: u8::try_from(row.age_band).map_err(undecodable)?,
        })
    })
}

/// Inserts runs.
pub async fn insert_runs(
    tx: &mut PgConnection,
    batch_id: &str,
    runs: Vec<EntrantRun>,
) -> Result<(), sqlx::Error> {
    let mut columns = (vec![], vec![], vec![], vec![], vec![], vec![]);
    for run in runs {
        columns.0.push(run.first_pseudonym);
        columns.1.push(run.entrant_count);
        columns.2.push(run.records);
        columns.3.push(run.application_ids);
        columns.4.push(run.account_ids);
        columns.5.push(run.regions);
    }
    sqlx::query!(
        "INSERT INTO entrant_runs (batch_id, first_pseudonym, entrant_count, records, application_ids, account_ids,
                                   regions)
         SELECT $1, first_pseudonym, entrant_count, records, application_ids, account_ids, regions
         FROM unnest($2::bytea[], $3::integer[], $4::bytea[], $5::bytea[], $6::bytea[], $7::text[])
              AS new (first_pseudonym, entrant_count, records, application_ids, account_ids, regions)",
        batch_id,
        &columns.0,
        &columns.1,
        &columns.2,
        &columns.3,
        &columns.4,
        &columns.5,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Streams the records of a batch's runs, ascending.
pub fn stream_records<'c>(
    connection: &'c mut PgConnection,
    batch_id: &'c str,
) -> impl Stream<Item = Result<Vec<u8>, sqlx::Error>> + Send + 'c {
    sqlx::query_scalar!(
        "SELECT records FROM entrant_runs WHERE batch_id = $1 ORDER BY first_pseudonym",
        batch_id,
    )
    .fetch(connection)
}

/// Lists where the runs of a batch begin, ascending.
pub async fn list_run_starts(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<Vec<RunStart>, sqlx::Error> {
    sqlx::query_as!(
        RunStart,
        "SELECT first_pseudonym, entrant_count FROM entrant_runs WHERE batch_id = $1 ORDER BY first_pseudonym",
        batch_id,
    )
    .fetch_all(connection)
    .await
}

/// Streams the winners of a batch's runs that begin after a pseudonym, ascending: of each run its first pseudonym and its
/// winners.
pub fn stream_winners<'c>(
    connection: &'c mut PgConnection,
    batch_id: &'c str,
    after: &'c [u8],
) -> impl Stream<Item = Result<(Vec<u8>, Vec<Winner>), sqlx::Error>> + Send + 'c {
    sqlx::query!(
        "SELECT first_pseudonym, entrant_count, records, application_ids, account_ids, regions, outcomes
         FROM entrant_runs JOIN result_runs USING (batch_id, first_pseudonym)
         WHERE batch_id = $1 AND first_pseudonym > $2
         ORDER BY first_pseudonym",
        batch_id,
        after,
    )
    .fetch(connection)
    .map(|row| {
        let row = row?;
        let run = EntrantRun {
            first_pseudonym: row.first_pseudonym,
            entrant_count: row.entrant_count,
            records: row.records,
            application_ids: row.application_ids,
            account_ids: row.account_ids,
            regions: row.regions,
        };
        let winners = run.winners(&outcomes(&row.outcomes)?)?;
        Ok((run.first_pseudonym, winners))
    })
}

/// Lists the records of the next runs, ascending, each with its first pseudonym.
pub async fn list_records(
    connection: &mut PgConnection,
    batch_id: &str,
    after: &[u8],
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT first_pseudonym, records
         FROM entrant_runs
         WHERE batch_id = $1 AND first_pseudonym > $2
         ORDER BY first_pseudonym
         LIMIT $3",
        batch_id,
        after,
        RUNS_MAX as i64,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.first_pseudonym, row.records))
        .collect())
}

/// Inserts the results of runs: of each its first pseudonym and its outcomes' records.
pub async fn insert_results(
    tx: &mut PgConnection,
    batch_id: &str,
    results: Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<(), sqlx::Error> {
    let (first_pseudonyms, outcomes): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    sqlx::query!(
        "INSERT INTO result_runs (batch_id, first_pseudonym, outcomes)
         SELECT $1, first_pseudonym, outcomes
         FROM unnest($2::bytea[], $3::bytea[]) AS new (first_pseudonym, outcomes)",
        batch_id,
        &first_pseudonyms,
        &outcomes,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the outcomes of the next runs, ascending, each with its first pseudonym.
pub async fn list_results(
    connection: &mut PgConnection,
    batch_id: &str,
    after: &[u8],
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT first_pseudonym, outcomes
         FROM result_runs
         WHERE batch_id = $1 AND first_pseudonym > $2
         ORDER BY first_pseudonym
         LIMIT $3",
        batch_id,
        after,
        RUNS_MAX as i64,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.first_pseudonym, row.outcomes))
        .collect())
}

/// Returns the outcomes of those who were in a draw: each is asked for by batch and pseudonym.
pub async fn find_outcomes(
    connection: &mut PgConnection,
    asked: &[(&str, [u8; 16])],
) -> Result<HashMap<[u8; 16], Outcome>, sqlx::Error> {
    let batch_ids: Vec<String> = asked
        .iter()
        .map(|(batch_id, _)| (*batch_id).to_owned())
        .collect();
    let pseudonyms: Vec<Vec<u8>> = asked
        .iter()
        .map(|(_, pseudonym)| pseudonym.to_vec())
        .collect();
    let rows = sqlx::query!(
        r#"SELECT asked.pseudonym AS "pseudonym!", run.records, result.outcomes
           FROM unnest($1::text[], $2::bytea[]) AS asked (batch_id, pseudonym)
           CROSS JOIN LATERAL (SELECT first_pseudonym, records FROM entrant_runs
                               WHERE batch_id = asked.batch_id AND first_pseudonym <= asked.pseudonym
                               ORDER BY first_pseudonym DESC
                               LIMIT 1) AS run
           JOIN result_runs AS result
               ON result.batch_id = asked.batch_id AND result.first_pseudonym = run.first_pseudonym"#,
        &batch_ids,
        &pseudonyms,
    )
    .fetch_all(connection)
    .await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let pseudonym = fixed(row.pseudonym)?;
        let position = entrants(&row.records)?
            .iter()
            .position(|entrant| entrant.pseudonym == pseudonym);
        let outcomes = outcomes(&row.outcomes)?;
        if let Some(outcome) = position.and_then(|position| outcomes.get(position)) {
            found.insert(pseudonym, *outcome);
        }
    }
    Ok(found)
}

/// Notes winners who could not become participants.
pub async fn insert_award_refusals(
    tx: &mut PgConnection,
    batch_id: &str,
    refusals: &[(Uuid, &str)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = refusals.iter().map(|(id, _)| *id).collect();
    let reasons: Vec<String> = refusals
        .iter()
        .map(|(_, reason)| (*reason).to_owned())
        .collect();
    sqlx::query!(
        "INSERT INTO award_refusals (batch_id, application_id, reason)
         SELECT $1, application_id, reason
         FROM unnest($2::uuid[], $3::text[]) AS new (application_id, reason)",
        batch_id,
        &ids,
        &reasons,
    )
    .execute(tx)
    .await?;
    Ok(())
}
