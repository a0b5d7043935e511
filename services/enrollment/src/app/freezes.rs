//! The freeze: whoever's facts have changed is decided on again, the entrants are fixed and committed to.
//!
//! 1. identity tells whose facts changed since the batch opened, the awards since then tell who became a recipient, and
//!    granted appeals whom a rule must not refuse. Where the newest decision does not know that, it is made again, a thousand applications in one
//!    transaction. An interrupted freeze finds those that it has decided on unchanged, and goes on with the others.
//! 2. One transaction: the list of entrants, its root, the signed commitment, the state and the event. Before its commit
//!    nothing is frozen, after it nothing can be changed.

use std::{collections::HashMap, mem, num::NonZeroU8, pin::pin, sync::Arc};

use chassis::{
    idempotency::{self, RequestKey},
    task,
};
use draw::{
    CommitReveal, Commitment, Covariates, DrandRound, Entrant, EntrantsRoot, Hash,
    RandomnessSource, Trustee,
};
use futures::{StreamExt, TryStreamExt, stream};
use messaging::outbox;
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use tonic::Status;
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
        batch::{Batch, BatchState, Freeze, RandomnessPlan, TrusteeShare},
        decision::AT_FREEZE,
        facts::PersonFacts,
        scheme::Scheme,
        time_zone::Day,
    },
    error::Error,
    storage::{
        self,
        decisions::Stale,
        draws::{Eligible, EntrantRun, RUNS_MAX},
        locks::BatchLock,
    },
};

/// How many chunks are decided on side by side: while identity answers for one, others are written.
const CHUNKS_AT_ONCE: usize = 4;

/// How many recipients of another batch are looked up at once.
const RECIPIENTS_PAGE: i64 = 10_000;

