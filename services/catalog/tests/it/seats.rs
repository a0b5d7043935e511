//! Holding, confirming and releasing seats.

use futures::future::join_all;
use proto::catalog::v1::{self as pb, seat_hold::State};
use sqlx::PgPool;
use time::Duration;
use tonic::Code;
use uuid::Uuid;

use crate::world::{
    START, World, confirm_of, fields, metadata, new_hold, reason, release_of, rupiah, timestamp,
};

async fn hold(world: &World, request: &pb::HoldSeatRequest) -> Result<pb::SeatHold, String> {
    let answer = world.runs().hold_seat(request.clone()).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|refused| reason(&refused))
}

async fn confirm(world: &World, request: &pb::HoldSeatRequest) -> Result<pb::SeatHold, String> {
    let answer = world.runs().confirm_seat(confirm_of(request)).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|refused| reason(&refused))
}

async fn release(world: &World, request: &pb::HoldSeatRequest) -> Result<pb::SeatHold, String> {
    let answer = world.runs().release_seat(release_of(request)).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|refused| reason(&refused))
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_hold_tells_what_is_bought(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(5).await;
    let request = new_hold(&run);

    let held = hold(&world, &request).await.unwrap();

    let expected = pb::SeatHold {
        name: request.name,
        run: run.name.clone(),
        account: request.account,
        state: State::Held.into(),
        expire_time: request.expire_time,
        price: Some(rupiah(150_000)),
        course: run.course.clone(),
        provider: run.provider.clone(),
        course_title: "Dasar Barista untuk Pemula".to_owned(),
        course_category: "Makanan dan Minuman".to_owned(),
        run_start_time: run.start_time,
        run_end_time: run.end_time,
    };
    assert_eq!(held, expected);
    assert_eq!(world.taken_seats(&run).await, 1);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn two_hundred_at_once_for_fifty_seats_get_exactly_fifty(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let run = world.a_run(50).await;

    let calls = (0..200).map(|i| {
        let world = if i % 2 == 0 { &world } else { &other };
        let request = new_hold(&run);
        async move { hold(world, &request).await }
    });
    let answers = join_all(calls).await;

    let refused: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused, vec!["SEATS_TAKEN"; 150]);
    assert_eq!(world.taken_seats(&run).await, 50);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn holds_of_many_runs_share_their_batches(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let runs = [
        world.a_run(10).await,
        world.a_run(20).await,
        world.a_run(30).await,
    ];

    let calls = (0..150).map(|i| {
        let world = if i % 2 == 0 { &world } else { &other };
        let request = new_hold(&runs[i % 3]);
        async move {
            let held = hold(world, &request).await;
            if held.is_ok() && i % 4 == 0 {
                release(world, &request).await.unwrap();
            } else if held.is_ok() {
                confirm(world, &request).await.unwrap();
            }
        }
    });
    join_all(calls).await;

    for run in &runs {
        let taken = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM seat_holds
               WHERE run_id = $1::text::uuid AND state IN ('HELD', 'CONFIRMED')"#,
            run.name.trim_start_matches("runs/"),
        );
        let taken = taken.fetch_one(&world.db).await.unwrap();
        assert_eq!(world.taken_seats(run).await, taken);
        assert!(taken <= run.seat_count);
    }
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn the_same_hold_at_once_takes_one_seat(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let run = world.a_run(5).await;
    let request = new_hold(&run);

    let calls = (0..40).map(|i| {
        let world = if i % 2 == 0 { &world } else { &other };
        hold(world, &request)
    });
    let answers = join_all(calls).await;

    let first = answers[0].clone().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref() == Ok(&first)));
    assert_eq!(world.taken_seats(&run).await, 1);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn an_id_is_for_one_run_and_account(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let (run, elsewhere) = (world.a_run(5).await, world.a_run(5).await);
    let request = new_hold(&run);
    let for_other_run = pb::HoldSeatRequest {
        run: elsewhere.name.clone(),
        ..request.clone()
    };
    let for_other_account = pb::HoldSeatRequest {
        account: format!("accounts/{}", Uuid::now_v7()),
        ..request.clone()
    };

    // Both runs at once: one of the two is the id's, and the other has lost nothing.
    let (first, second) = tokio::join!(hold(&world, &request), hold(&other, &for_other_run));
    let (kept, lost) = if first.is_ok() {
        (&request, &for_other_run)
    } else {
        (&for_other_run, &request)
    };
    let refused = if first.is_ok() { second } else { first };

    assert_eq!(refused, Err("REQUEST_ID_REUSED".to_owned()));
    assert_eq!(
        hold(&world, lost).await,
        Err("REQUEST_ID_REUSED".to_owned())
    );
    assert_eq!(
        hold(&world, &for_other_account).await,
        Err("REQUEST_ID_REUSED".to_owned())
    );
    assert_eq!(
        release(&world, lost).await,
        Err("REQUEST_ID_REUSED".to_owned())
    );
    assert!(hold(&world, kept).await.is_ok());
    assert_eq!(
        world.taken_seats(&run).await + world.taken_seats(&elsewhere).await,
        1
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_seat_is_confirmed_once_and_given_back_once(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(1).await;
    let request = new_hold(&run);
    hold(&world, &request).await.unwrap();

    for _ in 0..2 {
        assert_eq!(
            confirm(&world, &request).await.unwrap().state(),
            State::Confirmed
        );
    }
    assert_eq!(
        hold(&world, &request).await.unwrap().state(),
        State::Confirmed
    );
    assert_eq!(
        hold(&world, &new_hold(&run)).await,
        Err("SEATS_TAKEN".to_owned())
    );
    for _ in 0..2 {
        assert_eq!(
            release(&world, &request).await.unwrap().state(),
            State::Released
        );
    }

    assert_eq!(world.taken_seats(&run).await, 0);
    assert_eq!(
        confirm(&world, &request).await,
        Err("HOLD_ENDED".to_owned())
    );
    assert!(hold(&world, &new_hold(&run)).await.is_ok());
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_release_before_its_hold_keeps_the_seat_free(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(1).await;
    let request = new_hold(&run);

    let released = release(&world, &request).await.unwrap();
    let late = hold(&world, &request).await.unwrap();

    assert_eq!(
        (released.state(), late.state()),
        (State::Released, State::Released)
    );
    assert_eq!(world.taken_seats(&run).await, 0);
    assert_eq!(
        confirm(&world, &request).await,
        Err("HOLD_ENDED".to_owned())
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn holding_and_releasing_at_once_leaves_nothing_held(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let run = world.a_run(100).await;

    let calls = (0..60).map(|_| {
        let request = new_hold(&run);
        let (world, other) = (&world, &other);
        async move { tokio::join!(hold(world, &request), release(other, &request)) }
    });
    let answers = join_all(calls).await;

    assert!(
        answers
            .iter()
            .all(|(held, released)| held.is_ok() && released.is_ok())
    );
    assert_eq!(world.taken_seats(&run).await, 0);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_hold_that_is_not_known_cannot_be_confirmed(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(1).await;

    let refused = world
        .runs()
        .confirm_seat(confirm_of(&new_hold(&run)))
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::NotFound);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn what_cannot_be_held_is_refused_with_its_reason(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(1).await;
    let unknown = pb::Run {
        name: format!("runs/{}", Uuid::now_v7()),
        ..pb::Run::default()
    };

    let not_found = world
        .runs()
        .hold_seat(new_hold(&unknown))
        .await
        .unwrap_err();
    world.runs().hold_seat(new_hold(&run)).await.unwrap();
    let taken = world.runs().hold_seat(new_hold(&run)).await.unwrap_err();
    world.clock.advance_to(START + Duration::days(7));
    let late = pb::HoldSeatRequest {
        expire_time: Some(timestamp(world.clock.now() + Duration::MINUTE)),
        ..new_hold(&run)
    };
    let ended = world.runs().hold_seat(late).await.unwrap_err();

    assert_eq!(
        (not_found.code(), metadata(&not_found, "name")),
        (Code::NotFound, unknown.name)
    );
    assert_eq!(
        (taken.code(), reason(&taken).as_str()),
        (Code::ResourceExhausted, "SEATS_TAKEN")
    );
    assert_eq!(metadata(&taken, "run"), run.name);
    assert_eq!(
        (ended.code(), reason(&ended).as_str()),
        (Code::FailedPrecondition, "RUN_ENDED")
    );
    assert_eq!(metadata(&ended, "run"), run.name);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn every_violation_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(1).await;
    let too_long = pb::HoldSeatRequest {
        expire_time: Some(timestamp(START + Duration::seconds(3_601))),
        ..new_hold(&run)
    };
    let passed = pb::HoldSeatRequest {
        expire_time: Some(timestamp(START)),
        ..new_hold(&run)
    };

    let empty = world
        .runs()
        .hold_seat(pb::HoldSeatRequest::default())
        .await
        .unwrap_err();
    let too_long = world.runs().hold_seat(too_long).await.unwrap_err();
    let passed = world.runs().hold_seat(passed).await.unwrap_err();
    let release = world
        .runs()
        .release_seat(pb::ReleaseSeatRequest::default())
        .await
        .unwrap_err();

    assert_eq!(fields(&empty), ["name", "run", "account", "expire_time"]);
    assert_eq!(
        (fields(&too_long), fields(&passed)),
        (
            vec!["expire_time".to_owned()],
            vec!["expire_time".to_owned()]
        )
    );
    assert_eq!(fields(&release), ["name", "run", "account"]);
}
