//! What can go wrong, and which code and reason the caller sees.

use std::sync::Arc;

use chassis::{
    db,
    gather::GatherError,
    idempotency::{self, ClaimError},
    names,
    status::{Refusal, Violations},
};
use proto::catalog::v1::ErrorReason;
use tonic::Code;
use uuid::Uuid;

use crate::domain::{
    course::CourseState,
    seat_hold::{HoldRefusal, HoldState, NewHold},
};

/// The `ErrorInfo` domain of this service's own reasons.
const DOMAIN: &str = "catalog.bekal";

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such resource; its name.
    #[error("no such resource: {0}")]
    NotFound(String),
    /// A provider has this display name.
    #[error("the provider {0} has this display name")]
    ProviderExists(Uuid),
    /// The provider has a course of this title and mode.
    #[error("the course {0} has this title and mode")]
    CourseExists(Uuid),
    /// The course cannot have runs.
    #[error("the course {course_id} is {state}")]
    CourseNotPublished {
        /// Which.
        course_id: Uuid,
        /// Its state.
        state: CourseState,
    },
    /// A seat is not held.
    #[error("hold the seat {}", new.key.id)]
    Hold {
        /// What was asked for.
        new: NewHold,
        /// Why not.
        #[source]
        refusal: HoldRefusal,
    },
    /// The hold was released or ran out.
    #[error("the hold {id} is {state}")]
    HoldEnded {
        /// Which.
        id: Uuid,
        /// Its state.
        state: HoldState,
    },
    /// The hold's id stands for another run or account.
    #[error("the hold {0} is for another seat")]
    HoldIdReused(Uuid),
    /// The `request_id` cannot be claimed.
    #[error("claim the request_id")]
    Claim(#[from] ClaimError),
    /// The gatherer gave no answer.
    #[error("wait for the batch")]
    Gather(#[from] GatherError),
    /// A stored answer is of another type.
    #[error("read the stored answer")]
    StoredAnswer(#[from] prost::DecodeError),
    /// Others won every time.
    #[error("a concurrent change won")]
    Conflict,
    /// The database failed.
    #[error("work with the database")]
    Database(#[from] sqlx::Error),
    /// The database failed in a batch; each of its callers is told.
    #[error("work with the database in a batch")]
    Batch(#[source] Arc<sqlx::Error>),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error {
            Error::NotFound(name) => Refusal::not_found(name),
            Error::ProviderExists(id) => own(
                Code::AlreadyExists,
                ErrorReason::ProviderExists,
                "a provider has this display name",
            )
            .with("provider", names::format("providers", id)),
            Error::CourseExists(id) => own(
                Code::AlreadyExists,
                ErrorReason::CourseExists,
                "the provider has a course of this title and mode",
            )
            .with("course", names::format("courses", id)),
            Error::CourseNotPublished { course_id, state } => own(
                Code::FailedPrecondition,
                ErrorReason::CourseNotPublished,
                "the course cannot have runs in its state",
            )
            .with("course", names::format("courses", course_id))
            .with("state", state.as_str()),
            Error::Hold { new, refusal } => hold(&new, refusal),
            Error::HoldEnded { id, state } => own(
                Code::FailedPrecondition,
                ErrorReason::HoldEnded,
                "the hold was released or ran out",
            )
            .with("seat_hold", names::format("seatHolds", id))
            .with("state", state.as_str()),
            Error::HoldIdReused(id) => idempotency::reused(id),
            Error::Claim(error) => error.into(),
            Error::Gather(error) => error.into(),
            Error::StoredAnswer(_) => Refusal::internal(error),
            Error::Conflict => Refusal::conflict(),
            Error::Database(error) => Refusal::database(error),
            Error::Batch(error) if db::is_transient(&error) => {
                Refusal::unavailable("database", error)
            }
            Error::Batch(error) => Refusal::internal(error),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> tonic::Status {
        Refusal::from(error).into()
    }
}

fn hold(new: &NewHold, refusal: HoldRefusal) -> Refusal {
    let run = names::format("runs", new.key.run_id);
    match refusal {
        HoldRefusal::RunNotFound => Refusal::not_found(run),
        HoldRefusal::RunEnded => own(
            Code::FailedPrecondition,
            ErrorReason::RunEnded,
            "the run's last session is over",
        )
        .with("run", run),
        HoldRefusal::SeatsTaken => own(
            Code::ResourceExhausted,
            ErrorReason::SeatsTaken,
            "every seat is held or taken",
        )
        .with("run", run),
        HoldRefusal::IdReused => idempotency::reused(new.key.id),
        HoldRefusal::ExpireTimePassed => expire_time("has passed"),
        HoldRefusal::ExpireTimeTooFar => expire_time("is more than an hour ahead"),
    }
}

fn expire_time(fault: &str) -> Refusal {
    let mut violations = Violations::new();
    violations.add("expire_time", fault);
    Refusal::invalid(violations)
}

fn own(code: Code, reason: ErrorReason, message: &str) -> Refusal {
    Refusal::new(code, DOMAIN, reason.as_str_name(), message)
}
