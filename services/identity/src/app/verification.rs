//! Asking the registry about PENDING persons, in rounds:
//!
//! 1. Claim a chunk of persons whose turn it is. The claim is a lease: when this process dies, others take them later.
//! 2. Ask about all of them, a bounded number at once. No transaction is open meanwhile.
//! 3. Write what has been answered, set-wise, as the answers come: VERIFIED or MISMATCHED with their events, or back to
//!    the queue for later. An answer for a submission that is no longer the newest changes nothing.
//!
//! A registry that does not answer delays a person, ever longer, and is never taken for a contradiction.

use std::{sync::Arc, time::Duration};

use chassis::{Clock, names, task::Tasks};
use futures::{StreamExt, stream};
use messaging::{Relay, outbox};
use proto::identity::v1 as pb;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{App, persons::seal_error};
use crate::{
    domain::person::{self, MismatchField, RegistryAnswer, Submission},
    error::Error,
    registry::{Allowance, Outage, Registry, RegistryConfig},
    storage::{
        self,
        verification::{ClaimedRow, MismatchedRow, PostponedRow, VerifiedRow},
    },
    vault::{PersonKey, SealError, Vault},
};

/// How many waves of questions a chunk is: few, so that a process that dies holds few persons back, and more than one,
/// so that the registry is busy while answers are written.
const WAVES: usize = 4;

/// How long an idle worker waits before it looks for persons that others have left.
const POLL: Duration = Duration::from_secs(1);

/// How long a round may go on when the process stops. Its persons are taken up by others when their lease ends.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Added to the longest time that a chunk can take: for claiming and writing.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// Asks the registry about persons.
pub struct Verifier {
    db: PgPool,
    clock: Clock,
    vault: Arc<Vault>,
    relay: Relay,
    registry: Registry,
    concurrency_max: usize,
    lease: Duration,
    submitted: Arc<Notify>,
}

struct Claimed {
    row: ClaimedRow,
    key: PersonKey,
    submission: Submission,
}

/// What is to be written of the answers.
#[derive(Default)]
struct Answers {
    verified: Vec<VerifiedRow>,
    mismatched: Vec<MismatchedRow>,
    postponed: Vec<PostponedRow>,
}

impl Verifier {
    /// Makes the worker of an app.
    pub fn new(app: &App, registry: Registry, config: &RegistryConfig) -> Verifier {
        Verifier {
            db: app.db.clone(),
            clock: app.clock.clone(),
            vault: Arc::clone(&app.vault),
            relay: app.relay.clone(),
            registry,
            concurrency_max: config.concurrency_max,
            lease: config.timeout * u32::try_from(WAVES).unwrap_or(u32::MAX) + LEASE_MARGIN,
            submitted: Arc::clone(&app.submitted),
        }
    }

