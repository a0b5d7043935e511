//! The way in: once in effect, whatever comes twice, fails or comes too early.

use messaging::{
    Event, HandleError,
    consumer::{Taken, take_in},
};
use prost::Message;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::stage::{
    Changed, DEAD, NOW, QUEUE, Recorder, Stage, eventually, message_of, number, sql,
};

fn body(version: u32) -> Vec<u8> {
    Changed {
        version,
        note: String::new(),
    }
    .encode_to_vec()
}

#[sqlx::test]
async fn an_event_that_is_delivered_twice_has_one_effect(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    stage.await_queue(QUEUE).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());

    // Twice in what will be one batch, and once more later.
    stage
        .put(QUEUE, message_of(first, "things/1"), &body(1))
        .await;
    stage
        .put(QUEUE, message_of(first, "things/1"), &body(1))
        .await;
    stage
        .put(QUEUE, message_of(second, "things/1"), &body(2))
        .await;
    stage.taker().await;
    stage.await_effects("things/1", &[1, 2]).await;
    stage
        .put(QUEUE, message_of(first, "things/1"), &body(1))
        .await;
    stage.tell("things/1", 3).await;

    stage.await_effects("things/1", &[1, 2, 3]).await;
    assert_eq!(
        number(
            &stage.pool,
            "SELECT count(*) FROM inbox WHERE consumer = 'taker.teller-events'"
        )
        .await,
        3
    );
}

#[sqlx::test]
async fn a_service_can_take_in_an_event_without_a_broker(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    let event = Event::of(
        "things/1",
        NOW,
        &Changed {
            version: 1,
            note: String::new(),
        },
    );

    let first = take_in(&stage.pool, QUEUE, &event, &Recorder::default()).await;
    let second = take_in(&stage.pool, QUEUE, &event, &Recorder::default()).await;

    assert!(matches!(
        (first, second),
        (Ok(Taken::New), Ok(Taken::Repeat))
    ));
    assert_eq!(stage.effects("things/1").await, [1]);
}

#[sqlx::test]
async fn an_event_that_cannot_have_its_effect_leaves_no_trace_and_can_come_again(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    let event = Event::of(
        "things/1",
        NOW,
        &Changed {
            version: 1,
            note: "reject".to_owned(),
        },
    );

    let refused = take_in(&stage.pool, QUEUE, &event, &Recorder::default()).await;

    assert!(matches!(refused, Err(HandleError::Reject(_))));
    assert_eq!(
        number(
            &stage.pool,
            "SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM effects)"
        )
        .await,
        0
    );
}

#[sqlx::test]
async fn an_event_that_comes_before_what_it_needs_waits_for_it(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    sql(
        &stage.pool,
        "CREATE TABLE parents (id text); CREATE TABLE children (parent text)",
    )
    .await;
    stage.teller().await;
    stage.taker().await;

    stage.tell_note("things/2", 1, "after things/1").await;
    stage.tell("things/3", 1).await;
    stage.await_effects("things/3", &[1]).await;
    eventually("the early event was handled and parked", || async {
        stage.outbox_count().await == 0
    })
    .await;
    assert_eq!(stage.effects("things/2").await, Vec::<i64>::new());
    sql(&stage.pool, "INSERT INTO parents VALUES ('things/1')").await;

    stage.await_effects("things/2", &[1]).await;
    assert_eq!(
        number(&stage.pool, "SELECT count(*) FROM children").await,
        1
    );
    assert!(stage.is_empty(DEAD).await);
}

#[sqlx::test]
async fn a_replica_that_stops_finishes_what_it_has_in_hand(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    let first = Recorder {
        replica: "first".to_owned(),
        ..Recorder::default()
    };
    let tasks = stage.taker_with(first.clone()).await;
    stage.await_queue(QUEUE).await;
    stage.tell_note("things/1", 1, "wait").await;
    first.begun.notified().await;
    let second = Recorder {
        replica: "second".to_owned(),
        ..Recorder::default()
    };
    stage.taker_with(second).await;
    stage.tell("things/1", 2).await;

    tasks.stopping().cancel();
    first.go_on.notify_one();
    stage.stop(tasks).await;

    stage.await_effects("things/1", &[1, 2]).await;
    let by_first = "SELECT count(*) FROM effects WHERE replica = 'first' AND version = 1";
    assert_eq!(number(&stage.pool, by_first).await, 1);
    assert!(stage.is_empty(QUEUE).await);
}

#[sqlx::test]
async fn two_replicas_take_turns_without_touching_the_order(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    const EVENTS: u32 = 400;
    let stage = Stage::new(options).await;
    let (_, relay) = stage.teller().await;
    let first = stage
        .taker_with(Recorder {
            replica: "first".to_owned(),
            ..Recorder::default()
        })
        .await;
    let _second = stage
        .taker_with(Recorder {
            replica: "second".to_owned(),
            ..Recorder::default()
        })
        .await;
    stage.await_queue(QUEUE).await;

    for version in 1..=EVENTS / 2 {
        stage.tell("things/1", version).await;
        relay.wake();
    }
    stage.stop(first).await;
    for version in EVENTS / 2 + 1..=EVENTS {
        stage.tell("things/1", version).await;
        relay.wake();
    }

    stage
        .await_effects("things/1", &(1..=i64::from(EVENTS)).collect::<Vec<i64>>())
        .await;
}
