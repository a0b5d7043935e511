//! The settings that every process has. The README's table and the deployment pages repeat them.

use std::{net::SocketAddr, time::Duration};

use super::{Env, Secret};

/// What every process is told.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The service's name in lower case, such as `payout`.
    pub service: &'static str,
    /// `<S>_LISTEN_ADDRESS`: where gRPC is served.
    pub listen_address: SocketAddr,
    /// `<S>_DATABASE_URL`: the service's own database.
    pub database_url: Secret,
    /// `<S>_DATABASE_POOL_SIZE`: connections held open, all the time.
    pub database_pool_size: u32,
    /// `<S>_BROKER_URL`: the message broker.
    pub broker_url: Secret,
    /// `<S>_IDENTITY_ADDRESS`: where tokens and their keys come from, as `http://host:port`; empty in identity itself.
    pub identity_address: String,
    /// `<S>_SERVICE_ACCOUNT_SECRET`: the secret of `serviceAccounts/<service>`, for those who call peers.
    pub service_account_secret: Option<Secret>,
    /// `<S>_REQUEST_TIMEOUT_SECONDS`: the longest that a unary call may take.
    pub request_timeout: Duration,
    /// `<S>_STREAM_TIMEOUT_SECONDS`: the longest that a streaming call may take, from its head to its end.
    pub stream_timeout: Duration,
    /// `<S>_CONCURRENCY_MAX`: calls in work at once; more are refused at once.
    pub concurrency_max: usize,
    /// `<S>_DRAIN_DELAY_SECONDS`: how long the process serves on, not ready, until no one is sent to it any more.
    pub drain_delay: Duration,
    /// `<S>_GRACE_SECONDS`: how long calls and tasks may take to finish after that.
    pub grace: Duration,
    /// `<S>_CLOCK_MOVABLE`: lets `ClockService` move the time; refused by a build without debug assertions.
    pub clock_movable: bool,
}

impl ProcessConfig {
    /// Reads the settings of the service with this lower-case name; their names begin with it in upper case.
    pub fn read(env: &mut Env, service: &'static str) -> Option<ProcessConfig> {
        let prefix = service.to_ascii_uppercase();
        let name = |setting: &str| format!("{prefix}_{setting}");

        let listen_address = env.required(&name("LISTEN_ADDRESS"));
        let database_url = env.required(&name("DATABASE_URL"));
        let broker_url = env.required(&name("BROKER_URL"));
        // identity reads its keys from its own database and calls nobody.
        let identity_address = match service {
            "identity" => Some(String::new()),
            _ => env.required(&name("IDENTITY_ADDRESS")),
        };
        let clock_movable = env.or(&name("CLOCK_MOVABLE"), false);
        if clock_movable && !cfg!(debug_assertions) {
            env.reject(&name("CLOCK_MOVABLE"), "refused by a production build");
        }

        // The numbers are read before anything is given up, so that their mistakes are told as well.
        let database_pool_size = env.within(&name("DATABASE_POOL_SIZE"), 12, 1..=200);
        let request_timeout = seconds(env, &name("REQUEST_TIMEOUT_SECONDS"), 30, 1..=600);
        let stream_timeout = seconds(env, &name("STREAM_TIMEOUT_SECONDS"), 3600, 1..=86_400);
        let concurrency_max = env.within(&name("CONCURRENCY_MAX"), 512, 1..=100_000);
        let drain_delay = seconds(env, &name("DRAIN_DELAY_SECONDS"), 0, 0..=300);
        let grace = seconds(env, &name("GRACE_SECONDS"), 25, 1..=600);
        let service_account_secret = env.optional(&name("SERVICE_ACCOUNT_SECRET"));

        Some(ProcessConfig {
            service,
            listen_address: listen_address?,
            database_url: database_url?,
            database_pool_size,
            broker_url: broker_url?,
            identity_address: identity_address?,
            service_account_secret,
            request_timeout,
            stream_timeout,
            concurrency_max,
            drain_delay,
            grace,
            clock_movable,
        })
    }
}

fn seconds(
    env: &mut Env,
    name: &str,
    default: u64,
    limits: std::ops::RangeInclusive<u64>,
) -> Duration {
    Duration::from_secs(env.within(name, default, limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_service_begin_with_its_name() {
        let mut env = Env::from_pairs([
            ("PAYOUT_LISTEN_ADDRESS", "127.0.0.1:7004"),
            ("PAYOUT_DATABASE_URL", "postgres://payout@db/payout"),
            ("PAYOUT_BROKER_URL", "amqp://mq"),
            ("PAYOUT_IDENTITY_ADDRESS", "http://identity:7001"),
            ("PAYOUT_GRACE_SECONDS", "40"),
        ]);

        let config = ProcessConfig::read(&mut env, "payout");
        let config = env.finish(config).unwrap();

        assert_eq!(config.listen_address.port(), 7004);
        assert_eq!(config.grace, Duration::from_secs(40));
        assert_eq!(config.request_timeout, Duration::from_secs(30));
        assert!(!config.clock_movable);
    }

    #[test]
    fn a_missing_address_does_not_hide_a_wrong_number() {
        let mut env = Env::from_pairs([("JOBS_CONCURRENCY_MAX", "0")]);

        let config = ProcessConfig::read(&mut env, "jobs");
        let mistakes = env.finish(config).unwrap_err();

        assert_eq!(
            mistakes.lines(),
            [
                "JOBS_LISTEN_ADDRESS: missing",
                "JOBS_DATABASE_URL: missing",
                "JOBS_BROKER_URL: missing",
                "JOBS_IDENTITY_ADDRESS: missing",
                "JOBS_CONCURRENCY_MAX: 0 is not within 1 and 100000"
            ]
        );
    }
}
