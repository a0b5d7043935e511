//! catalog from outside: RPC in, RPC out, against a fresh database and a server in this process.

#![expect(
    clippy::unwrap_used,
    reason = "what a helper of a test cannot unwrap fails the test"
)]

mod access;
mod courses;
mod events;
mod feed;
mod imports;
mod providers;
mod resume;
mod runs;
mod search;
mod seats;
mod sweep;
mod world;
