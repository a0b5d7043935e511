//! What can go wrong, and which code and reason the caller sees.

use chassis::{idempotency::ClaimError, names, status::Refusal};
use proto::jobs::v1::ErrorReason;
use tonic::Code;
use uuid::Uuid;

use crate::domain::region::RegionCode;

const DOMAIN: &str = "jobs.bekal";

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such vacancy.
    #[error("no such vacancy")]
    VacancyNotFound(Uuid),
    /// A region is not in the tree.
    #[error("the region {0} is not known")]
    RegionUnknown(RegionCode),
    /// The request id could not be claimed.
    #[error("claim the request_id")]
    Claim(#[from] ClaimError),
    /// A stored answer is not of the method's type.
    #[error("read the stored answer")]
    Answer(#[from] prost::DecodeError),
    /// The database failed.
    #[error("use the database")]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        match error {
            Error::VacancyNotFound(id) => Refusal::not_found(names::format("vacancies", id)),
            Error::RegionUnknown(code) => Refusal::new(
                Code::InvalidArgument,
                DOMAIN,
                ErrorReason::RegionUnknown.as_str_name(),
                "region: is not in the tree of regions",
            )
            .with("region", code.to_string()),
            Error::Claim(error) => Refusal::from(error),
            Error::Answer(error) => Refusal::internal(error),
            Error::Database(error) => Refusal::database(error),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> tonic::Status {
        Refusal::from(error).into()
    }
}
