//! The award: winners become participations, thousands in one transaction with the events that tell of them. How far it
//! has come stands in the batch, so that an interrupted award goes on where it was.

use std::sync::Arc;

use chassis::{
    idempotency::{self, RequestKey},
    names, task,
};
use messaging::outbox;
use prost_types::Timestamp;
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    App,
    batches::{answer, get, state_wrong, wrong_state},
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

/// How many winners one transaction takes.
const CHUNK: i64 = 10_000;

/// How many participations one event tells of.
const EVENT_CHUNK: usize = 1_000;

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
        let scheme = self.awardable(batch_id).await?;
        while self.award_chunk(batch_id, &scheme.scheme, CHUNK).await? {}
        self.finish_award(key, batch_id).await
    }

    /// Awards the next chunk; tells whether more may follow. For tests: an award that stops between chunks.
    pub async fn award_next_chunk(&self, batch_id: &str, winners: i64) -> Result<bool, Error> {
        let _lock = BatchLock::take(&self.db, batch_id).await?;
        let scheme = self.awardable(batch_id).await?;
        self.award_chunk(batch_id, &scheme.scheme, winners).await
    }

    async fn awardable(&self, batch_id: &str) -> Result<Arc<StoredScheme>, Error> {
        let mut connection = self.db.acquire().await?;
        let batch = get(&mut connection, batch_id).await?;
        if batch.state != BatchState::Drawn {
            return Err(state_wrong(&batch));
        }
        self.rules.scheme(&mut connection, &batch.scheme_id).await
    }

    async fn award_chunk(
        &self,
        batch_id: &str,
        scheme: &Scheme,
        limit: i64,
    ) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let Some((award_time, after_rank)) =
            storage::batches::begin_award_chunk(&mut tx, batch_id, now).await?
        else {
            return Err(wrong_state(&mut tx, batch_id).await);
        };
        let winners = storage::draws::list_winners(&mut tx, batch_id, after_rank, limit).await?;
        let Some(last) = winners.last() else {
            // The time of the award is fixed also when nobody won.
            tx.commit().await?;
            return Ok(false);
        };
        let last_rank = last.rank;

        let terms = AwardTerms {
            batch_id,
            programme: &scheme.programme,
            once_only: scheme.once_only,
            award_time,
        };
        let admitted = admit(&mut tx, &terms, scheme, winners).await?;
        if !admitted.is_empty() {
            storage::participations::insert_all(&mut tx, &terms, &admitted).await?;
            let events: Vec<pb::ParticipationsAwarded> = admitted
                .chunks(EVENT_CHUNK)
                .map(|chunk| awarded(&terms, scheme, chunk))
                .collect();
            let events: Vec<(&str, &pb::ParticipationsAwarded)> = events
                .iter()
                .map(|event| (event.batch.as_str(), event))
                .collect();
            outbox::append_all(&mut tx, now, &events).await?;
        }
        storage::batches::set_awarded_rank(&mut tx, batch_id, last_rank).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(true)
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

/// Returns the winners who become participants and notes those who cannot.
async fn admit(
    tx: &mut PgConnection,
    terms: &AwardTerms<'_>,
    scheme: &Scheme,
    winners: Vec<Winner>,
) -> Result<Vec<NewParticipation>, Error> {
    storage::participations::lock_programme(tx, terms.programme).await?;
    let mut history = History::default();
    if scheme.once_only {
        let accounts: Vec<Uuid> = winners.iter().map(|winner| winner.account_id).collect();
        history.recipients =
            storage::participations::find_recipients(tx, terms.programme, &accounts).await?;
    }
    if scheme.household_limit > 0 {
        let households: Vec<Vec<u8>> = winners
            .iter()
            .filter_map(|winner| winner.household.clone())
            .collect();
        history.by_household =
            storage::participations::count_by_household(tx, terms.programme, &households).await?;
    }

    let mut admitted = Vec::with_capacity(winners.len());
    let mut refused = Vec::new();
    for winner in winners {
        match history.admit(
            winner.account_id,
            winner.household.as_deref(),
            scheme.household_limit,
        ) {
            Ok(()) => admitted.push(NewParticipation {
                id: Uuid::now_v7(),
                first_purchase_deadline: scheme
                    .first_purchase_deadline(&winner.region, terms.award_time)
                    .ok_or(Error::Broken("a deadline lies beyond the calendar"))?,
                account_id: winner.account_id,
                application_id: winner.application_id,
                region: winner.region,
                household: winner.household,
            }),
            Err(reason) => refused.push((winner.application_id, reason)),
        }
    }
    if !refused.is_empty() {
        tracing::warn!(
            batch.id = terms.batch_id,
            winners = refused.len(),
            "winners could not become participants"
        );
        storage::draws::insert_award_refusals(tx, terms.batch_id, &refused).await?;
    }
    Ok(admitted)
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
