//! One named failure each: before, during, after; nothing is lost and nothing happens twice.

#![expect(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

mod bank_misbehaves;
mod broker_away;
mod database_away;
mod payments_once;
mod peer_away;
mod registry_down;
mod service_killed;
