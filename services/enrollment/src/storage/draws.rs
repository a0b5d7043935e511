//! The tables `entrants`, `draw_results` and `award_refusals`. The first two are written once.

use draw::{Entrant, Outcome, Stratum, Verdict};
use futures::{Stream, StreamExt};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{fixed, undecodable};

/// A winner who is to become a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Winner {
    /// The position in the order of the draw.
    pub rank: i64,
    /// The application.
    pub application_id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// The region of residence, a dotted path.
    pub region: String,
    /// The household's pseudonym.
    pub household: Option<Vec<u8>>,
}

/// Writes the entrants of a batch from the freeze's decisions, with the recipients that their households had before.
pub async fn insert_entrants(
    tx: &mut PgConnection,
    batch_id: &str,
    programme: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO entrants (batch_id, pseudonym, region, groups, household, household_prior)
         SELECT a.batch_id, a.pseudonym, d.region, d.groups, d.household, coalesce(p.recipients, 0)
         FROM applications AS a
         JOIN decisions AS d ON d.application_id = a.application_id AND d.stage = 2
         LEFT JOIN (SELECT household, least(count(*), 255)::smallint AS recipients
                    FROM participations
                    WHERE programme = $2 AND household IS NOT NULL
                    GROUP BY household) AS p ON p.household = d.household
         WHERE a.batch_id = $1 AND d.eligible
         ORDER BY a.pseudonym",
        batch_id,
        programme,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Streams the entrants of a batch in ascending order of their pseudonyms.
pub fn stream_entrants<'c>(
    connection: &'c mut PgConnection,
    batch_id: &'c str,
) -> impl Stream<Item = Result<Entrant, sqlx::Error>> + Send + 'c {
    sqlx::query!(
        "SELECT pseudonym, region, groups, household, household_prior
         FROM entrants
         WHERE batch_id = $1
         ORDER BY pseudonym",
        batch_id,
    )
    .fetch(connection)
    .map(|row| {
        let row = row?;
        entrant(
            row.pseudonym,
            row.region,
            row.groups,
            row.household,
            row.household_prior,
        )
    })
}

/// Lists the entrants after a pseudonym, ascending.
pub async fn list_entrants(
    connection: &mut PgConnection,
    batch_id: &str,
    after: &[u8],
    limit: i64,
) -> Result<Vec<Entrant>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT pseudonym, region, groups, household, household_prior
         FROM entrants
         WHERE batch_id = $1 AND pseudonym > $2
         ORDER BY pseudonym
         LIMIT $3",
        batch_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            entrant(
                row.pseudonym,
                row.region,
                row.groups,
                row.household,
                row.household_prior,
            )
        })
        .collect()
}

fn entrant(
    pseudonym: Vec<u8>,
    region: i64,
    groups: i64,
    household: Option<Vec<u8>>,
    household_prior: i16,
) -> Result<Entrant, sqlx::Error> {
    Ok(Entrant {
        pseudonym: fixed(pseudonym)?,
        region: u32::try_from(region).map_err(undecodable)?,
        groups: u32::try_from(groups).map_err(undecodable)?,
        household: household.map(fixed).transpose()?,
        household_prior: u8::try_from(household_prior).map_err(undecodable)?,
    })
}

/// Inserts a chunk of results.
pub async fn insert_results(
    tx: &mut PgConnection,
    batch_id: &str,
    results: &[(&Entrant, &Outcome)],
) -> Result<(), sqlx::Error> {
    let pseudonyms: Vec<Vec<u8>> = results
        .iter()
        .map(|(entrant, _)| entrant.pseudonym.to_vec())
        .collect();
    let ranks: Vec<i64> = results
        .iter()
        .map(|(_, outcome)| i64::from(outcome.rank))
        .collect();
    let codes: Vec<i16> = results
        .iter()
        .map(|(_, outcome)| outcome_code(outcome.verdict))
        .collect();
    sqlx::query!(
        "INSERT INTO draw_results (batch_id, pseudonym, rank, outcome)
         SELECT $1, pseudonym, rank, outcome
         FROM unnest($2::bytea[], $3::bigint[], $4::smallint[]) AS new (pseudonym, rank, outcome)",
        batch_id,
        &pseudonyms,
        &ranks,
        &codes,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the results after a pseudonym, ascending by pseudonym, each with its pseudonym.
pub async fn list_results(
    connection: &mut PgConnection,
    batch_id: &str,
    after: &[u8],
    limit: i64,
) -> Result<Vec<([u8; 16], Outcome)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT pseudonym, rank, outcome
         FROM draw_results
         WHERE batch_id = $1 AND pseudonym > $2
         ORDER BY pseudonym
         LIMIT $3",
        batch_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let outcome = Outcome {
                rank: u32::try_from(row.rank).map_err(undecodable)?,
                verdict: verdict(row.outcome).ok_or_else(|| undecodable("an unknown outcome"))?,
            };
            Ok((fixed(row.pseudonym)?, outcome))
        })
        .collect()
}

/// Lists the winners after a rank.
pub async fn list_winners(
    tx: &mut PgConnection,
    batch_id: &str,
    after_rank: i64,
    limit: i64,
) -> Result<Vec<Winner>, sqlx::Error> {
    sqlx::query_as!(
        Winner,
        r#"SELECT r.rank, a.application_id, a.account_id, coalesce(d.facts ->> 'region', '') AS "region!", d.household
           FROM draw_results AS r
           JOIN applications AS a USING (batch_id, pseudonym)
           JOIN decisions AS d ON d.application_id = a.application_id AND d.stage = 2
           WHERE r.batch_id = $1 AND r.won AND r.rank > $2
           ORDER BY r.rank
           LIMIT $3"#,
        batch_id,
        after_rank,
        limit,
    )
    .fetch_all(tx)
    .await
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

/// The codes of the public bundle.
fn outcome_code(verdict: Verdict) -> i16 {
    match verdict {
        Verdict::NotDrawn => 0,
        Verdict::HouseholdLimit => 1,
        Verdict::Won(Stratum::General) => 2,
        Verdict::Won(Stratum::Region) => 3,
        Verdict::Won(Stratum::Group(i)) => 128 + i16::from(i),
    }
}

fn verdict(code: i16) -> Option<Verdict> {
    Some(match code {
        0 => Verdict::NotDrawn,
        1 => Verdict::HouseholdLimit,
        2 => Verdict::Won(Stratum::General),
        3 => Verdict::Won(Stratum::Region),
        128..=159 => Verdict::Won(Stratum::Group(u8::try_from(code - 128).ok()?)),
        _ => return None,
    })
}
