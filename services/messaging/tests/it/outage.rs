//! The broker or the database goes away and comes back.

use std::time::Duration;

use chassis::config::Secret;
use messaging::{Broker, Relay, consumer};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::stage::{
    Changed, DEAD, PATIENCE, Proxy, QUEUE, Recorder, Stage, TAKER, TELLER, eventually, message_of,
    number, pool, put_by,
};

#[sqlx::test]
async fn a_broker_that_closes_all_connections_costs_no_event(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    const EVENTS: u32 = 300;
    let stage = Stage::new(options).await;
    let (_, relay) = stage.teller().await;
    stage.taker().await;
    stage.await_queue(QUEUE).await;

    let mut closed = 0;
    for version in 1..=EVENTS {
        stage.tell("things/1", version).await;
        relay.wake();
        if version % 100 == 50 {
            eventually("there was a connection to close", || async {
                stage.management().close_connections().await > 0
            })
            .await;
            closed += 1;
        }
    }

    assert_eq!(closed, 3);
    stage
        .await_effects("things/1", &(1..=i64::from(EVENTS)).collect::<Vec<i64>>())
        .await;
    stage.await_empty_outbox().await;
    assert!(stage.is_empty(DEAD).await);
}

#[sqlx::test]
async fn events_told_while_the_broker_is_unreachable_arrive_when_it_is_back(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options.clone()).await;
    let proxy = Proxy::to(stage.broker_address(), true).await;
    let broker = stage.broker_at(&stage.broker_url_by(proxy.port));
    let tasks = stage.tasks();
    let relay = Relay::start(&tasks, pool(&options).await, broker.clone(), TELLER);
    consumer::start(
        &tasks,
        pool(&options).await,
        broker,
        TAKER,
        Recorder::default(),
    );
    stage.tell("things/1", 1).await;
    relay.wake();
    stage.await_effects("things/1", &[1]).await;

    proxy.cut();
    stage.tell("things/1", 2).await;
    relay.wake();
    stage.tell("things/1", 3).await;
    relay.wake();
    assert_eq!(stage.outbox_count().await, 2);
    proxy.restore();

    stage.await_effects("things/1", &[1, 2, 3]).await;
    stage.await_empty_outbox().await;
}

#[sqlx::test]
async fn readiness_waits_for_the_topology_and_outlives_the_broker(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options.clone()).await;
    let proxy = Proxy::to(stage.broker_address(), false).await;
    let broker = stage.broker_at(&stage.broker_url_by(proxy.port));
    let tasks = stage.tasks();
    Relay::start(&tasks, pool(&options).await, broker.clone(), TELLER);
    consumer::start(
        &tasks,
        pool(&options).await,
        broker.clone(),
        TAKER,
        Recorder::default(),
    );

    let early = tokio::time::timeout(Duration::from_millis(300), broker.ready()).await;
    assert!(early.is_err(), "ready without a broker");
    proxy.restore();

    tokio::time::timeout(PATIENCE, broker.ready())
        .await
        .unwrap();
    proxy.cut();
    broker.ready().await;
    assert!(stage.is_empty(QUEUE).await);
}

#[sqlx::test]
async fn an_address_that_is_none_is_never_ready(_: PgPoolOptions, options: PgConnectOptions) {
    let broker = Broker::new(&Secret::new("nonsense"), "test");
    let tasks = chassis::task::Tasks::new(&tokio_util::sync::CancellationToken::new());

    Relay::start(&tasks, pool(&options).await, broker.clone(), TELLER);

    assert!(
        tokio::time::timeout(Duration::from_millis(200), broker.ready())
            .await
            .is_err()
    );
    tasks.shutdown(PATIENCE).await.unwrap();
}

#[sqlx::test]
async fn nothing_is_given_up_while_the_database_is_away(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let stage = Stage::new(options).await;
    let target = number(&stage.pool, "SELECT inet_server_port()").await;
    let proxy = Proxy::to(format!("127.0.0.1:{target}"), true).await;
    let database = stage.database_options().host("127.0.0.1").port(proxy.port);
    let tasks = stage.tasks();
    let quick = PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_millis(300));
    let quick = quick.connect_with(database).await.unwrap();
    consumer::start(&tasks, quick, stage.broker(), TAKER, Recorder::default());
    stage.await_queue(QUEUE).await;
    let (_connection, channel) = stage.channel().await;
    let put = async |version: u32| {
        let body = prost::Message::encode_to_vec(&Changed {
            version,
            note: String::new(),
        });
        let id = Uuid::now_v7();
        let properties = message_of(id, "things/1").with_message_id(id.to_string().into());
        put_by(&channel, QUEUE, properties, &body).await;
    };
    put(1).await;
    stage.await_effects("things/1", &[1]).await;

    proxy.cut();
    for version in 2..=20 {
        put(version).await;
    }
    eventually("the consumer holds all that came", || stage.is_empty(QUEUE)).await;
    proxy.restore();

    stage
        .await_effects("things/1", &(1..=20).collect::<Vec<i64>>())
        .await;
    assert!(stage.is_empty(DEAD).await);
    assert!(stage.is_empty("taker.teller-events.retry-1s").await);
}
