//! The generated traits' implementations: parse, call the use case, answer.

use crate::app::App;

mod accounts;
mod convert;
mod exclusion_lists;
mod persons;
mod snapshots;
mod tokens;

/// Serves the four services of the contract.
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
