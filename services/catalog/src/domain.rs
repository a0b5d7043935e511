//! Types and rules of the catalogue; pure: nothing here waits, stores, or knows the wire.

pub mod course;
pub mod import;
pub mod price;
pub mod provider;
pub mod run;
pub mod seat_hold;
pub mod text;
