//! Messages that did not work: what they carry, and how they are given back to their queue.
//!
//! Headers, on parked messages and dead letters: `bekal-attempts`, `bekal-first-failure-time`; on dead letters also
//! `bekal-dead-reason`, `bekal-dead-time`. What the broker itself gave up (delivered too often) has its `x-death`.

use lapin::{
    BasicProperties, Channel,
    message::BasicGetMessage,
    options::{BasicAckOptions, BasicGetOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Broker,
    broker::{BrokerError, Outgoing, Publisher},
    envelope::{text_in, text_of},
    topology::dead_of,
};

const ATTEMPTS: &str = "bekal-attempts";
const FIRST_FAILURE_TIME: &str = "bekal-first-failure-time";
const DEAD_REASON: &str = "bekal-dead-reason";
const DEAD_TIME: &str = "bekal-dead-time";
const REPLAY: &str = "bekal-replay";
/// What the broker writes into a message, and would read again.
const BROKER_PREFIX: &str = "x-";
const REASON_LENGTH_MAX: usize = 1000;

/// The exchange with no name reaches every queue by the queue's name.
pub(crate) const DEFAULT_EXCHANGE: &str = "";

/// A message that failed, and is on its way to a parking queue or the dead letters.
pub(crate) struct Letter {
    properties: BasicProperties,
    headers: FieldTable,
    attempts: u32,
}

impl Letter {
    /// Counts the failure of a message.
    pub(crate) fn after_failure(properties: &BasicProperties, now: OffsetDateTime) -> Letter {
        let mut headers = without(properties, |name| name.starts_with(BROKER_PREFIX));
        let attempts = attempts_in(&headers).saturating_add(1);
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(attempts.into()));
        if !headers.contains_key(FIRST_FAILURE_TIME) {
            headers.insert(
                FIRST_FAILURE_TIME.into(),
                AMQPValue::LongString(text_of(now).into()),
            );
        }
        Letter {
            properties: with_id(properties),
            headers,
            attempts,
        }
    }

    /// Says why the message is given up.
    pub(crate) fn dead(mut self, reason: &str, now: OffsetDateTime) -> Letter {
        let reason: String = reason.chars().take(REASON_LENGTH_MAX).collect();
        self.headers
            .insert(DEAD_REASON.into(), AMQPValue::LongString(reason.into()));
        self.headers
            .insert(DEAD_TIME.into(), AMQPValue::LongString(text_of(now).into()));
        self
    }

    /// Returns how often the message failed.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn into_properties(self) -> BasicProperties {
        self.properties.with_headers(self.headers)
    }
}

/// Gives the dead letters of a queue back to it, oldest first, with their attempts forgotten, and returns how many.
/// A letter that dies again while this runs is left alone.
///
/// # Errors
/// When the broker breaks off; what was given back by then stays given back, and the letter in hand is still there.
pub async fn replay(broker: &Broker, queue: &str, limit: u32) -> Result<u32, BrokerError> {
    let queue = queue.strip_suffix(".dead").unwrap_or(queue);
    let dead = dead_of(queue);
    let run = Uuid::now_v7().to_string();
    let publisher = Publisher::open(broker.connect("replay-dead-letters").await?).await?;
    let mut count = 0;
    while count < limit {
        let Some(letter) = next(publisher.channel(), &dead).await? else {
            break;
        };
        let headers = letter.properties.headers().as_ref();
        if headers
            .and_then(|it| text_of_header(it, REPLAY))
            .is_some_and(|it| it == run)
        {
            break;
        }
        let mut headers = without(&letter.properties, |name| {
            name.starts_with(BROKER_PREFIX)
                || [ATTEMPTS, FIRST_FAILURE_TIME, DEAD_REASON, DEAD_TIME].contains(&name)
        });
        headers.insert(REPLAY.into(), AMQPValue::LongString(run.as_str().into()));
        let message = Outgoing {
            exchange: DEFAULT_EXCHANGE,
            routing_key: queue,
            mandatory: true,
            properties: with_id(&letter.properties).with_headers(headers),
            body: &letter.data,
        };
        publisher.publish_one(message).await?;
        letter.ack(BasicAckOptions::default()).await?;
        count += 1;
    }
    Ok(count)
}

async fn next(channel: &Channel, queue: &str) -> Result<Option<BasicGetMessage>, BrokerError> {
    Ok(channel
        .basic_get(queue.into(), BasicGetOptions::default())
        .await?)
}

fn without(properties: &BasicProperties, left_out: impl Fn(&str) -> bool) -> FieldTable {
    let mut kept = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        if !left_out(name.as_str()) {
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

/// The publisher knows a returned message by its id. One that came without (no event of ours) gets one.
fn with_id(properties: &BasicProperties) -> BasicProperties {
    let id = properties.message_id().clone();
    let id = id.unwrap_or_else(|| ShortString::from(Uuid::now_v7().to_string()));
    properties.clone().with_message_id(id)
}

fn attempts_in(headers: &FieldTable) -> u32 {
    let attempts = headers
        .inner()
        .get(ATTEMPTS)
        .and_then(AMQPValue::as_long_long_int);
    attempts
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}

fn text_of_header(headers: &FieldTable, name: &str) -> Option<String> {
    headers
        .inner()
        .get(name)?
        .as_long_string()
        .and_then(text_in)
}
