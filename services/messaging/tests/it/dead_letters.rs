//! What never works: set apart with its reason, out of the way of the rest, and given back by a command.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use lapin::{
    BasicProperties,
    options::{BasicConsumeOptions, BasicNackOptions},
    types::FieldTable,
};
use messaging::{Event, HandleError, Handler, dead_letters};
use sqlx::{
    PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

use crate::stage::{DEAD, QUEUE, Recorder, Stage, message_of, number, sql};

#[sqlx::test]
async fn a_poison_message_is_set_apart_and_the_others_have_their_effect(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.tell("things/1", 1).await;
    stage.tell_note("things/1", 2, "reject").await;
    stage.tell("things/1", 3).await;
    stage.teller().await;
    stage.await_empty_outbox().await;

    stage.taker().await;

    stage.await_effects("things/1", &[1, 3]).await;
    let letter = stage.fetch(DEAD).await;
    assert_eq!(
        letter.header("bekal-dead-reason").as_deref(),
        Some("the note says so")
    );
    assert_eq!(letter.header("bekal-attempts").as_deref(), Some("1"));
    assert_eq!(
        letter.header("cloudEvents:subject").as_deref(),
        Some("things/1")
    );
    assert_eq!(letter.content_type(), Some("application/protobuf"));
    assert!(letter.has_header("bekal-first-failure-time") && letter.has_header("bekal-dead-time"));
}

#[sqlx::test]
async fn dead_letters_are_replayed_by_one_command(_: PgPoolOptions, options: PgConnectOptions) {
    /// As a service before and after its mistake is mended.
    struct Mended(Recorder);
    impl Handler for Mended {
        async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
            match self.0.handle(tx, event).await {
                Err(HandleError::Reject(_)) => Ok(()),
                ended => ended,
            }
        }
    }
    let stage = Stage::new(options).await;
    stage.teller().await;
    let broken = stage.taker().await;
    for version in 1..=3 {
        stage.tell_note("things/1", version, "reject").await;
    }
    stage.await_waiting(DEAD, 3).await;

    // Replayed into a service that still has its mistake, they die again, and the command comes to its end.
    assert_eq!(
        dead_letters::replay(&stage.broker(), QUEUE, u32::MAX)
            .await
            .unwrap(),
        3
    );
    stage.await_waiting(DEAD, 3).await;
    stage.stop(broken).await;
    stage.taker_with(Mended(Recorder::default())).await;
    assert_eq!(
        dead_letters::replay(&stage.broker(), DEAD, 1)
            .await
            .unwrap(),
        1
    );
    stage.await_effects("things/1", &[1]).await;
    assert_eq!(
        dead_letters::replay(&stage.broker(), QUEUE, u32::MAX)
            .await
            .unwrap(),
        2
    );

    stage.await_effects("things/1", &[1, 2, 3]).await;
    assert_eq!(
        dead_letters::replay(&stage.broker(), QUEUE, u32::MAX)
            .await
            .unwrap(),
        0
    );
}

#[sqlx::test]
async fn a_message_that_is_no_event_is_set_apart(_: PgPoolOptions, options: PgConnectOptions) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    stage.taker().await;
    stage.await_queue(QUEUE).await;

    stage.put(QUEUE, BasicProperties::default(), b"hello").await;

    let letter = stage.fetch(DEAD).await;
    assert_eq!(
        letter.header("bekal-dead-reason").as_deref(),
        Some("not an event: the attribute specversion is missing")
    );
    assert_eq!(letter.body(), b"hello");
}

#[sqlx::test]
async fn a_damaged_body_is_set_apart(_: PgPoolOptions, options: PgConnectOptions) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    stage.taker().await;
    stage.await_queue(QUEUE).await;

    stage
        .put(QUEUE, message_of(Uuid::now_v7(), "things/1"), &[0xff, 0xff])
        .await;

    let reason = stage.fetch(DEAD).await.header("bekal-dead-reason").unwrap();
    assert!(
        reason.starts_with("the body of bekal.test.v1.Changed is damaged"),
        "{reason}"
    );
}

#[sqlx::test]
async fn a_handler_that_panics_costs_its_event_and_not_the_process(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    let tasks = stage.taker().await;

    stage.tell_note("things/1", 1, "panic").await;
    stage.tell("things/1", 2).await;

    stage.await_effects("things/1", &[2]).await;
    assert_eq!(
        stage
            .fetch(DEAD)
            .await
            .header("bekal-dead-reason")
            .as_deref(),
        Some("the handler panicked")
    );
    stage.stop(tasks).await;
}

#[sqlx::test]
async fn an_error_that_a_handler_swallows_is_not_taken_for_an_effect(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    stage.taker().await;

    stage.tell_note("things/1", 1, "swallow").await;

    let letter = stage.fetch(DEAD).await;
    assert_eq!(
        letter.header("bekal-dead-reason").as_deref(),
        Some("the database refused (25P02)")
    );
    assert_eq!(number(&stage.pool, "SELECT count(*) FROM inbox").await, 0);
}

