//! The freeze: every application is decided on again, the entrants are fixed and committed to.
//!
//! 1. Chunk by chunk: the newest facts from identity, the decisions, one transaction each. An interrupted freeze keeps
//!    what it has decided a short while ago and goes on from there.
//! 2. One transaction: the list of entrants, its root, the signed commitment, the state and the event. Before its commit
//!    nothing is frozen, after it nothing can be changed.

use std::{collections::HashMap, num::NonZeroU8, pin::pin};

use chassis::{
    idempotency::{self, RequestKey},
    task,
};
use draw::{Commitment, EntrantsRoot, RandomnessSource, Trustee};
use futures::{TryStreamExt, stream};
use messaging::outbox;
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    App,
    batches::{answer, get, get_for_update, state_wrong},
    peers::FACTS_MAX,
    rules::BatchRules,
};
use crate::{
    domain::{
        application::Decision,
        batch::{Batch, BatchState, Freeze, TrusteeShare},
        facts::PersonFacts,
        scheme::Scheme,
    },
    error::Error,
    storage::{self, decisions::AT_FREEZE, locks::BatchLock},
};

/// How old a decision of an interrupted freeze may be to be kept by the next try.
const KEPT_FOR: Duration = Duration::minutes(10);

/// How many chunks are decided on side by side: while identity answers for one, others are written.
const CHUNKS_AT_ONCE: usize = 4;

impl App {
    /// CLOSED to FROZEN. The work goes on also when the caller leaves; a repeat waits for it and gets its answer.
    pub async fn freeze_batch(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let (app, batch_id) = (self.clone(), batch_id.to_owned());
        let work = task::spawn("freeze", async move { app.freeze(key, &batch_id).await });
        work.await.map_err(|_| Error::Broken("a freeze panicked"))?
    }

    async fn freeze(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let _lock = BatchLock::take(&self.db, batch_id).await?;
        if let Some(answer) = self.earlier_answer(&key).await? {
            return Ok(answer);
        }
        let rules = self.check_freezable(batch_id).await?;
        let fresh_after = self.clock.now() - KEPT_FOR;
        self.decide_again(batch_id, &rules, fresh_after).await?;
        self.commit_freeze(key, batch_id, &rules.scheme.scheme, fresh_after)
            .await
    }

    async fn check_freezable(&self, batch_id: &str) -> Result<std::sync::Arc<BatchRules>, Error> {
        let mut connection = self.db.acquire().await?;
        let batch = get(&mut connection, batch_id).await?;
        if batch.state != BatchState::Closed {
            return Err(state_wrong(&batch));
        }
        let shares = storage::shares::list(&mut connection, batch_id).await?;
        check_committed(&batch, &shares)?;
        self.rules.batch(&mut connection, batch_id).await
    }

    /// Decides on every application that was not decided on since `fresh_after`, some chunks side by side.
    async fn decide_again(
        &self,
        batch_id: &str,
        rules: &BatchRules,
        fresh_after: OffsetDateTime,
    ) -> Result<(), Error> {
        stream::try_unfold(Uuid::nil(), |after| async move {
            let chunk = self.next_stale(batch_id, fresh_after, after).await?;
            let last = chunk.last().map(|(application_id, _)| *application_id);
            Ok(last.map(|last| (chunk, last)))
        })
        .try_for_each_concurrent(CHUNKS_AT_ONCE, |chunk| async move {
            self.decide_chunk(batch_id, rules, &chunk).await
        })
        .await
    }

    async fn next_stale(
        &self,
        batch_id: &str,
        fresh_after: OffsetDateTime,
        after: Uuid,
    ) -> Result<Vec<(Uuid, Uuid)>, Error> {
        let limit = i64::try_from(FACTS_MAX).unwrap_or(i64::MAX);
        let mut connection = self.db.acquire().await?;
        Ok(
            storage::decisions::list_stale(&mut connection, batch_id, fresh_after, after, limit)
                .await?,
        )
    }

