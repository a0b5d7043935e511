//! Every setting of the service.

use std::time::Duration;

use chassis::config::{Env, ProcessConfig};

/// The service's name.
pub const SERVICE: &str = "catalog";

/// What the service is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every process is told.
    pub process: ProcessConfig,
    /// `CATALOG_SEAT_HOLD_SWEEP_SECONDS`: how often the seats of holds that ran out are given back.
    pub seat_hold_sweep: Duration,
}

impl Config {
    /// Reads the settings; what is wrong is recorded in `env`.
    pub fn read(env: &mut Env) -> Option<Config> {
        let process = ProcessConfig::read(env, SERVICE);
        let seat_hold_sweep = env.within("CATALOG_SEAT_HOLD_SWEEP_SECONDS", 1, 1..=3_600);
        Some(Config {
            process: process?,
            seat_hold_sweep: Duration::from_secs(seat_hold_sweep),
        })
    }
}
