//! Takes events from a queue and lets each have its effect once.
//!
//! One turn:
//! 1. Take the deliveries that wait, at most 500 or 1 MiB, or what arrives within 2 ms of the first.
//! 2. One transaction: the inbox rows of all, set-wise. An event whose row was there has had its effect: a repeat.
//! 3. In the same transaction the handler of the new events, in the order of the queue, run by run of one type.
//! 4. Commit. Then, and only then, acknowledge all with one command.
//! 5. If anything fails in 2–4: roll back and go through the deliveries one by one, each in a transaction of its own:
//!    - `Retry`, or the database is away: keep the delivery in hand, wait, try again, for ever. Nothing is taken
//!      meanwhile and nothing is given up: a fault of ours is never an event's fault.
//!    - `Missing`: put it into a parking queue, from which the broker brings it back; after the last delay, see next.
//!    - `Reject`, a message that is no event, a panic: put it to the dead letters, with the reason.
//!
//!    Parking and dead letters are confirmed before the delivery is acknowledged, so that it is twice rather than never.
//! 6. If the broker breaks off: drop everything, wait, connect, declare the topology again, go on with 1.
//!
//! What is guaranteed: at least once into the handler's transaction, and once in its effect, since the inbox row and
//! the effect commit together. Order within a subject is the producer's as long as nothing is parked; a parked event is
//! overtaken by its followers. So a handler looks at the subject's version where it matters. It does nothing that its
//! transaction does not undo: no calls, no commits.

use std::{sync::Arc, time::Duration};

use chassis::{Clock, task::Tasks};
use futures::StreamExt;
use lapin::{
    Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use sqlx::PgPool;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    Broker, Event, EventError, Subscription,
    backoff::Backoff,
    broker::{BrokerError, Latch, Outgoing, Publisher},
    dead_letters::{self, Letter},
    metrics::ConsumerMetrics,
    topology::{Parking, dead_of, parking_of},
};

mod error;
mod inbox;

pub use error::HandleError;
pub use inbox::{Handler, Taken, take_in};

use inbox::{AnyHandler, take_all};

/// Beyond some hundred a commit is no longer what a turn costs.
const BATCH_MAX: usize = 500;
/// Bulk events hold a thousand items each: some of them are a transaction long enough.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
const BATCH_WAIT: Duration = Duration::from_millis(2);
/// Twice a batch: the next is here when the last one commits.
const PREFETCH: u16 = 1_000;

/// AMQP's number for "all is well".
const REPLY_SUCCESS: u16 = 200;
/// How often, and after what pause, a queue is asked again that somebody else is just making.
const YOUNG_ATTEMPTS: usize = 10;
const YOUNG_PAUSE: Duration = Duration::from_millis(200);
/// A broker that is there answers at once.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts to take what is subscribed to, one task for each subscription.
pub fn start(
    tasks: &Tasks,
    pool: PgPool,
    broker: Broker,
    subscriptions: &'static [Subscription],
    handler: impl Handler,
) {
    let handler: Arc<dyn AnyHandler> = Arc::new(handler);
    for subscription in subscriptions {
        let queue = subscription.queue();
        let work = Work {
            metrics: ConsumerMetrics::new(&queue),
            queue,
            subscription,
            latch: broker.latch(),
            stopping: tasks.stopping(),
            pool: pool.clone(),
            broker: broker.clone(),
            handler: Arc::clone(&handler),
        };
        tasks.spawn("consumer", work.run());
    }
}

/// Why a consumer starts over.
#[derive(Debug, thiserror::Error)]
enum ConsumerError {
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    #[error("the broker cannot be used")]
    Broker(#[from] BrokerError),
    #[error("the broker took the consumer or its channel away")]
    Cut,
}

impl From<lapin::Error> for ConsumerError {
    fn from(error: lapin::Error) -> ConsumerError {
        ConsumerError::Broker(error.into())
    }
}

struct Work {
    subscription: &'static Subscription,
    queue: String,
    pool: PgPool,
    broker: Broker,
    handler: Arc<dyn AnyHandler>,
    latch: Latch,
    stopping: CancellationToken,
    metrics: ConsumerMetrics,
}

/// What lasts as long as a connection.
struct Session {
    deliveries: Consumer,
    /// Where parked messages and dead letters go; opened when the first one does.
    publisher: Option<Publisher>,
    backoff: Backoff,
    connection: Connection,
}

struct Incoming {
    delivery: Delivery,
    event: Result<Event, EventError>,
}

// === impl Work ===

impl Work {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        while let Err(error) = self.consume(&mut backoff).await {
            tracing::warn!(
                queue = self.queue,
                error = chassis::telemetry::chain(&error),
                "the consumer starts over"
            );
            if !backoff.wait(&self.stopping).await {
                return;
            }
        }
    }

