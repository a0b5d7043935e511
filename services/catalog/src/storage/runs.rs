//! The table `runs`. Its seat counts are written by the triggers on `seat_holds` alone.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::money;
use crate::domain::run::{NewRun, Run};

struct Row {
    id: Uuid,
    course_id: Uuid,
    provider_id: Uuid,
    course_title: String,
    course_category: String,
    seat_count: i64,
    taken_seat_count: i64,
    start_time: OffsetDateTime,
    end_time: OffsetDateTime,
    price_minor: i64,
    currency: String,
    create_time: OffsetDateTime,
}

impl TryFrom<Row> for Run {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Run, sqlx::Error> {
        Ok(Run {
            id: row.id,
            course_id: row.course_id,
            provider_id: row.provider_id,
            course_title: row.course_title,
            course_category: row.course_category,
            seat_count: row.seat_count,
            taken_seat_count: row.taken_seat_count,
            start_time: row.start_time,
            end_time: row.end_time,
            price: money(row.price_minor, &row.currency)?,
            create_time: row.create_time,
        })
    }
}

/// Inserts a run at the price that its course has now.
pub async fn insert(
    tx: &mut PgConnection,
    id: Uuid,
    new: &NewRun,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO runs (id, course_id, seat_count, start_time, end_time, price_minor, currency, create_time)
         SELECT $1, id, $3, $4, $5, price_minor, currency, $6
         FROM courses
         WHERE id = $2",
        id,
        new.course_id,
        new.seat_count,
        new.start_time,
        new.end_time,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Finds a run.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<Run>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT runs.id, runs.course_id, courses.provider_id, courses.title AS course_title,
                courses.category AS course_category, runs.seat_count, runs.taken_seat_count, runs.start_time,
                runs.end_time, runs.price_minor, runs.currency, runs.create_time
         FROM runs
         JOIN courses ON courses.id = runs.course_id
         WHERE runs.id = $1",
        id,
    )
    .fetch_optional(connection)
    .await?
    .map(Run::try_from)
    .transpose()
}

/// Returns these runs, locked in the order of their ids. Whoever writes seat holds takes their runs first.
pub async fn list_for_update(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Run>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT runs.id, runs.course_id, courses.provider_id, courses.title AS course_title,
                courses.category AS course_category, runs.seat_count, runs.taken_seat_count, runs.start_time,
                runs.end_time, runs.price_minor, runs.currency, runs.create_time
         FROM runs
         JOIN courses ON courses.id = runs.course_id
         WHERE runs.id = ANY($1)
         ORDER BY runs.id
         FOR NO KEY UPDATE OF runs",
        ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter().map(Run::try_from).collect()
}

/// Locks those of these runs that nobody else has locked.
pub async fn claim(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM runs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
        ids,
    )
    .fetch_all(tx)
    .await
}

/// Lists runs in the order in which they were created, maybe of one course, after this one.
pub async fn list(
    connection: &mut PgConnection,
    course_id: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Run>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT runs.id, runs.course_id, courses.provider_id, courses.title AS course_title,
                courses.category AS course_category, runs.seat_count, runs.taken_seat_count, runs.start_time,
                runs.end_time, runs.price_minor, runs.currency, runs.create_time
         FROM runs
         JOIN courses ON courses.id = runs.course_id
         WHERE ($1::uuid IS NULL OR runs.course_id = $1) AND ($2::uuid IS NULL OR runs.id > $2)
         ORDER BY runs.id
         LIMIT $3",
        course_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Run::try_from).collect()
}
