//! Holds that run out.

use futures::future::join_all;
use proto::catalog::v1::{self as pb, seat_hold::State};
use sqlx::PgPool;
use time::Duration;

use crate::world::{START, World, confirm_of, metadata, new_hold, reason, release_of, timestamp};

const RUN_OUT: time::OffsetDateTime = START.saturating_add(Duration::minutes(10));

async fn held(world: &World, run: &pb::Run, count: usize) -> Vec<pb::HoldSeatRequest> {
    let requests: Vec<_> = (0..count).map(|_| new_hold(run)).collect();
    let calls = requests.iter().map(|request| {
        let (mut runs, request) = (world.runs(), request.clone());
        async move { runs.hold_seat(request).await.unwrap() }
    });
    join_all(calls).await;
    requests
}

/// Asks again, for a time that is still ahead.
fn later_hold(world: &World, run: &pb::Run) -> pb::HoldSeatRequest {
    pb::HoldSeatRequest {
        expire_time: Some(timestamp(world.clock.now() + Duration::MINUTE)),
        ..new_hold(run)
    }
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn the_sweeper_gives_back_what_ran_out_and_nothing_else(db: PgPool) {
    let world = World::start(db).await;
    let (run, other_run) = (world.a_run(10).await, world.a_run(10).await);
    let holds = held(&world, &run, 3).await;
    held(&world, &other_run, 2).await;
    world
        .runs()
        .confirm_seat(confirm_of(&holds[0]))
        .await
        .unwrap();

    world.clock.advance_to(RUN_OUT - Duration::SECOND);
    assert_eq!(world.app.expire_holds().await.unwrap(), 0);
    world.clock.advance_to(RUN_OUT);
    assert_eq!(world.app.expire_holds().await.unwrap(), 4);
    assert_eq!(world.app.expire_holds().await.unwrap(), 0);

    assert_eq!(
        (
            world.taken_seats(&run).await,
            world.taken_seats(&other_run).await
        ),
        (1, 0)
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn sweepers_side_by_side_give_each_seat_back_once(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let run = world.a_run(60).await;
    held(&world, &run, 60).await;
    world.clock.advance_to(RUN_OUT);

    let rounds = (0..8).map(|i| if i % 2 == 0 { &world } else { &other }.app.expire_holds());
    let expired: i64 = join_all(rounds).await.into_iter().map(Result::unwrap).sum();

    assert_eq!(expired, 60);
    assert_eq!(world.taken_seats(&run).await, 0);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_seat_that_ran_out_is_free_at_once(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(2).await;
    let holds = held(&world, &run, 2).await;
    world.clock.advance_to(RUN_OUT);

    // No sweeper has run.
    let next = world.runs().hold_seat(later_hold(&world, &run)).await;
    let repeat = world
        .runs()
        .hold_seat(holds[0].clone())
        .await
        .unwrap()
        .into_inner();

    assert!(next.is_ok());
    assert_eq!(repeat.state(), State::Expired);
    assert_eq!(world.taken_seats(&run).await, 1);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_hold_that_ran_out_has_ended_also_before_the_sweeper_comes(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(2).await;
    let holds = held(&world, &run, 2).await;
    world.clock.advance_to(RUN_OUT);

    let before = world
        .runs()
        .confirm_seat(confirm_of(&holds[0]))
        .await
        .unwrap_err();
    let released = world
        .runs()
        .release_seat(release_of(&holds[1]))
        .await
        .unwrap()
        .into_inner();
    world.app.expire_holds().await.unwrap();
    let after = world
        .runs()
        .confirm_seat(confirm_of(&holds[0]))
        .await
        .unwrap_err();
    let given_back = world
        .runs()
        .release_seat(release_of(&holds[0]))
        .await
        .unwrap()
        .into_inner();

    for refused in [before, after] {
        assert_eq!(reason(&refused), "HOLD_ENDED");
        assert_eq!(
            (metadata(&refused, "seat_hold"), metadata(&refused, "state")),
            (holds[0].name.clone(), "EXPIRED".to_owned())
        );
    }
    assert_eq!(
        (released.state(), given_back.state()),
        (State::Released, State::Expired)
    );
    assert_eq!(world.taken_seats(&run).await, 0);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_seat_is_confirmed_or_expired_and_never_both(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(80).await;
    let holds = held(&world, &run, 80).await;

    let confirmations = holds.iter().enumerate().map(|(i, hold)| {
        let (mut runs, request, clock) = (world.runs(), confirm_of(hold), world.clock.clone());
        async move {
            if i == 20 {
                clock.advance_to(RUN_OUT);
            }
            runs.confirm_seat(request)
                .await
                .map_err(|refused| reason(&refused))
        }
    });
    let sweeps = async {
        let mut expired = 0;
        for _ in 0..20 {
            expired += world.app.expire_holds().await.unwrap();
            tokio::task::yield_now().await;
        }
        expired
    };
    let (answers, expired) = tokio::join!(join_all(confirmations), sweeps);
    let expired = expired + world.app.expire_holds().await.unwrap();

    let confirmed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|reason| reason == "HOLD_ENDED")
    );
    let confirmed = i64::try_from(confirmed).unwrap();
    assert_eq!(world.taken_seats(&run).await, confirmed);
    assert_eq!(confirmed + expired, 80);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn the_database_refuses_what_the_code_must_never_do(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(1).await;
    let holds = held(&world, &run, 1).await;
    world
        .runs()
        .release_seat(release_of(&holds[0]))
        .await
        .unwrap();

    let revived = sqlx::query!("UPDATE seat_holds SET state = 'HELD'")
        .execute(&world.db)
        .await;
    let deleted = sqlx::query!("DELETE FROM seat_holds")
        .execute(&world.db)
        .await;
    let oversold = sqlx::query!(
        "INSERT INTO seat_holds (id, run_id, account_id, state, expire_time, create_time, update_time)
         SELECT gen_random_uuid(), runs.id, gen_random_uuid(), 'HELD', now(), now(), now()
         FROM runs, generate_series(1, 2)",
    )
    .execute(&world.db)
    .await;

    assert!(revived.is_err() && deleted.is_err());
    let oversold = oversold.unwrap_err();
    assert_eq!(
        chassis::db::constraint(&oversold),
        Some("runs_taken_seat_count_check")
    );
}