    /// Consumes until the process stops, or the broker breaks off.
    async fn consume(&mut self, backoff: &mut Backoff) -> Result<(), ConsumerError> {
        // Whoever cannot reach the database leaves the queue to a replica that can.
        sqlx::query!("SELECT 1 AS here")
            .fetch_one(&self.pool)
            .await?;
        let mut session = self.open().await?;
        self.latch.release();
        let ended = self.take_turns(&mut session, backoff).await;
        session.close().await;
        ended
    }

    async fn take_turns(
        &self,
        session: &mut Session,
        backoff: &mut Backoff,
    ) -> Result<(), ConsumerError> {
        while let Some(batch) = self.next_batch(&mut session.deliveries).await? {
            self.take_batch(session, batch).await?;
            backoff.reset();
        }
        Ok(())
    }

    /// Opens a session. A queue that a producer or a replica is just making is declared before it works, and a consumer
    /// that comes in between makes the broker close the connection with an internal error (RabbitMQ 3.10).
    async fn open(&self) -> Result<Session, ConsumerError> {
        for _ in 0..YOUNG_ATTEMPTS {
            match self.open_once().await {
                Err(ConsumerError::Broker(error)) if error.is_internal() => {
                    tokio::time::sleep(YOUNG_PAUSE).await;
                }
                opened => return opened,
            }
        }
        self.open_once().await
    }

    async fn open_once(&self) -> Result<Session, ConsumerError> {
        let connection = self.broker.connect(&self.queue).await?;
        let channel = connection.create_channel().await?;
        self.subscription.declare(&channel).await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let deliveries = channel
            .basic_consume(self.queue.as_str().into(), "".into(), options, arguments)
            .await?;
        Ok(Session {
            deliveries,
            publisher: None,
            backoff: Backoff::new(),
            connection,
        })
    }

