//! Batches: creating, reading, opening and closing them.

use chassis::{
    idempotency::{self, RequestKey},
    paging::PageRequest,
};
use messaging::outbox;
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::App;
use crate::{
    domain::batch::{Batch, BatchState, BatchView, NewBatch, batch_name},
    error::Error,
    storage,
};

impl App {
    /// Creates a batch in DRAFT.
    pub async fn create_batch(&self, key: RequestKey, new: NewBatch) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let scheme = self.rules.scheme(&mut tx, &new.scheme_id).await?;
        new.quota_plan.to_draw().map_err(Error::QuotaMistakes)?;
        new.quota_plan
            .group_rules(&scheme.scheme.fact_kinds)
            .map_err(Error::QuotaMistakes)?;
        if !storage::batches::insert(&mut tx, &new, now).await? {
            return Err(Error::BatchExists(new.id));
        }
        let answer = answer(&mut tx, &new.id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a batch with its funnel.
    pub async fn get_batch(&self, batch_id: &str) -> Result<BatchView, Error> {
        let mut connection = self.db.acquire().await?;
        let mut view = view(&mut connection, batch_id).await?;
        view.funnel = Some(storage::batches::funnel(&mut connection, batch_id).await?);
        Ok(view)
    }

    /// Lists batches, oldest first.
    pub async fn list_batches(
        &self,
        page: PageRequest<(OffsetDateTime, String)>,
    ) -> Result<(Vec<BatchView>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::batches::list(&mut connection, page.after.clone(), page.limit()).await?;
        let (rows, next_page_token) = page.finish(rows, |last| (last.create_time, last.id.clone()));
        let mut views = Vec::with_capacity(rows.len());
        for batch in rows {
            let shares = storage::shares::list(&mut connection, &batch.id).await?;
            let annulment = storage::annulments::find(&mut connection, &batch.id).await?;
            views.push(BatchView {
                batch,
                shares,
                annulment,
                funnel: None,
            });
        }
        Ok((views, next_page_token))
    }

    /// DRAFT to OPEN, while the scheme is in force.
    pub async fn open_batch(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        if !storage::batches::open(&mut tx, batch_id, now).await? {
            let batch = get(&mut tx, batch_id).await?;
            if batch.state != BatchState::Draft {
                return Err(state_wrong(&batch));
            }
            let scheme = self.scheme_view(&mut tx, &batch.scheme_id).await?;
            return Err(Error::SchemeNotInForce(scheme));
        }
        let batch = batch_name(batch_id);
        outbox::append(
            &mut tx,
            &batch,
            now,
            &pb::BatchOpened {
                batch: batch.clone(),
            },
        )
        .await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// OPEN to CLOSED. Applications in work are let in before.
    pub async fn close_batch(&self, key: RequestKey, batch_id: &str) -> Result<pb::Batch, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        if !storage::batches::close(&mut tx, batch_id, now).await? {
            return Err(wrong_state(&mut tx, batch_id).await);
        }
        let batch = batch_name(batch_id);
        outbox::append(
            &mut tx,
            &batch,
            now,
            &pb::BatchClosed {
                batch: batch.clone(),
            },
        )
        .await?;
        let answer = answer(&mut tx, batch_id).await?;
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

/// Returns a batch, or that there is none.
pub(super) async fn get(connection: &mut PgConnection, batch_id: &str) -> Result<Batch, Error> {
    storage::batches::find(connection, batch_id)
        .await?
        .ok_or_else(|| Error::NotFound(batch_name(batch_id)))
}

/// Returns a batch, locked until the transaction ends, or that there is none.
pub(super) async fn get_for_update(tx: &mut PgConnection, batch_id: &str) -> Result<Batch, Error> {
    storage::batches::find_for_update(tx, batch_id)
        .await?
        .ok_or_else(|| Error::NotFound(batch_name(batch_id)))
}

/// Returns what a command on a batch is answered with.
pub(super) async fn answer(
    connection: &mut PgConnection,
    batch_id: &str,
) -> Result<pb::Batch, Error> {
    Ok(view(connection, batch_id).await?.into())
}

/// Says why a batch could not be moved: there is none, or it is in another state.
pub(super) async fn wrong_state(connection: &mut PgConnection, batch_id: &str) -> Error {
    match get(connection, batch_id).await {
        Ok(batch) => state_wrong(&batch),
        Err(error) => error,
    }
}

pub(super) fn state_wrong(batch: &Batch) -> Error {
    Error::BatchStateWrong {
        batch_id: batch.id.clone(),
        state: batch.state,
    }
}

async fn view(connection: &mut PgConnection, batch_id: &str) -> Result<BatchView, Error> {
    let batch = get(connection, batch_id).await?;
    let shares = storage::shares::list(connection, batch_id).await?;
    let annulment = storage::annulments::find(connection, batch_id).await?;
    Ok(BatchView {
        batch,
        shares,
        annulment,
        funnel: None,
    })
}
