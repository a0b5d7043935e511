//! The use cases, and what they need.

use std::sync::Arc;

use chassis::{Clock, client::Peer, gather::Gatherer, task::Tasks};
use messaging::{HandleError, Relay};
use proto::identity::v1::person_service_client::PersonServiceClient;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{disbursement::InquiryPlan, hold::HoldCommand},
    rail::Rail,
    storage::{self, disbursements::orders::Notice, participation_funds::FundsRow},
    vault::Vault,
};

pub mod ledger;

pub mod traces;
pub mod treasury;

pub mod clawbacks;
pub mod freezes;
pub mod funding;
pub mod holds;
pub mod returns;

pub mod entitlements;
pub mod payees;

pub mod disbursements;
pub mod notices;
pub mod payment_files;
pub mod payments;

mod content;
pub mod reconciliations;
pub mod reversals;

use ledger::transfers;

/// How many holds one transaction takes, and how many may wait for the next: at some 5,000 a second the last of the
/// queue waits a second.
const HOLDS_BATCH_MAX: usize = 500;
const HOLDS_QUEUE_MAX: usize = 5_000;

/// The same for calls of a few transfers, and for calls of many: these are taken one by one, so that each is answered when
/// it is done and the next is read meanwhile; the last of the queue waits some seconds.
const TRANSFERS_BATCH_MAX: usize = 2_000;
const TRANSFERS_QUEUE_MAX: usize = 10_000;
const BULK_TRANSFERS_BATCH_MAX: usize = 1;
const BULK_TRANSFERS_QUEUE_MAX: usize = 32;
/// The same for the rail's notices; it repeats those that are refused.
const NOTICES_BATCH_MAX: usize = 1_000;
const NOTICES_QUEUE_MAX: usize = 5_000;

/// What the use cases need. Clones share it.
#[derive(Clone)]
pub struct App {
    db: PgPool,
    clock: Clock,
    relay: Relay,
    vault: Arc<Vault>,
    rail: Arc<Rail>,
    identity: PersonServiceClient<Peer>,
    payments: PaymentsConfig,
    regions: traces::LastRegions,
    /// Tells the workers to send nothing more.
    stopping: CancellationToken,
    holds: Gatherer<HoldCommand, holds::HoldAnswer>,
    transfers: Gatherer<transfers::Call, transfers::Answer>,
    bulk_transfers: Gatherer<transfers::Call, transfers::Answer>,
    notices: Gatherer<Notice, Result<(), notices::NoticeError>>,
}

/// How payments are sent and asked about.
#[derive(Clone, Copy, Debug)]
pub struct PaymentsConfig {
    /// When orders without a clear answer are asked about and sent again.
    pub inquiry_plan: InquiryPlan,
    /// Requests to the rail at once.
    pub rail_concurrency_max: usize,
}

/// The parts of an [`App`] that are made from the configuration.
pub struct Parts {
    /// The keys of account numbers.
    pub vault: Vault,
    /// The rail.
    pub rail: Rail,
    /// identity, who says whether a holder is the person.
    pub identity: PersonServiceClient<Peer>,
    /// How payments are sent.
    pub payments: PaymentsConfig,
}

impl App {
    /// Wires the use cases and starts their gatherers.
    pub fn start(db: PgPool, clock: Clock, relay: Relay, parts: Parts, tasks: &Tasks) -> App {
        let batches = holds::Batches {
            db: db.clone(),
            clock: clock.clone(),
            relay: relay.clone(),
        };
        let run = move |batch| {
            let batches = batches.clone();
            async move { batches.run(batch).await }
        };
        let bookings = transfers::Batches {
            db: db.clone(),
            clock: clock.clone(),
        };
        let gather_transfers = |name, batch_max, queue_max| {
            let bookings = bookings.clone();
            Gatherer::start(name, batch_max, queue_max, tasks, move |batch| {
                let bookings = bookings.clone();
                async move { bookings.run(batch).await }
            })
        };
        let batches = notices::Batches {
            db: db.clone(),
            clock: clock.clone(),
        };
        let take = move |batch| {
            let batches = batches.clone();
            async move { batches.run(batch).await }
        };
        App {
            transfers: gather_transfers("transfers", TRANSFERS_BATCH_MAX, TRANSFERS_QUEUE_MAX),
            bulk_transfers: gather_transfers(
                "bulk-transfers",
                BULK_TRANSFERS_BATCH_MAX,
                BULK_TRANSFERS_QUEUE_MAX,
            ),
            db,
            clock,
            relay,
            vault: Arc::new(parts.vault),
            rail: Arc::new(parts.rail),
            identity: parts.identity,
            payments: parts.payments,
            regions: traces::LastRegions::default(),
            stopping: tasks.stopping(),
            holds: Gatherer::start("holds", HOLDS_BATCH_MAX, HOLDS_QUEUE_MAX, tasks, run),
            notices: Gatherer::start("notices", NOTICES_BATCH_MAX, NOTICES_QUEUE_MAX, tasks, take),
        }
    }

    /// Returns the keys of account numbers.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the database.
    pub fn db(&self) -> &PgPool {
        &self.db
    }
}

/// Locks the funds of a batch's participations.
///
/// # Errors
/// `Missing` when one is not funded yet. `Reject` when one belongs to another batch.
async fn lock_of_batch(
    tx: &mut PgConnection,
    batch: &str,
    participation_ids: &[Uuid],
) -> Result<Vec<FundsRow>, HandleError> {
    let rows = storage::participation_funds::lock_all(tx, participation_ids).await?;
    if rows.len() < participation_ids.len() {
        let missing = participation_ids.len() - rows.len();
        return Err(HandleError::Missing(format!(
            "the funds of {missing} participations of {batch}"
        )));
    }
    if rows.iter().any(|row| row.funds.batch != batch) {
        return Err(HandleError::Reject(format!(
            "a participation does not belong to {batch}"
        )));
    }
    Ok(rows)
}

/// A deadlock or a serialization failure: the same transaction may succeed at once.
fn is_lost_race(error: &sqlx::Error) -> bool {
    chassis::db::is_transient(error) && error.as_database_error().is_some()
}
