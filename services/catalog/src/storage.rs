//! Where things are kept: free functions over a connection, one file a table.
//!
//! Words and money are stored as the domain spells them; a row that says anything else is a fault and becomes
//! `sqlx::Error::Decode`.

use chassis::money::{Currency, Money};
use sqlx::migrate::Migrator;

pub mod courses;
pub mod imports;
pub mod providers;
pub mod runs;
pub mod seat_holds;

/// The migrations of this build.
pub static MIGRATOR: Migrator = sqlx::migrate!();

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn money(minor: i64, currency: &str) -> Result<Money, sqlx::Error> {
    let unknown = || sqlx::Error::Decode(format!("no such currency: {currency}").into());
    Currency::from_code(currency)
        .map(|currency| Money::new(minor, currency))
        .ok_or_else(unknown)
}
