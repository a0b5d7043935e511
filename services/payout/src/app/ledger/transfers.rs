//! Transfers of callers, gathered: what concurrent callers order while the last transaction commits is the next one, with
//! an answer for each.
//!
//! 1. Calls are taken in the order of their arrival, as many as fit into one transaction; a hot account is locked and
//!    written once for all of them.
//! 2. The book decides line by line. What it refuses changes nothing for the others.
//! 3. A transaction that met another one in a deadlock, or another replica with the same id, is run again. One that the
//!    database cannot take is split, so that the call at fault fails alone.

use std::sync::Arc;

use chassis::{Clock, db};
use sqlx::PgPool;

use super::{super::is_lost_race, App, apply_calls};
use crate::{
    domain::ledger::{Transfer, Verdict},
    error::Error,
};

/// How many lines one call may have, and one transaction: some 8,000 are as fast as it gets, and take a fifth of a second.
pub const LINES_MAX: usize = 8_190;

/// Calls with more lines than this are gathered apart, so that nobody with a single transfer waits behind them.
const FEW_LINES_MAX: usize = 100;

/// How often a transaction that met another one is run.
const ATTEMPTS_MAX: u32 = 3;

/// The lines of a call.
pub(in crate::app) type Call = Vec<Transfer>;

/// What a caller is told.
pub(in crate::app) type Answer = Result<Vec<Verdict>, Arc<sqlx::Error>>;

impl App {
    /// Books the lines of a call, with a verdict for each.
    pub async fn create_transfers(&self, lines: Vec<Transfer>) -> Result<Vec<Verdict>, Error> {
        let gatherer = if lines.len() > FEW_LINES_MAX {
            &self.bulk_transfers
        } else {
            &self.transfers
        };
        let answer = gatherer.submit(lines).await?;
        answer.map_err(Error::SharedDatabase)
    }
}

/// Runs the batches of calls.
#[derive(Clone)]
pub(in crate::app) struct Batches {
    pub(in crate::app) db: PgPool,
    pub(in crate::app) clock: Clock,
}

impl Batches {
    /// Books a batch of calls, in transactions of a bounded size.
    pub(in crate::app) async fn run(&self, calls: Vec<Call>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut rest = calls.as_slice();
        while !rest.is_empty() {
            let mut line_count = 0;
            let fitting = rest.iter().take_while(|call| {
                line_count += call.len();
                line_count <= LINES_MAX
            });
            let (now, later) = rest.split_at(fitting.count().max(1));
            answers.extend(self.run_together(now).await);
            rest = later;
        }
        answers
    }

    async fn run_together(&self, calls: &[Call]) -> Vec<Answer> {
        match self.try_booking(calls).await {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(error) if calls.len() == 1 || db::is_transient(&error) => {
                let error = Arc::new(error);
                calls.iter().map(|_| Err(Arc::clone(&error))).collect()
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(calls.len());
                for call in calls.chunks(1) {
                    match self.try_booking(call).await {
                        Ok(verdicts) => answers.extend(verdicts.into_iter().map(Ok)),
                        Err(error) => answers.push(Err(Arc::new(error))),
                    }
                }
                answers
            }
        }
    }

    async fn try_booking(&self, calls: &[Call]) -> Result<Vec<Vec<Verdict>>, sqlx::Error> {
        let mut attempt = 1;
        loop {
            match self.book(calls).await {
                Err(error) if attempt < ATTEMPTS_MAX && may_be_run_again(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    async fn book(&self, calls: &[Call]) -> Result<Vec<Vec<Verdict>>, sqlx::Error> {
        let calls: Vec<&[Transfer]> = calls.iter().map(Vec::as_slice).collect();
        let mut tx = self.db.begin().await?;
        let verdicts = apply_calls(&mut tx, &calls, self.clock.now()).await?;
        tx.commit().await?;
        Ok(verdicts)
    }
}

/// The same id between other accounts, booked by another transaction at the same moment, was not to be seen before. The
/// next attempt sees it.
fn may_be_run_again(error: &sqlx::Error) -> bool {
    is_lost_race(error) || db::constraint(error) == Some("ledger_transfers_pkey")
}
