//! The deadline of the first purchase: whoever missed it is revoked, many at a time, each chunk with the events that tell
//! payout to take the money back. Doing it twice moves nothing. Who is frozen waits.

use std::collections::BTreeMap;

use chassis::names;
use messaging::outbox;
use proto::enrollment::v1 as pb;

use super::{App, awards::timestamp};
use crate::{domain::batch::batch_name, error::Error, storage};

/// How many participations one transaction revokes: the cost of a commit is spread, and a purchase waits for a lock for
/// fractions of a second.
const CHUNK: i64 = 10_000;

/// How many participations one event names.
const EVENT_MAX: usize = 1_000;

impl App {
    /// Revokes the next chunk of those who missed their deadline, and returns how many they were.
    pub async fn revoke_overdue(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let revoked = storage::participations::revoke_overdue(&mut tx, now, CHUNK).await?;
        let count = revoked.len();
        if count == 0 {
            return Ok(0);
        }
        let mut by_batch: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (batch_id, id) in revoked {
            by_batch
                .entry(batch_id)
                .or_default()
                .push(names::format("participations", id));
        }
        let events: Vec<pb::ParticipationsRevoked> = by_batch
            .iter()
            .flat_map(|(batch_id, names)| {
                names.chunks(EVENT_MAX).map(move |chunk| (batch_id, chunk))
            })
            .map(|(batch_id, names)| pb::ParticipationsRevoked {
                batch: batch_name(batch_id),
                participations: names.to_vec(),
                revoke_time: Some(timestamp(now)),
            })
            .collect();
        let events: Vec<(&str, &pb::ParticipationsRevoked)> = events
            .iter()
            .map(|event| (event.batch.as_str(), event))
            .collect();
        outbox::append_all(&mut tx, now, &events).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(count)
    }

    /// Revokes everybody who missed the deadline, and returns how many they were.
    pub async fn sweep_deadlines(&self) -> Result<usize, Error> {
        let mut total = 0;
        loop {
            let count = self.revoke_overdue().await?;
            total += count;
            if count == 0 {
                return Ok(total);
            }
        }
    }
}
