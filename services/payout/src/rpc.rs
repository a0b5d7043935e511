//! The generated traits' implementations: parse, call the use case, answer.

use crate::app::App;

mod convert;
mod disbursements;
mod funds;
mod ledger;
mod payment_files;
mod reconciliations;
mod treasury;
mod uploads;

/// Serves the six services of the contract.
#[derive(Clone)]
pub struct Rpc {
    app: App,
}

impl Rpc {
    /// Makes the services of an app.
    pub fn new(app: App) -> Rpc {
        Rpc { app }
    }
}
