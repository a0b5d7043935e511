//! What every process of the system needs, whatever its business.
//!
//! Reading order: what a process is told and how it lives (`config` … `shutdown`), how it serves (`server` and what
//! stands before a handler), how it calls (`client`), and the small values that all services share.

pub mod config;
pub mod telemetry;

pub mod clock;
pub mod task;

pub mod shutdown;

pub mod health;

pub mod server;

pub mod auth;

pub mod deadline;

pub mod status;

pub mod client;

pub mod db;

pub mod idempotency;

pub mod gather;

pub mod money;
pub mod names;
pub mod paging;

#[cfg(feature = "testing")]
pub mod testing;

pub use clock::Clock;
