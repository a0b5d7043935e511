//! The service's contract: RPC in, RPC out, on a database of its own for each test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod events;
mod feed;
mod harness;
mod import_stream;
mod imports;
mod interests;
mod real_feed;
mod recommendations;
mod regions;
mod search;
