//! Applying: what is handed in, what is answered, and why not. How a batch of calls is taken stands in `apply_batches`.

use std::sync::Arc;

use chassis::idempotency::RequestKey;
use proto::enrollment::v1 as pb;
use tonic::Status;
use uuid::Uuid;

use super::App;
use crate::{
    domain::batch::{BatchState, batch_name},
    error::Error,
};

/// An application that waits for its batch of calls.
#[derive(Clone, Debug)]
pub struct Apply {
    /// The request.
    pub key: RequestKey,
    /// For which batch.
    pub batch_id: String,
    /// Who applies.
    pub account_id: Uuid,
}

/// What an applicant is told.
pub type Answer = Result<pb::Application, ApplyError>;

/// Why an application was not taken. Repeats within the batch of calls are told the same.
#[derive(Clone, Debug)]
pub enum ApplyError {
    /// There is no such batch.
    NoBatch(String),
    /// The batch takes no applications now.
    NotOpen(String, BatchState),
    /// The person is not verified.
    NotVerified(Uuid),
    /// The person has applied.
    AlreadyApplied(Uuid),
    /// The `request_id` was used for something else.
    Reused(Uuid),
    /// The call is to be made again.
    Conflict,
    /// identity gave no answer.
    IdentityAway(Arc<Status>),
    /// The stored answer cannot be read.
    StoredAnswer(prost::DecodeError),
    /// The receipt cannot be signed, or the rules of the batch cannot be read.
    Broken(&'static str),
    /// The database failed.
    Database(Arc<sqlx::Error>),
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Error {
        match error {
            ApplyError::NoBatch(id) => Error::NotFound(batch_name(&id)),
            ApplyError::NotOpen(batch_id, state) => Error::BatchNotOpen { batch_id, state },
            ApplyError::NotVerified(account_id) => Error::PersonNotVerified(account_id),
            ApplyError::AlreadyApplied(application_id) => Error::AlreadyApplied(application_id),
            ApplyError::Reused(request_id) => Error::RequestIdReused(request_id),
            ApplyError::Conflict => Error::Conflict,
            ApplyError::IdentityAway(status) => Error::IdentityAway(status),
            ApplyError::StoredAnswer(error) => Error::StoredAnswer(error),
            ApplyError::Broken(what) => Error::Broken(what),
            ApplyError::Database(error) => Error::Batch(error),
        }
    }
}

impl App {
    /// Applies for a batch.
    pub async fn create_application(&self, apply: Apply) -> Result<pb::Application, Error> {
        Ok(self.apply.submit(apply).await??)
    }
}
