//! Every setting of the service. Keys are read from their files here, so that a mistake in them is one of the
//! configuration and told with all the others.

use std::{path::PathBuf, time::Duration};

use chassis::config::{Env, ProcessConfig, Secret};

use crate::{
    app::PaymentsConfig,
    domain::disbursement::InquiryPlan,
    rail::{RailConfig, RailKey},
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
        let rail = read_rail(env);
        let payments = read_payments(env);
        let audit_interval = env.within("PAYOUT_AUDIT_INTERVAL_SECONDS", 3_600, 1..=604_800);
        Some(Config {
            process: process?,
            account_key: account_key?,
            rail: rail?,
            payments,
            audit_interval: Duration::from_secs(audit_interval),
        })
    }
}

fn read_rail(env: &mut Env) -> Option<RailConfig> {
    const ADDRESS: &str = "PAYOUT_RAIL_ADDRESS";
    const KEY_FILE: &str = "PAYOUT_RAIL_PRIVATE_KEY_FILE";
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
    let key_file: Option<PathBuf> = env.required(KEY_FILE);
    let private_key = key_file.and_then(|path| {
        let key = std::fs::read_to_string(&path)
            .map_err(|why| format!("cannot be read: {why}"))
            .and_then(|pem| RailKey::from_pem(&pem).map_err(|why| why.to_string()));
        key.map_err(|why| env.reject(KEY_FILE, &format!("{}: {why}", path.display())))
            .ok()
    });
    let source_account = env.required("PAYOUT_RAIL_SOURCE_ACCOUNT");
    let channel_id = env.or("PAYOUT_RAIL_CHANNEL_ID", "95051".to_owned());
    let timeout = env.within("PAYOUT_RAIL_TIMEOUT_SECONDS", 20, 1..=120);
    Some(RailConfig {
        address: address?,
        client_id: client_id?,
        client_secret: client_secret?,
        private_key: private_key?,
        source_account: source_account?,
        channel_id,
        timeout: Duration::from_secs(timeout),
    })
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
