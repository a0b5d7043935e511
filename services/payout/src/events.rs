//! Events: what payout tells, what it hears, and the words of both.

use std::collections::HashSet;

use chassis::{money::Money, names, status::Violations};
use messaging::{Event, HandleError, Handler, Producer, Route, Subscription};
use proto::{enrollment::v1 as enrollment_pb, payout::v1 as pb};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::{
        award::{Award, Incentive, Terms, Trigger},
        event,
        treasury::Reallocation,
    },
};

/// What payout tells, and who takes it.
pub const PRODUCER: Producer = Producer {
    service: "payout",
    routes: &[
        Route {
            r#type: "bekal.payout.v1.ParticipationsFunded",
            consumers: &["enrollment"],
        },
        // enrollment has revoked the participations itself; statistics will take this one.
        Route {
            r#type: "bekal.payout.v1.FundsReturned",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.FundsReallocated",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.ClawbackOpened",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.ClawbackRepaid",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.ClawbackReduced",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.ClawbackWrittenOff",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.DisbursementSettled",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.DisbursementFailed",
            consumers: &[],
        },
        Route {
            r#type: "bekal.payout.v1.LedgerDifferenceFound",
            consumers: &[],
        },
    ],
};

/// What payout hears.
pub const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    consumer: "payout",
    producer: "enrollment",
    types: &[
        "bekal.enrollment.v1.ParticipationsAwarded",
        "bekal.enrollment.v1.ParticipationsRevoked",
        "bekal.enrollment.v1.ParticipationsFrozen",
        "bekal.enrollment.v1.ParticipationsUnfrozen",
        "bekal.enrollment.v1.CertificateIssued",
        "bekal.enrollment.v1.ReviewCreated",
    ],
}];

/// The most items of a chunk; the contract's number.
const CHUNK_MAX: usize = 1_000;
const INSTALMENTS_MAX: i32 = 36;

/// Lets events have their effect.
#[derive(Clone)]
pub struct Events {
    app: App,
}

impl Events {
    /// Makes the handler of an app.
    pub fn new(app: App) -> Events {
        Events { app }
    }
}

impl Handler for Events {
    async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
        if event.is::<enrollment_pb::ParticipationsAwarded>() {
            let (terms, awards) = awarded(&event.decode()?)?;
            self.app.on_participations_awarded(tx, &terms, awards).await
        } else if event.is::<enrollment_pb::ParticipationsRevoked>() {
            let revoked: enrollment_pb::ParticipationsRevoked = event.decode()?;
            let batch = batch_name(&revoked.batch)?;
            let participation_ids = participation_ids(&revoked.participations)?;
            let revoke_time = time_of(revoked.revoke_time).unwrap_or(event.time);
            self.app
                .on_participations_revoked(tx, batch, &participation_ids, revoke_time)
                .await
        } else if event.is::<enrollment_pb::ParticipationsFrozen>() {
            let frozen: enrollment_pb::ParticipationsFrozen = event.decode()?;
            let batch = batch_name(&frozen.batch)?;
            let participation_ids = participation_ids(&frozen.participations)?;
            if frozen.reason.is_empty() {
                return Err(reject("reason".to_owned()));
            }
            let freeze_time = time_of(frozen.freeze_time).unwrap_or(event.time);
            self.app
                .on_participations_frozen(
                    tx,
                    batch,
                    &participation_ids,
                    &frozen.reason,
                    freeze_time,
                )
                .await
        } else if event.is::<enrollment_pb::ParticipationsUnfrozen>() {
            let unfrozen: enrollment_pb::ParticipationsUnfrozen = event.decode()?;
            let batch = batch_name(&unfrozen.batch)?;
            let participation_ids = participation_ids(&unfrozen.participations)?;
            let unfreeze_time = time_of(unfrozen.unfreeze_time).unwrap_or(event.time);
            self.app
                .on_participations_unfrozen(tx, batch, &participation_ids, unfreeze_time)
                .await
        } else if event.is::<enrollment_pb::CertificateIssued>() {
            let issued: enrollment_pb::CertificateIssued = event.decode()?;
            match first_of_participation(issued.first, &issued.participation)? {
                None => Ok(()),
                Some(participation_id) => {
                    let issue_time = time_of(issued.issue_time).unwrap_or(event.time);
                    self.app
                        .on_first_certificate(tx, participation_id, issue_time)
                        .await
                }
            }
        } else if event.is::<enrollment_pb::ReviewCreated>() {
            let created: enrollment_pb::ReviewCreated = event.decode()?;
            match first_of_participation(created.first, &created.participation)? {
                None => Ok(()),
                Some(participation_id) => {
                    self.app
                        .on_first_review(tx, participation_id, event.time)
                        .await
                }
            }
        } else {
            Err(HandleError::unexpected(event))
        }
    }
}

// === What is heard ===

