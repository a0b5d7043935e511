//! identity: accounts and their tokens, and the persons behind them as the civil registry knows them.
//!
//! Reading order: what the service is told, what it decides (`domain`), where it keeps things, what it does (`app`), and
//! how it is asked.

use std::{sync::Arc, time::Duration};

use chassis::{
    Clock,
    auth::KeyStore,
    db,
    health::{Latch, Readiness},
    server::{ServeError, Server},
    status::Refusal,
    task::{TaskError, Tasks},
};
use messaging::{Broker, Relay};
use proto::identity::v1::{
    account_service_server::AccountServiceServer,
    exclusion_list_service_server::ExclusionListServiceServer,
    person_service_server::PersonServiceServer, token_service_server::TokenServiceServer,
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod cli;
pub mod config;

pub mod domain;

pub mod passwords;
pub mod registry;
pub mod service_accounts;
pub mod tokens;
pub mod vault;

pub mod storage;

pub mod app;

pub mod error;
pub mod events;
pub mod rpc;

/// How often a start that waits for the database looks again.
const START_POLL: Duration = Duration::from_millis(500);

/// The process cannot start, or ended otherwise than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database's address is none.
    #[error("read the database's address")]
    Database(#[source] sqlx::Error),
    /// Migrations were not applied.
    #[error("apply the migrations")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A key cannot be used.
    #[error("set up the keys of the records")]
    Vault(#[source] vault::SealError),
    /// The password pool cannot be set up.
    #[error("set up password hashing")]
    Passwords(#[source] passwords::PasswordError),
    /// The registry's client cannot be set up.
    #[error("set up the registry's client")]
    Registry(#[source] reqwest::Error),
    /// The token keys cannot be used.
    #[error("set up the token keys")]
    Tokens(#[source] Refusal),
    /// The server failed.
    #[error("serve")]
    Serve(#[source] ServeError),
    /// A background task failed.
    #[error("end the background tasks")]
    Tasks(#[source] TaskError),
}

/// Applies the migrations that are missing.
///
/// # Errors
/// When the database is away, or a migration fails.
pub async fn migrate(config: &config::Config) -> Result<(), RunError> {
    let pool = db::connect(&config.process).map_err(RunError::Database)?;
    db::migrate(&pool, &storage::MIGRATOR)
        .await
        .map_err(RunError::Migrate)?;
    pool.close().await;
    Ok(())
}

/// Serves on a listener until the token is cancelled, then drains: calls first, then tasks, then the pool.
///
/// # Errors
/// When the configuration cannot be used, or anything did not end in order.
pub async fn run(
    config: config::Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let process = &config.process;
    let clock = if process.clock_movable {
        Clock::movable()
    } else {
        Clock::system()
    };
    let readiness = Readiness::new();
    let (database_ready, broker_ready) = (readiness.latch("database"), readiness.latch("broker"));
    let pool = db::connect(process).map_err(RunError::Database)?;
    let tasks = Tasks::new(&shutdown);
    let broker = Broker::new(&process.broker_url, process.service);
    let relay = Relay::start(&tasks, pool.clone(), broker.clone(), events::PRODUCER);

    let token_keys = Arc::new(config.token_keys);
    let parts = app::Parts {
        vault: Arc::new(
            vault::Vault::new(&config.master_key, &config.match_key).map_err(RunError::Vault)?,
        ),
        passwords: passwords::Passwords::new(config.password_hash_concurrency_max)
            .map_err(RunError::Passwords)?,
        token_keys: Arc::clone(&token_keys),
        service_accounts: Arc::new(config.service_accounts),
        formats: config.country,
    };
    let app = app::App::start(pool.clone(), clock.clone(), relay, parts, &tasks);
    let registry =
        registry::Registry::new(&config.registry, config.country).map_err(RunError::Registry)?;
    let verifier = app::verification::Verifier::new(&app, registry, &config.registry);
    start_when_migrated(&tasks, pool.clone(), database_ready, verifier);
    release_when_declared(&tasks, broker, broker_ready);

    let document = serde_json::to_vec(&token_keys.key_set())
        .map_err(|error| RunError::Tokens(Refusal::internal(error)))?;
    let keys = KeyStore::fixed(&document, clock.clone()).map_err(RunError::Tokens)?;
    let server = mount(Server::new(process, keys, clock, readiness), &app);
    let served = server
        .serve(listener, shutdown)
        .await
        .map_err(RunError::Serve);
    let ended = tasks.shutdown(process.grace).await.map_err(RunError::Tasks);
    pool.close().await;
    served.and(ended)
}

/// Mounts the services of an app.
pub fn mount(server: Server, app: &app::App) -> Server {
    let rpc = Arc::new(rpc::Rpc::new(app.clone()));
    server
        .add(TokenServiceServer::from_arc(Arc::clone(&rpc)))
        .add(AccountServiceServer::from_arc(Arc::clone(&rpc)))
        .add(PersonServiceServer::from_arc(Arc::clone(&rpc)))
        .add(ExclusionListServiceServer::from_arc(rpc))
}

/// A serving process never migrates: it waits until the migrations of its build have been applied.
fn start_when_migrated(
    tasks: &Tasks,
    pool: PgPool,
    latch: Latch,
    verifier: app::verification::Verifier,
) {
    let (stopping, all_tasks) = (tasks.stopping(), tasks.clone());
    tasks.spawn("database-readiness", async move {
        while !matches!(
            db::migrations_applied(&pool, &storage::MIGRATOR).await,
            Ok(true)
        ) {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(START_POLL) => {}
            }
        }
        latch.release();
        verifier.start(&all_tasks);
    });
}

fn release_when_declared(tasks: &Tasks, broker: Broker, latch: Latch) {
    let stopping = tasks.stopping();
    tasks.spawn("broker-readiness", async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = broker.ready() => latch.release(),
        }
    });
}