    async fn decide_chunk(
        &self,
        batch_id: &str,
        rules: &BatchRules,
        chunk: &[(Uuid, Uuid)],
    ) -> Result<(), Error> {
        let scheme = &rules.scheme.scheme;
        let now = self.clock.now();
        let accounts: Vec<Uuid> = chunk.iter().map(|(_, account_id)| *account_id).collect();
        let persons = self
            .peers
            .facts(&accounts, scheme.time_zone.day_of(now))
            .await
            .map_err(|status| Error::Peer {
                part: "identity",
                status,
            })?;

        let mut tx = self.db.begin().await?;
        let recipients =
            storage::participations::find_recipients(&mut tx, &scheme.programme, &accounts).await?;
        let unknown = PersonFacts::unknown();
        let decide = |(application_id, account_id): &(Uuid, Uuid)| {
            let person = persons.get(account_id).unwrap_or(&unknown);
            let already_recipient = recipients.contains(account_id);
            let decision = Decision::make(scheme, &rules.groups, person, already_recipient, now);
            (*application_id, decision)
        };
        let decisions: Vec<(Uuid, Decision)> = chunk.iter().map(decide).collect();
        let rows: Vec<(Uuid, &str, &Decision)> = decisions
            .iter()
            .map(|(id, decision)| (*id, batch_id, decision))
            .collect();
        check_closed(&mut tx, batch_id).await?;
        storage::decisions::insert_all(&mut tx, AT_FREEZE, &rows).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn commit_freeze(
        &self,
        key: RequestKey,
        batch_id: &str,
        scheme: &Scheme,
        fresh_after: OffsetDateTime,
    ) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        storage::locks::lift_time_limits(&mut tx).await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        if batch.state != BatchState::Closed {
            return Err(state_wrong(&batch));
        }
        if storage::decisions::count_stale(&mut tx, batch_id, fresh_after).await? > 0 {
            return Err(Error::Broken("an application was left out of the freeze"));
        }
        storage::draws::insert_entrants(&mut tx, batch_id, &scheme.programme).await?;
        let freeze = self
            .commit_to_entrants(&mut tx, &batch, scheme, now)
            .await?;
        if !storage::batches::freeze(&mut tx, batch_id, &freeze).await? {
            return Err(state_wrong(&batch));
        }
        let event = pb::BatchFrozen {
            batch: batch.name(),
            entrant_count: freeze.entrant_count,
            merkle_root: freeze.merkle_root.clone(),
        };
        outbox::append(&mut tx, &event.batch, now, &event).await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Computes the root over the stored list and signs the commitment to it.
    async fn commit_to_entrants(
        &self,
        tx: &mut PgConnection,
        batch: &Batch,
        scheme: &Scheme,
        now: OffsetDateTime,
    ) -> Result<Freeze, Error> {
        let shares = storage::shares::list(tx, &batch.id).await?;
        check_committed(batch, &shares)?;
        let plan = batch.quota_plan.to_draw().map_err(Error::QuotaMistakes)?;
        let mut root = EntrantsRoot::new(plan.groups().len());
        {
            let mut entrants = pin!(storage::draws::stream_entrants(tx, &batch.id));
            while let Some(entrant) = entrants.try_next().await? {
                root.push(&entrant)?;
            }
        }
        let trustees = shares.into_iter().map(|share| Trustee {
            name: share.trustee,
            commitment: share.commitment,
        });
        let commitment = Commitment {
            batch: batch.name(),
            entrant_count: root.count(),
            root: root.root(),
            rule_set_hash: *scheme.rules.hash(),
            plan,
            household_limit: NonZeroU8::new(scheme.household_limit),
            source: RandomnessSource::CommitReveal(trustees.collect()),
            commit_time: u64::try_from(now.unix_timestamp()).unwrap_or_default(),
        };
        let signed = commitment.sign(self.keys.signing())?;
        Ok(Freeze {
            time: now,
            entrant_count: i64::try_from(signed.commitment.entrant_count).unwrap_or(i64::MAX),
            merkle_root: signed.commitment.root.to_vec(),
            rule_set_hash: signed.commitment.rule_set_hash.to_vec(),
            encoded: signed.commitment.to_bytes()?,
            signature: signed.signature.to_vec(),
            public_key: signed.public_key.as_bytes().to_vec(),
        })
    }
}

async fn check_closed(tx: &mut PgConnection, batch_id: &str) -> Result<(), Error> {
    let states: HashMap<String, BatchState> =
        storage::batches::states_for_share(tx, &[batch_id.to_owned()])
            .await?
            .into_iter()
            .collect();
    match states.get(batch_id) {
        Some(BatchState::Closed) => Ok(()),
        Some(state) => Err(Error::BatchStateWrong {
            batch_id: batch_id.to_owned(),
            state: *state,
        }),
        None => Err(Error::Broken("a batch has vanished")),
    }
}

fn check_committed(batch: &Batch, shares: &[TrusteeShare]) -> Result<(), Error> {
    let missing = batch.missing_trustees(|name| shares.iter().any(|share| share.trustee == name));
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::RandomnessNotCommitted(
            missing.into_iter().map(str::to_owned).collect(),
        ))
    }
}