fn awarded(
    message: &enrollment_pb::ParticipationsAwarded,
) -> Result<(Terms, Vec<Award>), HandleError> {
    let batch = batch_name(&message.batch)?.to_owned();
    let mut violations = Violations::new();
    let training_balance = Money::from_proto(
        "training_balance",
        message.training_balance.as_ref(),
        &mut violations,
    );
    let amounts: Vec<Option<Money>> = message
        .incentives
        .iter()
        .map(|incentive| {
            Money::from_proto(
                "incentives.amount",
                incentive.amount.as_ref(),
                &mut violations,
            )
        })
        .collect();
    let Some(training_balance) = training_balance.filter(|amount| amount.minor() >= 0) else {
        return Err(reject(format!("training_balance: {violations}")));
    };
    let mut incentives = Vec::with_capacity(amounts.len());
    for (incentive, amount) in message.incentives.iter().zip(amounts) {
        let amount =
            amount.filter(|it| it.minor() >= 0 && it.currency() == training_balance.currency());
        let amount = amount
            .ok_or_else(|| reject(format!("the amount of {}: {violations}", incentive.benefit)))?;
        incentives.push(incentive_of(incentive, amount)?);
    }
    let awards = awards_of(&message.awards)?;
    let award_time = time_of(message.award_time).ok_or_else(|| reject("award_time".to_owned()))?;
    Ok((
        Terms {
            batch,
            training_balance,
            incentives,
            award_time,
        },
        awards,
    ))
}

fn incentive_of(
    message: &enrollment_pb::Incentive,
    amount: Money,
) -> Result<Incentive, HandleError> {
    let trigger = match message.trigger() {
        enrollment_pb::incentive::Trigger::FirstCompletion => Trigger::FirstCompletion,
        enrollment_pb::incentive::Trigger::Survey => Trigger::Survey,
        enrollment_pb::incentive::Trigger::Unspecified => {
            return Err(reject(format!("the trigger of {}", message.benefit)));
        }
    };
    let is_possible = !message.benefit.is_empty()
        && (1..=INSTALMENTS_MAX).contains(&message.instalment_count)
        && message.instalment_interval_days >= 0;
    if !is_possible {
        return Err(reject(format!("the instalments of {}", message.benefit)));
    }
    Ok(Incentive {
        benefit: message.benefit.clone(),
        trigger,
        amount_minor: amount.minor(),
        instalment_count: message.instalment_count,
        interval_days: message.instalment_interval_days,
    })
}

fn awards_of(messages: &[enrollment_pb::Award]) -> Result<Vec<Award>, HandleError> {
    check_chunk(messages.len())?;
    let mut seen = HashSet::with_capacity(messages.len());
    let mut awards = Vec::with_capacity(messages.len());
    for message in messages {
        let ids = names::parse_uuid(&message.participation, "participations")
            .zip(names::parse_uuid(&message.account, "accounts"));
        let (participation_id, account_id) =
            ids.ok_or_else(|| reject("the names of an award".to_owned()))?;
        if seen.insert(participation_id) {
            awards.push(Award {
                participation_id,
                account_id,
                region: message.region.clone(),
            });
        }
    }
    Ok(awards)
}

fn batch_name(name: &str) -> Result<&str, HandleError> {
    names::parse(name, "batches")
        .map(|_| name)
        .ok_or_else(|| reject("the batch's name".to_owned()))
}

/// Reads names of participations; each once, in the order of the ids.
fn participation_ids(names: &[String]) -> Result<Vec<Uuid>, HandleError> {
    check_chunk(names.len())?;
    let ids: Option<Vec<Uuid>> = names
        .iter()
        .map(|name| names::parse_uuid(name, "participations"))
        .collect();
    let mut ids = ids.ok_or_else(|| reject("the name of a participation".to_owned()))?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Reads the participation whose first completion it is. A course outside of a participation has none.
fn first_of_participation(
    is_first: bool,
    participation: &str,
) -> Result<Option<Uuid>, HandleError> {
    if !is_first || participation.is_empty() {
        return Ok(None);
    }
    let id = names::parse_uuid(participation, "participations");
    id.map(Some)
        .ok_or_else(|| reject("the name of a participation".to_owned()))
}

fn check_chunk(length: usize) -> Result<(), HandleError> {
    if length <= CHUNK_MAX {
        Ok(())
    } else {
        Err(reject(format!("{length} items in a chunk")))
    }
}

fn reject(what: String) -> HandleError {
    HandleError::Reject(format!("not as the contract says: {what}"))
}

fn time_of(timestamp: Option<prost_types::Timestamp>) -> Option<OffsetDateTime> {
    let timestamp = timestamp?;
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
}

// === What is told ===

fn participation_names<'a>(ids: impl Iterator<Item = &'a Uuid>) -> Vec<String> {
    ids.map(|id| names::format("participations", id)).collect()
}

fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or(0),
    }
}

impl From<event::ParticipationsFunded<'_>> for pb::ParticipationsFunded {
    fn from(funded: event::ParticipationsFunded<'_>) -> pb::ParticipationsFunded {
        pb::ParticipationsFunded {
            batch: funded.batch.to_owned(),
            participations: participation_names(
                funded.awards.iter().map(|award| &award.participation_id),
            ),
        }
    }
}

impl From<event::FundsReturned<'_>> for pb::FundsReturned {
    fn from(returned: event::FundsReturned<'_>) -> pb::FundsReturned {
        pb::FundsReturned {
            batch: returned.batch.to_owned(),
            participations: participation_names(returned.participation_ids.iter()),
            total: Some(returned.total.to_proto()),
        }
    }
}

impl From<&Reallocation> for pb::FundsReallocated {
    fn from(reallocation: &Reallocation) -> pb::FundsReallocated {
        pb::FundsReallocated {
            source_batch: reallocation.source_batch.clone(),
            target_batch: reallocation.target_batch.clone(),
            amount: Some(reallocation.amount.to_proto()),
        }
    }
}

impl From<event::ClawbackOpened<'_>> for pb::ClawbackOpened {
    fn from(opened: event::ClawbackOpened<'_>) -> pb::ClawbackOpened {
        let clawback = opened.clawback;
        let amount = Money::new(clawback.amount.sum(), clawback.currency);
        pb::ClawbackOpened {
            clawback: names::format("clawbacks", clawback.id),
            participation: names::format("participations", clawback.participation_id),
            amount: Some(amount.to_proto()),
            due_time: Some(timestamp(clawback.due_time)),
        }
    }
}

impl From<event::ClawbackRepaid<'_>> for pb::ClawbackRepaid {
    fn from(repaid: event::ClawbackRepaid<'_>) -> pb::ClawbackRepaid {
        let clawback = repaid.clawback;
        pb::ClawbackRepaid {
            clawback: names::format("clawbacks", clawback.id),
            participation: names::format("participations", clawback.participation_id),
            batch: clawback.batch.clone(),
            amount: Some(repaid.amount.to_proto()),
            outstanding: Some(repaid.outstanding.to_proto()),
        }
    }
}

impl From<event::ClawbackReduced<'_>> for pb::ClawbackReduced {
    fn from(reduced: event::ClawbackReduced<'_>) -> pb::ClawbackReduced {
        let clawback = reduced.clawback;
        pb::ClawbackReduced {
            clawback: names::format("clawbacks", clawback.id),
            participation: names::format("participations", clawback.participation_id),
            batch: clawback.batch.clone(),
            amount: Some(reduced.amount.to_proto()),
            outstanding: Some(reduced.outstanding.to_proto()),
        }
    }
}

impl From<event::ClawbackWrittenOff<'_>> for pb::ClawbackWrittenOff {
    fn from(written_off: event::ClawbackWrittenOff<'_>) -> pb::ClawbackWrittenOff {
        let clawback = written_off.clawback;
        pb::ClawbackWrittenOff {
            clawback: names::format("clawbacks", clawback.id),
            participation: names::format("participations", clawback.participation_id),
            batch: clawback.batch.clone(),
            amount: Some(written_off.amount.to_proto()),
        }
    }
}

impl From<event::DisbursementSettled<'_>> for pb::DisbursementSettled {
    fn from(settled: event::DisbursementSettled<'_>) -> pb::DisbursementSettled {
        let payment = settled.payment;
        pb::DisbursementSettled {
            disbursement: names::format("disbursements", payment.id),
            account: names::format("accounts", payment.account_id),
            participation: names::format("participations", payment.participation_id),
            benefit: payment.benefit.clone(),
            amount: Some(payment.amount.to_proto()),
            settle_time: Some(timestamp(settled.settle_time)),
        }
    }
}

impl From<event::DisbursementFailed<'_>> for pb::DisbursementFailed {
    fn from(failed: event::DisbursementFailed<'_>) -> pb::DisbursementFailed {
        pb::DisbursementFailed {
            disbursement: names::format("disbursements", failed.payment.id),
            account: names::format("accounts", failed.payment.account_id),
            failure_reason: failed.reason.as_str().to_owned(),
        }
    }
}

impl From<event::LedgerDifferenceFound<'_>> for pb::LedgerDifferenceFound {
    fn from(found: event::LedgerDifferenceFound<'_>) -> pb::LedgerDifferenceFound {
        let accounts = found.account_ids.iter();
        pb::LedgerDifferenceFound {
            accounts: accounts
                .map(|id| names::format("ledgerAccounts", id.0))
                .collect(),
            account_count: found.account_count,
            batches: found.batches.to_vec(),
            audit_time: Some(timestamp(found.audit_time)),
        }
    }
}
