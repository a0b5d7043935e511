//! The table `courses`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{decode, money};
use crate::domain::{
    course::{Course, CourseContent, CourseState, NewCourse, Prices, Search, Title},
    import::{CourseKey, KnownCourse, Origin},
};

struct Row {
    id: Uuid,
    provider_id: Uuid,
    title: String,
    title_folded: String,
    category: String,
    mode: String,
    price_minor: i64,
    public_price_minor: i64,
    currency: String,
    uri: String,
    state: String,
    rating_count: i64,
    rating_sum: i64,
    create_time: OffsetDateTime,
    update_time: OffsetDateTime,
}

impl TryFrom<Row> for Course {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Course, sqlx::Error> {
        let price = money(row.price_minor, &row.currency)?;
        let public_price = money(row.public_price_minor, &row.currency)?;
        Ok(Course {
            id: row.id,
            provider_id: row.provider_id,
            content: CourseContent {
                title: Title::from_stored(row.title, row.title_folded),
                category: row.category,
                mode: row.mode.parse().map_err(decode)?,
                prices: Prices::new(price, public_price).map_err(decode)?,
                uri: row.uri,
            },
            state: row.state.parse().map_err(decode)?,
            rating_count: row.rating_count,
            rating_sum: row.rating_sum,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

fn courses(rows: Vec<Row>) -> Result<Vec<Course>, sqlx::Error> {
    rows.into_iter().map(Course::try_from).collect()
}

/// Inserts published courses, in the order of their keys, and returns the ids of those that did not exist yet.
pub async fn insert_missing(
    tx: &mut PgConnection,
    new_courses: &[(Uuid, NewCourse)],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let column = |value: fn(&CourseContent) -> String| -> Vec<String> {
        new_courses
            .iter()
            .map(|(_, new)| value(&new.content))
            .collect()
    };
    let amounts = |value: fn(Prices) -> i64| -> Vec<i64> {
        new_courses
            .iter()
            .map(|(_, new)| value(new.content.prices))
            .collect()
    };
    let ids: Vec<Uuid> = new_courses.iter().map(|(id, _)| *id).collect();
    let provider_ids: Vec<Uuid> = new_courses.iter().map(|(_, new)| new.provider_id).collect();
    sqlx::query_scalar!(
        r#"INSERT INTO courses (id, provider_id, provider_display_name, title, title_folded, category, mode, price_minor,
                                public_price_minor, currency, uri, state, create_time, update_time)
           SELECT new.id, new.provider_id, providers.display_name, new.title, new.title_folded, new.category, new.mode,
                  new.price_minor, new.public_price_minor, new.currency, new.uri, $11, $12, $12
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                       $8::bigint[], $9::text[], $10::text[])
               AS new (id, provider_id, title, title_folded, category, mode, price_minor, public_price_minor, currency,
                       uri)
           JOIN providers ON providers.id = new.provider_id
           ORDER BY new.provider_id, new.title_folded COLLATE "C", new.mode
           ON CONFLICT ON CONSTRAINT courses_provider_id_title_folded_mode_key DO NOTHING
           RETURNING id"#,
        &ids,
        &provider_ids,
        &column(|content| content.title.as_str().to_owned()),
        &column(|content| content.title.folded().to_owned()),
        &column(|content| content.category.clone()),
        &column(|content| content.mode.as_str().to_owned()),
        &amounts(|prices| prices.price().minor()),
        &amounts(|prices| prices.public_price().minor()),
        &column(|content| content.prices.price().currency().code().to_owned()),
        &column(|content| content.uri.clone()),
        CourseState::Published.as_str(),
        now,
    )
    .fetch_all(tx)
    .await
}

/// Writes what courses say now. Their titles and modes are what they are known by and do not change.
pub async fn update_all(
    tx: &mut PgConnection,
    changed: &[(Uuid, CourseContent)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let column = |value: fn(&CourseContent) -> String| -> Vec<String> {
        changed.iter().map(|(_, content)| value(content)).collect()
    };
    let amounts = |value: fn(Prices) -> i64| -> Vec<i64> {
        changed
            .iter()
            .map(|(_, content)| value(content.prices))
            .collect()
    };
    let ids: Vec<Uuid> = changed.iter().map(|(id, _)| *id).collect();
    sqlx::query!(
        "UPDATE courses
         SET category = new.category, uri = new.uri, price_minor = new.price_minor,
             public_price_minor = new.public_price_minor, currency = new.currency, update_time = $7
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
             AS new (id, category, uri, price_minor, public_price_minor, currency)
         WHERE courses.id = new.id",
        &ids,
        &column(|content| content.category.clone()),
        &column(|content| content.uri.clone()),
        &amounts(|prices| prices.price().minor()),
        &amounts(|prices| prices.public_price().minor()),
        &column(|content| content.prices.price().currency().code().to_owned()),
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds a rating to a course; `false` when there is no such course.
pub async fn add_rating(
    tx: &mut PgConnection,
    id: Uuid,
    stars: i64,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query!(
        "UPDATE courses
         SET rating_count = rating_count + 1, rating_sum = rating_sum + $2, update_time = $3
         WHERE id = $1",
        id,
        stars,
        now,
    )
    .execute(tx)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Finds a course.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Course>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT id, provider_id, title, title_folded, category, mode, price_minor, public_price_minor, currency, uri,
                state, rating_count, rating_sum, create_time, update_time
         FROM courses
         WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?
    .map(Course::try_from)
    .transpose()
}

/// Finds the course of a title and mode at a provider.
pub async fn find_by_key(
    connection: &mut PgConnection,
    new: &NewCourse,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM courses WHERE provider_id = $1 AND title_folded = $2 AND mode = $3",
        new.provider_id,
        new.content.title.folded(),
        new.content.mode.as_str(),
    )
    .fetch_optional(connection)
    .await
}

/// Returns the courses that a group of an import's rows names, locked, with the rows that stated them.
pub async fn list_known_for_update(
    tx: &mut PgConnection,
    keys: &[CourseKey],
) -> Result<Vec<(CourseKey, KnownCourse)>, sqlx::Error> {
    let providers: Vec<String> = keys.iter().map(|key| key.provider.clone()).collect();
    let titles: Vec<String> = keys.iter().map(|key| key.title.clone()).collect();
    let modes: Vec<String> = keys
        .iter()
        .map(|key| key.mode.as_str().to_owned())
        .collect();
    let rows = sqlx::query!(
        r#"SELECT courses.id, providers.display_name_folded, courses.title, courses.title_folded, courses.category,
                  courses.mode, courses.price_minor, courses.public_price_minor, courses.currency, courses.uri,
                  course_feeds.source AS "source?", course_feeds.request_id AS "request_id?",
                  course_feeds.row_number AS "row_number?"
           FROM unnest($1::text[], $2::text[], $3::text[]) AS named (provider, title, mode)
           JOIN providers ON providers.display_name_folded = named.provider
           JOIN courses
               ON courses.provider_id = providers.id
               AND courses.title_folded = named.title
               AND courses.mode = named.mode
           LEFT JOIN course_feeds ON course_feeds.course_id = courses.id
           ORDER BY courses.id
           FOR UPDATE OF courses"#,
        &providers,
        &titles,
        &modes,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let mode = row.mode.parse().map_err(decode)?;
            let key = CourseKey {
                provider: row.display_name_folded,
                title: row.title_folded.clone(),
                mode,
            };
            let price = money(row.price_minor, &row.currency)?;
            let public_price = money(row.public_price_minor, &row.currency)?;
            let content = CourseContent {
                title: Title::from_stored(row.title, row.title_folded),
                category: row.category,
                mode,
                prices: Prices::new(price, public_price).map_err(decode)?,
                uri: row.uri,
            };
            let origin = row.source.zip(row.request_id).zip(row.row_number);
            let origin = origin.map(|((source, request_id), row_number)| Origin {
                source,
                request_id,
                row_number,
            });
            let known = KnownCourse {
                id: row.id,
                content,
                origin,
            };
            Ok((key, known))
        })
        .collect()
}

/// Lists courses in the order in which they were created, maybe of one provider, after this one.
pub async fn list(
    connection: &mut PgConnection,
    provider_id: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Course>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, provider_id, title, title_folded, category, mode, price_minor, public_price_minor, currency, uri,
                state, rating_count, rating_sum, create_time, update_time
         FROM courses
         WHERE ($1::uuid IS NULL OR provider_id = $1) AND ($2::uuid IS NULL OR id > $2)
         ORDER BY id
         LIMIT $3",
        provider_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    courses(rows)
}

/// Lists published courses without regard to words, after this one.
pub async fn list_published(
    connection: &mut PgConnection,
    search: &Search,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Course>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, provider_id, title, title_folded, category, mode, price_minor, public_price_minor, currency, uri,
                state, rating_count, rating_sum, create_time, update_time
         FROM courses
         WHERE state = 'PUBLISHED'
             AND ($1::text IS NULL OR category = $1)
             AND ($2::text IS NULL OR mode = $2)
             AND ($3::uuid IS NULL OR id > $3)
         ORDER BY id
         LIMIT $4",
        search.category.as_deref(),
        search.mode.map(|mode| mode.as_str()),
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    courses(rows)
}

/// Finds published courses by words, best match first, after this rank and id.
///
/// The rank is a whole number of millionths: a page token holds exactly what the next query compares. It depends on the
/// course and the words alone, so that pages stay where they are while others are added.
pub async fn search(
    connection: &mut PgConnection,
    search: &Search,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<(i64, Course)>, sqlx::Error> {
    let (after_rank, after_id) = after.unzip();
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT courses.*, (ts_rank(search_vector, words, 1) * 1000000)::bigint AS rank
               FROM courses, websearch_to_tsquery('pg_catalog.indonesian', $1) AS words
               WHERE search_vector @@ words
                   AND state = 'PUBLISHED'
                   AND ($2::text IS NULL OR category = $2)
                   AND ($3::text IS NULL OR mode = $3)
           )
           SELECT id, provider_id, title, title_folded, category, mode, price_minor, public_price_minor, currency, uri,
                  state, rating_count, rating_sum, create_time, update_time, rank AS "rank!"
           FROM found
           WHERE $4::bigint IS NULL OR rank < $4 OR (rank = $4 AND id > $5)
           ORDER BY rank DESC, id
           LIMIT $6"#,
        search.words,
        search.category.as_deref(),
        search.mode.map(|mode| mode.as_str()),
        after_rank,
        after_id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let course = Row {
                id: row.id,
                provider_id: row.provider_id,
                title: row.title,
                title_folded: row.title_folded,
                category: row.category,
                mode: row.mode,
                price_minor: row.price_minor,
                public_price_minor: row.public_price_minor,
                currency: row.currency,
                uri: row.uri,
                state: row.state,
                rating_count: row.rating_count,
                rating_sum: row.rating_sum,
                create_time: row.create_time,
                update_time: row.update_time,
            };
            Ok((row.rank, Course::try_from(course)?))
        })
        .collect()
}
