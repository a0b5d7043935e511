//! Events between services: written with the change they tell about, delivered at least once, taking effect once.
//!
//! Reading order: the envelope of an event; how it leaves (`outbox`, `relay`); where it travels (`topology`,
//! `broker`); how it is taken in (`consumer`); what becomes of one that never works (`dead_letters`).

mod envelope;

pub mod outbox;

pub mod relay;

pub mod topology;

mod broker;

pub mod consumer;

pub mod dead_letters;

mod backoff;
mod metrics;

pub use broker::{Broker, BrokerError};
pub use consumer::{HandleError, Handler};
pub use envelope::{Event, EventError};
pub use relay::Relay;
pub use topology::{Producer, Route, Subscription};
