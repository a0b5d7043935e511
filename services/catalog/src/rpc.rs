//! The generated traits' implementations: parse, call the use case, answer.

use chassis::status::Refusal;

use crate::app::App;

mod answers;
mod convert;
mod courses;
mod imports;
mod providers;
mod runs;

/// Serves the three services of the contract.
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

type Refused<T> = Result<T, Refusal>;
