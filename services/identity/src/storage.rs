//! SQL, by table. Functions take a connection or a transaction of the caller, and return rows as the domain knows them.

pub mod accounts;
pub mod exclusion_lists;
pub mod persons;
pub mod snapshots;
pub mod verification;

/// The migrations of this build.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
