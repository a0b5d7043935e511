//! Seats: held, confirmed, released, given back when a hold runs out.
//!
//! Locks, always in this order, so that nobody waits in a circle: runs by id, then holds. Only a confirmation takes a
//! hold alone; it changes no count.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chassis::{Clock, db, names};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        run::Run,
        seat_hold::{Board, HoldKey, HoldRefusal, HoldState, NewHold, SeatHold, Seats},
    },
    error::Error,
    storage,
};

/// Runs that one transaction of the sweeper looks after, those first whose holds ran out first.
const EXPIRE_RUNS: i64 = 100;
/// Holds of one run that one transaction ends: more than a batch of calls can want back.
const EXPIRE_HOLDS_PER_RUN: i64 = 1_000;

/// A hold with its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSeat {
    /// The hold.
    pub hold: SeatHold,
    /// Its state as the caller sees it.
    pub state: HoldState,
    /// Its run.
    pub run: Run,
}

impl App {
    /// Holds a seat together with all others that are asked for at this moment.
    pub async fn hold_seat(&self, new: NewHold) -> Result<HeldSeat, Error> {
        self.hold_seat.submit(new).await?
    }

    /// Takes a held seat for good.
    pub async fn confirm_seat(&self, id: Uuid) -> Result<HeldSeat, Error> {
        let now = self.clock.now();
        let mut connection = self.db.acquire().await?;
        let hold = match storage::seat_holds::confirm(&mut connection, id, now).await? {
            Some(confirmed) => confirmed,
            None => {
                let hold = storage::seat_holds::find(&mut connection, id).await?;
                let hold = hold.ok_or_else(|| Error::NotFound(names::format("seatHolds", id)))?;
                match hold.state_at(now) {
                    HoldState::Confirmed => hold,
                    // It was made between the two statements: the caller confirms before he knows that it is held.
                    HoldState::Held => return Err(Error::Conflict),
                    state @ (HoldState::Released | HoldState::Expired) => {
                        return Err(Error::HoldEnded { id, state });
                    }
                }
            }
        };
        let run = storage::runs::find(&mut connection, hold.run_id).await?;
        Ok(HeldSeat {
            hold,
            state: HoldState::Confirmed,
            run: run.ok_or(sqlx::Error::RowNotFound)?,
        })
    }

    /// Gives a seat back, or makes sure that it can never be taken under this id.
    pub async fn release_seat(&self, key: HoldKey) -> Result<HeldSeat, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let runs = storage::runs::list_for_update(&mut tx, &[key.run_id]).await?;
        let Some(run) = runs.into_iter().next() else {
            return Err(Error::NotFound(names::format("runs", key.run_id)));
        };
        let known = match storage::seat_holds::find(&mut tx, key.id).await? {
            Some(known) => known,
            None => {
                let tombstone = SeatHold::tombstone(key, now);
                let written =
                    storage::seat_holds::insert_missing(&mut tx, &[tombstone], now).await?;
                if written.is_empty() {
                    // Only another run's hold can have come between.
                    return Err(Error::HoldIdReused(key.id));
                }
                tombstone
            }
        };
        if known.key() != key {
            return Err(Error::HoldIdReused(key.id));
        }
        let hold = match known.state_at(now) {
            HoldState::Released => known,
            HoldState::Expired if known.state == HoldState::Expired => known,
            HoldState::Held | HoldState::Confirmed | HoldState::Expired => {
                storage::seat_holds::release(&mut tx, key.id, now)
                    .await?
                    .ok_or(Error::Conflict)?
            }
        };
        tx.commit().await?;
        Ok(HeldSeat {
            hold,
            state: hold.state,
            run,
        })
    }

    /// Gives back the seats of all holds that ran out by now, in chunks, and returns how many.
    pub async fn expire_holds(&self) -> Result<i64, Error> {
        let mut expired = 0;
        loop {
            let now = self.clock.now();
            let due = storage::seat_holds::list_expired_runs(
                &mut *self.db.acquire().await?,
                now,
                EXPIRE_RUNS,
            )
            .await?;
            if due.is_empty() {
                return Ok(expired);
            }
            let mut tx = self.db.begin().await?;
            // Runs that are being sold from at this moment give back what they need by themselves.
            let claimed = storage::runs::claim(&mut tx, &due).await?;
            let given_back: i64 =
                storage::seat_holds::expire(&mut tx, &claimed, now, EXPIRE_HOLDS_PER_RUN)
                    .await?
                    .values()
                    .sum();
            tx.commit().await?;
            if given_back == 0 {
                return Ok(expired);
            }
            expired += given_back;
        }
    }

    /// Runs [`App::expire_holds`] at this interval until the process goes down.
    pub async fn sweep_expired_holds(self, interval: Duration, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            match self.expire_holds().await {
                Ok(0) => {}
                Ok(expired) => tracing::info!(seat_hold.count = expired, "holds ran out"),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "holds that ran out were not given back")
                }
            }
        }
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What a batch of holds needs.
#[derive(Clone)]
pub struct Batches {
    db: PgPool,
    clock: Clock,
}

