//! A database, a virtual host of the broker, and the simplest services on them.

use std::{collections::HashMap, fmt::Display, future::Future, sync::Mutex, time::Duration};

use chassis::{
    config::{Env, Secret},
    task::Tasks,
};
use futures::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    message::BasicGetMessage,
    options::{
        BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
        QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};
use messaging::{Broker, Handler, Producer, Relay, Route, Subscription, outbox};
use sqlx::{PgPool, postgres::PgConnectOptions};
use time::{OffsetDateTime, macros::datetime};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod database;
mod management;
mod proxy;
mod recorder;

pub(crate) use database::{execute, number, numbers, pool, sql};
use management::Management;
pub(crate) use proxy::Proxy;
pub(crate) use recorder::Recorder;

/// Long enough for a slow machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);
pub(crate) const QUEUE: &str = "taker.teller-events";
const EXCHANGE: &str = "teller.events";
pub(crate) const DEAD: &str = "taker.teller-events.dead";

pub(crate) const TELLER: Producer = Producer {
    service: "teller",
    routes: &[
        Route {
            r#type: "bekal.test.v1.Changed",
            consumers: &["taker"],
        },
        Route {
            r#type: "bekal.test.v1.Ignored",
            consumers: &[],
        },
    ],
};
pub(crate) const TAKER: &[Subscription] = &[Subscription {
    consumer: "taker",
    producer: "teller",
    types: &["bekal.test.v1.Changed"],
}];

/// A thing has a new version. The words of its note tell the test's handler what to do.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Changed {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(string, tag = "2")]
    pub(crate) note: String,
}

impl prost::Name for Changed {
    const NAME: &'static str = "Changed";
    const PACKAGE: &'static str = "bekal.test.v1";
}

/// An event that nobody takes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ignored {}

impl prost::Name for Ignored {
    const NAME: &'static str = "Ignored";
    const PACKAGE: &'static str = "bekal.test.v1";
}

/// One test's own world. Its virtual host goes when it is dropped.
pub(crate) struct Stage {
    pub(crate) pool: PgPool,
    options: PgConnectOptions,
    management: Management,
    url: String,
    tasks: Mutex<Vec<Tasks>>,
}

/// Returns a broker's URL without the virtual host that it names.
fn server(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |scheme| scheme + 3);
    url[authority..]
        .find('/')
        .map_or(url, |path| &url[..authority + path])
}

impl Stage {
    pub(crate) async fn new(options: PgConnectOptions) -> Stage {
        let mut env = Env::from_process();
        let url: Option<String> = env.required("BROKER_URL");
        let management: Option<String> = env.required("BROKER_MANAGEMENT_URL");
        let (url, management) = env
            .finish(url.zip(management))
            .expect("the tests need a broker");
        let management = Management::new(&management, &url);
        management.make_vhost().await;
        let pool = pool(&options).await;
        sql(
            &pool,
            "CREATE TABLE effects (ordinal bigserial, subject text, version int, replica text)",
        )
        .await;
        Stage {
            url: format!("{}/{}", server(&url), management.vhost),
            options,
            pool,
            management,
            tasks: Mutex::default(),
        }
    }

    pub(crate) fn broker(&self) -> Broker {
        self.broker_at(&self.url)
    }

    pub(crate) fn broker_at(&self, url: &str) -> Broker {
        Broker::new(&Secret::new(url), "test")
    }

    /// Returns the broker's address by way of something else.
    pub(crate) fn broker_url_by(&self, port: u16) -> String {
        let (credentials, rest) = self
            .url
            .split_once('@')
            .expect("the address has credentials");
        let (_, vhost) = rest
            .split_once('/')
            .expect("the address has a virtual host");
        format!("{credentials}@127.0.0.1:{port}/{vhost}")
    }

    pub(crate) fn broker_address(&self) -> String {
        let (_, rest) = self
            .url
            .split_once('@')
            .expect("the address has credentials");
        rest.split_once('/')
            .expect("the address has a virtual host")
            .0
            .to_owned()
    }

    pub(crate) fn database_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    pub(crate) fn tasks(&self) -> Tasks {
        let tasks = Tasks::new(&CancellationToken::new());
        self.tasks.lock().unwrap().push(tasks.clone());
        tasks
    }

