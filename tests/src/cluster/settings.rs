//! Every setting of every service in a test stack. Nobody else knows them.

use std::path::PathBuf;

use super::{Link, World};
use crate::{accounts::Caller, process::Service};

/// The treasury's own account at the bank, from which everything is paid.
const SOURCE_ACCOUNT: &str = "0099000000001";

/// The key files and secrets of one run, beside those of the service accounts.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) accounts_file: PathBuf,
    pub(super) token_key_file: PathBuf,
    pub(super) master_key: String,
    pub(super) match_key: String,
    pub(super) signing_seed: String,
    pub(super) pseudonym_key: String,
    pub(super) account_key: String,
}

/// Returns the settings of a service.
pub(super) fn of(service: Service, world: &World) -> Vec<(String, String)> {
    let mut settings = process(service, world);
    settings.extend(own(service, world));
    let prefix = service.name().to_uppercase();
    settings
        .into_iter()
        .map(|(name, value)| (format!("{prefix}_{name}"), value))
        .chain(world.extra.iter().cloned())
        .collect()
}

fn process(service: Service, world: &World) -> Vec<(&'static str, String)> {
    let database_url = world.databases.url(service);
    let broker_url = world.host.url();
    let mut settings = vec![
        ("LISTEN_ADDRESS", world.listen_address(service).to_string()),
        (
            "DATABASE_URL",
            world.through(Link::Database(service), &database_url),
        ),
        (
            "BROKER_URL",
            world.through(Link::Broker(service), &broker_url),
        ),
        ("CLOCK_MOVABLE", "true".to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
    ];
    if service != Service::Identity {
        let secret = world.secrets.of(Caller::Service(service)).to_owned();
        settings.push(("SERVICE_ACCOUNT_SECRET", secret));
        settings.push(("IDENTITY_ADDRESS", peer(service, Service::Identity, world)));
    }
    settings
}

fn own(service: Service, world: &World) -> Vec<(&'static str, String)> {
    let keys = &world.keys;
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    match service {
        Service::Identity => vec![
            ("SERVICE_ACCOUNTS_FILE", path(&keys.accounts_file)),
            ("TOKEN_KEY_FILE", path(&keys.token_key_file)),
            ("MASTER_KEY", keys.master_key.clone()),
            ("MATCH_KEY", keys.match_key.clone()),
            (
                "REGISTRY_ADDRESS",
                world.through(Link::Registry, &world.registry.address()),
            ),
            ("REGISTRY_KEY", world.registry.key().to_owned()),
        ],
        Service::Enrollment => vec![
            ("CATALOG_ADDRESS", peer(service, Service::Catalog, world)),
            ("PAYOUT_ADDRESS", peer(service, Service::Payout, world)),
            ("SIGNING_SEED", keys.signing_seed.clone()),
            ("PSEUDONYM_KEY", keys.pseudonym_key.clone()),
        ],
        Service::Payout => {
            let access = world.bank.access();
            vec![
                ("ACCOUNT_KEY", keys.account_key.clone()),
                ("RAIL_SOURCE_ACCOUNT", SOURCE_ACCOUNT.to_owned()),
                (
                    "RAIL_ADDRESS",
                    world.through(Link::Rail, &world.bank.address()),
                ),
                ("RAIL_CLIENT_ID", access.client_id.clone()),
                ("RAIL_CLIENT_SECRET", access.client_secret.clone()),
                ("RAIL_PRIVATE_KEY_FILE", path(&access.private_key_file)),
                ("RAIL_PUBLIC_KEY_FILE", path(&access.public_key_file)),
                (
                    "RAIL_CALLBACK_ADDRESS",
                    world.callback.address().to_string(),
                ),
            ]
        }
        Service::Catalog | Service::Jobs => Vec::new(),
    }
}

fn peer(from: Service, to: Service, world: &World) -> String {
    let address = format!("http://{}", world.listen_address(to));
    world.through(Link::Peer { from, to }, &address)
}
