//! The registry away, slow, wrong, or fast.

use std::time::Duration;

use futures::future::join_all;
use proto::identity::v1::person::State;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    registry::Behaviour,
    world::{CONCURRENCY_MAX, World, eventually, national_id, submission},
};

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_outage_leaves_a_person_pending(db: PgPool) {
    let world = World::start(db).await;
    let account = world.pending(&national_id(1)).await;

    for outage in [
        Behaviour::Status(401),
        Behaviour::Status(404),
        Behaviour::Status(429),
        Behaviour::Status(503),
        Behaviour::Hangs,
        Behaviour::Says("<html>maintenance</html>"),
        Behaviour::Says(r#"{"result":"MATCH"}"#),
        Behaviour::Says(r#"{"result":"MISMATCH","fields":[]}"#),
        Behaviour::Says(r#"{"result":"MISMATCH","fields":["Siti Aminah"]}"#),
    ] {
        world.registry.behaves(outage.clone());
        let calls = world.registry.seen().calls;
        // A worker of its own for each, so that the breaker of one does not spare the next.
        let answered = world.verifier().verify_round().await.unwrap();

        assert_eq!(
            (answered, world.registry.seen().calls),
            (0, calls + 1),
            "{outage:?}"
        );
        assert_eq!(world.state(&account).await, State::Pending, "{outage:?}");
        // Past the growing delay before the next attempt.
        world.clock.advance_by(time::Duration::seconds(61));
    }
    assert_eq!(
        world.events(&account).await,
        ["bekal.identity.v1.AccountCreated"]
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn after_an_outage_persons_are_verified_by_themselves(db: PgPool) {
    let world = World::start(db).await;
    world.registry.behaves(Behaviour::Status(503));
    world.verifier().start(&world.tasks);
    let account = world.pending(&national_id(1)).await;
    eventually("the registry was asked in vain", || async {
        world.registry.seen().calls >= 2
    })
    .await;
    assert_eq!(world.state(&account).await, State::Pending);

    world.registry.behaves(Behaviour::Answers(Duration::ZERO));

    eventually("the person is verified", || async {
        world.state(&account).await == State::Verified
    })
    .await;
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_submission_wakes_the_worker_at_once(db: PgPool) {
    let world = World::start(db).await;
    world.verifier().start(&world.tasks);
    let account = world.account("siti@contoh.id").await;

    let started = tokio::time::Instant::now();
    world
        .persons()
        .submit_identity(submission(&account, &national_id(1)))
        .await
        .unwrap();
    eventually("the person is verified", || async {
        world.state(&account).await == State::Verified
    })
    .await;

    assert!(
        started.elapsed() < Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn the_breaker_bounds_the_calls_of_an_outage(db: PgPool) {
    let world = World::start(db).await;
    let accounts = join_all((0..100).map(|i| async move { national_id(i) })).await;
    join_all(accounts.iter().map(|id| world.pending(id))).await;
    world.registry.behaves(Behaviour::Status(503));

    let verifier = world.verifier();
    for _ in 0..20 {
        verifier.verify_round().await.unwrap();
        world.clock.advance_by(time::Duration::seconds(61));
    }
    let during = world.registry.seen().calls;
    world.registry.behaves(Behaviour::Answers(Duration::ZERO));
    eventually("everybody is verified", || async {
        verifier.verify_round().await.unwrap();
        world.clock.advance_by(time::Duration::seconds(61));
        pending_count(&world.db).await == 0
    })
    .await;

    // Five failures open it, and those under way then may fail as well.
    assert!(during < 5 + CONCURRENCY_MAX, "{during}");
    assert!(world.registry.seen().calls <= during + 100 + 1);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn questions_are_bounded_and_side_by_side(db: PgPool) {
    let world = World::start(db).await;
    let ids: Vec<String> = (0..120).map(national_id).collect();
    join_all(ids.iter().map(|id| world.pending(id))).await;
    world
        .registry
        .behaves(Behaviour::Answers(Duration::from_millis(10)));

    let verifier = world.verifier();
    let mut answered = 0;
    while pending_count(&world.db).await > 0 {
        answered += verifier.verify_round().await.unwrap();
    }

    assert_eq!(answered, 120);
    assert_eq!(
        world.registry.seen().calls,
        120,
        "nobody is asked about twice"
    );
    assert_eq!(world.registry.seen().concurrent_max, CONCURRENCY_MAX);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn replicas_share_the_persons(db: PgPool) {
    let world = World::start(db).await;
    let ids: Vec<String> = (0..60).map(national_id).collect();
    join_all(ids.iter().map(|id| world.pending(id))).await;

    let verifiers = [world.verifier(), world.verifier(), world.verifier()];
    let rounds = join_all(
        verifiers
            .iter()
            .map(|verifier| async { while verifier.verify_round().await.unwrap() > 0 {} }),
    );
    rounds.await;

    assert_eq!(pending_count(&world.db).await, 0);
    assert_eq!(world.registry.seen().calls, 60);
    let events = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM outbox WHERE type = 'bekal.identity.v1.PersonVerified'"#
    );
    assert_eq!(events.fetch_one(&world.db).await.unwrap(), 60);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn who_was_left_by_a_worker_that_died_is_taken_up_when_its_lease_ends(db: PgPool) {
    let world = World::start(db).await;
    let account = world.pending(&national_id(1)).await;
    world.registry.behaves(Behaviour::Hangs);
    let died =
        tokio::time::timeout(Duration::from_millis(100), world.verifier().verify_round()).await;
    assert!(died.is_err());
    world.registry.behaves(Behaviour::Answers(Duration::ZERO));

    let too_early = world.verifier().verify_round().await.unwrap();
    world.clock.advance_by(time::Duration::seconds(13));
    let taken_up = world.verifier().verify_round().await.unwrap();

    assert_eq!((too_early, taken_up), (0, 1));
    assert_eq!(world.state(&account).await, State::Verified);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_registry_that_hangs_does_not_hold_up_the_end_of_the_process(db: PgPool) {
    let world = World::start(db).await;
    world.registry.behaves(Behaviour::Hangs);
    let slow = world.verifier_with_timeout(Duration::from_secs(60));
    slow.start(&world.tasks);
    world.pending(&national_id(1)).await;
    eventually("the registry is asked", || async {
        world.registry.seen().calls == 1
    })
    .await;

    let ended = world.tasks.shutdown(Duration::from_secs(5)).await;

    assert!(ended.is_ok());
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_answer_counts_for_the_submission_that_was_asked_about(db: PgPool) {
    let world = World::start(db).await;
    let account = world.pending(&national_id(1)).await;
    world
        .registry
        .behaves(Behaviour::Answers(Duration::from_millis(300)));

    // A slow worker's answer arrives after its lease, when another one was told of a mismatch and the person has
    // corrected the submission.
    let slow = world.verifier();
    let late = slow.verify_round();
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.registry.behaves(Behaviour::Answers(Duration::ZERO));
        world.registry.answers(
            &national_id(1),
            json!({ "result": "MISMATCH", "fields": ["full_name"] }),
        );
        world.clock.advance_by(time::Duration::seconds(13));
        world.verifier().verify_round().await.unwrap();
        world
            .persons()
            .submit_identity(submission(&account, &national_id(2)))
            .await
            .unwrap();
    };
    let (_, ()) = tokio::join!(late, meanwhile);

    assert_eq!(world.state(&account).await, State::Pending);
    assert_eq!(
        world.events(&account).await,
        [
            "bekal.identity.v1.AccountCreated",
            "bekal.identity.v1.PersonMismatched"
        ]
    );
}

async fn pending_count(db: &PgPool) -> i64 {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM persons WHERE state = 'PENDING'"#)
        .fetch_one(db)
        .await
        .unwrap()
}