    /// Starts a replica of the service that tells.
    pub(crate) async fn teller(&self) -> (Tasks, Relay) {
        let tasks = self.tasks();
        let relay = Relay::start(&tasks, pool(&self.options).await, self.broker(), TELLER);
        (tasks, relay)
    }

    /// Starts a replica of the service that takes, which notes what it takes.
    pub(crate) async fn taker(&self) -> Tasks {
        self.taker_with(Recorder::default()).await
    }

    pub(crate) async fn taker_with(&self, handler: impl Handler) -> Tasks {
        let tasks = self.tasks();
        messaging::consumer::start(
            &tasks,
            pool(&self.options).await,
            self.broker(),
            TAKER,
            handler,
        );
        tasks
    }

    /// Commits one event.
    pub(crate) async fn tell(&self, subject: &str, version: u32) {
        self.tell_note(subject, version, "").await;
    }

    pub(crate) async fn tell_note(&self, subject: &str, version: u32, note: &str) {
        let event = Changed {
            version,
            note: note.to_owned(),
        };
        let mut tx = self.pool.begin().await.unwrap();
        outbox::append(&mut tx, subject, NOW, &event).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Returns the versions that took effect for a subject, in order.
    pub(crate) async fn effects(&self, subject: &str) -> Vec<i64> {
        numbers(
            &self.pool,
            &format!(
                "SELECT version::bigint FROM effects WHERE subject = '{subject}' ORDER BY ordinal"
            ),
        )
        .await
    }

    pub(crate) async fn await_effects(&self, subject: &str, versions: &[i64]) {
        let end = Instant::now() + PATIENCE;
        let mut effects = self.effects(subject).await;
        while effects != versions && Instant::now() < end {
            sleep(Duration::from_millis(20)).await;
            effects = self.effects(subject).await;
        }
        assert_eq!(
            effects, versions,
            "the effects on {subject} are not those in the order of the events"
        );
    }

    pub(crate) async fn outbox_count(&self) -> i64 {
        number(&self.pool, "SELECT count(*) FROM outbox").await
    }

    pub(crate) async fn await_empty_outbox(&self) {
        eventually("the outbox is empty", || async {
            self.outbox_count().await == 0
        })
        .await;
    }

    /// Opens a channel of the test's own.
    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        (connection, channel)
    }

    /// Begins to hear everything that goes through the teller's exchange.
    pub(crate) async fn listen(&self) -> Wire {
        self.await_queue(QUEUE).await;
        let (connection, channel) = self.channel().await;
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare("wire".into(), options, FieldTable::default())
            .await
            .unwrap();
        let (bind, table) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind("wire".into(), EXCHANGE.into(), "#".into(), bind, table)
            .await
            .unwrap();
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let copies = channel
            .basic_consume("wire".into(), "".into(), options, FieldTable::default())
            .await
            .unwrap();
        Wire {
            copies,
            _connection: connection,
        }
    }

    /// Waits until a queue is declared.
    pub(crate) async fn await_queue(&self, queue: &str) {
        eventually(&format!("{queue} is declared"), || {
            self.management.has_queue(queue)
        })
        .await;
    }

    /// Takes a message out of a queue, as soon as one is there.
    pub(crate) async fn fetch(&self, queue: &str) -> Letter {
        self.await_queue(queue).await;
        let (_connection, channel) = self.channel().await;
        let options = BasicGetOptions { no_ack: true };
        let mut letter: Option<BasicGetMessage> = None;
        let end = Instant::now() + PATIENCE;
        while letter.is_none() && Instant::now() < end {
            letter = channel.basic_get(queue.into(), options).await.unwrap();
            sleep(if letter.is_none() {
                Duration::from_millis(20)
            } else {
                Duration::ZERO
            })
            .await;
        }
        Letter(letter.unwrap_or_else(|| panic!("no message came to {queue}")))
    }

    /// Says whether nothing waits in a queue.
    pub(crate) async fn is_empty(&self, queue: &str) -> bool {
        self.waiting_count(queue).await == 0
    }

