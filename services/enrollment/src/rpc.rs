//! The contract's services: parse, call the use case, answer.

use chassis::{auth::Principal, status::Refusal};
use proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};

use crate::{
    app::{App, applications::Of},
    error::Error,
};

mod convert;
mod messages;

mod schemes;

mod batches;

mod applications;

mod participations;

mod appeals;

mod learning;

mod campaigns;

/// Answers the calls of all services of the package.
#[derive(Clone)]
pub struct Rpc {
    app: App,
}

impl Rpc {
    /// Makes the answerer.
    pub fn new(app: App) -> Rpc {
        Rpc { app }
    }
}

/// Puts an error of a use case into its form on the wire.
fn status(error: impl Into<Error>) -> Status {
    Refusal::from(error.into()).into()
}

/// An account that lists must name itself; a list of a batch alone is not its own affair.
fn authorize_list(principal: &Principal, of: &Of) -> Result<(), Refusal> {
    match of {
        Of::Account(account_id) | Of::Batch(_, Some(account_id)) => {
            principal.authorize(*account_id)
        }
        Of::Batch(_, None) if principal.account.is_none() => Ok(()),
        Of::Batch(_, None) => Err(Refusal::shared(
            Code::PermissionDenied,
            ErrorReason::NotOwner,
            "the account may act for itself alone",
        )),
    }
}
