//! identity from outside: RPC in, RPC out, against a fresh database, a server in this process and a registry of the
//! test's own.

#![expect(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

mod accounts;
mod exclusion_lists;
mod facts;
mod listings;
mod persons;
mod privacy;
mod registry;
mod snapshot;
mod snapshots;
mod tokens;
mod verification;
mod versions;
mod world;