    /// Starts the worker. It is woken by each submission, and looks by itself every second.
    pub fn start(self, tasks: &Tasks) {
        let stopping = tasks.stopping();
        tasks.spawn("verification", async move {
            while !stopping.is_cancelled() {
                match self.verify_round_until(&stopping).await {
                    Ok(0) => {}
                    Ok(_) => continue,
                    Err(error) => tracing::warn!(
                        error = chassis::telemetry::chain(&error),
                        "a round of verification failed; its persons are taken up again"
                    ),
                }
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = self.submitted.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        });
    }

    /// Runs one round, and leaves it when it does not end soon after the process is told to.
    async fn verify_round_until(&self, stopping: &CancellationToken) -> Result<usize, Error> {
        let mut round = std::pin::pin!(self.verify_round());
        tokio::select! {
            result = &mut round => return result,
            () = stopping.cancelled() => {}
        }
        tokio::time::timeout(STOP_GRACE, round)
            .await
            .unwrap_or(Ok(0))
    }

    /// Runs one round and returns how many persons were answered for, either way.
    ///
    /// # Errors
    /// When the database fails. Persons that were claimed are taken up again when their lease ends.
    pub async fn verify_round(&self) -> Result<usize, Error> {
        let chunk_max = self.concurrency_max * WAVES;
        let limit = match self.registry.allowance() {
            Allowance::Any => chunk_max,
            Allowance::Probe => 1,
            Allowance::Nobody => return Ok(0),
        };
        let now = self.clock.now();
        let rows = {
            let mut connection = self.db.acquire().await?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            storage::verification::claim(&mut connection, now, now + self.lease, limit).await?
        };

        let mut answered = 0;
        let claimed: Vec<Claimed> = rows.into_iter().filter_map(|row| self.open(row)).collect();
        let answers = stream::iter(claimed)
            .map(|claimed| async move {
                let result = self.registry.verify(&claimed.submission).await;
                (claimed, result)
            })
            .buffer_unordered(self.concurrency_max)
            .ready_chunks(chunk_max);
        let mut answers = std::pin::pin!(answers);
        while let Some(group) = answers.next().await {
            answered += self.record(group).await?;
        }
        Ok(answered)
    }

    /// Decrypts a claimed person. One that cannot be opened waits until its lease ends, and is told about each time.
    fn open(&self, row: ClaimedRow) -> Option<Claimed> {
        let opened = self
            .vault
            .person_key(row.account_id, &row.wrapped_key)
            .and_then(|key| {
                let submission = key.open_identity(&row.sealed_identity)?;
                Ok((key, submission))
            });
        match opened {
            Ok((key, submission)) => Some(Claimed {
                row,
                key,
                submission,
            }),
            Err(source) => {
                warn_unreadable(row.account_id, source);
                None
            }
        }
    }

    async fn record(
        &self,
        group: Vec<(Claimed, Result<RegistryAnswer, Outage>)>,
    ) -> Result<usize, Error> {
        let now = self.clock.now();
        let mut answers = Answers::default();
        for (claimed, result) in group {
            self.sort_in(&mut answers, claimed, result, now);
        }
        let answered = answers.verified.len() + answers.mismatched.len();

        let mut tx = self.db.begin().await?;
        storage::verification::hold_off_snapshots(&mut tx).await?;
        if !answers.postponed.is_empty() {
            storage::verification::update_postponed(&mut tx, &answers.postponed).await?;
        }
        if !answers.verified.is_empty() {
            let ids =
                storage::verification::update_verified(&mut tx, &answers.verified, now).await?;
            tell_verified(&mut tx, &ids, now).await?;
        }
        if !answers.mismatched.is_empty() {
            let ids =
                storage::verification::update_mismatched(&mut tx, &answers.mismatched, now).await?;
            tell_mismatched(&mut tx, &ids, &answers.mismatched, now).await?;
        }
        tx.commit().await?;
        if answered > 0 {
            self.relay.wake();
        }
        Ok(answered)
    }

    fn sort_in(
        &self,
        answers: &mut Answers,
        claimed: Claimed,
        result: Result<RegistryAnswer, Outage>,
        now: OffsetDateTime,
    ) {
        let Claimed { row, key, .. } = claimed;
        let (account_id, submission_number) = (row.account_id, row.submission_number);
        match result {
            Ok(RegistryAnswer::Match {
                facts,
                household_id,
            }) => {
                let resealed = key.open_facts(&row.sealed_facts).and_then(|mut known| {
                    known.registry = Some(facts);
                    key.seal_facts(&known)
                });
                match resealed {
                    Ok(sealed_facts) => answers.verified.push(VerifiedRow {
                        account_id,
                        submission_number,
                        sealed_facts,
                        household: household_id.map(|id| self.vault.household_pseudonym(&id)),
                    }),
                    Err(source) => warn_unreadable(account_id, source),
                }
            }
            Ok(RegistryAnswer::Mismatch(fields)) => answers.mismatched.push(MismatchedRow {
                account_id,
                submission_number,
                fields,
            }),
            // Nothing was sent: the person keeps its place, and the breaker decides when it is asked about.
            Err(Outage::Paused) => answers.postponed.push(PostponedRow {
                account_id,
                submission_number,
                attempt_count: row.attempt_count,
                next_attempt_time: now,
            }),
            Err(Outage::Unreachable(_) | Outage::Status(_) | Outage::Unreadable) => {
                let attempt_count = row.attempt_count.saturating_add(1);
                let delay =
                    person::retry_delay(attempt_count.unsigned_abs(), account_id.as_bytes()[15]);
                answers.postponed.push(PostponedRow {
                    account_id,
                    submission_number,
                    attempt_count,
                    next_attempt_time: now + delay,
                });
            }
        }
    }
}

fn warn_unreadable(account_id: Uuid, source: SealError) {
    let error = seal_error(account_id, source);
    tracing::error!(
        error = chassis::telemetry::chain(&error),
        "a person cannot be verified"
    );
}

async fn tell_verified(
    tx: &mut PgConnection,
    ids: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), Error> {
    let events: Vec<pb::PersonVerified> = ids
        .iter()
        .map(|id| pb::PersonVerified {
            account: names::format("accounts", id),
        })
        .collect();
    let events: Vec<(&str, &pb::PersonVerified)> = events
        .iter()
        .map(|event| (event.account.as_str(), event))
        .collect();
    Ok(outbox::append_all(tx, now, &events).await?)
}

async fn tell_mismatched(
    tx: &mut PgConnection,
    ids: &[Uuid],
    rows: &[MismatchedRow],
    now: OffsetDateTime,
) -> Result<(), Error> {
    let events: Vec<pb::PersonMismatched> = rows
        .iter()
        .filter(|row| ids.contains(&row.account_id))
        .map(|row| pb::PersonMismatched {
            account: names::format("accounts", row.account_id),
            fields: row
                .fields
                .iter()
                .copied()
                .map(MismatchField::name)
                .map(str::to_owned)
                .collect(),
        })
        .collect();
    let events: Vec<(&str, &pb::PersonMismatched)> = events
        .iter()
        .map(|event| (event.account.as_str(), event))
        .collect();
    Ok(outbox::append_all(tx, now, &events).await?)
}
