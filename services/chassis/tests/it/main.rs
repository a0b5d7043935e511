//! The chassis against a real PostgreSQL, and as a server of two services of the contract.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod client;
mod database;
mod idempotency;
mod server;
mod stage;
