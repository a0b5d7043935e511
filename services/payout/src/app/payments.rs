//! Paying: approved orders go to the rail, and orders without a clear answer are asked about.
//!
//! 1. Claim some approved lines as SENT, with the time of their first inquiry, and commit: from here on they are never
//!    sent by anybody else, and never forgotten.
//! 2. Call the rail, several at a time. No transaction is open.
//! 3. Write what became of them, set-wise, as the answers come: SETTLED, FAILED, UNKNOWN; or APPROVED again when
//!    nothing has left us.
//! 4. Lines whose inquiry is due, UNKNOWN or left over as SENT by a process that died in 2: mark them as asked, commit,
//!    ask the rail.
//! 5. A definite answer is written as in 3. "Not found" is believed after the cut-off alone: the line is marked as SENT,
//!    committed, and sent again under the same reference, of which the rail pays one at most.
//!
//! Lines of frozen participations are skipped where a line is marked as SENT, in 1 and 5, under the lock of the
//! participation's funds: they stay APPROVED or UNKNOWN, and are met there again when that is lifted.
//!
//! Several replicas work side by side: a claim skips what another has locked, and a result is written only where the
//! line is still undecided and in the same attempt.

use std::time::Duration;

use futures::{StreamExt, stream};
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        disbursement::{Disbursement, reference},
        payee::Channel,
        rail::{InquiryAnswer, PaymentAnswer, PaymentOrder},
    },
    error::Error,
    storage::{
        self,
        disbursements::orders::{self, Destination},
    },
};

mod results;

use results::Outcome;

/// How long the worker rests when there is nothing to do.
const REST: Duration = Duration::from_secs(1);

/// How long it rests when the rail looks away, so that not every waiting line becomes unclear for nothing.
const OUTAGE_REST: Duration = Duration::from_secs(5);

/// How many lines are claimed at once, for each request that may be under way: enough to keep them busy, and few enough
/// that little has to be asked about when the process dies.
const LINES_PER_REQUEST: usize = 8;

/// How many results are written together at most.
const RESULTS_MAX: usize = 256;

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Lines that were sent or asked about.
    pub line_count: usize,
    /// Lines that never left us, because the rail is away.
    pub not_sent_count: usize,
    /// Lines that were sent and have no clear answer.
    pub unclear_count: usize,
}

