//! `request_id`: the first answer is stored in the transaction of the change, and every repeat gets it.
//!
//! 1. [`claim`] takes the id first thing in the transaction. Who holds it already makes us wait until he commits or
//!    rolls back.
//! 2. `New`: do the work, [`store`] the answer, commit. A refused command rolls back and leaves no trace, so that the
//!    same id may be tried again.
//! 3. `Repeat`: decode the stored answer and return it; nothing else happens.
//!
//! The same id with another content, method or caller is [`ClaimError::Reused`].

use prost::Message;
use proto::r#type::v1::ErrorReason;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use time::OffsetDateTime;
use tonic::Code;
use uuid::Uuid;

use crate::{
    auth::Principal,
    status::{Refusal, Violations},
};

mod batch;

pub use batch::{BatchClaim, claim_all, release_all, store_all};

/// The id of a mutating request, and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    request_id: Uuid,
    method: &'static str,
    fingerprint: [u8; 32],
}

impl RequestKey {
    /// Reads a request's id, or adds a violation of the field `request_id`.
    pub fn parse(
        method: &'static str,
        principal: &Principal,
        message: &impl Message,
        request_id: &str,
        violations: &mut Violations,
    ) -> Option<RequestKey> {
        let parsed = Uuid::try_parse(request_id).ok().filter(|id| !id.is_nil());
        let request_id = violations.require(parsed, "request_id", "is not a UUID")?;
        let encoded = message.encode_to_vec();
        Some(RequestKey {
            request_id,
            method,
            fingerprint: fingerprint(method, &principal.subject, &encoded),
        })
    }

    /// Reads a request's id where no other field can be wrong.
    ///
    /// # Errors
    /// When it is not a UUID.
    pub fn new(
        method: &'static str,
        principal: &Principal,
        message: &impl Message,
        request_id: &str,
    ) -> Result<RequestKey, Refusal> {
        let mut violations = Violations::new();
        let key = RequestKey::parse(method, principal, message, request_id, &mut violations);
        violations.finish(key)
    }

    /// Makes the key of a step that this service takes by itself, such as one of a saga.
    pub fn internal(method: &'static str, request_id: Uuid, content: &[u8]) -> RequestKey {
        RequestKey {
            request_id,
            method,
            fingerprint: fingerprint(method, "", content),
        }
    }

    /// Returns the id.
    pub fn request_id(&self) -> Uuid {
        self.request_id
    }
}

fn fingerprint(method: &str, subject: &str, content: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [method.as_bytes(), subject.as_bytes(), content] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The id is ours: do the work.
    New,
    /// The work was done before; this is the encoded answer.
    Repeat(Vec<u8>),
}

impl Claim {
    /// Decodes the answer of a repeat.
    ///
    /// # Errors
    /// When the stored answer is not of this type: the method's response changed against the rules.
    pub fn answer<M: Message + Default>(self) -> Result<Option<M>, prost::DecodeError> {
        match self {
            Claim::New => Ok(None),
            Claim::Repeat(bytes) => M::decode(bytes.as_slice()).map(Some),
        }
    }
}

/// Why an id could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The id was used for something else.
    #[error("the request_id {0} was used for another request")]
    Reused(Uuid),
    /// The id was committed without an answer: the command forgot to store it.
    #[error("the request_id {0} has no answer")]
    Unanswered(Uuid),
    /// The database failed.
    #[error("claim the request_id")]
    Database(#[from] sqlx::Error),
}

impl From<ClaimError> for Refusal {
    fn from(error: ClaimError) -> Refusal {
        match error {
            ClaimError::Reused(request_id) => reused(request_id),
            ClaimError::Unanswered(_) => Refusal::internal(error),
            ClaimError::Database(error) => Refusal::database(error),
        }
    }
}

/// `INVALID_ARGUMENT`: the id was used for another request, also within one batch.
pub fn reused(request_id: Uuid) -> Refusal {
    Refusal::shared(
        Code::InvalidArgument,
        ErrorReason::RequestIdReused,
        "request_id: was used before for another request or by another caller",
    )
    .with("request_id", request_id.to_string())
}

/// Claims the id inside the transaction of the work. Waits for a concurrent holder.
///
/// # Errors
/// When the id was used for something else, or the database fails.
pub async fn claim(
    tx: &mut PgConnection,
    key: &RequestKey,
    now: OffsetDateTime,
) -> Result<Claim, ClaimError> {
    let inserted = sqlx::query!(
        "INSERT INTO request_ids (request_id, method, fingerprint, create_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (request_id) DO NOTHING",
        key.request_id,
        key.method,
        &key.fingerprint,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Claim::New);
    }

    // A statement of its own: its snapshot sees what the holder, for whom the insert waited, has committed.
    let row = sqlx::query!(
        "SELECT fingerprint, answer FROM request_ids WHERE request_id = $1",
        key.request_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    if row.fingerprint != key.fingerprint {
        return Err(ClaimError::Reused(key.request_id));
    }
    row.answer
        .map(Claim::Repeat)
        .ok_or(ClaimError::Unanswered(key.request_id))
}

/// Stores the answer under a claimed id, in the same transaction.
///
/// # Errors
/// When the database fails.
pub async fn store(
    tx: &mut PgConnection,
    key: &RequestKey,
    answer: &impl Message,
) -> Result<(), sqlx::Error> {
    store_bytes(tx, key, &answer.encode_to_vec()).await
}

async fn store_bytes(
    tx: &mut PgConnection,
    key: &RequestKey,
    answer: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE request_ids SET answer = $2 WHERE request_id = $1",
        key.request_id,
        answer,
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::r#type::v1::Money;

    use super::*;

    const ID: &str = "0d6f5a4e-5a53-4c55-9a3c-0e6f2c1b7a11";

    fn key(method: &'static str, subject: &str, units: i64) -> RequestKey {
        let message = Money {
            units,
            ..Money::default()
        };
        let principal = Principal::service(subject);
        RequestKey::new(method, &principal, &message, ID).unwrap()
    }

    #[test]
    fn method_caller_and_content_make_the_fingerprint() {
        let first = key("Create", "serviceAccounts/a", 1);

        assert_eq!(first, key("Create", "serviceAccounts/a", 1));
        assert_ne!(first, key("Update", "serviceAccounts/a", 1));
        assert_ne!(first, key("Create", "serviceAccounts/b", 1));
        assert_ne!(first, key("Create", "serviceAccounts/a", 2));
    }

    #[test]
    fn an_id_that_is_no_uuid_is_a_violation() {
        for id in ["", "48", "00000000-0000-0000-0000-000000000000"] {
            let principal = Principal::service("serviceAccounts/a");

            let refusal = RequestKey::new("Create", &principal, &Money::default(), id).unwrap_err();

            assert_eq!(refusal.reason(), "INVALID_REQUEST", "{id}");
        }
    }
}
