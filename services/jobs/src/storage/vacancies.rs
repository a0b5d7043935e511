//! The tables `vacancies`, `vacancy_postings` and `import_adverts`.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{
    region::RegionCode,
    vacancy::{Content, ContentKey, SALARY_CURRENCY, Vacancy},
};

/// A row of `vacancies` as queries select it.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) portal: String,
    pub(super) title: String,
    pub(super) company: String,
    pub(super) location: String,
    pub(super) region_code: Option<String>,
    pub(super) salary_minor: Option<i64>,
    pub(super) expire_time: Option<OffsetDateTime>,
    pub(super) posting_count: i64,
    pub(super) unnumbered_count: i64,
    pub(super) create_time: OffsetDateTime,
}

impl From<Row> for Vacancy {
    fn from(row: Row) -> Vacancy {
        Vacancy {
            id: row.id,
            portal: row.portal,
            content: Content {
                title: row.title,
                company: row.company,
                location: row.location,
                salary_minor: row.salary_minor,
            },
            region: row.region_code.as_deref().and_then(RegionCode::parse),
            expire_time: row.expire_time,
            posting_count: row.posting_count,
            unnumbered_count: row.unnumbered_count,
            create_time: row.create_time,
        }
    }
}

/// Returns a vacancy, also one that has ended.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Vacancy>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, portal, title, company, location, region_code, salary_minor, expire_time, posting_count,
             unnumbered_count, create_time
         FROM vacancies
         WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Vacancy::from))
}

/// Returns the open vacancies of a region (or of all), newest first, older than this one.
pub async fn list_newest(
    connection: &mut PgConnection,
    region: Option<&str>,
    now: OffsetDateTime,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Vacancy>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        // Everything below `32` lies between `32.` and `32/` in the order of bytes.
        "SELECT id, portal, title, company, location, region_code, salary_minor, expire_time, posting_count,
             unnumbered_count, create_time
         FROM vacancies
         WHERE ($1::text IS NULL OR region_code = $1 OR (region_code > $1 || '.' AND region_code < $1 || '/'))
             AND (expire_time IS NULL OR expire_time > $2)
             AND ($3::uuid IS NULL OR id < $3)
         ORDER BY id DESC
         LIMIT $4",
        region,
        now,
        before,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Vacancy::from).collect())
}

/// Returns the open vacancies that hold the words, best match first and the newest of equals, after this key.
pub async fn search(
    connection: &mut PgConnection,
    words: &str,
    region: Option<&str>,
    now: OffsetDateTime,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(i64, Vacancy)>, sqlx::Error> {
    let (after_rank, after_id) = after.unzip();
    let rows = sqlx::query!(
        // The rank as a whole number, so that a page's key compares exactly.
        r#"WITH found AS (
             SELECT v.id, (ts_rank(v.search_words, words) * 1000000)::bigint AS rank
             FROM websearch_to_tsquery('indonesian', $1) AS words
             JOIN vacancies v ON v.search_words @@ words
             WHERE ($2::text IS NULL OR v.region_code = $2
                     OR (v.region_code > $2 || '.' AND v.region_code < $2 || '/'))
                 AND (v.expire_time IS NULL OR v.expire_time > $3)
         ), page AS (
             SELECT id, rank
             FROM found
             WHERE $4::bigint IS NULL OR (rank, id) < ($4, $5::uuid)
             ORDER BY rank DESC, id DESC
             LIMIT $6
         )
         SELECT page.rank AS "rank!", id, v.portal, v.title, v.company, v.location, v.region_code, v.salary_minor,
             v.expire_time, v.posting_count, v.unnumbered_count, v.create_time
         FROM page
         JOIN vacancies v USING (id)
         ORDER BY page.rank DESC, id DESC"#,
        words,
        region,
        now,
        after_rank,
        after_id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    let vacancies = rows.into_iter().map(|row| {
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
        (row.rank, Vacancy::from(vacancy))
    });
    Ok(vacancies.collect())
}

/// Returns the vacancies of these postings of a portal, by the portal's number.
pub async fn find_postings(
    connection: &mut PgConnection,
    portal: &str,
    external_ids: &[String],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT external_id, vacancy_id FROM vacancy_postings WHERE portal = $1 AND external_id = ANY($2)",
        portal,
        external_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.external_id, row.vacancy_id))
        .collect())
}

/// Returns the vacancies of a portal that say one of these contents, and those with these ids.
pub async fn find_all(
    connection: &mut PgConnection,
    portal: &str,
    keys: &[ContentKey],
    ids: &[Uuid],
) -> Result<Vec<Vacancy>, sqlx::Error> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, portal, title, company, location, region_code, salary_minor, expire_time, posting_count,
             unnumbered_count, create_time
         FROM vacancies
         WHERE (portal = $1 AND content_key = ANY($2)) OR id = ANY($3)",
        portal,
        &keys,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Vacancy::from).collect())
}

/// Returns how many unnumbered adverts of these vacancies an import has brought so far.
pub async fn find_brought(
    connection: &mut PgConnection,
    request_id: Uuid,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT vacancy_id, advert_count FROM import_adverts WHERE request_id = $1 AND vacancy_id = ANY($2)",
        request_id,
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.vacancy_id, row.advert_count))
        .collect())
}

