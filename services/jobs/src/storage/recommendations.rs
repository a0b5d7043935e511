//! The search for vacancies that fit an account: terms against titles, set-wise.

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::vacancies::Row;
use crate::domain::{
    recommendation::{REGION_WEIGHT, Term},
    region::RegionCode,
    vacancy::Vacancy,
};

/// Of each term the newest this many vacancies are looked at, so that a common word costs no more than a rare one.
const VACANCIES_PER_TERM_MAX: i64 = 1000;

/// Returns, for each text, the stems that the database looks for; `None` when it holds small words alone.
pub async fn stems(
    connection: &mut PgConnection,
    texts: &[String],
) -> Result<Vec<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT nullif(plainto_tsquery('indonesian', text)::text, '') AS stems
           FROM unnest($1::text[]) WITH ORDINALITY AS terms (text, place)
           ORDER BY place"#,
        texts,
    )
    .fetch_all(connection)
    .await
}

/// Returns the open vacancies whose titles hold any of the terms, heaviest first and the newest of equals, with the
/// places of the terms in their titles.
pub async fn find(
    connection: &mut PgConnection,
    terms: &[Term],
    regions: &[RegionCode],
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<(Vacancy, Vec<usize>)>, sqlx::Error> {
    let texts: Vec<String> = terms.iter().map(|term| term.text.clone()).collect();
    let weights: Vec<i32> = terms.iter().map(|term| term.weight).collect();
    let regions: Vec<String> = regions.iter().map(RegionCode::to_string).collect();
    let rows = sqlx::query!(
        // 1. candidates: for each term the newest open vacancies, by the index.
        // 2. scored: every term against every title that is left, since a candidate of one term may have others too.
        r#"WITH terms AS MATERIALIZED (
             SELECT place, weight, plainto_tsquery('indonesian', text) AS words
             FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS terms (text, weight, place)
         ), found AS (
             SELECT terms.weight, vacancies.id, vacancies.region_code
             FROM terms
             CROSS JOIN LATERAL (
                 SELECT id, region_code
                 FROM vacancies
                 WHERE title_words @@ terms.words AND (expire_time IS NULL OR expire_time > $4)
                 ORDER BY id DESC
                 LIMIT $5
             ) AS vacancies
         ), candidates AS MATERIALIZED (
             SELECT id
             FROM found
             GROUP BY id, region_code
             ORDER BY sum(weight) + CASE
                     WHEN EXISTS (
                         SELECT FROM unnest($3::text[]) AS sought
                         WHERE region_code = sought OR starts_with(region_code, sought || '.')
                     ) THEN $6::int ELSE 0
                 END DESC, id DESC
             LIMIT $7
         ), scored AS (
             SELECT id, array_agg(terms.place ORDER BY terms.place) AS places
             FROM candidates
             JOIN vacancies v USING (id)
             JOIN terms ON v.title_words @@ terms.words
             GROUP BY id
         )
         SELECT scored.places AS "places!", id, v.portal, v.title, v.company, v.location, v.region_code,
             v.salary_minor, v.expire_time, v.posting_count, v.unnumbered_count, v.create_time
         FROM scored
         JOIN vacancies v USING (id)"#,
        &texts,
        &weights,
        &regions,
        now,
        VACANCIES_PER_TERM_MAX,
        REGION_WEIGHT,
        limit,
    )
    .fetch_all(connection)
    .await?;

    let fits = rows.into_iter().map(|row| {
        // Places count from 1.
        let places = row
            .places
            .iter()
            .filter_map(|place| usize::try_from(place - 1).ok())
            .collect();
        let vacancy = Row {
            id: row.id,
            portal: row.portal,
            title: row.title,
            company: row.company,
            location: row.location,
            region_code: row.region_code,
            salary_minor: row.salary_minor,
            expire_time: row.expire_time,
            posting_count: row.posting_count,
            unnumbered_count: row.unnumbered_count,
            create_time: row.create_time,
        };
        (Vacancy::from(vacancy), places)
    });
    Ok(fits.collect())
}
