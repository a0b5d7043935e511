//! Carries events from the outbox to the broker. Any number of relays run side by side, two in each replica: while one
//! waits for the broker, the other is at the database.
//!
//! One pass:
//! 1. Begin a transaction and take the locks of some lanes that have rows (an advisory lock for each, held to the end
//!    of the transaction). A lane that another relay holds is left to it.
//! 2. With a *new statement*, read the head of those lanes in order of `sequence`.
//! 3. Publish all of it in that order on one channel, mandatory where the table of routes names a consumer, and wait
//!    for the confirms.
//! 4. Delete what was confirmed.
//! 5. Commit, which releases the lanes.
//! 6. If anything was not confirmed: drop the connection, wait, connect, declare the topology again (which also mends
//!    a queue or binding that somebody removed), go on with 1.
//!
//! What is guaranteed, and why:
//! - *Only what was committed is published*: 2 sees committed rows only.
//! - *Nothing is lost*: a row goes in 4, after a majority of each queue's replicas has it on disk. There is no cursor:
//!   2 takes whatever is there, so a row with a lower number that is committed later is found later.
//! - *At least once, not exactly once*: a crash between 3 and 5 publishes again. The consumers' inbox makes it once.
//! - *Order within a subject*: a writer draws `sequence` under its subject's row lock, so that numbers within a subject
//!   are in order of commit, and who sees a row sees those before it. A subject is in one lane, a lane in one relay
//!   (1), and 2 comes after 1: a snapshot from before the lock could hold rows that the relay before us has published
//!   since, and would put a second copy of an old event behind a newer one. One channel keeps the order up to the
//!   queue, also when it breaks, since what follows in a window is not routed before what precedes. Only if the broker
//!   refuses a single message (somebody removed its queue) may its followers be first; consumers look at the subject's
//!   version.
//! - *A type without consumers blocks nothing*: it is published without "mandatory" and dropped by the broker.

use std::{error::Error as _, sync::Arc, time::Duration};

use chassis::task::Tasks;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    Broker, Event, Producer,
    backoff::Backoff,
    broker::{BrokerError, Fate, Latch, Outgoing, Publisher},
    envelope::source_of,
    metrics::RelayMetrics,
    topology::exchange_of,
};

/// Finds what nobody signalled: rows of a replica that died, or of a commit whose caller was cut off.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
const LAG_INTERVAL: Duration = Duration::from_secs(5);
/// First half of the advisory locks' keys ("outb"); the second is the lane. No other lock of ours has two halves.
const LOCK_CLASS: i32 = 0x6f75_7462;
/// Said aloud, whatever the server's default is: step 2 needs a snapshot of its own.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Half of the 16, so that the other relay finds work as well.
const LANES_MAX: i64 = 8;
/// Outstanding confirms; beyond a thousand the broker gets no faster.
const ROWS_MAX: i64 = 1024;
/// A pass that took so many calls the other relay of the process: one signal wakes one of them.
const PLENTY: usize = 256;
/// Bulk events have some 100 kB: this bounds the memory of a pass. A single larger event passes alone.
const BYTES_MAX: i64 = 8 * 1024 * 1024;
/// The gauge stops counting here: counting millions every few seconds would add to the trouble it reports.
const PENDING_COUNT_MAX: i64 = 100_000;

/// Wakes the relay of this process. Clones wake the same one.
#[derive(Clone, Debug)]
pub struct Relay(Arc<Notify>);

impl Relay {
    /// Starts to publish what `producer` appends to the outbox in `pool`.
    pub fn start(tasks: &Tasks, pool: PgPool, broker: Broker, producer: Producer) -> Relay {
        let relay = Relay::detached();
        let metrics = Arc::new(RelayMetrics::new());
        tasks.spawn(
            "outbox-lag",
            report_lag(pool.clone(), Arc::clone(&metrics), tasks.stopping()),
        );
        let work = Work {
            exchange: exchange_of(producer.service),
            source: source_of(producer.service),
            latch: broker.latch(),
            wake: Arc::clone(&relay.0),
            stopping: tasks.stopping(),
            pool,
            broker,
            producer,
            metrics,
        };
        tasks.spawn("relay", work.run());
        relay
    }

    /// Returns a relay that does nothing, for tests that look at the rows of the outbox.
    pub fn detached() -> Relay {
        Relay(Arc::new(Notify::new()))
    }