/// The columns of many vacancies, for `unnest`.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    portals: Vec<String>,
    keys: Vec<Vec<u8>>,
    titles: Vec<String>,
    companies: Vec<String>,
    locations: Vec<String>,
    regions: Vec<Option<String>>,
    salaries: Vec<Option<i64>>,
    expire_times: Vec<Option<OffsetDateTime>>,
    posting_counts: Vec<i64>,
    unnumbered_counts: Vec<i64>,
}

fn columns(vacancies: &[&Vacancy]) -> Columns {
    let mut columns = Columns::default();
    for vacancy in vacancies {
        columns.ids.push(vacancy.id);
        columns.portals.push(vacancy.portal.clone());
        columns.keys.push(vacancy.content.key().to_vec());
        columns.titles.push(vacancy.content.title.clone());
        columns.companies.push(vacancy.content.company.clone());
        columns.locations.push(vacancy.content.location.clone());
        columns
            .regions
            .push(vacancy.region.as_ref().map(RegionCode::to_string));
        columns.salaries.push(vacancy.content.salary_minor);
        columns.expire_times.push(vacancy.expire_time);
        columns.posting_counts.push(vacancy.posting_count);
        columns.unnumbered_counts.push(vacancy.unnumbered_count);
    }
    columns
}

/// Updates vacancies. Goes before [`insert_all`], because a new vacancy may say what an old one says no more.
pub async fn update_all(
    tx: &mut PgConnection,
    vacancies: &[&Vacancy],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let columns = columns(vacancies);
    sqlx::query!(
        "UPDATE vacancies AS v
         SET content_key = new.content_key, title = new.title, company = new.company, location = new.location,
             region_code = new.region_code, salary_minor = new.salary_minor,
             salary_currency = CASE WHEN new.salary_minor IS NOT NULL THEN $11 END, expire_time = new.expire_time,
             posting_count = new.posting_count, unnumbered_count = new.unnumbered_count, update_time = $12
         FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
             $8::timestamptz[], $9::bigint[], $10::bigint[])
             AS new (id, content_key, title, company, location, region_code, salary_minor, expire_time,
                 posting_count, unnumbered_count)
         WHERE v.id = new.id",
        &columns.ids,
        &columns.keys,
        &columns.titles,
        &columns.companies,
        &columns.locations,
        &columns.regions as &[Option<String>],
        &columns.salaries as &[Option<i64>],
        &columns.expire_times as &[Option<OffsetDateTime>],
        &columns.posting_counts,
        &columns.unnumbered_counts,
        SALARY_CURRENCY,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Inserts vacancies.
pub async fn insert_all(
    tx: &mut PgConnection,
    vacancies: &[&Vacancy],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let columns = columns(vacancies);
    sqlx::query!(
        "INSERT INTO vacancies (id, portal, content_key, title, company, location, region_code, salary_minor,
             salary_currency, expire_time, posting_count, unnumbered_count, create_time, update_time)
         SELECT id, portal, content_key, title, company, location, region_code, salary_minor,
             CASE WHEN salary_minor IS NOT NULL THEN $12 END, expire_time, posting_count, unnumbered_count, $13, $13
         FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::bigint[], $9::timestamptz[], $10::bigint[], $11::bigint[])
             AS new (id, portal, content_key, title, company, location, region_code, salary_minor, expire_time,
                 posting_count, unnumbered_count)",
        &columns.ids,
        &columns.portals,
        &columns.keys,
        &columns.titles,
        &columns.companies,
        &columns.locations,
        &columns.regions as &[Option<String>],
        &columns.salaries as &[Option<i64>],
        &columns.expire_times as &[Option<OffsetDateTime>],
        &columns.posting_counts,
        &columns.unnumbered_counts,
        SALARY_CURRENCY,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Puts postings at their vacancies, from where they were.
pub async fn upsert_postings(
    tx: &mut PgConnection,
    portal: &str,
    postings: &[(String, Uuid)],
) -> Result<(), sqlx::Error> {
    let (external_ids, vacancy_ids): (Vec<String>, Vec<Uuid>) = postings.iter().cloned().unzip();
    sqlx::query!(
        "INSERT INTO vacancy_postings (portal, external_id, vacancy_id)
         SELECT $1, external_id, vacancy_id
         FROM unnest($2::text[], $3::uuid[]) AS new (external_id, vacancy_id)
         ON CONFLICT (portal, external_id) DO UPDATE
         SET vacancy_id = excluded.vacancy_id",
        portal,
        &external_ids,
        &vacancy_ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes how many unnumbered adverts of vacancies an import has brought so far.
pub async fn upsert_brought(
    tx: &mut PgConnection,
    request_id: Uuid,
    brought: &[(Uuid, i64)],
) -> Result<(), sqlx::Error> {
    let (vacancy_ids, advert_counts): (Vec<Uuid>, Vec<i64>) = brought.iter().copied().unzip();
    sqlx::query!(
        "INSERT INTO import_adverts (request_id, vacancy_id, advert_count)
         SELECT $1, vacancy_id, advert_count
         FROM unnest($2::uuid[], $3::bigint[]) AS new (vacancy_id, advert_count)
         ON CONFLICT (request_id, vacancy_id) DO UPDATE
         SET advert_count = excluded.advert_count",
        request_id,
        &vacancy_ids,
        &advert_counts,
    )
    .execute(tx)
    .await?;
    Ok(())
}
