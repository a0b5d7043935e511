//! catalog: providers, courses and their runs, with seats that cannot be oversold.
//!
//! Reading order: what the service is told, what it decides (`domain`), where it keeps things, what it does (`app`), and
//! how it is asked.

use std::{sync::Arc, time::Duration};

use chassis::{
    Clock,
    auth::KeyStore,
    client, db,
    health::{Latch, Readiness},
    server::{ServeError, Server},
    task::{TaskError, Tasks},
};
use messaging::{Broker, Relay};
use proto::catalog::v1::{
    course_service_server::CourseServiceServer, provider_service_server::ProviderServiceServer,
    run_service_server::RunServiceServer,
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod cli;
pub mod config;

pub mod domain;

pub mod storage;

pub mod app;

pub mod error;
pub mod events;
pub mod rpc;

use crate::{app::App, config::Config, events::Events};

/// How often a process that is not ready looks whether its database is.
const DATABASE_POLL: Duration = Duration::from_millis(500);

/// Why the process ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database's URL is not one.
    #[error("read the database's URL")]
    Database(#[from] sqlx::Error),
    /// identity's address is not one.
    #[error("read identity's address")]
    Identity(#[from] tonic::transport::Error),
    /// Serving failed.
    #[error("serve")]
    Serve(#[from] ServeError),
    /// A background task failed.
    #[error("end the background tasks")]
    Task(#[from] TaskError),
}

/// Serves until the token is cancelled, and drains; see `chassis::shutdown` for the order.
///
/// # Errors
/// When an address is wrong, or something does not end in order.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let process = &config.process;
    let clock = if process.clock_movable {
        Clock::movable()
    } else {
        Clock::system()
    };
    let pool = db::connect(process)?;
    let broker = Broker::new(&process.broker_url, config::SERVICE);
    let keys = KeyStore::fetched(client::channel(&process.identity_address)?, clock.clone());
    let readiness = Readiness::new();

    let tasks = Tasks::new(&shutdown);
    let relay = Relay::start(&tasks, pool.clone(), broker.clone(), events::PRODUCER);
    let app = App::start(pool.clone(), clock.clone(), relay, &tasks);
    let handler = Events::new(clock.clone());
    messaging::consumer::start(
        &tasks,
        pool.clone(),
        broker.clone(),
        events::SUBSCRIPTIONS,
        handler,
    );
    let (latch, stopping) = (readiness.latch("database"), tasks.stopping());
    let (database, sweeper) = (pool.clone(), app.clone());
    tasks.spawn("seat-hold-sweep", async move {
        // Before its tables are there, every round would fail.
        database_ready(&database, latch, &stopping).await;
        sweeper
            .sweep_expired_holds(config.seat_hold_sweep, stopping)
            .await;
    });
    tasks.spawn(
        "broker-readiness",
        broker_ready(broker, readiness.latch("broker"), tasks.stopping()),
    );

    let server = mount(Server::new(process, keys, clock, readiness), &app);
    let served = server.serve(listener, shutdown).await;
    let ended = tasks.shutdown(process.grace).await;
    pool.close().await;
    served?;
    Ok(ended?)
}

/// Mounts the services of an app.
pub fn mount(server: Server, app: &App) -> Server {
    let rpc = Arc::new(rpc::Rpc::new(app.clone()));
    server
        .add(ProviderServiceServer::from_arc(Arc::clone(&rpc)))
        .add(CourseServiceServer::from_arc(Arc::clone(&rpc)))
        .add(RunServiceServer::from_arc(rpc))
}

/// Applies the migrations that are missing. A serving process never does.
///
/// # Errors
/// When the database is away, or a migration fails or differs from what was applied.
pub async fn migrate(config: &Config) -> Result<(), sqlx::migrate::MigrateError> {
    db::migrate(&db::connect(&config.process)?, &storage::MIGRATOR).await
}

async fn database_ready(pool: &PgPool, latch: Latch, stopping: &CancellationToken) {
    loop {
        match db::migrations_applied(pool, &storage::MIGRATOR).await {
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
