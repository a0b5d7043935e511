//! The way out: nothing lost, nothing that was not committed, order within a subject.

use std::{collections::HashSet, time::Duration};

use messaging::outbox;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::sleep;

use crate::stage::{
    Changed, DEAD, Ignored, NOW, QUEUE, Stage, eventually, execute, number, numbers, pool, sql,
};

#[sqlx::test]
async fn a_row_left_by_a_crash_before_publishing_goes_out_with_the_next_relay(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.taker().await;
    stage.tell("things/1", 1).await;

    stage.teller().await;

    stage.await_effects("things/1", &[1]).await;
    stage.await_empty_outbox().await;
}

#[sqlx::test]
async fn a_crash_between_confirm_and_delete_publishes_twice_and_has_one_effect(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    // The delete waits until the test lets it go on: by then the broker has confirmed.
    let mut gate = stage.pool.acquire().await.unwrap();
    execute(&mut gate, "SELECT pg_advisory_lock(7)")
        .await
        .unwrap();
    sql(
        &stage.pool,
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
         CREATE TRIGGER wait BEFORE DELETE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION wait()",
    )
    .await;
    let (tasks, _) = stage.teller().await;
    stage.tell("things/1", 1).await;
    let waiting =
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted";
    eventually("the relay waits in its delete", || async {
        numbers(&stage.pool, waiting).await.len() == 1
    })
    .await;

    // Either relay of the process may take the row up once more before it ends, and dies as well.
    tasks.stopping().cancel();
    let mut died = HashSet::new();
    let crash = async {
        loop {
            for relay in numbers(&stage.pool, waiting).await {
                died.insert(relay);
                sql(
                    &stage.pool,
                    &format!("SELECT pg_terminate_backend({relay})"),
                )
                .await;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = crash => {}
        () = stage.stop(tasks) => {}
    }
    let copies = u32::try_from(died.len()).unwrap();
    assert!(copies > 0);
    execute(&mut gate, "SELECT pg_advisory_unlock(7)")
        .await
        .unwrap();
    assert_eq!(stage.outbox_count().await, 1);
    stage.teller().await;
    stage.await_empty_outbox().await;

    stage.tell("things/1", 2).await;
    stage.await_empty_outbox().await;
    stage.await_waiting(QUEUE, copies + 2).await;
    stage.taker().await;
    stage.await_effects("things/1", &[1, 2]).await;
}

#[sqlx::test]
async fn rows_that_become_visible_out_of_order_all_go_out(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.taker().await;
    let (_, relay) = stage.teller().await;
    let mut slow = stage.pool.begin().await.unwrap();
    let event = Changed {
        version: 1,
        note: String::new(),
    };
    outbox::append(&mut slow, "things/1", NOW, &event)
        .await
        .unwrap();

    stage.tell("things/2", 1).await;
    relay.wake();
    stage.await_effects("things/2", &[1]).await;
    assert_eq!(stage.effects("things/1").await, Vec::<i64>::new());
    slow.commit().await.unwrap();

    stage.await_effects("things/1", &[1]).await;
}

// Writers in many transactions at once, some long, some rolled back, some with two subjects in one; two relays.
#[sqlx::test]
async fn two_relays_keep_the_order_of_each_subject(_: PgPoolOptions, options: PgConnectOptions) {
    const SUBJECTS: u32 = 12;
    const WRITERS: u32 = 8;
    const ROUNDS: u32 = 60;
    let stage = Stage::new(options.clone()).await;
    sql(
        &stage.pool,
        "CREATE TABLE things (id int PRIMARY KEY, version int NOT NULL DEFAULT 0);
         INSERT INTO things SELECT id FROM generate_series(0, 11) AS id",
    )
    .await;
    let (_, first) = stage.teller().await;
    let (_, second) = stage.teller().await;
    stage.taker().await;
    let wire = stage.listen().await;

    let writers = pool(&options).await;
    let writing = (0..WRITERS).map(|writer| {
        let (writers, first, second) = (writers.clone(), first.clone(), second.clone());
        async move {
            for round in 0..ROUNDS {
                // A fixed mixture instead of chance: each writer walks through the subjects in steps of its own.
                let thing = (writer * 5 + round * (1 + writer % 5)) % SUBJECTS;
                let mut tx = writers.begin().await.unwrap();
                let change = format!(
                    "UPDATE things SET version = version + 1 WHERE id = {thing} RETURNING version"
                );
                let version = sqlx::raw_sql(sqlx::AssertSqlSafe(change))
                    .fetch_one(&mut *tx)
                    .await
                    .unwrap();
                let version: &str = sqlx::Row::get_unchecked(&version, 0);
                let event = Changed {
                    version: version.parse().unwrap(),
                    note: String::new(),
                };
                outbox::append(&mut tx, &format!("things/{thing}"), NOW, &event)
                    .await
                    .unwrap();
                if round % 7 == writer % 7 {
                    execute(&mut tx, "SELECT pg_sleep(0.03)").await.unwrap();
                }
                if round % 11 == writer {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                    if writer % 2 == 0 {
                        first.wake()
                    } else {
                        second.wake()
                    }
                }
            }
        }
    });
    futures::future::join_all(writing).await;

    let written = number(&stage.pool, "SELECT sum(version) FROM things").await;
    eventually("all events took effect", || async {
        number(&stage.pool, "SELECT count(*) FROM effects").await == written
    })
    .await;
    let copies = wire.hear(usize::try_from(written).unwrap()).await;
    for thing in 0..SUBJECTS {
        let subject = format!("things/{thing}");
        let last = number(
            &stage.pool,
            &format!("SELECT version FROM things WHERE id = {thing}"),
        )
        .await;
        let versions: Vec<i64> = (1..=last).collect();
        assert_eq!(stage.effects(&subject).await, versions);
        // Also on the wire, where the inbox has not yet dropped any copy: without a fault nothing goes out twice.
        assert_eq!(copies.get(&subject), Some(&versions));
    }
    stage.await_empty_outbox().await;
}

#[sqlx::test]
async fn a_lane_in_work_leaves_the_other_lanes_to_the_next_relay(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.taker().await;
    stage.teller().await;
    let mut other = stage.pool.begin().await.unwrap();
    // As a relay does that waits for its confirms.
    execute(
        &mut other,
        "SELECT pg_advisory_xact_lock(x'6f757462'::int, (hashtext('things/1') & 15))",
    )
    .await
    .unwrap();
    stage.tell("things/1", 1).await;
    let elsewhere = number(
        &stage.pool,
        "SELECT id FROM generate_series(2, 100) AS id
         WHERE hashtext('things/' || id) & 15 <> hashtext('things/1') & 15 LIMIT 1",
    )
    .await;

    stage.tell(&format!("things/{elsewhere}"), 1).await;

    stage
        .await_effects(&format!("things/{elsewhere}"), &[1])
        .await;
    assert_eq!(stage.outbox_count().await, 1);
    other.rollback().await.unwrap();
    stage.await_effects("things/1", &[1]).await;
}

#[sqlx::test]
async fn more_than_one_pass_holds_goes_out_in_order(_: PgPoolOptions, options: PgConnectOptions) {
    let stage = Stage::new(options).await;
    let events: Vec<Changed> = (1..=3000)
        .map(|version| Changed {
            version,
            note: String::new(),
        })
        .collect();
    let events: Vec<(&str, &Changed)> = events.iter().map(|event| ("things/1", event)).collect();
    // Beside it some events larger than a pass may be.
    let large = Changed {
        version: 1,
        note: "x".repeat(5 * 1024 * 1024),
    };
    let mut tx = stage.pool.begin().await.unwrap();
    for _ in 0..3 {
        outbox::append(&mut tx, "things/2", NOW, &large)
            .await
            .unwrap();
    }
    outbox::append_all(&mut tx, NOW, &events).await.unwrap();
    tx.commit().await.unwrap();

    stage.teller().await;
    stage.taker().await;

    stage
        .await_effects("things/1", &(1..=3000).collect::<Vec<i64>>())
        .await;
    stage.await_effects("things/2", &[1, 1, 1]).await;
    stage.await_empty_outbox().await;
}

#[sqlx::test]
async fn an_event_that_nobody_takes_does_not_block_the_others(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.taker().await;
    let mut tx = stage.pool.begin().await.unwrap();
    outbox::append(&mut tx, "things/1", NOW, &Ignored {})
        .await
        .unwrap();
    tx.commit().await.unwrap();
    stage.tell("things/1", 1).await;

    stage.teller().await;

    stage.await_effects("things/1", &[1]).await;
    stage.await_empty_outbox().await;
}

#[sqlx::test]
async fn events_for_a_consumer_that_never_ran_wait_for_it(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    stage.teller().await;
    stage.tell("things/1", 1).await;
    stage.await_empty_outbox().await;

    stage.taker().await;

    stage.await_effects("things/1", &[1]).await;
}

#[sqlx::test]
async fn an_event_without_its_queue_stays_until_the_queue_is_mended(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    let (_, relay) = stage.teller().await;
    stage.await_queue(QUEUE).await;
    stage.tell("things/1", 1).await;
    stage.await_empty_outbox().await;

    // With the first event in it, which is lost with the queue: an operator's doing.
    stage.management().drop_queue(QUEUE).await;
    stage.tell("things/1", 2).await;
    relay.wake();

    stage.await_empty_outbox().await;
    stage.taker().await;
    stage.await_effects("things/1", &[2]).await;
}

#[sqlx::test]
async fn what_was_committed_before_the_stop_leaves_with_it(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    let (tasks, relay) = stage.teller().await;
    stage.tell("things/1", 1).await;
    relay.wake();
    stage.await_empty_outbox().await;

    // Nobody wakes the relay: only the stop can make it look at once.
    stage.tell("things/1", 2).await;
    tokio::time::timeout(Duration::from_secs(10), stage.stop(tasks))
        .await
        .unwrap();

    assert_eq!(stage.outbox_count().await, 0);
    stage.taker().await;
    stage.await_effects("things/1", &[1, 2]).await;
    assert!(stage.is_empty(DEAD).await);
}
