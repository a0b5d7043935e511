//! enrollment: schemes, batches and their draw, participations, purchases, learning and campaigns. The orchestrator: it
//! asks identity, catalog and payout, and none of them asks it.
//!
//! Reading order: what the service is told, what it decides (`domain`), where it keeps things, what it does (`app`), and
//! how it is asked.

use std::{error::Error as StdError, time::Duration};

use chassis::{
    Clock,
    auth::KeyStore,
    client::{Peer, TokenSource, channel},
    db,
    health::Readiness,
    server::Server,
    task::Tasks,
};
use messaging::{Broker, Relay};
use proto::enrollment::v1::{
    appeal_service_server::AppealServiceServer,
    application_service_server::ApplicationServiceServer, batch_service_server::BatchServiceServer,
    campaign_service_server::CampaignServiceServer, learning_service_server::LearningServiceServer,
    participation_service_server::ParticipationServiceServer,
    scheme_service_server::SchemeServiceServer,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod cli;
pub mod config;
pub mod keys;

pub mod domain;

pub mod storage;

pub mod app;

pub mod error;
pub mod events;
pub mod rpc;
pub mod workers;

use app::{App, Parts, peers::Peers};
use config::Config;
use keys::Keys;

/// How often a start looks whether the database and its migrations are there.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Runs the service until the token is cancelled, then drains and ends.
///
/// # Errors
/// When something that it needs cannot be made, or serving or a task fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Box<dyn StdError + Send + Sync>> {
    let process = &config.process;
    let clock = if process.clock_movable {
        Clock::movable()
    } else {
        Clock::system()
    };
    let pool = db::connect(process)?;
    let tasks = Tasks::new(&shutdown);
    let readiness = Readiness::new();
    let (database_latch, broker_latch) = (readiness.latch("database"), readiness.latch("broker"));

    let identity = channel(&process.identity_address)?;
    let secret = process
        .service_account_secret
        .clone()
        .ok_or("the service account has no secret")?;
    let token = TokenSource::new(identity.clone(), process.service, secret, clock.clone());
    let peers = Peers::new(
        Peer::new(identity.clone(), token.clone()),
        Peer::new(channel(&config.catalog_address)?, token.clone()),
        Peer::new(channel(&config.payout_address)?, token),
    );

    let broker = Broker::new(&process.broker_url, process.service);
    let relay = Relay::start(&tasks, pool.clone(), broker.clone(), events::PRODUCER);
    let parts = Parts {
        keys: Keys::new(&config.signing_seed, config.pseudonym_key.clone()),
        peers,
        campaign_zone: config.campaign_time_zone.clone(),
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
    workers::start(&tasks, &app);

    tasks.spawn("database-readiness", {
        let (pool, stopping) = (pool.clone(), tasks.stopping());
        async move {
            // A serving process never migrates; it waits for whoever does.
            let migrated = async {
                while !db::migrations_applied(&pool, &storage::MIGRATOR)
                    .await
                    .unwrap_or(false)
                {
                    tokio::time::sleep(DATABASE_PAUSE).await;
                }
            };
            if stopping.run_until_cancelled(migrated).await.is_some() {
                database_latch.release();
            }
        }
    });
    tasks.spawn("broker-readiness", {
        let stopping = tasks.stopping();
        async move {
            if stopping.run_until_cancelled(broker.ready()).await.is_some() {
                broker_latch.release();
            }
        }
    });

    let keys = KeyStore::fetched(identity, clock.clone());
    let server = mount(Server::new(process, keys, clock, readiness), &app);
    let served = server.serve(listener, shutdown).await;
    let ended = tasks.shutdown(process.grace).await;
    pool.close().await;
    served?;
    ended?;
    Ok(())
}

/// Mounts the services of an app.
pub fn mount(server: Server, app: &App) -> Server {
    let rpc = rpc::Rpc::new(app.clone());
    server
        .add(SchemeServiceServer::new(rpc.clone()))
        .add(BatchServiceServer::new(rpc.clone()))
        .add(ApplicationServiceServer::new(rpc.clone()))
        .add(ParticipationServiceServer::new(rpc.clone()))
        .add(AppealServiceServer::new(rpc.clone()))
        .add(LearningServiceServer::new(rpc.clone()))
        .add(CampaignServiceServer::new(rpc))
}
