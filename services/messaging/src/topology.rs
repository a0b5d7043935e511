//! Exchanges, queues and bindings, declared from the tables of producers and consumers.
//!
//! Producer and consumer declare the same queues with the same arguments, each when it connects: whoever starts
//! first makes them. So an event for a consumer that never ran waits in its queue, and a declaration that differs is
//! refused by the broker instead of being half true.
//!
//! ```text
//! exchange enrollment.events (topic) ── key: full name of the message ──► queue payout.enrollment-events
//!                                                                          │ Missing: parked, growing delay
//!            ▲ time is up, dead-lettered back                              ▼
//!            └────────────────── payout.enrollment-events.retry-1s  -10s  -60s  -600s
//!                                                                          │ Reject, parked too often,
//!                                                                          ▼ or delivered too often
//!                                                                payout.enrollment-events.dead
//! ```

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, LongString},
};

/// What a service tells, and who takes it.
#[derive(Clone, Copy, Debug)]
pub struct Producer {
    /// Name of the service; its exchange is `<service>.events`.
    pub service: &'static str,
    /// Every event type that the service tells.
    pub routes: &'static [Route],
}

/// Who takes an event type.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Full name of the protobuf message.
    pub r#type: &'static str,
    /// The services that must get it. None: it is published all the same, and the broker drops it.
    pub consumers: &'static [&'static str],
}

/// What a service takes from another.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    /// Name of the service that takes.
    pub consumer: &'static str,
    /// Name of the service that tells.
    pub producer: &'static str,
    /// Full names of the protobuf messages.
    pub types: &'static [&'static str],
}

/// How often a message may come back unacknowledged before the broker gives it up. It is not our limit of attempts:
/// we park and reject by ourselves. It stops a message that kills the process, and it must outlast an outage of the
/// database, during which the broker takes deliveries back every 30 minutes (its `consumer_timeout`): 200 is 4 days.
const DELIVERY_LIMIT: i32 = 200;

/// Where a message waits until it is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parking {
    pub(crate) name: &'static str,
    delay: Duration,
    /// How many times in a row a message is parked here before it moves on to the next.
    times: u32,
}

/// 3 s, then 30 s, then 5 min, then 3 h 20 min: what is missing after that is missing for a reason.
pub(crate) const PARKINGS: [Parking; 4] = [
    Parking {
        name: "retry-1s",
        delay: Duration::from_secs(1),
        times: 3,
    },
    Parking {
        name: "retry-10s",
        delay: Duration::from_secs(10),
        times: 3,
    },
    Parking {
        name: "retry-60s",
        delay: Duration::from_secs(60),
        times: 5,
    },
    Parking {
        name: "retry-600s",
        delay: Duration::from_secs(600),
        times: 20,
    },
];

impl Parking {
    /// Returns where a message goes after so many attempts, or nothing when it has had them all.
    pub(crate) fn after(attempts: u32) -> Option<Parking> {
        let mut limit = 0;
        PARKINGS.into_iter().find(|parking| {
            limit += parking.times;
            attempts <= limit
        })
    }
}

impl Producer {
    /// Says whether an event type has consumers; nothing when the table does not have it.
    pub(crate) fn has_consumers(&self, event_type: &str) -> Option<bool> {
        let route = self
            .routes
            .iter()
            .find(|route| route.r#type == event_type)?;
        Some(!route.consumers.is_empty())
    }

    /// Declares the exchange and the queue of every consumer.
    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        declare_exchange(channel, self.service).await?;
        let mut declared: Vec<&str> = Vec::new();
        for route in self.routes {
            for consumer in route.consumers {
                let queue = queue_of(consumer, self.service);
                if !declared.contains(consumer) {
                    declare_queues(channel, &queue).await?;
                    declared.push(consumer);
                }
                bind(channel, &queue, self.service, route.r#type).await?;
            }
        }
        Ok(())
    }
}

impl Subscription {
    /// Returns the name of the queue.
    pub fn queue(&self) -> String {
        queue_of(self.consumer, self.producer)
    }

    /// Declares the producer's exchange, the queue and its bindings.
    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        declare_exchange(channel, self.producer).await?;
        let queue = self.queue();
        declare_queues(channel, &queue).await?;
        for event_type in self.types {
            bind(channel, &queue, self.producer, event_type).await?;
        }
        Ok(())
    }
}

/// Returns the exchange of a producer.
pub fn exchange_of(producer: &str) -> String {
    format!("{producer}.events")
}

/// Returns the queue in which a consumer's events of a producer wait.
pub fn queue_of(consumer: &str, producer: &str) -> String {
    format!("{consumer}.{producer}-events")
}

/// Returns the queue in which the dead letters of a queue lie.
pub fn dead_of(queue: &str) -> String {
    format!("{queue}.dead")
}

/// Returns the queue in which messages of a queue wait for their next attempt.
pub(crate) fn parking_of(queue: &str, parking: Parking) -> String {
    format!("{queue}.{}", parking.name)
}

async fn declare_exchange(channel: &Channel, producer: &str) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            exchange_of(producer).into(),
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        )
        .await
}

async fn bind(
    channel: &Channel,
    queue: &str,
    producer: &str,
    event_type: &str,
) -> lapin::Result<()> {
    let exchange = exchange_of(producer);
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            event_type.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
}

async fn declare_queues(channel: &Channel, queue: &str) -> lapin::Result<()> {
    declare_queue(channel, &dead_of(queue), quorum()).await?;
    for parking in PARKINGS {
        let milliseconds =
            i32::try_from(parking.delay.as_millis()).expect("a delay is a few minutes");
        let mut arguments = quorum();
        dead_letter_to(&mut arguments, queue);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(milliseconds));
        declare_queue(channel, &parking_of(queue, parking), arguments).await?;
    }
    let mut arguments = quorum();
    dead_letter_to(&mut arguments, &dead_of(queue));
    arguments.insert(
        "x-delivery-limit".into(),
        AMQPValue::LongInt(DELIVERY_LIMIT),
    );
    // One replica consumes, the others stand by. Two at once would take turns on one subject's events and undo the
    // order; one takes tens of thousands of events a second, and bulk events carry a thousand items each.
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    declare_queue(channel, queue, arguments).await
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> lapin::Result<()> {
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    Ok(())
}

/// Quorum only: a classic queue may confirm before the message is on disk.
fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// By default the broker moves dead letters without waiting for a confirm, and may lose them. "at-least-once" keeps
/// them until the target has them; it works only if a full queue rejects (ours have no length limit).
fn dead_letter_to(arguments: &mut FieldTable, queue: &str) {
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_and_ends() {
        let names: Vec<Option<&str>> = [1, 3, 4, 6, 7, 11, 12, 31, 32]
            .map(|attempts| Parking::after(attempts).map(|it| it.name))
            .to_vec();

        assert_eq!(
            names,
            [
                Some("retry-1s"),
                Some("retry-1s"),
                Some("retry-10s"),
                Some("retry-10s"),
                Some("retry-60s"),
                Some("retry-60s"),
                Some("retry-600s"),
                Some("retry-600s"),
                None
            ]
        );
    }
}
