//! The database's part of taking events in: inbox rows and handlers in one transaction (2–4 of the consumer).

use std::{collections::HashSet, panic::AssertUnwindSafe};

use futures::{FutureExt, future::BoxFuture};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tracing::Instrument;
use uuid::Uuid;

use super::HandleError;
use crate::Event;

/// What a service does with the events that it takes.
pub trait Handler: Send + Sync + 'static {
    /// Lets an event have its effect, inside the transaction that also records that it was taken in.
    ///
    /// The transaction may hold other events' effects, and may be rolled back and tried again.
    fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Event,
    ) -> impl Future<Output = Result<(), HandleError>> + Send;

    /// Lets a run of events of one type have their effects, in their order. By default one after the other, each in its
    /// trace; a handler whose effects fit into one statement writes its own. When it fails, nothing of the run has an
    /// effect, and each event is handled alone.
    fn handle_run(
        &self,
        tx: &mut PgConnection,
        queue: &str,
        events: &[&Event],
    ) -> impl Future<Output = Result<(), HandleError>> + Send {
        async move {
            for event in events {
                self.handle(tx, event)
                    .instrument(span(queue, event))
                    .await?;
            }
            Ok(())
        }
    }
}

/// What [`take_in`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The event had its effect now.
    New,
    /// It had it before.
    Repeat,
}

/// Takes in one event as a consumer does: inbox row and handler in one transaction.
///
/// # Errors
/// What the handler says; the effect is then undone. Any trouble with the transaction itself is a `Retry`.
pub async fn take_in(
    pool: &PgPool,
    queue: &str,
    event: &Event,
    handler: &impl Handler,
) -> Result<Taken, HandleError> {
    let taken = take_all(pool, queue, &[event], handler).await?;
    Ok(taken.first().copied().unwrap_or(Taken::Repeat))
}

/// A handler of any type, so that the consumer is compiled once.
pub(super) trait AnyHandler: Send + Sync {
    fn handle_any<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        queue: &'a str,
        events: &'a [&'a Event],
    ) -> BoxFuture<'a, Result<(), HandleError>>;
}

impl<H: Handler> AnyHandler for H {
    fn handle_any<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        queue: &'a str,
        events: &'a [&'a Event],
    ) -> BoxFuture<'a, Result<(), HandleError>> {
        Box::pin(self.handle_run(tx, queue, events))
    }
}

/// Takes in all or none, in order, and says of each whether it was new.
pub(super) async fn take_all(
    pool: &PgPool,
    queue: &str,
    events: &[&Event],
    handler: &dyn AnyHandler,
) -> Result<Vec<Taken>, HandleError> {
    let mut tx = pool.begin().await.map_err(HandleError::retry)?;
    let mut new_ids = insert_rows(&mut tx, queue, events).await?;
    let (mut taken, mut new) = (Vec::with_capacity(events.len()), Vec::new());
    for event in events {
        // Two copies in one batch: the first is new, the second is not.
        if new_ids.remove(&event.id) {
            new.push(*event);
            taken.push(Taken::New);
        } else {
            taken.push(Taken::Repeat);
        }
    }
    for run in new.chunk_by(|one, next| one.r#type == next.r#type) {
        handle(handler, queue, &mut tx, run).await?;
    }
    commit(tx).await?;
    Ok(taken)
}

/// Records that events are taken in, and returns the ids of those that were not yet. A copy that another replica has
/// in an open transaction is waited for; in the order of ids, so that two replicas do not wait for each other.
async fn insert_rows(
    tx: &mut PgConnection,
    queue: &str,
    events: &[&Event],
) -> Result<HashSet<Uuid>, HandleError> {
    let mut ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    ids.sort_unstable();
    let fresh = sqlx::query_scalar!(
        "INSERT INTO inbox (consumer, event_id)
         SELECT $1, event.id
         FROM unnest($2::uuid[]) AS event (id)
         ON CONFLICT DO NOTHING
         RETURNING event_id",
        queue,
        &ids,
    )
    .fetch_all(tx)
    .await
    .map_err(HandleError::retry)?;
    Ok(fresh.into_iter().collect())
}

/// Runs the handler.
async fn handle(
    handler: &dyn AnyHandler,
    queue: &str,
    tx: &mut PgConnection,
    run: &[&Event],
) -> Result<(), HandleError> {
    // The transaction of a handler that panicked is dropped with all it did.
    let ended = AssertUnwindSafe(handler.handle_any(tx, queue, run))
        .catch_unwind()
        .await;
    ended.unwrap_or_else(|_panic| Err(HandleError::Reject("the handler panicked".to_owned())))
}

/// Returns a span in the trace in which an event happened.
fn span(queue: &str, event: &Event) -> tracing::Span {
    let span = tracing::info_span!(
        parent: None,
        "process",
        otel.kind = "consumer",
        messaging.destination.name = queue,
        event.id = %event.id,
        event.r#type = event.r#type,
        trace_id = tracing::field::Empty,
    );
    chassis::telemetry::continue_trace(&span, event.traceparent.as_deref());
    span
}

async fn commit(mut tx: Transaction<'_, Postgres>) -> Result<(), HandleError> {
    // A handler that swallowed an error of the database leaves a transaction that is already lost, and PostgreSQL
    // answers its COMMIT with a friendly ROLLBACK. Any statement before it tells.
    sqlx::query!("SELECT 1 AS alive")
        .fetch_one(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}
