//! What can go wrong, and which code and reason the caller sees.

use std::sync::Arc;

use chassis::{
    db,
    gather::GatherError,
    idempotency::{self, ClaimError},
    status::Refusal,
};
use proto::identity::v1::ErrorReason;
use tonic::Code;
use uuid::Uuid;

use crate::{
    domain::{account::CreateAccountRefusal, person::SubmitRefusal, snapshot::SnapshotRefusal},
    passwords::PasswordError,
    vault::SealError,
};

/// The `ErrorInfo` domain of this service's own reasons.
const DOMAIN: &str = "identity.bekal";

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such account or person.
    #[error("no such resource: {0}")]
    NotFound(String),
    /// An address of the account belongs to another one.
    #[error("create the account")]
    CreateAccount(#[source] CreateAccountRefusal),
    /// The identity cannot be submitted.
    #[error("submit the identity of {account}")]
    Submit {
        /// Whose.
        account: String,
        /// Why.
        #[source]
        refusal: SubmitRefusal,
    },
    /// There is an exclusion list of this name.
    #[error("the exclusion list exists: {0}")]
    ExclusionListExists(String),
    /// The snapshot does not go on.
    #[error("import the snapshot")]
    Snapshot(#[source] SnapshotRefusal),
    /// No such caller, or a wrong secret.
    #[error("the credentials are wrong")]
    CredentialsWrong,
    /// The `request_id` was used for something else, in a batch.
    #[error("the request_id {0} was used for another request")]
    RequestIdReused(Uuid),
    /// What was in the way is gone; the call is to be made again.
    #[error("a concurrent change won")]
    Conflict,
    /// The `request_id` cannot be claimed.
    #[error("claim the request_id")]
    Claim(#[from] ClaimError),
    /// The gatherer gave no answer.
    #[error("wait for the batch")]
    Gather(#[from] GatherError),
    /// A password was not hashed.
    #[error("hash the password")]
    Password(#[from] PasswordError),
    /// A record cannot be sealed or opened.
    #[error("seal or open the record of {account}")]
    Seal {
        /// Whose.
        account: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// A token was not signed.
    #[error("sign a token")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// A stored answer is of another type.
    #[error("read the stored answer")]
    StoredAnswer(#[from] prost::DecodeError),
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
            Error::CreateAccount(CreateAccountRefusal::EmailTaken) => own(
                Code::AlreadyExists,
                ErrorReason::EmailTaken,
                "another account has the e-mail address",
            ),
            Error::CreateAccount(CreateAccountRefusal::PhoneTaken) => own(
                Code::AlreadyExists,
                ErrorReason::PhoneTaken,
                "another account has the phone number",
            ),
            Error::Submit { account, refusal } => submit(account, refusal),
            Error::ExclusionListExists(name) => own(
                Code::AlreadyExists,
                ErrorReason::ExclusionListExists,
                "there is an exclusion list of this id",
            )
            .with("name", name),
            Error::Snapshot(refusal) => snapshot(refusal),
            Error::CredentialsWrong => own(
                Code::Unauthenticated,
                ErrorReason::CredentialsWrong,
                "no such caller, or the secret is wrong",
            ),
            Error::RequestIdReused(request_id) => idempotency::reused(request_id),
            Error::Conflict => Refusal::conflict(),
            Error::Claim(error) => error.into(),
            Error::Gather(error) => error.into(),
            Error::Password(PasswordError::Overloaded) => Refusal::overloaded(),
            Error::Password(PasswordError::Hash)
            | Error::Seal { .. }
            | Error::Sign(_)
            | Error::StoredAnswer(_) => Refusal::internal(error),
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

fn submit(account: String, refusal: SubmitRefusal) -> Refusal {
    match refusal {
        SubmitRefusal::AlreadyVerified => own(
            Code::FailedPrecondition,
            ErrorReason::PersonAlreadyVerified,
            "the person is verified already",
        )
        .with("account", account),
        SubmitRefusal::Pending => own(
            Code::FailedPrecondition,
            ErrorReason::PersonPending,
            "the registry is being asked about an earlier submission",
        )
        .with("account", account),
        SubmitRefusal::NationalIdTaken => own(
            Code::AlreadyExists,
            ErrorReason::NationalIdTaken,
            "another account holds the national id",
        ),
    }
}

fn snapshot(refusal: SnapshotRefusal) -> Refusal {
    let refused = |reason| own(Code::FailedPrecondition, reason, &refusal.to_string());
    match refusal {
        SnapshotRefusal::Outdated { newest } => {
            refused(ErrorReason::SnapshotOutdated).with("newest_snapshot_date", newest.to_string())
        }
        SnapshotRefusal::Incomplete { last_chunk_number } => {
            refused(ErrorReason::SnapshotIncomplete)
                .with("last_chunk_number", last_chunk_number.to_string())
        }
        SnapshotRefusal::Ended => refused(ErrorReason::SnapshotEnded),
    }
}

fn own(code: Code, reason: ErrorReason, message: &str) -> Refusal {
    Refusal::new(code, DOMAIN, reason.as_str_name(), message)
}