/// How long before a time a change may have begun that was committed after it: a day, for the longest transaction and for
/// clocks that differ.
pub(super) const OVERLAP: Duration = Duration::days(1);

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
        let (rules, open_time) = self.check_freezable(batch_id).await?;
        self.decide_changed(batch_id, &rules, open_time - OVERLAP)
            .await?;
        self.decide_new_recipients(batch_id, &rules, open_time - OVERLAP)
            .await?;
        self.decide_exempted(batch_id, &rules).await?;
        self.commit_freeze(key, batch_id, &rules.scheme.scheme)
            .await
    }

    async fn check_freezable(
        &self,
        batch_id: &str,
    ) -> Result<(Arc<BatchRules>, OffsetDateTime), Error> {
        let mut connection = self.db.acquire().await?;
        let batch = get(&mut connection, batch_id).await?;
        let (BatchState::Closed, Some(open_time)) = (batch.state, batch.open_time) else {
            return Err(state_wrong(&batch));
        };
        let shares = storage::shares::list(&mut connection, batch_id).await?;
        check_committed(&batch, &shares)?;
        let rules = self.rules.batch(&mut connection, batch_id).await?;
        Ok((rules, open_time))
    }

    /// Decides again on those whose facts are others by now.
    async fn decide_changed(
        &self,
        batch_id: &str,
        rules: &BatchRules,
        since: OffsetDateTime,
    ) -> Result<(), Error> {
        let mut changes = self
            .peers
            .fact_changes(since)
            .await
            .map_err(identity_failed)?;
        while let Some(changes) = changes.next().await {
            let changes = changes.map_err(identity_failed)?;
            let mut connection = self.db.acquire().await?;
            let stale =
                storage::decisions::list_changed(&mut connection, batch_id, &changes).await?;
            drop(connection);
            self.decide_again(batch_id, rules, &stale).await?;
        }
        Ok(())
    }

    /// Decides again on those who have become recipients in another batch.
    async fn decide_new_recipients(
        &self,
        batch_id: &str,
        rules: &BatchRules,
        since: OffsetDateTime,
    ) -> Result<(), Error> {
        let programme = &rules.scheme.scheme.programme;
        let mut connection = self.db.acquire().await?;
        let awarded =
            storage::participations::list_batches_awarded_since(&mut connection, programme, since)
                .await?;
        drop(connection);
        for other in awarded {
            let mut after = Uuid::nil();
            loop {
                let mut connection = self.db.acquire().await?;
                let recipients = storage::participations::list_recipients(
                    &mut connection,
                    &other,
                    after,
                    RECIPIENTS_PAGE,
                )
                .await?;
                let Some((last, _)) = recipients.last() else {
                    break;
                };
                after = *last;
                let accounts: Vec<Uuid> = recipients.iter().map(|(_, account)| *account).collect();
                let stale =
                    storage::decisions::list_new_recipients(&mut connection, batch_id, &accounts)
                        .await?;
                drop(connection);
                self.decide_again(batch_id, rules, &stale).await?;
            }
        }
        Ok(())
    }

    /// Decides again on those whose appeals were granted since.
    async fn decide_exempted(&self, batch_id: &str, rules: &BatchRules) -> Result<(), Error> {
        let programme = &rules.scheme.scheme.programme;
        let mut connection = self.db.acquire().await?;
        let stale = storage::decisions::list_exempted(&mut connection, batch_id, programme).await?;
        drop(connection);
        self.decide_again(batch_id, rules, &stale).await
    }

    async fn decide_again(
        &self,
        batch_id: &str,
        rules: &BatchRules,
        stale: &[Stale],
    ) -> Result<(), Error> {
        stream::iter(stale.chunks(FACTS_MAX).map(Ok))
            .try_for_each_concurrent(CHUNKS_AT_ONCE, |chunk| async move {
                self.decide_chunk(batch_id, rules, chunk).await
            })
            .await
    }

    async fn decide_chunk(
        &self,
        batch_id: &str,
        rules: &BatchRules,
        chunk: &[Stale],
    ) -> Result<(), Error> {
        let scheme = &rules.scheme.scheme;
        let now = self.clock.now();
        let mut by_day: HashMap<Day, Vec<Uuid>> = HashMap::new();
        for stale in chunk {
            let day = scheme.time_zone.day_of(stale.apply_time);
            by_day.entry(day).or_default().push(stale.account_id);
        }
        let mut persons = HashMap::with_capacity(chunk.len());
        for (day, accounts) in by_day {
            let known = self.peers.facts(&accounts, day).await;
            persons.extend(known.map_err(identity_failed)?);
        }

        let accounts: Vec<Uuid> = chunk.iter().map(|stale| stale.account_id).collect();
        let mut tx = self.db.begin().await?;
        let recipients =
            storage::participations::find_recipients(&mut tx, &scheme.programme, &accounts).await?;
        let exemptions = storage::exemptions::find(&mut tx, &scheme.programme, &accounts).await?;
        let unknown = PersonFacts::unknown();
        let decide = |stale: &Stale| {
            let person = persons.get(&stale.account_id).unwrap_or(&unknown);
            let already_recipient = recipients.contains(&stale.account_id);
            let exempt = exemptions
                .get(&stale.account_id)
                .map_or(&[][..], Vec::as_slice);
            let decision = Decision::make(
                scheme,
                &rules.groups,
                person,
                already_recipient,
                exempt,
                now,
            );
            (stale.application_id, decision)
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
        let (entrant_count, root) = self.list_entrants(&mut tx, &batch, scheme).await?;
        let freeze = self
            .sign_commitment(&mut tx, &batch, scheme, (entrant_count, root), now)
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

    /// Writes the list of a batch and returns its length and its root. It is read by a connection of its own, since the
    /// transaction's writes what is read.
    async fn list_entrants(
        &self,
        tx: &mut PgConnection,
        batch: &Batch,
        scheme: &Scheme,
    ) -> Result<(u64, Hash), Error> {
        let plan = batch.quota_plan.to_draw().map_err(Error::QuotaMistakes)?;
        let mut root = EntrantsRoot::new(plan.groups().len());
        let mut reading = self.db.begin().await?;
        storage::locks::prepare_whole_batch(&mut reading).await?;
        let mut eligible = pin!(storage::draws::stream_eligible(
            &mut reading,
            &batch.id,
            &scheme.programme
        ));
        let (mut run, mut runs) = (EntrantRun::default(), Vec::new());
        while let Some(eligible) = eligible.try_next().await? {
            let entrant = entrant(&eligible, batch);
            root.push(&entrant)?;
            run.push(&entrant, &eligible);
            if run.is_full() {
                runs.push(mem::take(&mut run));
            }
            if runs.len() == RUNS_MAX {
                storage::draws::insert_runs(tx, &batch.id, mem::take(&mut runs)).await?;
            }
        }
        if run != EntrantRun::default() {
            runs.push(run);
        }
        storage::draws::insert_runs(tx, &batch.id, runs).await?;
        Ok((root.count(), root.root()))
    }

    /// Signs the commitment to a list.
    async fn sign_commitment(
        &self,
        tx: &mut PgConnection,
        batch: &Batch,
        scheme: &Scheme,
        (entrant_count, root): (u64, Hash),
        now: OffsetDateTime,
    ) -> Result<Freeze, Error> {
        let shares = storage::shares::list(tx, &batch.id).await?;
        check_committed(batch, &shares)?;
        let plan = batch.quota_plan.to_draw().map_err(Error::QuotaMistakes)?;
        // In whole seconds, as the commitment has it.
        let reveal_deadline = now.truncate_to_second() + batch.randomness.reveal_window;
        let trustees = shares.into_iter().map(|share| Trustee {
            name: share.trustee,
            commitment: share.commitment,
        });
        let commitment = Commitment {
            batch: batch.name(),
            entrant_count,
            root,
            rule_set_hash: *scheme.rules.hash(),
            plan,
            household_limit: NonZeroU8::new(scheme.household_limit),
            source: source(&batch.randomness, trustees.collect(), now, reveal_deadline)?,
            commit_time: unix_seconds(now),
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
            reveal_deadline,
            beacon_signature: None,
        })
    }
}

