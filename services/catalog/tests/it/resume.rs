//! Imports that are cut, repeated, or run side by side.

use std::time::Duration;

use futures::future::join_all;
use proto::r#type::v1::import_row_result::State;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    feed::{header, import, plain, states},
    world::{World, fresh_id},
};

const LIMIT: Duration = Duration::from_secs(20);

async fn course_count(world: &World) -> i64 {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM courses"#);
    count.fetch_one(&world.db).await.unwrap()
}

fn rows(numbers: std::ops::RangeInclusive<i64>) -> Vec<proto::catalog::v1::ImportCoursesRequest> {
    numbers
        .map(|number| plain(number, &format!("Kelas Las {number}"), "Rp 20.000"))
        .collect()
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_cut_import_goes_on_after_its_last_committed_row(db: PgPool) {
    let world = World::start(db).await;
    let id = fresh_id();

    // The first stream gives 30 rows, sees them answered, and is cut.
    let (parts, receiver) = mpsc::channel(100);
    parts.send(header(&id, "isw")).await.unwrap();
    let mut cut = world
        .courses()
        .import_courses(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    for part in rows(1..=30) {
        parts.send(part).await.unwrap();
    }
    let mut answered = 0;
    while answered < 30 {
        let answer = tokio::time::timeout(LIMIT, cut.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        answered += answer.progress.unwrap().results.len();
    }
    drop(cut);
    drop(parts);

    // The second gives the whole file again, as one that does not look at where to go on.
    let mut whole = rows(1..=40);
    whole.insert(0, header(&id, "isw"));
    let (resume_after, results) = import(&world, whole).await.unwrap();

    assert_eq!(resume_after, 30);
    let states = states(&results);
    assert!(states[..30].iter().all(|state| *state == State::Unchanged));
    assert!(states[30..].iter().all(|state| *state == State::Created));
    assert_eq!(course_count(&world).await, 40);
    assert_eq!(world.outbox().await.len(), 40);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_committed_row_changes_nothing_more(db: PgPool) {
    let world = World::start(db).await;
    let id = fresh_id();
    let first = vec![
        header(&id, "isw"),
        plain(1, "Las Dasar", "Rp 20.000"),
        plain(2, "Las Pipa", ""),
    ];
    import(&world, first).await.unwrap();

    let changed = vec![
        header(&id, "isw"),
        plain(1, "Las Dasar", "Gratis"),
        plain(2, "Las Pipa", "Gratis"),
    ];
    let (_, results) = import(&world, changed).await.unwrap();

    assert_eq!(states(&results), [State::Unchanged, State::Refused]);
    assert!(results[0].warnings[0].description.contains("course_price"));
    assert_eq!(course_count(&world).await, 1);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn streams_of_one_import_at_once_take_each_row_once(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let id = fresh_id();

    let streams = (0..6).map(|i| {
        let world = if i % 2 == 0 { &world } else { &other };
        let mut parts = rows(1..=700);
        parts.insert(0, header(&id, "isw"));
        import(world, parts)
    });
    let answers = join_all(streams).await;

    let created = answers.into_iter().flat_map(|answer| answer.unwrap().1);
    let created = created
        .filter(|result| result.state() == State::Created)
        .count();
    assert_eq!(created, 700);
    assert_eq!(course_count(&world).await, 700);
    assert_eq!(world.outbox().await.len(), 700);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn imports_of_the_same_courses_at_once_create_each_once(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;

    let streams = (0..6).map(|i| {
        let world = if i % 2 == 0 { &world } else { &other };
        let mut parts = rows(1..=300);
        // Not in one order, so that they meet in different places.
        if i % 3 == 0 {
            parts = (1..=300)
                .map(|i| plain(i, &format!("Kelas Las {}", 301 - i), "Rp 20.000"))
                .collect();
        }
        parts.insert(0, header(&fresh_id(), if i < 3 { "isw" } else { "karier" }));
        import(world, parts)
    });
    let answers = join_all(streams).await;

    let results: Vec<_> = answers
        .into_iter()
        .flat_map(|answer| answer.unwrap().1)
        .collect();
    assert_eq!(results.len(), 1_800);
    assert_eq!(
        results
            .iter()
            .filter(|result| result.state() == State::Created)
            .count(),
        300
    );
    assert_eq!(course_count(&world).await, 300);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_caller_that_takes_no_answers_is_not_read_from(db: PgPool) {
    let world = World::start(db).await;
    // Long titles and many refusals make the answers large enough to fill every buffer on the way.
    let long = "x".repeat(4_000);
    let (parts, receiver) = mpsc::channel(1);
    parts.send(header(&fresh_id(), "isw")).await.unwrap();
    let stream = world
        .courses()
        .import_courses(ReceiverStream::new(receiver))
        .await
        .unwrap();

    let mut sent = 0_i64;
    while sent < 100_000 {
        sent += 1;
        let row = plain(sent, &long, "Rp 20.000");
        // The server has stopped reading when nothing more is taken for a while.
        if tokio::time::timeout(Duration::from_secs(2), parts.send(row))
            .await
            .is_err()
        {
            break;
        }
    }

    assert!(sent < 100_000, "everything was taken while no answer was");
    drop(stream);
}
