//! The draw: a function of the commitment and the randomness alone. It is computed from what is fixed, outside of any
//! transaction, and stored in one.

use std::{pin::pin, thread};

use chassis::{
    idempotency::{self, RequestKey},
    task,
};
use draw::{Commitment, DrandRound, Outcome, RandomnessSource, Reveal};
use futures::TryStreamExt;
use messaging::outbox;
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    App,
    batches::{answer, get, get_for_update, state_wrong},
};
use crate::{
    domain::batch::{Batch, BatchState, Freeze, TrusteeShare},
    error::Error,
    storage::{self, locks::BatchLock},
};

/// The results of how many runs are written by one statement; some 500 kB.
const RESULTS_MAX: usize = 400;

/// What a draw is made of.
pub(super) struct DrawInput {
    /// The batch.
    pub(super) batch: Batch,
    /// What the freeze fixed.
    pub(super) freeze: Freeze,
    /// The commitment in it.
    pub(super) commitment: Commitment,
    /// What makes the randomness known.
    pub(super) reveal: Reveal,
}

impl App {
    /// FROZEN to DRAWN. The work goes on also when the caller leaves; a repeat waits for it and gets its answer.
    pub async fn draw_batch(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let (app, batch_id) = (self.clone(), batch_id.to_owned());
        let work = task::spawn("draw", async move { app.draw(key, &batch_id).await });
        work.await.map_err(|_| Error::Broken("a draw panicked"))?
    }

    async fn draw(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let _lock = BatchLock::take(&self.db, batch_id).await?;
        if let Some(answer) = self.earlier_answer(&key).await? {
            return Ok(answer);
        }
        let input = self.draw_input(batch_id).await?;
        let outcomes = self.compute(input).await?;
        self.store_draw(key, batch_id, &outcomes).await
    }

    /// Loads what the draw of a batch that is frozen, or was, is made of.
    pub(super) async fn draw_input(&self, batch_id: &str) -> Result<DrawInput, Error> {
        let mut connection = self.db.acquire().await?;
        let batch = get(&mut connection, batch_id).await?;
        let freeze = batch.freeze.clone().ok_or_else(|| state_wrong(&batch))?;
        let shares = storage::shares::list(&mut connection, batch_id).await?;
        let commitment = Commitment::from_bytes(&freeze.encoded)?;
        let reveal = reveal(&batch, &freeze, &commitment, &shares, self.clock.now())?;
        Ok(DrawInput {
            commitment,
            reveal,
            batch,
            freeze,
        })
    }

    async fn compute(&self, input: DrawInput) -> Result<Vec<Outcome>, Error> {
        if input.batch.state != BatchState::Frozen {
            return Err(state_wrong(&input.batch));
        }
        let commitment = input.commitment;
        let randomness = commitment
            .source
            .randomness(&commitment.batch, &input.reveal)?;

        let mut connection = self.db.acquire().await?;
        let capacity = usize::try_from(commitment.entrant_count).unwrap_or_default();
        let mut entrants = Vec::with_capacity(capacity);
        let mut records = pin!(storage::draws::stream_records(
            &mut connection,
            &input.batch.id
        ));
        while let Some(records) = records.try_next().await? {
            entrants.extend(storage::draws::entrants(&records)?);
        }

        let threads = thread::available_parallelism().map_or(1, usize::from);
        let drawing = tokio::task::spawn_blocking(move || {
            draw::draw(&commitment, &randomness, &entrants, threads)
        });
        drawing
            .await
            .map_err(|_| Error::Broken("a draw panicked"))?
            .map_err(Error::from)
    }

    async fn store_draw(
        &self,
        key: RequestKey,
        batch_id: &str,
        outcomes: &[Outcome],
    ) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        storage::locks::lift_time_limits(&mut tx).await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        if batch.state != BatchState::Frozen {
            return Err(state_wrong(&batch));
        }
        store_results(&mut tx, batch_id, outcomes).await?;
        let winners = outcomes.iter().filter(|outcome| outcome.won()).count();
        let drawn_count = i64::try_from(winners).unwrap_or(i64::MAX);
        if !storage::batches::draw(&mut tx, batch_id, drawn_count, now).await? {
            return Err(state_wrong(&batch));
        }
        let event = pb::BatchDrawn {
            batch: batch.name(),
            drawn_count,
        };
        outbox::append(&mut tx, &event.batch, now, &event).await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

/// Writes the outcomes beside the runs of the list.
async fn store_results(
    tx: &mut PgConnection,
    batch_id: &str,
    mut outcomes: &[Outcome],
) -> Result<(), Error> {
    let starts = storage::draws::list_run_starts(tx, batch_id).await?;
    for starts in starts.chunks(RESULTS_MAX) {
        let mut results = Vec::with_capacity(starts.len());
        for start in starts {
            let count = usize::try_from(start.entrant_count).unwrap_or_default();
            let (of_run, rest) = outcomes
                .split_at_checked(count)
                .ok_or(Error::Broken("a list is longer than its draw"))?;
            outcomes = rest;
            let records = of_run.iter().flat_map(|outcome| outcome.to_record());
            results.push((start.first_pseudonym.clone(), records.collect()));
        }
        storage::draws::insert_results(tx, batch_id, results).await?;
    }
    if outcomes.is_empty() {
        Ok(())
    } else {
        Err(Error::Broken("a draw is longer than its list"))
    }
}

/// Returns what makes the randomness known, or what is missing for it. After the deadline for the secrets no other can
/// come, so that what is missing then stays so.
fn reveal(
    batch: &Batch,
    freeze: &Freeze,
    commitment: &Commitment,
    shares: &[TrusteeShare],
    now: OffsetDateTime,
) -> Result<Reveal, Error> {
    let signature_of = |round: DrandRound| {
        freeze
            .beacon_signature
            .ok_or_else(|| Error::BeaconNotRecorded(batch.name(), round.round))
    };
    let source = match &commitment.source {
        RandomnessSource::CommitReveal(source) => source,
        RandomnessSource::Drand(round) => {
            let signature = signature_of(*round)?;
            return Ok(Reveal::Drand { signature });
        }
        _ => return Err(Error::Broken("a commitment names an unknown randomness")),
    };
    let secret_of = |name: &str| shares.iter().find(|share| share.trustee == name)?.secret;
    let secrets: Vec<Option<[u8; 32]>> = source
        .trustees
        .iter()
        .map(|trustee| secret_of(&trustee.name))
        .collect();
    let absent = source.absent(&secrets).into_iter();
    let absent: Vec<String> = absent.map(str::to_owned).collect();
    if !absent.is_empty() && now <= freeze.reveal_deadline {
        return Err(Error::RandomnessNotRevealed(absent));
    }
    if secrets.len() - absent.len() < usize::from(source.quorum) {
        return Err(Error::QuorumMissed(batch.name(), absent));
    }
    let beacon = source.beacon.map(signature_of).transpose()?;
    Ok(Reveal::CommitReveal { secrets, beacon })
}
