//! The road of an event, with the crate that all services use: outbox to quorum queue against bare publishing with
//! confirms, and queue to inbox and one row of effect against bare consuming with acknowledgements; the bare messages have
//! the form of events.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chassis::{config::Secret, task::Tasks};
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, LongString},
};
use messaging::{
    Broker, Event, HandleError, Handler, Producer, Relay, Route, Subscription, consumer,
};
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use tests::{
    broker::VirtualHost, keys::random_hex, postgres::Databases, process::Service, stack::Stack,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Fault,
    report::{Aim, Figure, Line, Size, median},
    sql,
};

/// Events, in all rounds.
pub(crate) const SIZE: u64 = 300_000;
const ROUNDS: u64 = 3;

/// As long as an event of one thing is.
const BODY_BYTES: usize = 200;
/// Things that the events are about.
const SUBJECTS: u64 = 10_000;
/// The outstanding confirms with which the broker is fastest.
const WINDOW: usize = 2_048;
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;
/// What every service's pool has.
const POOL_SIZE: u32 = 12;
const PERSISTENT: u8 = 2;

const TYPE: &str = "bekal.load.v1.ThingChanged";
const QUEUE: &str = "taker.teller-events";
const TELLER: Producer = Producer {
    service: "teller",
    routes: &[Route {
        r#type: TYPE,
        consumers: &["taker"],
    }],
};
const TAKER: &[Subscription] = &[Subscription {
    consumer: "taker",
    producer: "teller",
    types: &[TYPE],
}];

/// The tables of every service's database that the crate works on.
const TABLES: &str = include_str!("../../services/messaging/migrations/0002_messaging.sql");

/// A database and a virtual host.
struct Road {
    databases: Databases,
    host: VirtualHost,
    pool: PgPool,
}

/// Writes a row for each event, and notes when the first and the last came.
#[derive(Clone, Default)]
struct Effects {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Clone, Copy, Default)]
struct Taken {
    count: u64,
    first: Option<Instant>,
}

/// Sends events down the road, and others past it.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let count = size.wanted / ROUNDS;
    let (mut published, mut relayed) = (Vec::new(), Vec::new());
    let (mut consumed, mut taken) = (Vec::new(), Vec::new());
    // A new road for each round: what earlier rounds left behind slows neither side.
    for _ in 0..ROUNDS {
        let road = Road::build().await?;
        published.push(Figure::rate(count, road.publish(count).await?));
        relayed.push(Figure::rate(count, road.relay(count).await?));
        consumed.push(Figure::rate(count, road.consume(count).await?));
        taken.push(Figure::rate(count, road.take_in(count).await?));
        road.tear_down().await;
    }
    let line = |name: &str, figures, yardstick: &str, yardsticks, least| {
        let (figure, other) = median(figures).zip(median(yardsticks)).ok_or("no round")?;
        Ok::<Line, Fault>(Line {
            name: name.to_owned(),
            figure,
            yardstick: Some((yardstick.to_owned(), other)),
            aim: Aim::ShareMin(least),
        })
    };
    Ok(vec![
        line("relay", relayed, "publish, confirm", published, 700)?,
        line("take in", taken, "consume, ack every 100", consumed, 600)?,
    ])
}

// === impl Road ===

impl Road {
    async fn build() -> Result<Road, Fault> {
        let stack = Stack::find()?;
        let id = format!("load_{}", &random_hex()[..8]);
        // Any service's name will do.
        let databases = Databases::create(&stack.database_url, &id, &[Service::Jobs]).await;
        let host = VirtualHost::create(&stack.broker_url, &stack.broker_management_url, &id).await;
        let url = databases.url(Service::Jobs);
        let pool = PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .connect(&url)
            .await?;
        let mut connection = PgConnection::connect(&url).await?;
        sql::execute(&mut connection, TABLES).await?;
        let effects = "CREATE TABLE effects (event_id uuid PRIMARY KEY, subject text NOT NULL)";
        sql::execute(&mut connection, effects).await?;
        Ok(Road {
            databases,
            host,
            pool,
        })
    }

    fn broker(&self) -> Broker {
        Broker::new(&Secret::new(self.host.url()), "load")
    }

    async fn connection(&self) -> Result<PgConnection, Fault> {
        Ok(PgConnection::connect(&self.databases.url(Service::Jobs)).await?)
    }

