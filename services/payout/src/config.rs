//! Every setting of the service. Keys are read from their files here, so that a mistake in them is one of the
//! configuration and told with all the others.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use chassis::config::{Env, ProcessConfig, Secret};

use crate::{
    app::PaymentsConfig,
    domain::disbursement::InquiryPlan,
    rail::{NotARailKey, RailConfig, RailKey, RailPublicKey},
    vault::AccountKey,
};

/// What the service is told.
#[derive(Debug)]
pub struct Config {
    /// What every process is told.
    pub process: ProcessConfig,
    /// `PAYOUT_ACCOUNT_KEY`: account numbers are encrypted and found again under it; 64 hexadecimal digits.
    pub account_key: AccountKey,
    /// `PAYOUT_RAIL_…`: the rail.
    pub rail: RailConfig,
    /// `PAYOUT_RAIL_CALLBACK_ADDRESS`: where the rail's notices are taken.
    pub callback_address: SocketAddr,
    /// `PAYOUT_RAIL_CONCURRENCY_MAX`, `PAYOUT_INQUIRY_DELAY_SECONDS`, `PAYOUT_RESEND_AFTER_SECONDS`: how payments are
    /// sent and asked about.
    pub payments: PaymentsConfig,
    /// `PAYOUT_AUDIT_INTERVAL_SECONDS`: how often the ledger is compared with its transfers.
    pub audit_interval: Duration,
}

impl Config {
    /// Reads the settings; what is wrong is recorded in `env`.
    pub fn read(env: &mut Env) -> Option<Config> {
        let process = ProcessConfig::read(env, "payout");
        let account_key = env.required("PAYOUT_ACCOUNT_KEY");
        let callback_address = env.required("PAYOUT_RAIL_CALLBACK_ADDRESS");
        let payments = read_payments(env);
        let audit_interval = env.within("PAYOUT_AUDIT_INTERVAL_SECONDS", 3_600, 1..=604_800);
        let rail = read_rail(env, &payments);
        Some(Config {
            process: process?,
            account_key: account_key?,
            rail: rail?,
            callback_address: callback_address?,
            payments,
            audit_interval: Duration::from_secs(audit_interval),
        })
    }
}

fn read_rail(env: &mut Env, payments: &PaymentsConfig) -> Option<RailConfig> {
    const ADDRESS: &str = "PAYOUT_RAIL_ADDRESS";
    let address: Option<String> = env.required(ADDRESS);
    let address = address.filter(|address| {
        let is_address =
            reqwest::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_address {
            env.reject(ADDRESS, "is not of the form http://host:port");
        }
        is_address
    });
    let client_id = env.required("PAYOUT_RAIL_CLIENT_ID");
    let client_secret: Option<Secret> = env.required("PAYOUT_RAIL_CLIENT_SECRET");
    let private_key = read_key(env, "PAYOUT_RAIL_PRIVATE_KEY_FILE", RailKey::from_pem);
    let public_key = read_key(env, "PAYOUT_RAIL_PUBLIC_KEY_FILE", RailPublicKey::from_pem);
    let source_account = env.required("PAYOUT_RAIL_SOURCE_ACCOUNT");
    let channel_id = env.or("PAYOUT_RAIL_CHANNEL_ID", "95051".to_owned());
    let timeout = env.within("PAYOUT_RAIL_TIMEOUT_SECONDS", 20, 1..=120);
    let rate_max = env.within("PAYOUT_RAIL_RATE_MAX", 1_000, 1..=100_000);
    let retries_max = env.within("PAYOUT_RAIL_RETRIES_MAX", 2, 0..=10);
    Some(RailConfig {
        address: address?,
        client_id: client_id?,
        client_secret: client_secret?,
        private_key: private_key?,
        source_account: source_account?,
        channel_id,
        timeout: Duration::from_secs(timeout),
        concurrency_max: payments.rail_concurrency_max,
        rate_max,
        retries_max,
        public_key: public_key?,
    })
}

fn read_key<T>(
    env: &mut Env,
    name: &str,
    parse: impl Fn(&str) -> Result<T, NotARailKey>,
) -> Option<T> {
    let path: PathBuf = env.required(name)?;
    let read = |path: &Path| {
        let pem = std::fs::read_to_string(path).map_err(|why| format!("cannot be read: {why}"))?;
        parse(&pem).map_err(|why| why.to_string())
    };
    read(&path)
        .map_err(|why| env.reject(name, &format!("{}: {why}", path.display())))
        .ok()
}

fn read_payments(env: &mut Env) -> PaymentsConfig {
    let rail_concurrency_max = env.within("PAYOUT_RAIL_CONCURRENCY_MAX", 16, 1..=1_000);
    let first_delay = env.within("PAYOUT_INQUIRY_DELAY_SECONDS", 600, 1..=86_400);
    let resend_after = env.within("PAYOUT_RESEND_AFTER_SECONDS", 3_600, 1..=604_800);
    PaymentsConfig {
        inquiry_plan: InquiryPlan {
            first_delay: time::Duration::seconds(first_delay),
            resend_after: time::Duration::seconds(resend_after),
        },
        rail_concurrency_max,
    }
}
