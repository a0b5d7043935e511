//! The use cases, and what they need.

use chassis::{Clock, gather::Gatherer, task::Tasks};
use messaging::Relay;
use sqlx::PgPool;

use crate::{domain::seat_hold::NewHold, error::Error};

pub mod courses;
pub mod imports;
pub mod providers;
pub mod runs;
pub mod seat_holds;

/// How many holds one transaction takes, and how many may wait for the next.
const HOLD_SEAT_BATCH_MAX: usize = 500;
const HOLD_SEAT_QUEUE_MAX: usize = 5_000;

/// What the use cases need. Clones share it.
#[derive(Clone)]
pub struct App {
    db: PgPool,
    clock: Clock,
    relay: Relay,
    hold_seat: Gatherer<NewHold, Result<seat_holds::HeldSeat, Error>>,
}

impl App {
    /// Wires the use cases and starts their gatherer.
    pub fn start(db: PgPool, clock: Clock, relay: Relay, tasks: &Tasks) -> App {
        let batches = seat_holds::Batches::new(db.clone(), clock.clone());
        let hold_seat = Gatherer::start(
            "hold-seat",
            HOLD_SEAT_BATCH_MAX,
            HOLD_SEAT_QUEUE_MAX,
            tasks,
            move |batch| {
                let batches = batches.clone();
                async move { batches.hold_seats(batch).await }
            },
        );
        App {
            db,
            clock,
            relay,
            hold_seat,
        }
    }
}