impl App {
    /// Pays until told to stop. Then nothing more is sent, and what is under way is waited for.
    pub async fn run_payments(&self) {
        while !self.stopping.is_cancelled() {
            let sent = self.report(self.send_round().await, "send payments");
            let asked = self.report(self.inquire_round().await, "ask about payments");
            let is_outage = sent.not_sent_count > 0
                || (sent.unclear_count == sent.line_count
                    && sent.line_count >= self.payments.rail_concurrency_max);
            let rest = match sent.line_count + asked.line_count {
                _ if is_outage => OUTAGE_REST,
                0 => REST,
                _ => continue,
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    fn report(&self, round: Result<Round, Error>, what: &'static str) -> Round {
        round.unwrap_or_else(|error| {
            let error = chassis::telemetry::chain(&error);
            tracing::warn!(error, "{what}: the round failed and is repeated");
            Round::default()
        })
    }

    /// Sends some approved lines.
    pub async fn send_round(&self) -> Result<Round, Error> {
        // Nothing is promised to a rail that does not let us in.
        if !self.has_approved().await? {
            return Ok(Round::default());
        }
        if let Err(outage) = self.rail.authenticate().await {
            tracing::warn!(
                error = chassis::telemetry::chain(&outage),
                "the rail is away; payments wait"
            );
            return Ok(Round {
                not_sent_count: 1,
                ..Round::default()
            });
        }
        let now = self.clock.now();
        let next_inquiry_time = self.payments.inquiry_plan.next_inquiry(now, 0, now);
        let mut tx = self.db.begin().await?;
        let lines =
            orders::claim_approved(&mut tx, self.claim_max(), now, next_inquiry_time).await?;
        tx.commit().await?;
        self.send(lines, false).await
    }

    async fn has_approved(&self) -> Result<bool, Error> {
        let mut connection = self.db.acquire().await?;
        Ok(orders::has_approved(&mut connection).await?)
    }

    /// Asks about some lines without a clear answer, and sends those again that the rail does not know.
    pub async fn inquire_round(&self) -> Result<Round, Error> {
        let plan = self.payments.inquiry_plan;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let due = orders::lock_due_inquiries(&mut tx, self.claim_max(), now).await?;
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
        let mut answers = stream::iter(lines)
            .map(|line| async move {
                let answer = self
                    .rail
                    .inquire_payment(&line.reference(), line.amount)
                    .await;
                (line, answer)
            })
            .buffer_unordered(self.payments.rail_concurrency_max)
            .ready_chunks(RESULTS_MAX);
        let mut unknown_to_rail = Vec::new();
        while let Some(answers) = answers.next().await {
            let mut outcomes = Vec::new();
            for (line, answer) in answers {
                match decide(&line, answer) {
                    Some(outcome) => outcomes.push((line, outcome)),
                    None => unknown_to_rail.push(line),
                }
            }
            self.write_results(outcomes).await?;
        }
        self.resend(unknown_to_rail).await?;
        Ok(Round {
            line_count,
            ..Round::default()
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
        self.send(lines, true).await.map(drop)
    }

    /// Sends claimed lines and writes what became of them.
    async fn send(&self, lines: Vec<Disbursement>, is_resend: bool) -> Result<Round, Error> {
        let ids: Vec<Uuid> = lines.iter().map(|line| line.id).collect();
        if ids.is_empty() {
            return Ok(Round::default());
        }
        let mut connection = self.db.acquire().await?;
        let destinations = orders::find_destinations(&mut connection, &ids).await?;
        drop(connection);

        let mut round = Round {
            line_count: lines.len(),
            ..Round::default()
        };
        let mut answers = stream::iter(lines)
            .map(|line| {
                let destination = destinations
                    .iter()
                    .find(|destination| destination.disbursement_id == line.id);
                async move {
                    let answer = self.pay(&line, destination).await;
                    (line, answer)
                }
            })
            .buffer_unordered(self.payments.rail_concurrency_max)
            .ready_chunks(RESULTS_MAX);
        while let Some(answers) = answers.next().await {
            let mut outcomes = Vec::new();
            for (line, answer) in answers {
                let outcome = outcome_of(&line, answer, is_resend);
                round.not_sent_count += usize::from(outcome == Outcome::NotSent);
                round.unclear_count += usize::from(outcome == Outcome::Unknown);
                outcomes.push((line, outcome));
            }
            self.write_results(outcomes).await?;
        }
        Ok(round)
    }

    async fn pay(&self, line: &Disbursement, destination: Option<&Destination>) -> PaymentAnswer {
        if self.stopping.is_cancelled() {
            return PaymentAnswer::NotSent("the process is going down".to_owned());
        }
        let Some(destination) = destination else {
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
            reference: reference(line.id, line.attempt),
            bank_code: channel.bank_code.to_owned(),
            number,
            holder,
            amount: line.amount,
        };
        self.rail.pay(&order).await
    }

    fn claim_max(&self) -> i64 {
        i64::try_from(self.payments.rail_concurrency_max * LINES_PER_REQUEST).unwrap_or(i64::MAX)
    }
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
        // The first sending may have been heard after all, also if this one never left us.
        PaymentAnswer::NotSent(why) => {
            tracing::warn!(disbursement.id = %line.id, why, "a payment was not sent");
            if is_resend {
                Outcome::Unknown
            } else {
                Outcome::NotSent
            }
        }
    }
}

/// What the answer to an inquiry means for the line; `None` when the rail does not know the order.
fn decide(line: &Disbursement, answer: InquiryAnswer) -> Option<Outcome> {
    match answer {
        InquiryAnswer::Paid => Some(Outcome::Settled),
        InquiryAnswer::Refused(reason) => Some(Outcome::Failed(reason)),
        InquiryAnswer::InProgress => Some(Outcome::Unknown),
        InquiryAnswer::NotFound => None,
        InquiryAnswer::Unclear(why) => {
            tracing::warn!(disbursement.id = %line.id, why, "an inquiry without a clear answer");
            Some(Outcome::Unknown)
        }
    }
}