#[sqlx::test]
async fn an_event_whose_need_never_comes_is_given_up_in_the_end(
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
    stage.await_queue(QUEUE).await;

    // As it comes back from the last of its waits, three hours later.
    let id = Uuid::now_v7();
    let mut headers = message_of(id, "things/1").headers().clone().unwrap();
    headers.insert(
        "bekal-attempts".into(),
        lapin::types::AMQPValue::LongLongInt(31),
    );
    headers.insert(
        "bekal-first-failure-time".into(),
        lapin::types::AMQPValue::LongString("2026-11-24T07:00:00Z".into()),
    );
    let body = prost::Message::encode_to_vec(&crate::stage::Changed {
        version: 1,
        note: "after things/0".to_owned(),
    });
    stage
        .put(
            QUEUE,
            message_of(id, "things/1").with_headers(headers),
            &body,
        )
        .await;

    let letter = stage.fetch(DEAD).await;
    assert_eq!(
        letter.header("bekal-dead-reason").as_deref(),
        Some("the parent things/0")
    );
    assert_eq!(letter.header("bekal-attempts").as_deref(), Some("32"));
    assert_eq!(
        letter.header("bekal-first-failure-time").as_deref(),
        Some("2026-11-24T07:00:00Z")
    );
}

/// What a process does that dies of the same message again and again.
#[sqlx::test]
async fn a_message_that_comes_back_too_often_is_given_up_by_the_broker(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    stage.await_queue(QUEUE).await;
    stage.tell("things/1", 1).await;
    stage.await_empty_outbox().await;

    let (_connection, channel) = stage.channel().await;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(QUEUE.into(), "".into(), options, FieldTable::default())
        .await
        .unwrap();
    let mut returned = 0;
    // Until the broker delivers it no more.
    while let Ok(Some(letter)) = timeout(Duration::from_secs(2), deliveries.next()).await {
        letter
            .unwrap()
            .nack(BasicNackOptions {
                multiple: false,
                requeue: true,
            })
            .await
            .unwrap();
        returned += 1;
    }

    assert_eq!(returned, 201);
    let letter = stage.fetch(DEAD).await;
    assert!(letter.has_header("x-death"));
    assert_eq!(
        letter.header("cloudEvents:subject").as_deref(),
        Some("things/1")
    );
}

#[sqlx::test]
async fn a_passing_fault_holds_the_event_and_what_follows(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    /// Fails until it is told that the fault has passed.
    struct Faulty {
        recorder: Recorder,
        failed: Arc<Notify>,
        passed: Arc<std::sync::atomic::AtomicBool>,
    }
    impl Handler for Faulty {
        async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
            if self.passed.load(std::sync::atomic::Ordering::Relaxed) {
                return self.recorder.handle(tx, event).await;
            }
            self.failed.notify_one();
            Err(HandleError::retry("not now"))
        }
    }
    let stage = Stage::new(options).await;
    stage.teller().await;
    let (failed, passed) = (
        Arc::new(Notify::new()),
        Arc::new(std::sync::atomic::AtomicBool::new(false)),
    );
    let faulty = Faulty {
        recorder: Recorder::default(),
        failed: Arc::clone(&failed),
        passed: Arc::clone(&passed),
    };
    stage.taker_with(faulty).await;

    for version in 1..=5 {
        stage.tell("things/1", version).await;
    }
    for _ in 0..4 {
        failed.notified().await;
    }
    assert!(stage.is_empty("taker.teller-events.retry-1s").await);
    passed.store(true, std::sync::atomic::Ordering::Relaxed);

    stage.await_effects("things/1", &[1, 2, 3, 4, 5]).await;
    assert!(stage.is_empty(DEAD).await);
}

#[sqlx::test]
async fn one_that_is_rejected_in_a_run_leaves_the_others_their_effects(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    /// Handles a run at once, and notes its length.
    struct Together {
        recorder: Recorder,
        runs: Arc<std::sync::Mutex<Vec<usize>>>,
    }
    impl Handler for Together {
        async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
            self.recorder.handle(tx, event).await
        }

        async fn handle_run(
            &self,
            tx: &mut PgConnection,
            _queue: &str,
            events: &[&Event],
        ) -> Result<(), HandleError> {
            for event in events {
                self.recorder.handle(tx, event).await?;
            }
            self.runs.lock().unwrap().push(events.len());
            Ok(())
        }
    }
    let stage = Stage::new(options).await;
    for version in 1..=20 {
        let note = if version == 7 { "reject" } else { "" };
        stage.tell_note("things/1", version, note).await;
    }
    stage.teller().await;
    stage.await_empty_outbox().await;
    let runs = Arc::new(std::sync::Mutex::new(Vec::new()));
    let together = Together {
        recorder: Recorder::default(),
        runs: Arc::clone(&runs),
    };

    stage.taker_with(together).await;

    let others: Vec<i64> = (1..=20).filter(|version| *version != 7).collect();
    stage.await_effects("things/1", &others).await;
    let letter = stage.fetch(DEAD).await;
    assert_eq!(
        letter.header("bekal-dead-reason").as_deref(),
        Some("the note says so")
    );
    assert_eq!(runs.lock().unwrap().iter().sum::<usize>(), 19);
}
