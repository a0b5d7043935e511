//! Paying: approved orders go to the rail, and orders without a clear answer are asked about.
//!
//! 1. Claim a chunk of approved lines as SENT, with the time of their first inquiry, and commit: from here on they are
//!    never sent by anybody else, and never forgotten.
//! 2. Call the rail, several at a time. No transaction is open. The next chunk is claimed while the last lines of this
//!    one are under way, so that a slow answer holds up nobody but itself.
//! 3. Write what became of them, as many at once as have come meanwhile: SETTLED, FAILED, UNKNOWN; or APPROVED again when
//!    nothing has left us.
//! 4. Lines whose inquiry is due, UNKNOWN or left over as SENT by a process that died in 2: mark them as asked, commit,
//!    ask the rail. A notice of the rail (`notices.rs`) makes it due at once, also for a settled line that it takes back.
//! 5. A definite answer is written as in 3. "Not found" is believed after the cut-off alone: the line is marked as SENT,
//!    committed, and sent again under the same reference, of which the rail pays one at most.
//!
//! Lines of frozen participations are skipped where a line is marked as SENT, in 1 and 5, under the lock of the
//! participation's funds: they stay APPROVED or UNKNOWN, and are met there again when that is lifted.
//!
//! Lines of batches that go by file are none of this worker's (`payment_files.rs`), but for those without an answer, which it
//! gives up as UNKNOWN.
//!
//! Several replicas work side by side: a claim skips what another has locked, and a result is written only where the
//! line is still undecided and in the same attempt.

use std::{
    collections::HashMap,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        disbursement::{Disbursement, DisbursementState},
        payee::Channel,
        rail::{FailureReason, InquiryAnswer, PaymentAnswer, PaymentOrder},
    },
    error::Error,
    storage::{
        self,
        disbursements::orders::{self, Destination},
    },
};

pub(super) mod results;

use results::Outcome;

/// How long the worker rests when there is nothing to do.
const REST: Duration = Duration::from_secs(1);

/// How long it rests when the rail looks away, so that not every waiting line becomes unclear for nothing.
const OUTAGE_REST: Duration = Duration::from_secs(5);

/// How many lines are claimed or asked about at once: enough for a transaction to be worth its while, and few enough that
/// little has to be asked about when the process dies.
const CHUNK_MAX: i64 = 2_000;

/// How many results are written together at most.
const RESULTS_MAX: usize = 2_000;

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Lines that were sent or asked about.
    pub line_count: usize,
    /// Whether the rail looks away: nobody is let in, or one line after the other came to nothing.
    pub is_outage: bool,
}

/// A claimed line and where it goes.
struct Order {
    line: Disbursement,
    destination: Option<Destination>,
}

/// How many lines in a row came to nothing.
#[derive(Default)]
struct Trouble(AtomicUsize);

impl App {
    /// Pays until told to stop. Then nothing more is sent, and what is under way is waited for.
    pub async fn run_payments(&self) {
        let sending = self.repeat("send payments", || self.send_round());
        let asking = self.repeat("ask about payments", || self.inquire_round());
        // The two are long-lived, and large.
        tokio::join!(Box::pin(sending), Box::pin(asking));
    }

