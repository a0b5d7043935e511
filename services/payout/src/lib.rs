//! payout: public money from the appropriation to the payee or back. A double-entry ledger, training balances, and
//! incentives that are paid through a rail.
//!
//! Reading order: what the service is told, what it decides (`domain`, with the ledger at its heart), whom it asks, where
//! it keeps things, what it does (`app`), and how it is asked and told.

use std::{sync::Arc, time::Duration};

use chassis::{
    Clock,
    auth::KeyStore,
    client::{self, Peer, TokenSource},
    db,
    health::{Latch, Readiness},
    server::Server,
    task::Tasks,
};
use messaging::{Broker, Relay};
use proto::{
    identity::v1::person_service_client::PersonServiceClient,
    payout::v1::{
        disbursement_service_server::DisbursementServiceServer,
        funds_service_server::FundsServiceServer, ledger_service_server::LedgerServiceServer,
        payment_file_service_server::PaymentFileServiceServer,
        reconciliation_service_server::ReconciliationServiceServer,
        treasury_service_server::TreasuryServiceServer,
    },
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod cli;
pub mod config;

pub mod domain;

pub mod formats;
pub mod rail;
pub mod vault;

pub mod storage;

pub mod app;

pub mod callbacks;
pub mod error;
pub mod events;
pub mod rpc;

use app::{App, Parts};
use config::Config;

/// Anything that ends the process before its time.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often a process that is not ready looks whether its database is.
const DATABASE_POLL: Duration = Duration::from_millis(500);

/// Serves until the token is cancelled, then drains (`chassis::shutdown` has the order).
///
/// # Errors
/// When something that it needs cannot be made, or does not end in order.
pub async fn run(
    config: Config,
    listener: TcpListener,
    callbacks: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let process = config.process;
    let clock = if process.clock_movable {
        Clock::movable()
    } else {
        Clock::system()
    };
    let pool = db::connect(&process)?;
    let tasks = Tasks::new(&shutdown);
    let broker = Broker::new(&process.broker_url, process.service);
    let relay = Relay::start(&tasks, pool.clone(), broker.clone(), events::PRODUCER);

    let identity = client::channel(&process.identity_address)?;
    let secret = process
        .service_account_secret
        .clone()
        .ok_or("PAYOUT_SERVICE_ACCOUNT_SECRET: missing")?;
    let token = TokenSource::new(identity.clone(), process.service, secret, clock.clone());
    let parts = Parts {
        vault: vault::Vault::new(&config.account_key)?,
        rail: rail::Rail::new(config.rail, clock.clone())?,
        identity: PersonServiceClient::new(Peer::new(identity.clone(), token)),
        payments: config.payments,
    };
    let app = App::start(pool.clone(), clock.clone(), relay, parts, &tasks);
    let handler = events::Events::new(app.clone());
    messaging::consumer::start(
        &tasks,
        pool.clone(),
        broker.clone(),
        events::SUBSCRIPTIONS,
        handler,
    );
    let payments = app.clone();
    tasks.spawn("payments", async move { payments.run_payments().await });
    let timeouts = app.clone();
    tasks.spawn("timeouts", async move { timeouts.run_timeouts().await });
    let (auditor, interval) = (app.clone(), config.audit_interval);
    tasks.spawn("audits", async move { auditor.run_audits(interval).await });
    let callbacks = callbacks::serve(callbacks, app.clone(), tasks.stopping());
    tasks.spawn("rail-callbacks", callbacks);

    let readiness = Readiness::new();
    let database = database_ready(pool.clone(), readiness.latch("database"), tasks.stopping());
    tasks.spawn("database-readiness", database);
    tasks.spawn(
        "broker-readiness",
        broker_ready(broker, readiness.latch("broker"), tasks.stopping()),
    );

    let keys = KeyStore::fetched(identity, clock.clone());
    let server = mount(Server::new(&process, keys, clock, readiness), &app);
    let served = server.serve(listener, shutdown).await;
    let ended = tasks.shutdown(process.grace).await;
    pool.close().await;
    served?;
    ended?;
    Ok(())
}

/// Mounts the services of an app.
pub fn mount(server: Server, app: &App) -> Server {
    let rpc = Arc::new(rpc::Rpc::new(app.clone()));
    server
        .add(TreasuryServiceServer::from_arc(Arc::clone(&rpc)))
        .add(FundsServiceServer::from_arc(Arc::clone(&rpc)))
        .add(DisbursementServiceServer::from_arc(Arc::clone(&rpc)))
        .add(PaymentFileServiceServer::from_arc(Arc::clone(&rpc)))
        .add(LedgerServiceServer::from_arc(Arc::clone(&rpc)))
        .add(ReconciliationServiceServer::from_arc(rpc))
}

/// Applies the migrations that are missing. A serving process never does; it waits for whoever does.
///
/// # Errors
/// When the database is away, or a migration fails or differs from what was applied.
pub async fn migrate(config: &Config) -> Result<(), Failure> {
    Ok(db::migrate(&db::connect(&config.process)?, &storage::MIGRATOR).await?)
}

/// Audits the ledger once; the log names what differs.
///
/// # Errors
/// When the database is away, or the ledger differs.
pub async fn audit(config: &Config) -> Result<(), Failure> {
    let audit = app::ledger::audit::audit_at_length(&db::connect(&config.process)?).await?;
    if !audit.is_sound() {
        return Err("the ledger differs from its transfers".into());
    }
    tracing::info!(
        ledger.account_count = audit.account_count,
        ledger.transfer_count = audit.transfer_count,
        "the ledger is sound"
    );
    Ok(())
}

async fn database_ready(pool: PgPool, latch: Latch, stopping: CancellationToken) {
    loop {
        match db::migrations_applied(&pool, &storage::MIGRATOR).await {
            Ok(true) => return latch.release(),
            Ok(false) => tracing::info!("waiting for the migrations"),
            Err(error) => tracing::info!(%error, "waiting for the database"),
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(DATABASE_POLL) => {}
        }
    }
}

async fn broker_ready(broker: Broker, latch: Latch, stopping: CancellationToken) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = broker.ready() => latch.release(),
    }
}
