//! The award: winners become participations, tens of thousands in one transaction with the events that tell of them. How
//! far it has come stands in the batch, so that an interrupted award goes on where it was.
//!
//! 1. A reader goes through the runs of the draw, ahead of what is written.
//! 2. Awards of other batches since the freeze may leave no place for a winner; who that is, is decided by rank, over the
//!    whole batch. When one of them goes on meanwhile, it is decided again.
//! 3. One transaction for each chunk of winners.
//! 4. Those whose facts changed since the freeze are marked to be checked again: an event about them found no
//!    participation then. Those that change later find one.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    pin::pin,
    sync::Arc,
};

use chassis::{
    idempotency::{self, RequestKey},
    names, task,
};
use futures::{StreamExt, TryStreamExt};
use messaging::outbox;
use prost_types::Timestamp;
use proto::enrollment::v1 as pb;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    App,
    batches::{answer, get, state_wrong, wrong_state},
    freezes::{OVERLAP, identity_failed},
};
use crate::{
    domain::{
        award::History,
        batch::{BatchState, batch_name},
        facts::first_level,
        scheme::{Scheme, StoredScheme},
    },
    error::Error,
    storage::{
        self,
        draws::Winner,
        locks::BatchLock,
        participations::{AwardTerms, NewParticipation},
    },
};

/// How many winners one transaction takes, but for the rest of the last run.
const CHUNK: usize = 40_000;

/// How many participations one event tells of.
const EVENT_CHUNK: usize = 1_000;

/// How many chunks are read ahead.
const CHUNKS_AHEAD: usize = 1;

/// A batch on its way from DRAWN to AWARDED.
struct Award {
    batch_id: String,
    scheme: Arc<StoredScheme>,
    freeze_time: OffsetDateTime,
    award_time: OffsetDateTime,
}

/// The winners of the runs after one run, up to another.
struct Chunk {
    from_run: Vec<u8>,
    to_run: Vec<u8>,
    winners: Vec<Winner>,
}

/// Winners who are refused because of awards of other batches.
struct Refusals {
    /// How far those awards had come.
    awarded_elsewhere: i64,
    /// The applications, each with the reason.
    reasons: HashMap<Uuid, &'static str>,
}

impl App {
    /// DRAWN to AWARDED. The work goes on also when the caller leaves; a repeat waits for it and gets its answer.
    pub async fn award_batch(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let (app, batch_id) = (self.clone(), batch_id.to_owned());
        let work = task::spawn("award", async move { app.award(key, &batch_id).await });
        work.await.map_err(|_| Error::Broken("an award panicked"))?
    }

    async fn award(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let _lock = BatchLock::take(&self.db, batch_id).await?;
        if let Some(answer) = self.earlier_answer(&key).await? {
            return Ok(answer);
        }
        let (award, after) = self.begin_award(batch_id).await?;
        self.award_winners(&award, after, CHUNK, usize::MAX).await?;
        self.mark_changed(&award).await?;
        self.finish_award(key, batch_id).await
    }

    /// Awards the next chunk. For tests: an award that stops between chunks.
    pub async fn award_next_chunk(&self, batch_id: &str, winners: usize) -> Result<(), Error> {
        let _lock = BatchLock::take(&self.db, batch_id).await?;
        let (award, after) = self.begin_award(batch_id).await?;
        self.award_winners(&award, after, winners, 1).await
    }