    /// Says that a transaction with events has committed. Cheap; calls before the relay looks count as one.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

struct Work {
    pool: PgPool,
    broker: Broker,
    producer: Producer,
    exchange: String,
    source: String,
    latch: Latch,
    wake: Arc<Notify>,
    stopping: CancellationToken,
    metrics: Arc<RelayMetrics>,
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("the outbox cannot be read")]
    Database(#[from] sqlx::Error),
    #[error("the broker cannot be used")]
    Broker(#[from] BrokerError),
    #[error("{0} events were not confirmed")]
    Unconfirmed(usize),
}

/// How the passes of one relay failed.
struct Failure {
    error: RelayError,
    /// Whether a pass was made before.
    passed: bool,
}

/// A row of the outbox.
struct Row {
    lane: i16,
    sequence: i64,
    id: Uuid,
    r#type: String,
    subject: String,
    time: OffsetDateTime,
    traceparent: Option<String>,
    body: Vec<u8>,
}

// === impl Work ===

impl Work {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        while let Err(error) = self.relay(&mut backoff).await {
            tracing::warn!(
                error = chassis::telemetry::chain(&error),
                "the relay starts over"
            );
            if !backoff.wait(&self.stopping).await {
                return;
            }
        }
    }

    /// Relays until the process stops, or something fails.
    async fn relay(&mut self, backoff: &mut Backoff) -> Result<(), RelayError> {
        let one = Publisher::open(self.broker.connect("relay").await?).await?;
        self.producer
            .declare(one.channel())
            .await
            .map_err(BrokerError::from)?;
        let other = Publisher::open(self.broker.connect("relay").await?).await?;
        self.latch.release();
        let over = CancellationToken::new();
        let (one, other) = tokio::join!(self.passes(&one, &over), self.passes(&other, &over));
        let failures: Vec<Failure> = [one, other].into_iter().filter_map(Result::err).collect();
        if failures.iter().all(|failure| failure.passed) {
            backoff.reset();
        }
        let first = failures.into_iter().next();
        first.map_or(Ok(()), |failure| Err(failure.error))
    }

    /// Makes passes until the process stops, something fails, or the other relay's passes failed: one is always ended,
    /// or what it has published would be published again.
    async fn passes(&self, publisher: &Publisher, over: &CancellationToken) -> Result<(), Failure> {
        let mut passed = false;
        loop {
            let stopping = self.stopping.is_cancelled();
            let pass = self.pass(publisher).await;
            let published = pass.map_err(|error| {
                over.cancel();
                Failure { error, passed }
            })?;
            passed = true;
            if over.is_cancelled() {
                return Ok(());
            }
            if published >= PLENTY {
                self.wake.notify_one();
            }
            // The pass that saw the signal was the last: it flushed what the server's last answers appended.
            if stopping {
                return Ok(());
            }
            if published == 0 {
                tokio::select! {
                    () = self.stopping.cancelled() => {}
                    () = over.cancelled() => {}
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(POLL_INTERVAL) => {}
                }
            }
        }
    }

    /// Makes one pass and returns how many events it published.
    async fn pass(&self, publisher: &Publisher) -> Result<usize, RelayError> {
        let mut tx = self.pool.begin_with(BEGIN).await?;
        let lanes = hold_lanes(&mut tx).await?;
        if lanes.is_empty() {
            return Ok(0);
        }
        let claimed = claim(&mut tx, &lanes).await?;
        let span = tracing::info_span!(
            parent: None,
            "publish",
            otel.kind = "producer",
            messaging.destination.name = self.exchange,
            messaging.batch.message_count = claimed.len(),
        );
        let (lanes, sequences) = self.publish(publisher, &claimed).instrument(span).await;
        delete(&mut tx, &lanes, &sequences).await?;
        tx.commit().await?;
        match claimed.len() - sequences.len() {
            0 => Ok(sequences.len()),
            unconfirmed => Err(RelayError::Unconfirmed(unconfirmed)),
        }
    }

    /// Publishes rows and returns the keys of those that were confirmed.
    async fn publish(&self, publisher: &Publisher, rows: &[Row]) -> (Vec<i16>, Vec<i64>) {
        let messages: Vec<Outgoing<'_>> = rows.iter().map(|row| self.outgoing(row)).collect();
        let fates = publisher.publish(messages).await;
        let mut confirmed = (
            Vec::with_capacity(rows.len()),
            Vec::with_capacity(rows.len()),
        );
        for (row, fate) in rows.iter().zip(fates) {
            match fate {
                Fate::Kept => {
                    self.metrics.published(&row.r#type);
                    confirmed.0.push(row.lane);
                    confirmed.1.push(row.sequence);
                }
                Fate::Returned | Fate::Refused => tracing::error!(
                    event.id = %row.id,
                    event.r#type = row.r#type,
                    fate = ?fate,
                    "the broker has no place for an event; it stays in the outbox",
                ),
                Fate::Unknown => {}
            }
        }
        confirmed
    }

    fn outgoing<'a>(&'a self, row: &'a Row) -> Outgoing<'a> {
        let consumed = self.producer.has_consumers(&row.r#type);
        if consumed.is_none() {
            tracing::error!(
                event.r#type = row.r#type,
                "the table of routes lacks an event type"
            );
        }
        let event = Event {
            id: row.id,
            r#type: row.r#type.clone(),
            source: self.source.clone(),
            subject: row.subject.clone(),
            time: row.time,
            traceparent: row.traceparent.clone(),
            body: Vec::new(),
        };
        Outgoing {
            exchange: &self.exchange,
            routing_key: &row.r#type,
            mandatory: consumed.unwrap_or(false),
            properties: event.to_properties(),
            body: &row.body,
        }
    }
}

/// Locks some lanes that have rows, those that wait longest first.
async fn hold_lanes(tx: &mut PgConnection) -> Result<Vec<i16>, sqlx::Error> {
    // Materialized: the locks are tried after, and only for, the lanes that have rows.
    sqlx::query_scalar!(
        r#"WITH waiting AS MATERIALIZED (
             SELECT lane.number, oldest.sequence
             FROM generate_series(0, 15) AS lane (number)
             CROSS JOIN LATERAL (
               SELECT outbox.sequence
               FROM outbox
               WHERE outbox.lane = lane.number
               ORDER BY outbox.sequence
               LIMIT 1
             ) AS oldest
             ORDER BY oldest.sequence
           )
           SELECT waiting.number::smallint AS "lane!"
           FROM waiting
           WHERE pg_try_advisory_xact_lock($1, waiting.number)
           LIMIT $2"#,
        LOCK_CLASS,
        LANES_MAX,
    )
    .fetch_all(tx)
    .await
}

/// Reads the heads of lanes that are held.
async fn claim(tx: &mut PgConnection, lanes: &[i16]) -> Result<Vec<Row>, sqlx::Error> {
    let share = ROWS_MAX / i64::try_from(lanes.len()).unwrap_or(1).max(1);
    // The length of a body is known without fetching it, so that what is cut off was not read.
    sqlx::query_as!(
        Row,
        r#"SELECT
             head.lane AS "lane!", head.sequence AS "sequence!", head.id AS "id!", head.type AS "type!",
             head.subject AS "subject!", head.time AS "time!", head.traceparent, head.body AS "body!"
           FROM (
             SELECT
               row.*,
               sum(octet_length(row.body)) OVER (ORDER BY row.sequence ROWS UNBOUNDED PRECEDING)
                 - octet_length(row.body) AS bytes_before
             FROM unnest($1::smallint[]) AS held (lane)
             CROSS JOIN LATERAL (
               SELECT outbox.*
               FROM outbox
               WHERE outbox.lane = held.lane
               ORDER BY outbox.sequence
               LIMIT $2
             ) AS row
           ) AS head
           WHERE head.bytes_before < $3
           ORDER BY head.sequence"#,
        lanes,
        share,
        BYTES_MAX,
    )
    .fetch_all(tx)
    .await
}

async fn delete(
    tx: &mut PgConnection,
    lanes: &[i16],
    sequences: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM outbox
         USING unnest($1::smallint[], $2::bigint[]) AS confirmed (lane, sequence)
         WHERE outbox.lane = confirmed.lane AND outbox.sequence = confirmed.sequence",
        lanes,
        sequences,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn report_lag(pool: PgPool, metrics: Arc<RelayMetrics>, stopping: CancellationToken) {
    loop {
        match lag(&pool).await {
            Ok((pending, oldest_age_seconds)) => metrics.lag(pending, oldest_age_seconds),
            Err(error) => tracing::debug!(
                error = error.source(),
                "the lag of the outbox cannot be read"
            ),
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LAG_INTERVAL) => {}
        }
    }
}

/// Returns how many events wait, and for how long the oldest has waited.
async fn lag(pool: &PgPool) -> Result<(u64, f64), sqlx::Error> {
    let lag = sqlx::query!(
        r#"SELECT
             (SELECT count(*) FROM (SELECT FROM outbox LIMIT $1) AS counted) AS "pending!",
             (
               SELECT coalesce(extract(epoch FROM clock_timestamp() - min(oldest.append_time)), 0)::double precision
               FROM generate_series(0, 15) AS lane (number)
               CROSS JOIN LATERAL (
                 SELECT outbox.append_time
                 FROM outbox
                 WHERE outbox.lane = lane.number
                 ORDER BY outbox.sequence
                 LIMIT 1
               ) AS oldest
             ) AS "oldest_age_seconds!""#,
        PENDING_COUNT_MAX,
    )
    .fetch_one(pool)
    .await?;
    Ok((
        u64::try_from(lag.pending).unwrap_or(0),
        lag.oldest_age_seconds,
    ))
}
