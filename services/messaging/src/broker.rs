//! Connections to the broker, and publishing with confirms.
//!
//! Each task opens its own connection and, when anything breaks, drops it and starts over; there is no recovery
//! inside a connection. One for each, because the broker stops reading from a connection that publishes while it is
//! short of memory or disk, and a consumer's acknowledgements must not be stuck behind that.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chassis::config::Secret;
use futures::future::join_all;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    protocol::{AMQPErrorKind, AMQPHardError},
    types::ShortString,
    uri::AMQPUri,
};
use tokio::{sync::watch, time::timeout};

/// A broker that is there answers at once; a packet that is dropped must not hold us for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Quorum queues confirm in milliseconds; a minority that cannot confirm says nothing at all.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Unless the address says otherwise: finds a dead peer in 20 s, the library's default in two minutes.
const HEARTBEAT_SECONDS: u16 = 10;

/// Where the broker is, and whether this process has declared there what it needs. Clones are the same.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    url: Secret,
    service: &'static str,
    undeclared: watch::Sender<usize>,
}

/// Why the broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The setting is not an `amqp://` or `amqps://` address. (The text is not shown: it holds the password.)
    #[error("the address of the broker is not valid")]
    Address,
    /// The connection cannot be made, broke off, or the broker refused a command.
    #[error("talking to the broker failed")]
    Amqp(#[from] lapin::Error),
    /// No answer in time.
    #[error("the broker did not answer in time")]
    Timeout,
    /// The broker took a message without a queue for it, or would not take it.
    #[error("the broker did not keep the message")]
    NotKept,
}

impl BrokerError {
    /// Says whether the broker closed the connection because something in it failed.
    pub(crate) fn is_internal(&self) -> bool {
        let BrokerError::Amqp(error) = self else {
            return false;
        };
        matches!(
            error.kind(),
            ErrorKind::ProtocolError(error)
                if *error.kind() == AMQPErrorKind::Hard(AMQPHardError::INTERNALERROR)
        )
    }
}

impl Broker {
    /// Names the broker. Nothing is connected before a relay or a consumer is started.
    pub fn new(url: &Secret, service: &'static str) -> Broker {
        Broker(Arc::new(Inner {
            url: url.clone(),
            service,
            undeclared: watch::Sender::new(0),
        }))
    }

    /// Waits until the relay and the consumers that were started have each declared their topology once. The broker
    /// going away later changes nothing: the outbox holds what it cannot send.
    pub async fn ready(&self) {
        let mut undeclared = self.0.undeclared.subscribe();
        // The sender is in self.
        let _ = undeclared.wait_for(|count| *count == 0).await;
    }

    /// Adds one thing that [`Broker::ready`] waits for.
    pub(crate) fn latch(&self) -> Latch {
        self.0.undeclared.send_modify(|count| *count += 1);
        Latch {
            broker: self.clone(),
            released: false,
        }
    }

    /// Makes one attempt to connect.
    pub(crate) async fn connect(&self, role: &str) -> Result<Connection, BrokerError> {
        let mut uri: AMQPUri = self
            .0
            .url
            .expose()
            .parse()
            .map_err(|_: String| BrokerError::Address)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let name = format!("{} {role}", self.0.service);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = timeout(CONNECT_TIMEOUT, Connection::connect_uri(uri, properties));
        Ok(connection.await.map_err(|_| BrokerError::Timeout)??)
    }
}

/// Holds [`Broker::ready`] back until it is released.
pub(crate) struct Latch {
    broker: Broker,
    released: bool,
}

impl Latch {
    /// Says that the topology is there. Again and again does no harm.
    pub(crate) fn release(&mut self) {
        if !self.released {
            self.released = true;
            self.broker.0.undeclared.send_modify(|count| *count -= 1);
        }
    }
}

/// A message on its way.
pub(crate) struct Outgoing<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: &'a str,
    /// Whether there must be a queue for it.
    pub(crate) mandatory: bool,
    pub(crate) properties: BasicProperties,
    pub(crate) body: &'a [u8],
}

/// What became of a message. Only `Kept` is a promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// On the disks of a majority of its queues' replicas (or wanted by nobody, if it was not mandatory).
    Kept,
    /// No queue for it.
    Returned,
    /// The broker said no.
    Refused,
    /// The connection broke, or no answer came.
    Unknown,
}

/// A channel with publisher confirms.
pub(crate) struct Publisher {
    channel: Channel,
    // The channel lives as long as its connection is held.
    _connection: Connection,
}

impl Publisher {
    pub(crate) async fn open(connection: Connection) -> Result<Publisher, BrokerError> {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Publisher {
            channel,
            _connection: connection,
        })
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Publishes in order without waiting in between, then waits for all; the fates are in the order of the messages.
    pub(crate) async fn publish(&self, messages: Vec<Outgoing<'_>>) -> Vec<Fate> {
        let ids: Vec<Option<ShortString>> = messages
            .iter()
            .map(|message| message.properties.message_id().clone())
            .collect();
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            match self.send(message).await {
                Ok(confirm) => confirms.push(confirm),
                // What was sent before may still be confirmed.
                Err(error) => {
                    tracing::warn!(
                        error = chassis::telemetry::chain(&error),
                        "publishing broke off"
                    );
                    break;
                }
            }
        }
        let answers = timeout(CONFIRM_TIMEOUT, join_all(confirms))
            .await
            .unwrap_or_default();
        let mut fates = vec![Fate::Unknown; ids.len()];
        let mut returned: HashSet<ShortString> = HashSet::new();
        for (fate, answer) in fates.iter_mut().zip(answers) {
            let Ok(answer) = answer else { continue };
            *fate = if answer.is_ack() {
                Fate::Kept
            } else {
                Fate::Refused
            };
            returned.extend(id_of_returned(answer));
        }
        // The library hands a returned message to whichever confirm comes next, not always to its own: only the id
        // tells. All that were returned have come up once the whole window is confirmed.
        for (fate, id) in fates.iter_mut().zip(ids) {
            if id.is_some_and(|id| returned.contains(&id)) {
                *fate = Fate::Returned;
            }
        }
        fates
    }

    /// Publishes one message that must be kept.
    pub(crate) async fn publish_one(&self, message: Outgoing<'_>) -> Result<(), BrokerError> {
        debug_assert!(message.mandatory && message.properties.message_id().is_some());
        match self.publish(vec![message]).await.as_slice() {
            [Fate::Kept] => Ok(()),
            [Fate::Returned | Fate::Refused] => Err(BrokerError::NotKept),
            [Fate::Unknown] | [] | [_, ..] => Err(BrokerError::Timeout),
        }
    }

    async fn send(&self, message: Outgoing<'_>) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions {
            mandatory: message.mandatory,
            ..BasicPublishOptions::default()
        };
        let (exchange, key) = (message.exchange.into(), message.routing_key.into());
        self.channel
            .basic_publish(exchange, key, options, message.body, message.properties)
            .await
    }
}

fn id_of_returned(answer: Confirmation) -> Option<ShortString> {
    answer
        .take_message()?
        .delivery
        .properties
        .message_id()
        .clone()
}
