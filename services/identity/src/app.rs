//! The use cases, and what they need.

use std::sync::Arc;

use chassis::{Clock, gather::Gatherer, task::Tasks};
use messaging::Relay;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::{
    domain::national_id::IdFormat, passwords::Passwords, service_accounts::ServiceAccounts,
    tokens::TokenKeys, vault::Vault,
};

pub mod accounts;
pub mod exclusion_lists;
pub mod persons;
pub mod snapshots;
pub mod tokens;
pub mod verification;

/// How many registrations one transaction takes, and how many may wait for the next: at some 10,000 a second the last
/// of the queue waits half a second.
const CREATE_ACCOUNT_BATCH_MAX: usize = 500;
const CREATE_ACCOUNT_QUEUE_MAX: usize = 5_000;

/// What the use cases need. Clones share it.
#[derive(Clone)]
pub struct App {
    db: PgPool,
    clock: Clock,
    relay: Relay,
    vault: Arc<Vault>,
    passwords: Passwords,
    token_keys: Arc<TokenKeys>,
    service_accounts: Arc<ServiceAccounts>,
    formats: IdFormat,
    create_account: Gatherer<accounts::CreateAccount, accounts::CreateAccountAnswer>,
    /// Told after each submission, so that the registry is asked at once.
    submitted: Arc<Notify>,
}

/// The parts of an [`App`] that are made from the configuration.
pub struct Parts {
    /// The keys of the persons' records.
    pub vault: Arc<Vault>,
    /// The password pool.
    pub passwords: Passwords,
    /// The keys of the tokens.
    pub token_keys: Arc<TokenKeys>,
    /// The callers that are not people.
    pub service_accounts: Arc<ServiceAccounts>,
    /// The country's ids.
    pub formats: IdFormat,
}

impl App {
    /// Wires the use cases and starts their gatherers.
    pub fn start(db: PgPool, clock: Clock, relay: Relay, parts: Parts, tasks: &Tasks) -> App {
        let batches = accounts::Batches {
            db: db.clone(),
            clock: clock.clone(),
            relay: relay.clone(),
        };
        let create_account = Gatherer::start(
            "create-account",
            CREATE_ACCOUNT_BATCH_MAX,
            CREATE_ACCOUNT_QUEUE_MAX,
            tasks,
            move |batch| {
                let batches = batches.clone();
                async move { batches.create_accounts(batch).await }
            },
        );
        App {
            db,
            clock,
            relay,
            vault: parts.vault,
            passwords: parts.passwords,
            token_keys: parts.token_keys,
            service_accounts: parts.service_accounts,
            formats: parts.formats,
            create_account,
            submitted: Arc::new(Notify::new()),
        }
    }

    /// Returns the country's ids.
    pub fn formats(&self) -> IdFormat {
        self.formats
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the keys of the persons' records.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}
