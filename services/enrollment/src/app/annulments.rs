//! Annulling a batch, which takes two people. What was frozen and drawn is kept.

use chassis::{
    auth::Principal,
    idempotency::{self, RequestKey},
};
use messaging::outbox;
use proto::enrollment::v1 as pb;

use super::{
    App,
    batches::{answer, get_for_update, state_wrong},
};
use crate::{
    domain::batch::{Batch, BatchState},
    error::Error,
    storage::{self, annulments::TWO_PEOPLE_CHECK},
};

impl App {
    /// Proposes to annul a batch.
    pub async fn propose_annulment(
        &self,
        key: RequestKey,
        principal: &Principal,
        batch_id: &str,
        reason: &str,
    ) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        check_annullable(&batch)?;
        let proposer = &principal.subject;
        if !storage::annulments::insert(&mut tx, batch_id, reason, proposer, now).await? {
            return Err(Error::AnnulmentProposed(batch.name()));
        }
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Confirms the proposal of somebody else, which annuls the batch.
    pub async fn confirm_annulment(
        &self,
        key: RequestKey,
        principal: &Principal,
        batch_id: &str,
    ) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let batch = get_for_update(&mut tx, batch_id).await?;
        check_annullable(&batch)?;
        let confirmer = &principal.subject;
        let confirmed = storage::annulments::confirm(&mut tx, batch_id, confirmer, now).await;
        let reason = confirmed
            .map_err(|error| match error.as_database_error() {
                Some(refused) if refused.constraint() == Some(TWO_PEOPLE_CHECK) => {
                    Error::AnnulmentByProposer(batch.name())
                }
                Some(_) | None => error.into(),
            })?
            .ok_or_else(|| Error::AnnulmentNotProposed(batch.name()))?;
        if !storage::batches::annul(&mut tx, batch_id).await? {
            return Err(state_wrong(&batch));
        }
        let event = pb::BatchAnnulled {
            batch: batch.name(),
            reason,
        };
        outbox::append(&mut tx, &event.batch, now, &event).await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

/// An award that has begun has made participants of winners, who would lose what they were given.
fn check_annullable(batch: &Batch) -> Result<(), Error> {
    let state = matches!(
        batch.state,
        BatchState::Closed | BatchState::Frozen | BatchState::Drawn
    );
    if state && batch.award_time.is_none() {
        Ok(())
    } else {
        Err(state_wrong(batch))
    }
}
