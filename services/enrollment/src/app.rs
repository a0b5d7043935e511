//! The use cases, and what they need.

use std::sync::Arc;

use chassis::{
    Clock,
    gather::Gatherer,
    idempotency::{self, Claim, RequestKey},
    task::Tasks,
};
use messaging::Relay;
use sqlx::PgPool;

use crate::{domain::time_zone::TimeZone, error::Error, keys::Keys};

pub mod peers;
pub mod rules;

pub mod schemes;

pub mod annulments;
pub mod batches;
pub mod randomness;

pub mod applications;
pub mod apply;
mod apply_batches;
pub mod decisions;

pub mod awards;
pub mod bundles;
pub mod draws;
pub mod freezes;

pub mod appeals;
pub mod deadlines;
pub mod freezing;
pub mod participations;

pub mod purchases;
pub mod saga;

pub mod learning;

pub mod campaigns;
pub mod vouchers;

/// How many applications one transaction takes, which is also what identity answers in one call; and how many may wait:
/// at some thousands a second the last of the queue waits a second.
const APPLY_BATCH_MAX: usize = 1_000;
const APPLY_QUEUE_MAX: usize = 5_000;

/// What the use cases need. Clones share it.
#[derive(Clone)]
pub struct App {
    db: PgPool,
    clock: Clock,
    relay: Relay,
    keys: Arc<Keys>,
    peers: peers::Peers,
    rules: Arc<rules::Rules>,
    campaign_zone: TimeZone,
    apply: Gatherer<apply::Apply, apply::Answer>,
}

/// The parts of an [`App`] that are made from the configuration.
pub struct Parts {
    /// The service's keys.
    pub keys: Keys,
    /// The services that are called.
    pub peers: peers::Peers,
    /// Where the days of campaigns end.
    pub campaign_zone: TimeZone,
}

impl App {
    /// Wires the use cases and starts their gatherer.
    pub fn start(db: PgPool, clock: Clock, relay: Relay, parts: Parts, tasks: &Tasks) -> App {
        let keys = Arc::new(parts.keys);
        let rules = Arc::new(rules::Rules::default());
        let batches = apply_batches::Batches {
            db: db.clone(),
            clock: clock.clone(),
            keys: Arc::clone(&keys),
            peers: parts.peers.clone(),
            rules: Arc::clone(&rules),
        };
        let apply = Gatherer::start(
            "apply",
            APPLY_BATCH_MAX,
            APPLY_QUEUE_MAX,
            tasks,
            move |batch| {
                let batches = batches.clone();
                async move { batches.run(batch).await }
            },
        );
        App {
            db,
            clock,
            relay,
            keys,
            peers: parts.peers,
            rules,
            campaign_zone: parts.campaign_zone,
            apply,
        }
    }

    /// Returns the answer that a request got before, without claiming its id: for commands that work long before their
    /// last transaction.
    async fn earlier_answer<M: prost::Message + Default>(
        &self,
        key: &RequestKey,
    ) -> Result<Option<M>, Error> {
        let mut tx = self.db.begin().await?;
        let claim = idempotency::claim(&mut tx, key, self.clock.now()).await?;
        tx.rollback().await?;
        match claim {
            Claim::New => Ok(None),
            claim @ Claim::Repeat(_) => Ok(claim.answer()?),
        }
    }
}
