//! SQL, one file a table's noun. Functions take a connection, so that the caller decides about the transaction.

pub mod certificates;
pub mod imports;
pub mod interests;
pub mod recommendations;
pub mod regions;
pub mod vacancies;

/// The service's migrations.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
