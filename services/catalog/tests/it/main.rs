//! catalog from outside: RPC in, RPC out, against a fresh database and a server in this process.

mod access;
mod courses;
mod events;
mod imports;
mod providers;
mod resume;
mod runs;
mod search;
mod seats;
mod sweep;
mod world;
