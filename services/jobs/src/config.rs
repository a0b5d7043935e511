//! Every setting of the service: what every process is told is all that it needs.

use chassis::config::{Env, ProcessConfig};

/// The service's name.
pub const SERVICE: &str = "jobs";

/// What the service is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every process is told.
    pub process: ProcessConfig,
}

impl Config {
    /// Reads the settings; what is wrong is recorded in `env`.
    pub fn read(env: &mut Env) -> Option<Config> {
        Some(Config {
            process: ProcessConfig::read(env, SERVICE)?,
        })
    }
}