    async fn channel(&self) -> Result<(Connection, Channel), Fault> {
        let connection =
            Connection::connect(&self.host.url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    /// Publishes messages like the relay's with a window of confirms, and nothing else.
    async fn publish(&self, count: u64) -> Result<Duration, Fault> {
        let (_connection, channel) = self.channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let mut quorum = FieldTable::default();
        let kind = AMQPValue::LongString(LongString::from("quorum"));
        quorum.insert("x-queue-type".into(), kind);
        channel
            .queue_declare("bare".into(), QueueDeclareOptions::durable(), quorum)
            .await?;
        let body = [7; BODY_BYTES];
        let properties = properties();
        let mut outstanding = VecDeque::with_capacity(WINDOW);
        let start = Instant::now();
        for _ in 0..count {
            if outstanding.len() == WINDOW {
                confirmed(outstanding.pop_front()).await?;
            }
            let confirm = channel
                .basic_publish(
                    "".into(),
                    "bare".into(),
                    BasicPublishOptions::default(),
                    &body,
                    properties.clone(),
                )
                .await?;
            outstanding.push_back(confirm);
        }
        while !outstanding.is_empty() {
            confirmed(outstanding.pop_front()).await?;
        }
        Ok(start.elapsed())
    }

    /// Commits events to the outbox and waits until it is empty.
    async fn relay(&self, count: u64) -> Result<Duration, Fault> {
        let tasks = Tasks::new(&CancellationToken::new());
        let broker = self.broker();
        let relay = Relay::start(&tasks, self.pool.clone(), broker.clone(), TELLER);
        broker.ready().await;
        let mut connection = self.connection().await?;
        // Version 7, as services make them.
        let insert = format!(
            "INSERT INTO outbox (id, type, subject, time, body)
             SELECT overlay(lpad(to_hex(1800000000000 + number), 12, '0') || '7' || substr(md5(number::text), 1, 19)
                            PLACING '8' FROM 17)::uuid,
                    '{TYPE}', 'things/' || number % {SUBJECTS}, now(), decode(repeat('07', {BODY_BYTES}), 'hex')
             FROM generate_series(1, {count}) AS number"
        );
        sql::execute(&mut connection, insert).await?;
        let start = Instant::now();
        relay.wake();
        while sql::value(&mut connection, "SELECT EXISTS (SELECT FROM outbox)").await? {
            sleep(Duration::from_millis(50)).await;
        }
        let took = start.elapsed();
        tasks.shutdown(Duration::from_secs(10)).await?;
        Ok(took)
    }

    /// Takes what [`Road::publish`] published, from the first delivery to the last acknowledgement.
    async fn consume(&self, count: u64) -> Result<Duration, Fault> {
        let (_connection, channel) = self.channel().await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let mut deliveries = channel
            .basic_consume("bare".into(), "".into(), options, arguments)
            .await?;
        let mut start = None;
        for number in 1..=count {
            let delivery = deliveries.next().await.ok_or("the broker broke off")??;
            start.get_or_insert_with(Instant::now);
            if number % ACK_EVERY == 0 || number == count {
                delivery.ack(BasicAckOptions { multiple: true }).await?;
            }
        }
        Ok(start.map(|start| start.elapsed()).unwrap_or_default())
    }

    /// Takes what the relay published into the database, from the first event to the last commit.
    async fn take_in(&self, count: u64) -> Result<Duration, Fault> {
        let tasks = Tasks::new(&CancellationToken::new());
        let effects = Effects::default();
        consumer::start(
            &tasks,
            self.pool.clone(),
            self.broker(),
            TAKER,
            effects.clone(),
        );
        while effects.taken().count < count {
            sleep(Duration::from_millis(5)).await;
        }
        let mut connection = self.connection().await?;
        let query = format!(
            "SELECT count(*) FROM effects JOIN inbox USING (event_id) WHERE consumer = '{QUEUE}'"
        );
        // The last events have been handled; now they are committed.
        loop {
            let rows: i64 = sql::value(&mut connection, query.as_str()).await?;
            if rows.unsigned_abs() == count {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        let took = effects.taken().first.ok_or("no event came")?.elapsed();
        tasks.shutdown(Duration::from_secs(10)).await?;
        Ok(took)
    }

    async fn tear_down(self) {
        self.pool.close().await;
        self.databases.drop_all(&[Service::Jobs]).await;
        self.host.delete().await;
    }
}

/// What an event's message has beside its body.
fn properties() -> BasicProperties {
    let id = Uuid::now_v7().to_string();
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", &id),
        ("type", TYPE),
        ("source", "/bekal/teller"),
        ("subject", "things/1234"),
        ("time", "2026-11-24T02:00:00.123456Z"),
    ] {
        let value = AMQPValue::LongString(LongString::from(value));
        headers.insert(format!("cloudEvents:{name}").into(), value);
    }
    BasicProperties::default()
        .with_content_type("application/protobuf".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
        .with_headers(headers)
}

async fn confirmed(confirm: Option<lapin::PublisherConfirm>) -> Result<(), Fault> {
    let confirm = confirm.ok_or("nothing is outstanding")?.await?;
    if confirm.is_ack() {
        Ok(())
    } else {
        Err("the broker refused a message".into())
    }
}

// === impl Effects ===

impl Effects {
    fn taken(&self) -> Taken {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Effects {
    async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
        self.handle_run(tx, QUEUE, &[event]).await
    }

    async fn handle_run(
        &self,
        tx: &mut PgConnection,
        _queue: &str,
        events: &[&Event],
    ) -> Result<(), HandleError> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        let subjects: Vec<&str> = events.iter().map(|event| event.subject.as_str()).collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "the table is the benchmark's own: no cache of queries knows it"
        )]
        let insert = sqlx::query(
            "INSERT INTO effects (event_id, subject) SELECT * FROM unnest($1::uuid[], $2::text[])",
        );
        insert.bind(ids).bind(subjects).execute(tx).await?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.count += events.len() as u64;
        taken.first.get_or_insert_with(Instant::now);
        Ok(())
    }
}