    /// Counts what waits in a queue and is in nobody's hands.
    pub(crate) async fn waiting_count(&self, queue: &str) -> u32 {
        let end = Instant::now() + PATIENCE;
        loop {
            let (_connection, channel) = self.channel().await;
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let declared = channel
                .queue_declare(queue.into(), passive, FieldTable::default())
                .await;
            match declared {
                Ok(queue) => return queue.message_count(),
                // A queue that was just declared may not work yet, and RabbitMQ 3.10 then closes the connection.
                Err(error) if Instant::now() > end => panic!("{queue}: {error}"),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    pub(crate) async fn await_waiting(&self, queue: &str, count: u32) {
        eventually(format!("{count} messages wait in {queue}"), || async {
            self.waiting_count(queue).await == count
        })
        .await;
    }

    /// Puts a message straight into a queue and waits for the confirm.
    pub(crate) async fn put(&self, queue: &str, properties: BasicProperties, body: &[u8]) {
        let (_connection, channel) = self.channel().await;
        put_by(&channel, queue, properties, body).await;
    }

    pub(crate) fn management(&self) -> &Management {
        &self.management
    }

    /// Stops a replica as a shutdown does.
    pub(crate) async fn stop(&self, tasks: Tasks) {
        tasks
            .shutdown(PATIENCE)
            .await
            .expect("the tasks end in order");
    }
}

pub(crate) async fn put_by(
    channel: &Channel,
    queue: &str,
    properties: BasicProperties,
    body: &[u8],
) {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let confirm = channel
        .basic_publish("".into(), queue.into(), options, body, properties)
        .await
        .unwrap();
    let confirm = confirm.await.unwrap();
    assert!(
        confirm.is_ack() && confirm.take_message().is_none(),
        "{queue} did not take the message"
    );
}

/// Returns the message of an event, as any CloudEvents sender would write it.
pub(crate) fn message_of(id: Uuid, subject: &str) -> BasicProperties {
    let attributes = [
        ("specversion", "1.0"),
        ("id", &id.to_string()),
        ("type", "bekal.test.v1.Changed"),
        ("source", "/teller"),
        ("subject", subject),
        ("time", "2026-11-24T10:00:00Z"),
    ];
    let mut headers = FieldTable::default();
    for (name, value) in attributes {
        headers.insert(
            format!("cloudEvents:{name}").into(),
            AMQPValue::LongString(value.into()),
        );
    }
    BasicProperties::default()
        .with_content_type("application/protobuf".into())
        .with_headers(headers)
}

/// What went through an exchange.
pub(crate) struct Wire {
    copies: Consumer,
    _connection: Connection,
}

impl Wire {
    /// Returns the versions of each subject in the order of the wire, once `count` have come and no more follow.
    pub(crate) async fn hear(mut self, count: usize) -> HashMap<String, Vec<i64>> {
        let mut heard: HashMap<String, Vec<i64>> = HashMap::new();
        let mut wait = PATIENCE;
        for index in 1.. {
            let Ok(Some(copy)) = timeout(wait, self.copies.next()).await else {
                break;
            };
            let copy = copy.unwrap();
            let headers = copy.properties.headers().as_ref().unwrap().inner();
            let subject = headers["cloudEvents:subject"]
                .as_long_string()
                .unwrap()
                .to_string();
            let version = <Changed as prost::Message>::decode(copy.data.as_slice())
                .unwrap()
                .version;
            heard.entry(subject).or_default().push(version.into());
            if index >= count {
                wait = Duration::from_millis(500);
            }
        }
        heard
    }
}

pub(crate) struct Letter(BasicGetMessage);

impl Letter {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let headers = self.0.properties.headers().as_ref()?;
        let value = headers.inner().get(name)?;
        let text = value.as_long_string().map(ToString::to_string);
        text.or_else(|| Some(value.as_long_long_int()?.to_string()))
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.0.data
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.0
            .properties
            .content_type()
            .as_ref()
            .map(|it| it.as_str())
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.0
            .properties
            .headers()
            .as_ref()
            .is_some_and(|it| it.contains_key(name))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for tasks in self.tasks.get_mut().unwrap() {
            tasks.stopping().cancel();
        }
        let management = self.management.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(management.drop_vhost());
        });
        let _ = dropping.join();
    }
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: impl Display,
    condition: impl Fn() -> F,
) {
    let met = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, met).await.is_ok(), "in vain: {what}");
}