    /// Begins an award or goes on with it, after a run.
    async fn begin_award(&self, batch_id: &str) -> Result<(Award, Vec<u8>), Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let batch = get(&mut tx, batch_id).await?;
        let (BatchState::Drawn, Some(freeze)) = (batch.state, &batch.freeze) else {
            return Err(state_wrong(&batch));
        };
        let freeze_time = freeze.time;
        let scheme = self.rules.scheme(&mut tx, &batch.scheme_id).await?;
        let Some((award_time, after)) =
            storage::batches::begin_award(&mut tx, batch_id, now).await?
        else {
            return Err(wrong_state(&mut tx, batch_id).await);
        };
        tx.commit().await?;
        let award = Award {
            batch_id: batch_id.to_owned(),
            scheme,
            freeze_time,
            award_time,
        };
        Ok((award, after))
    }

    /// Awards the winners of the runs after one, at most so many chunks.
    async fn award_winners(
        &self,
        award: &Award,
        after: Vec<u8>,
        chunk_size: usize,
        chunks_max: usize,
    ) -> Result<(), Error> {
        let mut refusals = self.refusals(award, &after).await?;
        let mut chunks = self.read_chunks(award, after, chunk_size);
        for _ in 0..chunks_max {
            let Some(chunk) = chunks.recv().await else {
                break;
            };
            let mut chunk = chunk?;
            // The order of the index that is written at random places otherwise.
            chunk
                .winners
                .sort_unstable_by_key(|winner| winner.account_id);
            while !self.award_chunk(award, &refusals, &chunk).await? {
                refusals = self.refusals(award, &chunk.from_run).await?;
            }
        }
        Ok(())
    }

    /// Reads the winners of the runs after one, ahead of whoever takes them.
    fn read_chunks(
        &self,
        award: &Award,
        after: Vec<u8>,
        size: usize,
    ) -> mpsc::Receiver<Result<Chunk, Error>> {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (app, batch_id) = (self.clone(), award.batch_id.clone());
        task::spawn("award-reader", async move {
            if let Err(error) = app.send_chunks(&sender, &batch_id, after, size).await {
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    /// Sends chunks until there are no more, or nobody takes them.
    async fn send_chunks(
        &self,
        sender: &mpsc::Sender<Result<Chunk, Error>>,
        batch_id: &str,
        after: Vec<u8>,
        size: usize,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        storage::locks::lift_time_limits(&mut tx).await?;
        let mut chunk = Chunk {
            from_run: after.clone(),
            to_run: after.clone(),
            winners: Vec::new(),
        };
        let mut runs = pin!(storage::draws::stream_winners(&mut tx, batch_id, &after));
        while let Some((run, winners)) = runs.try_next().await? {
            chunk.to_run = run;
            chunk.winners.extend(winners);
            if chunk.winners.len() >= size {
                let next = Chunk {
                    from_run: chunk.to_run.clone(),
                    to_run: chunk.to_run.clone(),
                    winners: Vec::new(),
                };
                if sender
                    .send(Ok(mem::replace(&mut chunk, next)))
                    .await
                    .is_err()
                {
                    return Ok(());
                }
            }
        }
        if chunk.from_run != chunk.to_run {
            let _ = sender.send(Ok(chunk)).await;
        }
        Ok(())
    }

    /// Decides which winners of the runs after one are refused.
    async fn refusals(&self, award: &Award, after: &[u8]) -> Result<Refusals, Error> {
        let scheme = &award.scheme.scheme;
        let mut tx = self.db.begin().await?;
        storage::locks::prepare_whole_batch(&mut tx).await?;
        storage::participations::lock_programme(&mut tx, &scheme.programme).await?;
        let mut refusals = Refusals {
            awarded_elsewhere: storage::batches::count_awarded_elsewhere(
                &mut tx,
                &scheme.programme,
                &award.batch_id,
            )
            .await?,
            reasons: HashMap::new(),
        };
        let since = award.freeze_time - OVERLAP;
        let mut others =
            storage::participations::list_batches_awarded_since(&mut tx, &scheme.programme, since)
                .await?;
        others.retain(|other| *other != award.batch_id);
        if others.is_empty() {
            return Ok(refusals);
        }
        let mut history = History::default();
        if scheme.once_only {
            history.recipients = storage::participations::list_accounts(&mut tx, &others).await?;
        }
        if scheme.household_limit > 0 {
            history.by_household =
                storage::participations::count_by_household(&mut tx, &scheme.programme, &others)
                    .await?;
        }

        let mut concerned = BTreeMap::new();
        let mut runs = pin!(storage::draws::stream_winners(
            &mut tx,
            &award.batch_id,
            after
        ));
        while let Some((_, winners)) = runs.try_next().await? {
            for winner in winners {
                if history.concerns(winner.account_id, winner.household) {
                    concerned.insert(winner.rank, winner);
                }
            }
        }
        for winner in concerned.into_values() {
            let admitted =
                history.admit(winner.account_id, winner.household, scheme.household_limit);
            if let Err(reason) = admitted {
                refusals.reasons.insert(winner.application_id, reason);
            }
        }
        Ok(refusals)
    }

    /// Makes participants of a chunk's winners, but for the refused ones. False, and nothing is done, when another award
    /// has gone on since these were decided on.
    async fn award_chunk(
        &self,
        award: &Award,
        refusals: &Refusals,
        chunk: &Chunk,
    ) -> Result<bool, Error> {
        let (now, scheme) = (self.clock.now(), &award.scheme.scheme);
        let terms = AwardTerms {
            batch_id: &award.batch_id,
            programme: &scheme.programme,
            once_only: scheme.once_only,
            award_time: award.award_time,
        };
        let (mut admitted, mut refused) = (Vec::with_capacity(chunk.winners.len()), Vec::new());
        for winner in &chunk.winners {
            match refusals.reasons.get(&winner.application_id) {
                None => admitted.push(participation(&terms, scheme, winner)?),
                Some(reason) => refused.push((winner.application_id, *reason)),
            }
        }
        let events: Vec<pb::ParticipationsAwarded> = admitted
            .chunks(EVENT_CHUNK)
            .map(|chunk| awarded(&terms, scheme, chunk))
            .collect();

        let mut tx = self.db.begin().await?;
        let (from, to) = (&chunk.from_run, &chunk.to_run);
        let count = i64::try_from(chunk.winners.len()).unwrap_or(i64::MAX);
        if !storage::batches::advance_award(&mut tx, terms.batch_id, from, to, count, now).await? {
            return Err(wrong_state(&mut tx, terms.batch_id).await);
        }
        storage::participations::lock_programme(&mut tx, terms.programme).await?;
        let elsewhere =
            storage::batches::count_awarded_elsewhere(&mut tx, terms.programme, terms.batch_id);
        if elsewhere.await? != refusals.awarded_elsewhere {
            return Ok(false);
        }
        storage::participations::insert_all(&mut tx, &terms, &admitted).await?;
        if !refused.is_empty() {
            tracing::warn!(
                batch.id = terms.batch_id,
                winners = refused.len(),
                "winners could not become participants"
            );
            storage::draws::insert_award_refusals(&mut tx, terms.batch_id, &refused).await?;
        }
        let events: Vec<(&str, &pb::ParticipationsAwarded)> = events
            .iter()
            .map(|event| (event.batch.as_str(), event))
            .collect();
        outbox::append_all(&mut tx, now, &events).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(true)
    }

    /// Marks the participants whose facts have changed since the freeze decided on them.
    async fn mark_changed(&self, award: &Award) -> Result<(), Error> {
        let changes = self.peers.fact_changes(award.freeze_time - OVERLAP).await;
        let mut changes = changes.map_err(identity_failed)?;
        while let Some(changes) = changes.next().await {
            let changes = changes.map_err(identity_failed)?;
            let mut connection = self.db.acquire().await?;
            let now = self.clock.now();
            storage::rechecks::mark_changed(&mut connection, &award.batch_id, &changes, now)
                .await?;
        }
        Ok(())
    }

    async fn finish_award(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        if !storage::batches::award(&mut tx, batch_id).await? {
            return Err(wrong_state(&mut tx, batch_id).await);
        }
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

/// Makes a winner's participation.
fn participation(
    terms: &AwardTerms<'_>,
    scheme: &Scheme,
    winner: &Winner,
) -> Result<NewParticipation, Error> {
    Ok(NewParticipation {
        id: Uuid::now_v7(),
        first_purchase_deadline: scheme
            .first_purchase_deadline(&winner.region, terms.award_time)
            .ok_or(Error::Broken("a deadline lies beyond the calendar"))?,
        account_id: winner.account_id,
        application_id: winner.application_id,
        region: winner.region.clone(),
        household: winner.household,
    })
}

fn awarded(
    terms: &AwardTerms<'_>,
    scheme: &Scheme,
    admitted: &[NewParticipation],
) -> pb::ParticipationsAwarded {
    let award = |new: &NewParticipation| pb::Award {
        participation: names::format("participations", new.id),
        account: names::format("accounts", new.account_id),
        region: first_level(&new.region).to_owned(),
    };
    pb::ParticipationsAwarded {
        batch: batch_name(terms.batch_id),
        training_balance: Some(scheme.training_balance.to_proto()),
        incentives: scheme.incentives.iter().map(pb::Incentive::from).collect(),
        awards: admitted.iter().map(award).collect(),
        award_time: Some(timestamp(terms.award_time)),
    }
}

/// Writes a time as a message.
pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or_default(),
    }
}