/// Returns where the randomness of a freeze comes from. The beacon's round comes after all that is fixed before it: with
/// trustees after the deadline for their secrets, else after the commitment.
fn source(
    plan: &RandomnessPlan,
    trustees: Vec<Trustee>,
    now: OffsetDateTime,
    reveal_deadline: OffsetDateTime,
) -> Result<RandomnessSource, Error> {
    let after = if trustees.is_empty() {
        now
    } else {
        reveal_deadline
    };
    let round = plan.beacon.map(|beacon| DrandRound {
        chain: beacon.chain,
        round: beacon
            .chain
            .round_at(unix_seconds(after + beacon.lead_time)),
    });
    match round {
        Some(round) if trustees.is_empty() => Ok(RandomnessSource::Drand(round)),
        None if trustees.is_empty() => Err(Error::Broken("a batch has no randomness")),
        beacon => Ok(RandomnessSource::CommitReveal(CommitReveal {
            trustees,
            quorum: plan.quorum,
            reveal_deadline: unix_seconds(reveal_deadline),
            beacon,
        })),
    }
}

fn unix_seconds(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp()).unwrap_or_default()
}

fn entrant(eligible: &Eligible, batch: &Batch) -> Entrant {
    Entrant {
        covariates: Covariates {
            apply_order: batch.apply_order(eligible.apply_time),
            sex: eligible.sex,
            age_band: eligible.age_band,
        },
        pseudonym: eligible.pseudonym,
        region: eligible.region,
        groups: eligible.groups,
        household: eligible.household,
        household_prior: eligible.household_prior,
    }
}

pub(super) fn identity_failed(status: Status) -> Error {
    Error::Peer {
        part: "identity",
        status,
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
