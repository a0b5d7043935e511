//! What can go wrong, and which code and reason the caller sees.

use std::sync::Arc;

use chassis::{
    gather::GatherError,
    idempotency::{self, ClaimError},
    names,
    status::{Refusal, Violations},
};
use proto::enrollment::v1::ErrorReason;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    domain::{
        appeal::ResolveRefusal,
        batch::{BatchState, batch_name},
        campaign::ClaimRefusal,
        completion::Shortfall,
        participation::PurchaseRefusal,
        quota::QuotaMistake,
        scheme::SchemeView,
        scheme_file::SchemeMistakes,
    },
    keys::NoRandomness,
};

/// The `ErrorInfo` domain of this service's own reasons.
const DOMAIN: &str = "enrollment.bekal";

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such resource.
    #[error("no such resource: {0}")]
    NotFound(String),
    /// A refusal that was already put into its form, such as of who may call.
    #[error("refused")]
    Refused(#[from] Refusal),

    /// A scheme's file has mistakes.
    #[error("the scheme has mistakes")]
    SchemeMistakes(#[from] SchemeMistakes),
    /// A scheme of this name has another content.
    #[error("the scheme {0} has another content")]
    SchemeExists(String),
    /// Another scheme of the programme is in force at the same time.
    #[error("the scheme {0} is in force at the same time")]
    SchemePeriodOverlaps(String),
    /// The scheme has another end already.
    #[error("the scheme {} has another end", .0.stored.scheme.id)]
    SchemeEnded(SchemeView),
    /// A scheme cannot end on that day.
    #[error("a scheme cannot end on that day")]
    SchemeEndPast,
    /// Batches of the scheme do not open today.
    #[error("the scheme {} is not in force", .0.stored.scheme.id)]
    SchemeNotInForce(SchemeView),

    /// The batch id is taken.
    #[error("the batch {0} exists")]
    BatchExists(String),
    /// A quota plan has mistakes.
    #[error("the quota plan has mistakes")]
    QuotaMistakes(Vec<QuotaMistake>),
    /// The batch is in another state than the call needs.
    #[error("the batch {batch_id} is {state}")]
    BatchStateWrong {
        /// The batch.
        batch_id: String,
        /// Its state.
        state: BatchState,
    },
    /// The trustee has committed already.
    #[error("{0} has committed already")]
    RandomnessCommitted(String),
    /// Trustees have not committed yet.
    #[error("not all trustees have committed")]
    RandomnessNotCommitted(Vec<String>),
    /// Trustees have not revealed yet.
    #[error("not all trustees have revealed")]
    RandomnessNotRevealed(Vec<String>),
    /// The secret is not the one that was committed to.
    #[error("the secret of {0} is another one")]
    SecretMismatched(String),
    /// The secret comes too late.
    #[error("the deadline {1} for the secrets of {0} has passed")]
    RevealDeadlinePassed(String, OffsetDateTime),
    /// Too few trustees revealed in time.
    #[error("too few trustees of {0} revealed in time")]
    QuorumMissed(String, Vec<String>),
    /// The beacon's round is needed and not recorded.
    #[error("round {1} of the beacon of {0} is not recorded")]
    BeaconNotRecorded(String, u64),
    /// The signature is not the beacon's.
    #[error("the signature is not that of round {1} of the beacon of {0}")]
    BeaconSignatureInvalid(String, u64),
    /// Somebody has proposed to annul the batch.
    #[error("the annulment of {0} is proposed")]
    AnnulmentProposed(String),
    /// Nobody has proposed to annul the batch.
    #[error("the annulment of {0} is not proposed")]
    AnnulmentNotProposed(String),
    /// Who proposed to annul the batch cannot confirm it.
    #[error("the annulment of {0} is confirmed by its proposer")]
    AnnulmentByProposer(String),
    /// The caller is not the trustee.
    #[error("the caller is not {0}")]
    NotTrustee(String),

    /// The batch takes no applications now.
    #[error("the batch {batch_id} takes no applications: it is {state}")]
    BatchNotOpen {
        /// The batch.
        batch_id: String,
        /// Its state.
        state: BatchState,
    },
    /// The civil registry has not confirmed the person.
    #[error("the person of account {0} is not verified")]
    PersonNotVerified(Uuid),
    /// The person has applied for this batch.
    #[error("the person has applied: {0}")]
    AlreadyApplied(Uuid),

    /// Nothing can be bought.
    #[error("begin a purchase of participation {participation_id}")]
    Purchase {
        /// The participation.
        participation_id: Uuid,
        /// Why.
        #[source]
        refusal: PurchaseRefusal,
    },

    /// The participation has ended.
    #[error("the participation {0} was revoked")]
    ParticipationRevoked(Uuid),
    /// The participation has nothing that could be lifted or revoked.
    #[error("the participation {0} is not frozen")]
    ParticipationNotFrozen(Uuid),

    /// A course was finished after the last day for it.
    #[error("a course of {participation_id} was finished too late")]
    CompletionTooLate {
        /// The participation.
        participation_id: Uuid,
        /// The last moment.
        deadline: OffsetDateTime,
    },
    /// A course is reviewed after the last day for it.
    #[error("a course of {participation_id} is reviewed too late")]
    ReviewTooLate {
        /// The participation.
        participation_id: Uuid,
        /// The last moment.
        deadline: OffsetDateTime,
    },

    /// Nothing speaks against the person.
    #[error("nothing of {0} can be appealed against")]
    NothingToAppeal(String),
    /// There is an open appeal against the same.
    #[error("the appeal {0} is open")]
    AppealExists(Uuid),
    /// The appeal cannot be resolved.
    #[error("resolve the appeal {appeal_id}")]
    ResolveAppeal {
        /// The appeal.
        appeal_id: Uuid,
        /// Why.
        #[source]
        refusal: ResolveRefusal,
    },

    /// There is no such redeem code.
    #[error("no such redeem code")]
    RedeemCodeNotFound,
    /// The code is for another provider.
    #[error("the redeem code is for another provider")]
    RedeemCodeOtherProvider,
    /// The code is for another course.
    #[error("the redeem code is for another course")]
    RedeemCodeOtherCourse,
    /// The code was used before.
    #[error("the redeem code was used before")]
    RedeemCodeUsed(OffsetDateTime),
    /// Too early or too late.
    #[error("the redeem code cannot be used now")]
    RedeemWindowClosed {
        /// From when.
        start: OffsetDateTime,
        /// Until when.
        end: OffsetDateTime,
    },
    /// The purchase behind the code was cancelled.
    #[error("the purchase was cancelled")]
    PurchaseCancelled,
    /// The purchase's code was not redeemed yet.
    #[error("the code of purchase {0} was not redeemed")]
    CodeNotRedeemed(Uuid),
    /// The evidence does not keep the completion rule.
    #[error("the evidence is not enough")]
    EvidenceInsufficient(Vec<Shortfall>),
    /// The certificate was issued on other evidence.
    #[error("the certificate {0} was issued on other evidence")]
    CertificateExists(Uuid),
    /// The course was reviewed already.
    #[error("the certificate {0} has a review")]
    ReviewExists(Uuid),

    /// The campaign id is taken.
    #[error("the campaign {0} exists")]
    CampaignExists(String),
    /// No voucher is given.
    #[error("claim a voucher of campaign {campaign_id}")]
    ClaimVoucher {
        /// The campaign.
        campaign_id: String,
        /// Whose.
        account_id: Uuid,
        /// Why.
        #[source]
        refusal: ClaimRefusal,
    },
    /// The account has a voucher for this course in this campaign.
    #[error("the account has the voucher {0}")]
    VoucherExists(Uuid),
    /// The run has no seat left.
    #[error("run {0} has no seat left")]
    SeatsTaken(Uuid),
    /// The run has ended.
    #[error("run {0} has ended")]
    RunEnded(Uuid),

    /// A peer did not answer, or not as it should.
    #[error("call {part}")]
    Peer {
        /// Which.
        part: &'static str,
        /// Its answer.
        #[source]
        status: Status,
    },
    /// identity did not answer a gathered call.
    #[error("call identity for a batch of applications")]
    IdentityAway(#[source] Arc<Status>),
    /// The `request_id` cannot be claimed.
    #[error("claim the request_id")]
    Claim(#[from] ClaimError),
    /// The `request_id` was used for something else, in a batch.
    #[error("the request_id {0} was used for another request")]
    RequestIdReused(Uuid),
    /// What was in the way is gone; the call is to be made again.
    #[error("a concurrent change won")]
    Conflict,
    /// A gathered call got no answer.
    #[error("gather the call")]
    Gather(#[from] GatherError),
    /// The database failed.
    #[error("use the database")]
    Database(#[from] sqlx::Error),
    /// The database failed a whole batch of calls.
    #[error("use the database for a batch of calls")]
    Batch(#[source] Arc<sqlx::Error>),
    /// A stored answer cannot be read.
    #[error("read a stored answer")]
    StoredAnswer(#[from] prost::DecodeError),
    /// The draw's arithmetic refuses what is stored.
    #[error("compute the draw")]
    Draw(#[from] draw::Invalid),
    /// No code can be made.
    #[error("make a code")]
    Code(#[from] NoRandomness),
    /// What is stored contradicts itself.
    #[error("{0}")]
    Broken(&'static str),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        use Code::{
            AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied,
            ResourceExhausted,
        };
        use ErrorReason as Reason;
        let refuse = |code: Code, reason: Reason, message: &str| {
            Refusal::new(code, DOMAIN, reason.as_str_name(), message)
        };
        match error {
            Error::NotFound(name) => Refusal::not_found(name),
            Error::Refused(refusal) => refusal,

            Error::SchemeMistakes(mistakes) => scheme_violations(mistakes),
            Error::SchemeExists(id) => refuse(
                AlreadyExists,
                Reason::SchemeExists,
                "a scheme of this name has another content",
            )
            .with("scheme", names::format("schemes", id)),
            Error::SchemePeriodOverlaps(id) => refuse(
                FailedPrecondition,
                Reason::SchemePeriodOverlaps,
                "another scheme of the programme is in force at the same time",
            )
            .with("scheme", names::format("schemes", id)),
            Error::SchemeEnded(scheme) => with_period(
                refuse(
                    FailedPrecondition,
                    Reason::SchemeEnded,
                    "the scheme has another last day",
                ),
                &scheme,
            ),
            Error::SchemeEndPast => {
                let mut violations = Violations::new();
                violations.add(
                    "valid_until_date",
                    "is not a day from today and the scheme's first day on",
                );
                Refusal::invalid(violations)
            }
            Error::SchemeNotInForce(scheme) => with_period(
                refuse(
                    FailedPrecondition,
                    Reason::SchemeNotInForce,
                    "batches of the scheme do not open today",
                ),
                &scheme,
            ),

            Error::BatchExists(id) => {
                refuse(AlreadyExists, Reason::BatchExists, "the batch id is taken")
                    .with("batch", batch_name(&id))
            }
            Error::QuotaMistakes(mistakes) => quota_violations(mistakes),
            Error::BatchStateWrong { batch_id, state } => refuse(
                FailedPrecondition,
                Reason::BatchStateWrong,
                "the batch is in another state than the call needs",
            )
            .with("batch", batch_name(&batch_id))
            .with("state", state.to_string()),
            Error::RandomnessCommitted(trustee) => refuse(
                AlreadyExists,
                Reason::RandomnessCommitted,
                "the trustee has committed already",
            )
            .with("trustee", trustee),
            Error::RandomnessNotCommitted(trustees) => refuse(
                FailedPrecondition,
                Reason::RandomnessNotCommitted,
                "a trustee has not committed yet",
            )
            .with("trustees", trustees.join(",")),
            Error::RandomnessNotRevealed(trustees) => refuse(
                FailedPrecondition,
                Reason::RandomnessNotRevealed,
                "a trustee has not revealed yet",
            )
            .with("trustees", trustees.join(",")),
            Error::RevealDeadlinePassed(batch, deadline) => refuse(
                FailedPrecondition,
                Reason::RevealDeadlinePassed,
                "the deadline for the secrets has passed",
            )
            .with("batch", batch)
            .with("deadline", text(deadline)),
            Error::QuorumMissed(batch, absent) => refuse(
                FailedPrecondition,
                Reason::QuorumMissed,
                "too few trustees revealed in time",
            )
            .with("batch", batch)
            .with("trustees", absent.join(",")),
            Error::BeaconNotRecorded(batch, round) => refuse(
                FailedPrecondition,
                Reason::BeaconNotRecorded,
                "the signature of the beacon's round is not recorded yet",
            )
            .with("batch", batch)
            .with("round", round.to_string()),
            Error::BeaconSignatureInvalid(batch, round) => refuse(
                InvalidArgument,
                Reason::BeaconSignatureInvalid,
                "the signature is not the beacon's for the committed round",
            )
            .with("batch", batch)
            .with("round", round.to_string()),
            Error::AnnulmentProposed(batch) => refuse(
                AlreadyExists,
                Reason::AnnulmentProposed,
                "somebody has proposed to annul the batch",
            )
            .with("batch", batch),
            Error::AnnulmentNotProposed(batch) => refuse(
                FailedPrecondition,
                Reason::AnnulmentNotProposed,
                "nobody has proposed to annul the batch",
            )
            .with("batch", batch),
            Error::AnnulmentByProposer(batch) => refuse(
                PermissionDenied,
                Reason::AnnulmentByProposer,
                "an annulment takes two people",
            )
            .with("batch", batch),
            Error::SecretMismatched(trustee) => refuse(
                InvalidArgument,
                Reason::SecretMismatched,
                "the secret is not the one that was committed to",
            )
            .with("trustee", trustee),
            Error::NotTrustee(trustee) => refuse(
                PermissionDenied,
                Reason::NotTrustee,
                "the caller is not the trustee",
            )
            .with("trustee", trustee),

            Error::BatchNotOpen { batch_id, state } => refuse(
                FailedPrecondition,
                Reason::BatchNotOpen,
                "the batch takes no applications now",
            )
            .with("batch", batch_name(&batch_id))
            .with("state", state.to_string()),
            Error::PersonNotVerified(id) => person_not_verified(id),
            Error::AlreadyApplied(id) => refuse(
                AlreadyExists,
                Reason::AlreadyApplied,
                "the person has applied for this batch",
            )
            .with("application", names::format("applications", id)),

            Error::Purchase {
                participation_id,
                refusal,
            } => purchase_refusal(participation_id, refusal),

            Error::ParticipationRevoked(id) => purchase_refusal(id, PurchaseRefusal::Revoked),
            Error::ParticipationNotFrozen(id) => refuse(
                FailedPrecondition,
                Reason::ParticipationNotFrozen,
                "the participation is not frozen, or not by operators",
            )
            .with("participation", names::format("participations", id)),

            Error::CompletionTooLate {
                participation_id,
                deadline,
            } => refuse(
                FailedPrecondition,
                Reason::CompletionDeadlinePassed,
                "the course was finished after the last day of the budget year for it",
            )
            .with(
                "participation",
                names::format("participations", participation_id),
            )
            .with("deadline", text(deadline)),
            Error::ReviewTooLate {
                participation_id,
                deadline,
            } => refuse(
                FailedPrecondition,
                Reason::ReviewDeadlinePassed,
                "the review comes after the last day of the budget year for it",
            )
            .with(
                "participation",
                names::format("participations", participation_id),
            )
            .with("deadline", text(deadline)),

            Error::NothingToAppeal(name) => refuse(
                FailedPrecondition,
                Reason::NothingToAppeal,
                "nothing speaks against the person",
            )
            .with("resource", name),
            Error::AppealExists(id) => refuse(
                AlreadyExists,
                Reason::AppealExists,
                "an appeal against the same is open",
            )
            .with("appeal", names::format("appeals", id)),
            Error::ResolveAppeal { appeal_id, refusal } => match refusal {
                ResolveRefusal::Resolved { state } => refuse(
                    FailedPrecondition,
                    Reason::AppealResolved,
                    "the appeal was resolved before",
                )
                .with("state", state.to_string()),
                ResolveRefusal::NotIndependent => refuse(
                    PermissionDenied,
                    Reason::ResolverNotIndependent,
                    "who froze or appealed does not resolve",
                ),
            }
            .with("appeal", names::format("appeals", appeal_id)),

            Error::RedeemCodeNotFound => {
                refuse(NotFound, Reason::RedeemCodeNotFound, "no such redeem code")
            }
            Error::RedeemCodeOtherProvider => refuse(
                FailedPrecondition,
                Reason::RedeemCodeOtherProvider,
                "the code is for another provider",
            ),
            Error::RedeemCodeOtherCourse => refuse(
                FailedPrecondition,
                Reason::RedeemCodeOtherCourse,
                "the code is for another course",
            ),
            Error::RedeemCodeUsed(at) => refuse(
                FailedPrecondition,
                Reason::RedeemCodeUsed,
                "the code was used before",
            )
            .with("redeem_time", text(at)),
            Error::RedeemWindowClosed { start, end } => refuse(
                FailedPrecondition,
                Reason::RedeemWindowClosed,
                "too early or too late",
            )
            .with("window_start", text(start))
            .with("window_end", text(end)),
            Error::PurchaseCancelled => refuse(
                FailedPrecondition,
                Reason::PurchaseCancelled,
                "the purchase behind the code was cancelled",
            ),
            Error::CodeNotRedeemed(id) => refuse(
                FailedPrecondition,
                Reason::CodeNotRedeemed,
                "the purchase's code was not redeemed yet",
            )
            .with("purchase", names::format("purchases", id)),
            Error::EvidenceInsufficient(shortfalls) => {
                let mut violations = Violations::new();
                for (field, why) in shortfalls {
                    violations.add(field, why);
                }
                refuse(
                    FailedPrecondition,
                    Reason::EvidenceInsufficient,
                    "the evidence does not keep the completion rule",
                )
                .with_violations(violations)
            }
            Error::CertificateExists(id) => refuse(
                AlreadyExists,
                Reason::CertificateExists,
                "the certificate was issued on other evidence",
            )
            .with("certificate", names::format("certificates", id)),
            Error::ReviewExists(id) => refuse(
                AlreadyExists,
                Reason::ReviewExists,
                "the course was reviewed already",
            )
            .with("review", format!("certificates/{id}/review")),

            Error::CampaignExists(id) => refuse(
                AlreadyExists,
                Reason::CampaignExists,
                "the campaign id is taken",
            )
            .with("campaign", names::format("campaigns", id)),
            Error::ClaimVoucher {
                campaign_id,
                account_id,
                refusal,
            } => match refusal {
                ClaimRefusal::NotRunning => refuse(
                    FailedPrecondition,
                    Reason::CampaignNotRunning,
                    "the campaign has not begun or is over",
                )
                .with("campaign", names::format("campaigns", campaign_id)),
                ClaimRefusal::NotVerified => person_not_verified(account_id),
                ClaimRefusal::TooYoung { age_min_years } => refuse(
                    FailedPrecondition,
                    Reason::AgeBelowMinimum,
                    "the person is too young",
                )
                .with("age_min_years", age_min_years.to_string()),
            },
            Error::VoucherExists(id) => refuse(
                AlreadyExists,
                Reason::VoucherExists,
                "the account has a voucher for this course in this campaign",
            )
            .with("voucher", names::format("vouchers", id)),
            Error::SeatsTaken(run) => refuse(
                ResourceExhausted,
                Reason::SeatsTaken,
                "the run has no seat left",
            )
            .with("run", names::format("runs", run)),
            Error::RunEnded(run) => {
                refuse(FailedPrecondition, Reason::RunEnded, "the run has ended")
                    .with("run", names::format("runs", run))
            }

            Error::Peer { part, status } => Refusal::peer(part, status),
            Error::IdentityAway(status) => Refusal::unavailable("identity", status),
            Error::Claim(error) => Refusal::from(error),
            Error::RequestIdReused(request_id) => idempotency::reused(request_id),
            Error::Conflict => Refusal::conflict(),
            Error::Gather(error) => Refusal::from(error),
            Error::Database(error) => Refusal::database(error),
            Error::Batch(error) if chassis::db::is_transient(&error) => {
                Refusal::unavailable("database", error)
            }
            error @ (Error::Batch(_)
            | Error::StoredAnswer(_)
            | Error::Draw(_)
            | Error::Code(_)
            | Error::Broken(_)) => Refusal::internal(error),
        }
    }
}

fn purchase_refusal(participation_id: Uuid, refusal: PurchaseRefusal) -> Refusal {
    let participation = names::format("participations", participation_id);
    let refuse = |reason: ErrorReason, message: &str| {
        Refusal::new(
            Code::FailedPrecondition,
            DOMAIN,
            reason.as_str_name(),
            message,
        )
    };
    match refusal {
        PurchaseRefusal::Revoked => refuse(
            ErrorReason::ParticipationRevoked,
            "the participation has been revoked",
        )
        .with("participation", participation),
        PurchaseRefusal::Frozen => refuse(
            ErrorReason::ParticipationFrozen,
            "the participation is frozen",
        )
        .with("participation", participation),
        PurchaseRefusal::NotFunded => refuse(
            ErrorReason::ParticipationNotFunded,
            "the money is not booked yet; soon",
        )
        .with("participation", participation),
        PurchaseRefusal::DeadlinePassed { deadline } => refuse(
            ErrorReason::FirstPurchaseDeadlinePassed,
            "the first purchase came too late",
        )
        .with("participation", participation)
        .with("deadline", text(deadline)),
        PurchaseRefusal::NextDeadlinePassed { deadline } => refuse(
            ErrorReason::NextPurchaseDeadlinePassed,
            "the next purchase came too late",
        )
        .with("participation", participation)
        .with("deadline", text(deadline)),
        PurchaseRefusal::YearEnded { deadline } => refuse(
            ErrorReason::PurchaseDeadlinePassed,
            "the purchase comes after the last day of the budget year for it",
        )
        .with("participation", participation)
        .with("deadline", text(deadline)),
        PurchaseRefusal::EarlierUnfinished { purchase_id } => refuse(
            ErrorReason::EarlierCourseUnfinished,
            "an earlier course must be finished and reviewed first",
        )
        .with("purchase", names::format("purchases", purchase_id)),
        PurchaseRefusal::Pending { purchase_id } => refuse(
            ErrorReason::PurchasePending,
            "another purchase of the participation is under way",
        )
        .with("purchase", names::format("purchases", purchase_id)),
    }
}

fn person_not_verified(account_id: Uuid) -> Refusal {
    let reason = ErrorReason::PersonNotVerified.as_str_name();
    Refusal::new(
        Code::FailedPrecondition,
        DOMAIN,
        reason,
        "the civil registry has not confirmed the person",
    )
    .with("account", names::format("accounts", account_id))
}

fn scheme_violations(mistakes: SchemeMistakes) -> Refusal {
    let mut violations = Violations::new();
    for mistake in mistakes.mistakes {
        let place = format!("{}:{}:{}", mistakes.file_name, mistake.line, mistake.column);
        let field = format!("{place}: {}", mistake.key);
        violations.add(field, mistake.text);
    }
    Refusal::invalid(violations)
}

/// Names a scheme and its days.
fn with_period(refusal: Refusal, scheme: &SchemeView) -> Refusal {
    let zone = &scheme.stored.scheme.time_zone;
    let mut refusal = refusal.with("scheme", names::format("schemes", &scheme.stored.scheme.id));
    for (key, day) in [
        ("valid_from", scheme.period.first_day(zone)),
        ("valid_until", scheme.period.last_day(zone)),
    ] {
        if let Some(day) = day {
            refusal = refusal.with(key, day.to_string());
        }
    }
    refusal
}

fn quota_violations(mistakes: Vec<QuotaMistake>) -> Refusal {
    let mut violations = Violations::new();
    for (field, why) in mistakes {
        let dot = if field.is_empty() { "" } else { "." };
        violations.add(format!("batch.quota_plan{dot}{field}"), why);
    }
    Refusal::invalid(violations)
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
