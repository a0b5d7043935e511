//! Tells events: a row in the transaction of the change, published by the relay after the commit.
//!
//! This is the only way to publish. Call it while the subject's row is locked by the transaction (or was made by it):
//! the order of events within a subject rests on that.

use prost::{Message, Name};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Appends one event about `subject` (a resource name) and returns its id.
pub async fn append<M: Message + Name>(
    tx: &mut PgConnection,
    subject: &str,
    now: OffsetDateTime,
    event: &M,
) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    insert(
        tx,
        &[id],
        &M::full_name(),
        &[subject],
        now,
        &[event.encode_to_vec()],
    )
    .await?;
    Ok(id)
}

/// Appends events of one type in the given order, with one statement.
pub async fn append_all<M: Message + Name>(
    tx: &mut PgConnection,
    now: OffsetDateTime,
    events: &[(&str, &M)],
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
    let subjects: Vec<&str> = events.iter().map(|(subject, _)| *subject).collect();
    let bodies: Vec<Vec<u8>> = events
        .iter()
        .map(|(_, event)| event.encode_to_vec())
        .collect();
    insert(tx, &ids, &M::full_name(), &subjects, now, &bodies).await
}

async fn insert(
    tx: &mut PgConnection,
    ids: &[Uuid],
    event_type: &str,
    subjects: &[&str],
    now: OffsetDateTime,
    bodies: &[Vec<u8>],
) -> Result<(), sqlx::Error> {
    // Sorted before the sequence is drawn, so that the numbers follow the order of the slice.
    sqlx::query!(
        "INSERT INTO outbox (id, type, subject, time, traceparent, body)
         SELECT event.id, $2, event.subject, $4, $5, event.body
         FROM unnest($1::uuid[], $3::text[], $6::bytea[]) WITH ORDINALITY AS event (id, subject, body, ordinal)
         ORDER BY event.ordinal",
        ids,
        event_type,
        subjects as &[&str],
        now,
        chassis::telemetry::current_traceparent(),
        bodies,
    )
    .execute(tx)
    .await?;
    Ok(())
}
