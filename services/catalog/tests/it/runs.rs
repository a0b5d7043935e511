//! `RunService` without seats.

use futures::future::join_all;
use proto::catalog::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::world::{START, World, fields, fresh_id, metadata, new_run, reason, rupiah, timestamp};

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_run_keeps_the_price_of_the_day_it_was_created(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih").await;
    let course = world.a_course(&provider, "Dasar Barista").await;
    let request = pb::CreateRunRequest {
        request_id: fresh_id(),
        run: Some(new_run(&course, 30)),
    };

    let calls = (0..8).map(|_| {
        let (mut runs, request) = (world.runs(), request.clone());
        async move { runs.create_run(request).await.unwrap().into_inner() }
    });
    let answers = join_all(calls).await;
    sqlx::query!("UPDATE courses SET price_minor = 1")
        .execute(&world.db)
        .await
        .unwrap();

    let run = answers[0].clone();
    assert!(answers.iter().all(|answer| *answer == run));
    assert_eq!(run.price, Some(rupiah(150_000)));
    assert_eq!(
        (run.provider.as_str(), run.seat_count, run.taken_seat_count),
        (provider.name.as_str(), 30, 0)
    );
    let found = world
        .runs()
        .get_run(pb::GetRunRequest {
            name: run.name.clone(),
        })
        .await
        .unwrap();
    assert_eq!(found.into_inner(), run);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn only_a_published_course_has_runs(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih").await;
    let course = world.a_course(&provider, "Dasar Barista").await;
    let unknown = pb::Course {
        name: "courses/7f8f2f52-4f5e-4b52-9d0e-111111111111".to_owned(),
        ..pb::Course::default()
    };
    // No method retires a course yet.
    sqlx::query!("UPDATE courses SET state = 'RETIRED'")
        .execute(&world.db)
        .await
        .unwrap();
    let create = |course: &pb::Course| {
        let mut runs = world.runs();
        let request = pb::CreateRunRequest {
            request_id: fresh_id(),
            run: Some(new_run(course, 30)),
        };
        async move { runs.create_run(request).await.unwrap_err() }
    };

    let refused = create(&course).await;
    let not_found = create(&unknown).await;

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "COURSE_NOT_PUBLISHED")
    );
    assert_eq!(
        (metadata(&refused, "course"), metadata(&refused, "state")),
        (course.name, "RETIRED".to_owned())
    );
    assert_eq!(not_found.code(), Code::NotFound);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn every_violation_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let run = pb::Run {
        course: "Dasar Barista".to_owned(),
        seat_count: 10_000_001,
        start_time: Some(timestamp(START)),
        end_time: Some(timestamp(START)),
        ..pb::Run::default()
    };
    let request = pb::CreateRunRequest {
        request_id: "x".to_owned(),
        run: Some(run),
    };

    let refused = world.runs().create_run(request).await.unwrap_err();

    assert_eq!(
        fields(&refused),
        ["request_id", "run.course", "run.seat_count", "run.end_time"]
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn runs_are_listed_oldest_first_and_by_course(db: PgPool) {
    let world = World::start(db).await;
    let (first, second) = (world.a_run(1).await, world.a_run(2).await);

    let list = |course: &str, page_token: &str| {
        let mut runs = world.runs();
        let request = pb::ListRunsRequest {
            page_size: 1,
            page_token: page_token.to_owned(),
            course: course.to_owned(),
        };
        async move { runs.list_runs(request).await.unwrap().into_inner() }
    };
    let page = list("", "").await;
    let rest = list("", &page.next_page_token).await;
    let own = list(&second.course, "").await;

    assert_eq!(
        (page.runs, rest.runs, rest.next_page_token),
        (vec![first], vec![second.clone()], String::new())
    );
    assert_eq!(own.runs, [second]);
}