    async fn repeat<F>(&self, what: &'static str, round: impl Fn() -> F)
    where
        F: Future<Output = Result<Round, Error>>,
    {
        while !self.stopping.is_cancelled() {
            let done = or_warn(round().await, what);
            let rest = match done.line_count {
                _ if done.is_outage => OUTAGE_REST,
                0 => REST,
                _ => continue,
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// Sends approved lines until there are none, or the rail looks away.
    pub async fn send_round(&self) -> Result<Round, Error> {
        let mut connection = self.db.acquire().await?;
        let has_approved = orders::has_approved(&mut connection).await?;
        drop(connection);
        if !has_approved {
            return Ok(Round::default());
        }
        // Nothing is promised to a rail that does not let us in.
        if let Err(outage) = self.rail.authenticate().await {
            tracing::warn!(
                error = chassis::telemetry::chain(&outage),
                "the rail is away; payments wait"
            );
            return Ok(Round {
                is_outage: true,
                ..Round::default()
            });
        }
        let trouble = Trouble::default();
        let is_outage = || trouble.count() >= self.payments.rail_concurrency_max;
        // One chunk waits while the one before is sent.
        let (claimed, chunks) = mpsc::channel(1);
        let claiming = async {
            // Moved in, so that its end is the end of the chunks.
            let claimed = claimed;
            while !is_outage() && !self.stopping.is_cancelled() {
                let Ok(place) = claimed.reserve().await else {
                    return;
                };
                let chunk = or_warn(self.claim().await, "claim payments");
                if chunk.is_empty() {
                    return;
                }
                place.send(chunk);
            }
        };
        let ((), line_count) = tokio::join!(claiming, self.send(chunks, false, &trouble));
        Ok(Round {
            line_count,
            is_outage: is_outage(),
        })
    }

    async fn claim(&self) -> Result<Vec<Order>, Error> {
        let now = self.clock.now();
        let next_inquiry_time = self.payments.inquiry_plan.next_inquiry(now, 0, now);
        let mut tx = self.db.begin().await?;
        let lines = orders::claim_approved(&mut tx, CHUNK_MAX, now, next_inquiry_time).await?;
        tx.commit().await?;
        self.address(lines).await
    }

    /// Asks about some lines whose inquiry is due, and sends those again that the rail does not know.
    pub async fn inquire_round(&self) -> Result<Round, Error> {
        self.give_up_unanswered(CHUNK_MAX).await?;
        let plan = self.payments.inquiry_plan;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let due = orders::lock_due_inquiries(&mut tx, CHUNK_MAX, now).await?;
        if due.is_empty() {
            return Ok(Round::default());
        }
        let next: Vec<(Uuid, OffsetDateTime)> = due
            .iter()
            .map(|order| {
                (
                    order.id,
                    plan.next_inquiry(now, order.inquiry_count + 1, order.send_time),
                )
            })
            .collect();
        let lines = orders::set_asked(&mut tx, &next).await?;
        tx.commit().await?;

        let line_count = lines.len();
        let answers: Vec<(Disbursement, InquiryAnswer)> = stream::iter(lines)
            // The others are asked about the next time.
            .take_while(|_| std::future::ready(!self.stopping.is_cancelled()))
            .map(|line| async move {
                let answer = self
                    .rail
                    .inquire_payment(&line.reference(), line.amount)
                    .await;
                (line, answer)
            })
            .buffer_unordered(self.payments.rail_concurrency_max)
            .collect()
            .await;
        let mut outcomes = Vec::new();
        let mut unknown_to_rail = Vec::new();
        for (line, answer) in answers {
            match decide(&line, answer) {
                Verdict::Write(outcome) => outcomes.push((line, outcome)),
                Verdict::MaySendAgain => unknown_to_rail.push(line),
                Verdict::AskAgain => {}
            }
        }
        self.write_results(outcomes).await?;
        self.resend(unknown_to_rail).await?;
        Ok(Round {
            line_count,
            is_outage: false,
        })
    }

    /// Sends lines again that the rail does not know, if their cut-off has passed.
    async fn resend(&self, mut lines: Vec<Disbursement>) -> Result<(), Error> {
        let plan = self.payments.inquiry_plan;
        let now = self.clock.now();
        lines.retain(|line| {
            line.send_time
                .is_some_and(|send_time| plan.may_resend(now, send_time))
        });
        if lines.is_empty() {
            return Ok(());
        }
        let again: Vec<(Uuid, i32)> = lines.iter().map(|line| (line.id, line.attempt)).collect();
        let participation_ids: Vec<Uuid> = lines.iter().map(|line| line.participation_id).collect();
        let next_inquiry_time = plan.next_inquiry(now, 0, now);
        let mut tx = self.db.begin().await?;
        storage::participation_funds::lock_all(&mut tx, &participation_ids).await?;
        let lines = orders::set_resent(&mut tx, &again, now, next_inquiry_time).await?;
        tx.commit().await?;
        tracing::info!(
            line_count = lines.len(),
            "sending payments again that the rail does not know"
        );
        let (claimed, chunks) = mpsc::channel(1);
        // There is a place for one.
        let _ = claimed.try_send(self.address(lines).await?);
        drop(claimed);
        self.send(chunks, true, &Trouble::default()).await;
        Ok(())
    }

    /// Finds out where lines go.
    async fn address(&self, lines: Vec<Disbursement>) -> Result<Vec<Order>, Error> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = lines.iter().map(|line| line.id).collect();
        let mut connection = self.db.acquire().await?;
        let found = orders::find_destinations(&mut connection, &ids).await?;
        let mut by_id: HashMap<Uuid, Destination> = found
            .into_iter()
            .map(|destination| (destination.disbursement_id, destination))
            .collect();
        let orders = lines.into_iter().map(|line| Order {
            destination: by_id.remove(&line.id),
            line,
        });
        Ok(orders.collect())
    }

    /// Sends claimed lines and writes what became of them, side by side; returns how many.
    async fn send(
        &self,
        chunks: mpsc::Receiver<Vec<Order>>,
        is_resend: bool,
        trouble: &Trouble,
    ) -> usize {
        let orders = stream::unfold(chunks, |mut chunks| async move {
            let chunk = chunks.recv().await?;
            Some((stream::iter(chunk), chunks))
        })
        .flatten();
        let (answered, mut answers) = mpsc::channel(RESULTS_MAX);
        let sending = async {
            // Moved in, so that its end is the end of the answers.
            let answered = answered;
            let mut sent = pin!(
                orders
                    .map(|order| async move {
                        // Nothing more leaves us; what was claimed is let go.
                        let outcome = match self.stopping.is_cancelled() {
                            true => unsent(is_resend),
                            false => outcome_of(&order.line, self.pay(&order).await, is_resend),
                        };
                        (order.line, outcome)
                    })
                    .buffer_unordered(self.payments.rail_concurrency_max)
            );
            while let Some((line, outcome)) = sent.next().await {
                trouble.note(outcome);
                // The receiver stays until the last answer.
                let _ = answered.send((line, outcome)).await;
            }
        };
        let writing = async {
            let mut line_count = 0;
            let mut outcomes = Vec::new();
            while answers.recv_many(&mut outcomes, RESULTS_MAX).await > 0 {
                line_count += outcomes.len();
                let written = self.write_results(std::mem::take(&mut outcomes)).await;
                or_warn(written, "write what became of payments");
            }
            line_count
        };
        let ((), line_count) = tokio::join!(sending, writing);
        line_count
    }

    async fn pay(&self, order: &Order) -> PaymentAnswer {
        let Some(destination) = &order.destination else {
            return PaymentAnswer::NotSent("no payee account".to_owned());
        };
        let Some(channel) = Channel::find(&destination.channel) else {
            return PaymentAnswer::NotSent("an unknown channel".to_owned());
        };
        let (number, holder) = match self
            .vault
            .open(destination.payee_account_id, &destination.sealed)
        {
            Ok(opened) => opened,
            Err(error) => return PaymentAnswer::NotSent(error.to_string()),
        };
        let order = PaymentOrder {
            reference: order.line.reference(),
            bank_code: channel.bank_code.to_owned(),
            number,
            holder,
            amount: order.line.amount,
        };
        self.rail.pay(&order).await
    }
}

impl Trouble {
    fn note(&self, outcome: Outcome) {
        match outcome {
            Outcome::NotSent | Outcome::Unknown => self.0.fetch_add(1, Ordering::Relaxed),
            Outcome::Settled | Outcome::Failed(_) => self.0.swap(0, Ordering::Relaxed),
        };
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn or_warn<T: Default>(result: Result<T, Error>, what: &'static str) -> T {
    result.unwrap_or_else(|error| {
        let error = chassis::telemetry::chain(&error);
        tracing::warn!(error, "{what}: the round failed and is repeated");
        T::default()
    })
}

/// What the answer to a sending means for the line.
fn outcome_of(line: &Disbursement, answer: PaymentAnswer, is_resend: bool) -> Outcome {
    match answer {
        PaymentAnswer::Paid => Outcome::Settled,
        PaymentAnswer::Refused(reason) => Outcome::Failed(reason),
        PaymentAnswer::Unclear(why) => {
            tracing::warn!(disbursement.id = %line.id, why, "a payment without a clear answer");
            Outcome::Unknown
        }
        PaymentAnswer::NotSent(why) => {
            tracing::warn!(disbursement.id = %line.id, why, "a payment was not sent");
            unsent(is_resend)
        }
    }
}

/// The first sending may have been heard after all, also if this one never left us.
fn unsent(is_resend: bool) -> Outcome {
    if is_resend {
        Outcome::Unknown
    } else {
        Outcome::NotSent
    }
}

/// What the answer to an inquiry leads to.
enum Verdict {
    Write(Outcome),
    /// The rail does not know the order.
    MaySendAgain,
    /// The next inquiry is planned already.
    AskAgain,
}

fn decide(line: &Disbursement, answer: InquiryAnswer) -> Verdict {
    let is_settled = line.state == DisbursementState::Settled;
    match answer {
        InquiryAnswer::Paid => Verdict::Write(Outcome::Settled),
        InquiryAnswer::Refused(FailureReason::Reversed) => {
            Verdict::Write(Outcome::Failed(FailureReason::Reversed))
        }
        InquiryAnswer::Refused(reason) if !is_settled => Verdict::Write(Outcome::Failed(reason)),
        InquiryAnswer::NotFound if !is_settled => Verdict::MaySendAgain,
        InquiryAnswer::InProgress if !is_settled => Verdict::AskAgain,
        // It was settled by this rail's own word, which only "taken back" takes back.
        InquiryAnswer::Refused(_) | InquiryAnswer::NotFound | InquiryAnswer::InProgress => {
            tracing::error!(disbursement.id = %line.id, ?answer, "the rail disowns a settled payment");
            Verdict::AskAgain
        }
        InquiryAnswer::Unclear(why) => {
            tracing::warn!(disbursement.id = %line.id, why, "an inquiry without a clear answer");
            Verdict::AskAgain
        }
    }
}
