//! Use cases, one file a noun: transaction, load, decide, store, commit.

use chassis::Clock;
use sqlx::PgPool;

pub mod certificates;
pub mod imports;
pub mod interests;
pub mod recommendations;
pub mod regions;
pub mod vacancies;

/// What a use case needs. Clones share everything.
#[derive(Clone, Debug)]
pub struct App {
    db: PgPool,
    clock: Clock,
}

impl App {
    /// Puts together what use cases need.
    pub fn new(db: PgPool, clock: Clock) -> App {
        App { db, clock }
    }
}