impl Batches {
    /// Keeps the pool and the clock for the gatherer.
    pub fn new(db: PgPool, clock: Clock) -> Batches {
        Batches { db, clock }
    }

    /// Holds the seats of a batch in one transaction, with an answer each. When the batch fails for another reason than
    /// a passing one, each is tried alone, so that the one at fault fails alone.
    pub async fn hold_seats(&self, batch: Vec<NewHold>) -> Vec<Result<HeldSeat, Error>> {
        let error = match self.try_hold_seats(&batch).await {
            Ok(answers) => return answers,
            Err(error) => error,
        };
        if batch.len() > 1 && !db::is_transient(&error) {
            let mut answers = Vec::with_capacity(batch.len());
            for new in batch {
                let answer = self.try_hold_seats(&[new]).await;
                answers.push(
                    answer
                        .map_err(Error::Database)
                        .and_then(|mut answers| answers.remove(0)),
                );
            }
            return answers;
        }
        let error = Arc::new(error);
        batch
            .iter()
            .map(|_| Err(Error::Batch(Arc::clone(&error))))
            .collect()
    }

    async fn try_hold_seats(
        &self,
        batch: &[NewHold],
    ) -> Result<Vec<Result<HeldSeat, Error>>, sqlx::Error> {
        let mut tx = self.db.begin().await?;
        let runs =
            storage::runs::list_for_update(&mut tx, &distinct(batch, |new| new.key.run_id)).await?;
        // After the runs' locks: a statement of its own sees every hold that was committed under them.
        let holds = storage::seat_holds::list(&mut tx, &distinct(batch, |new| new.key.id)).await?;
        // After the wait for the locks, so that no hold runs out between this time and the decision.
        let now = self.clock.now();
        let runs: HashMap<Uuid, Run> = runs.into_iter().map(|run| (run.id, run)).collect();
        let mut board = Board::new(
            now,
            runs.values().map(|run| (run.id, seats(run))).collect(),
            holds,
        );

        let short_runs = board.short_runs(batch);
        if !short_runs.is_empty() {
            let given_back =
                storage::seat_holds::expire(&mut tx, &short_runs, now, EXPIRE_HOLDS_PER_RUN)
                    .await?;
            for (run_id, seat_count) in given_back {
                board.give_back(run_id, seat_count);
            }
        }
        let decisions: Vec<_> = batch.iter().map(|new| board.hold(new)).collect();
        let new_holds = board.into_new_holds();
        let written: HashSet<Uuid> = storage::seat_holds::insert_missing(&mut tx, &new_holds, now)
            .await?
            .into_iter()
            .collect();
        tx.commit().await?;

        let lost: HashSet<Uuid> = new_holds
            .iter()
            .map(|hold| hold.id)
            .filter(|id| !written.contains(id))
            .collect();
        let answer = |(new, decision): (&NewHold, Result<SeatHold, HoldRefusal>)| {
            let hold = match decision {
                // Another run's hold of this id was committed meanwhile.
                Ok(hold) if lost.contains(&hold.id) => Err(HoldRefusal::IdReused),
                decision => decision,
            };
            let hold = hold.map_err(|refusal| Error::Hold { new: *new, refusal })?;
            let run = runs
                .get(&hold.run_id)
                .cloned()
                .ok_or(sqlx::Error::RowNotFound)?;
            Ok(HeldSeat {
                hold,
                state: hold.state_at(now),
                run,
            })
        };
        Ok(batch.iter().zip(decisions).map(answer).collect())
    }
}

fn seats(run: &Run) -> Seats {
    Seats {
        seat_count: run.seat_count,
        taken_seat_count: run.taken_seat_count,
        end_time: run.end_time,
    }
}

fn distinct(batch: &[NewHold], id: impl Fn(&NewHold) -> Uuid) -> Vec<Uuid> {
    let ids: HashSet<Uuid> = batch.iter().map(id).collect();
    ids.into_iter().collect()
}