    /// Returns the deliveries of a turn (1), or nothing when the process stops.
    async fn next_batch(
        &self,
        deliveries: &mut Consumer,
    ) -> Result<Option<Vec<Incoming>>, ConsumerError> {
        let first = tokio::select! {
            biased;
            () = self.stopping.cancelled() => return Ok(None),
            first = deliveries.next() => first,
        };
        let mut batch = vec![Incoming::read(first.ok_or(ConsumerError::Cut)??)];
        let mut bytes = batch[0].delivery.data.len();
        let end = Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            match timeout_at(end, deliveries.next()).await {
                Ok(Some(next)) => {
                    let next = Incoming::read(next?);
                    bytes += next.delivery.data.len();
                    batch.push(next);
                }
                Ok(None) => return Err(ConsumerError::Cut),
                Err(_elapsed) => break,
            }
        }
        Ok(Some(batch))
    }

    async fn take_batch(
        &self,
        session: &mut Session,
        batch: Vec<Incoming>,
    ) -> Result<(), ConsumerError> {
        let events: Vec<&Event> = batch
            .iter()
            .filter_map(|incoming| incoming.event.as_ref().ok())
            .collect();
        if batch.len() > 1 && events.len() == batch.len() {
            match take_all(&self.pool, &self.queue, &events, &*self.handler).await {
                Ok(taken) => {
                    self.count(&events, &taken);
                    let last = batch.last().ok_or(ConsumerError::Cut)?;
                    return acknowledge(&last.delivery, true).await;
                }
                Err(error) => {
                    tracing::debug!(
                        error = chassis::telemetry::chain(&error),
                        "a batch is taken one by one"
                    );
                }
            }
        }
        for incoming in &batch {
            if !self.take_alone(session, incoming).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes one delivery to its end (5). Returns false when the process stops first; the broker then keeps it.
    async fn take_alone(
        &self,
        session: &mut Session,
        incoming: &Incoming,
    ) -> Result<bool, ConsumerError> {
        session.backoff.reset();
        loop {
            let event = match &incoming.event {
                Ok(event) => event,
                Err(error) => {
                    self.bury(session, incoming, &format!("not an event: {error}"))
                        .await?;
                    return Ok(true);
                }
            };
            match take_all(&self.pool, &self.queue, &[event], &*self.handler).await {
                Ok(taken) => {
                    self.count(&[event], &taken);
                    acknowledge(&incoming.delivery, false).await?;
                    return Ok(true);
                }
                Err(HandleError::Retry(error)) => {
                    tracing::warn!(
                        queue = self.queue,
                        event.id = %event.id,
                        error = chassis::telemetry::chain(&*error),
                        "an event is held until the fault has passed"
                    );
                    if !session.backoff.wait(&self.stopping).await {
                        return Ok(false);
                    }
                    // After its consumer_timeout the broker gives the delivery to somebody else.
                    if incoming.delivery.acker.poisoned() {
                        return Err(ConsumerError::Cut);
                    }
                }
                Err(HandleError::Missing(what)) => {
                    self.park(session, incoming, event, &what).await?;
                    return Ok(true);
                }
                Err(HandleError::Reject(why)) => {
                    self.bury(session, incoming, &why).await?;
                    return Ok(true);
                }
            }
        }
    }

    /// Puts a message aside until what it needs may have arrived.
    async fn park(
        &self,
        session: &mut Session,
        incoming: &Incoming,
        event: &Event,
        what: &str,
    ) -> Result<(), ConsumerError> {
        let letter = Letter::after_failure(&incoming.delivery.properties, Clock::system().now());
        let Some(parking) = Parking::after(letter.attempts()) else {
            return self.bury(session, incoming, what).await;
        };
        tracing::info!(
            queue = self.queue,
            event.id = %event.id,
            event.r#type = event.r#type,
            attempts = letter.attempts(),
            parking = parking.name,
            reason = what,
            "an event is parked"
        );
        self.metrics.consumed(&event.r#type, "parked");
        self.move_to(session, &parking_of(&self.queue, parking), letter, incoming)
            .await
    }

    /// Puts a message to the dead letters.
    async fn bury(
        &self,
        session: &mut Session,
        incoming: &Incoming,
        reason: &str,
    ) -> Result<(), ConsumerError> {
        let now = Clock::system().now();
        let letter = Letter::after_failure(&incoming.delivery.properties, now).dead(reason, now);
        let (id, event_type) = match &incoming.event {
            Ok(event) => (event.id.to_string(), event.r#type.as_str()),
            Err(_) => (String::new(), "unknown"),
        };
        tracing::error!(
            queue = self.queue,
            event.id = id,
            event.r#type = event_type,
            attempts = letter.attempts(),
            reason,
            "a dead letter"
        );
        self.metrics.consumed(event_type, "dead");
        self.move_to(session, &dead_of(&self.queue), letter, incoming)
            .await
    }

    async fn move_to(
        &self,
        session: &mut Session,
        queue: &str,
        letter: Letter,
        incoming: &Incoming,
    ) -> Result<(), ConsumerError> {
        let publisher = match session.publisher.take() {
            Some(publisher) => publisher,
            None => Publisher::open(self.broker.connect("parking").await?).await?,
        };
        let publisher = session.publisher.insert(publisher);
        let message = Outgoing {
            exchange: dead_letters::DEFAULT_EXCHANGE,
            routing_key: queue,
            mandatory: true,
            properties: letter.into_properties(),
            body: &incoming.delivery.data,
        };
        publisher.publish_one(message).await?;
        acknowledge(&incoming.delivery, false).await
    }

    fn count(&self, events: &[&Event], taken: &[Taken]) {
        for (event, taken) in events.iter().zip(taken) {
            let outcome = match taken {
                Taken::New => "handled",
                Taken::Repeat => "repeat",
            };
            self.metrics.consumed(&event.r#type, outcome);
        }
    }
}

// === impl Session ===

impl Session {
    /// Leaves the queue and gives back what was prefetched, in one step. A consumer that is only dropped says "cancel"
    /// first: then a stand-by replica begins with what is still in the queue, and what we held comes after it.
    async fn close(self) {
        let closing = self.connection.close(REPLY_SUCCESS, "done".into());
        // If it cannot be closed it is already lost, and the broker finds out by itself.
        let _ = timeout(CLOSE_TIMEOUT, closing).await;
    }
}

// === impl Incoming ===

impl Incoming {
    fn read(delivery: Delivery) -> Incoming {
        let event = Event::from_message(&delivery.properties, &delivery.data);
        Incoming { delivery, event }
    }
}

async fn acknowledge(delivery: &Delivery, multiple: bool) -> Result<(), ConsumerError> {
    if delivery.ack(BasicAckOptions { multiple }).await? {
        Ok(())
    } else {
        Err(ConsumerError::Cut)
    }
}
