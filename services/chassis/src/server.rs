//! The gRPC server of a process: the services, what stands before them, health, reflection, and an orderly end.
//!
//! Every call passes one gate (`server/gate.rs`), whose steps are a list read from top to bottom.

use std::{convert::Infallible, time::Duration};

use http::Request;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

use crate::{
    Clock,
    auth::{KeyStore, Permissions},
    config::ProcessConfig,
    health::Readiness,
    task,
};

mod clock;
mod gate;

/// The health service's name of the process as a whole: may calls come?
const WHOLE: &str = "";
/// The health service's name for liveness, which looks at nothing.
const LIVENESS: &str = "liveness";

/// Long-lived connections are ended now and then, so that callers spread over new instances (gRPC balances connections,
/// not calls).
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
const CONNECTION_GRACE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// A server being put together.
pub struct Server {
    routes: RoutesBuilder,
    gate: gate::Gate,
    readiness: Readiness,
    drain_delay: Duration,
    grace: Duration,
}

/// Serving ended otherwise than by a shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("serve gRPC")]
    Transport(#[source] tonic::transport::Error),
    /// Calls still ran when the grace period was over.
    #[error("calls did not end within the grace period")]
    Stuck,
}

impl Server {
    /// Begins a server. The movable clock's service is mounted when the clock can be moved.
    pub fn new(config: &ProcessConfig, keys: KeyStore, clock: Clock, readiness: Readiness) -> Server {
        let permissions = Permissions::from_descriptor_set(proto::FILE_DESCRIPTOR_SET);
        let mut routes = Routes::builder();
        if clock.is_movable() {
            routes.add_service(clock::service(clock));
        }
        Server {
            routes,
            gate: gate::Gate::new(config, permissions, keys),
            readiness,
            drain_delay: config.drain_delay,
            grace: config.grace,
        }
    }

    /// Adds a generated service.
    #[must_use]
    pub fn add<S>(mut self, service: S) -> Server
    where
        S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Serves until the token is cancelled, then drains: not ready, `drain_delay` of going on, no new calls, `grace` for
    /// those in work.
    ///
    /// # Errors
    /// When the transport fails, or calls do not end.
    pub async fn serve(mut self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        // tonic registers the whole as SERVING from birth.
        report(&reporter, WHOLE, self.readiness.is_ready()).await;
        report(&reporter, LIVENESS, true).await;
        let watching = task::spawn("health", follow(reporter, self.readiness.clone()));

        self.routes.add_service(health);
        let encoded = proto::FILE_DESCRIPTOR_SET;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(encoded)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Older clients know the first version of reflection alone.
        let v1 = reflection().build_v1().expect("the contract's descriptor set is compiled in");
        let v1alpha = reflection().build_v1alpha().expect("the contract's descriptor set is compiled in");
        self.routes.add_service(v1).add_service(v1alpha);

        let draining = CancellationToken::new();
        let stopped = draining.clone();
        let mut transport = tonic::transport::Server::builder()
            .max_connection_age(CONNECTION_AGE_MAX)
            .max_connection_age_grace(CONNECTION_GRACE)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .tcp_nodelay(true)
            .layer(self.gate);
        let serving = transport
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped.cancelled_owned());
        tokio::pin!(serving);

        tokio::select! {
            ended = &mut serving => {
                watching.abort();
                return ended.map_err(ServeError::Transport);
            }
            () = shutdown.cancelled() => self.readiness.drain(),
        }
        // Those who were told of this instance before go on being served until nobody is sent here any more.
        let ended = tokio::time::timeout(self.drain_delay, &mut serving).await;
        draining.cancel();
        let ended = match ended {
            Ok(ended) => Ok(ended),
            Err(_) => tokio::time::timeout(self.grace, &mut serving).await,
        };
        watching.abort();
        ended.map_err(|_| ServeError::Stuck)?.map_err(ServeError::Transport)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

/// Tells the health service of every change of readiness.
async fn follow(reporter: HealthReporter, readiness: Readiness) {
    let mut changes = readiness.watch();
    drop(readiness);
    report(&reporter, WHOLE, changes.now()).await;
    while let Some(ready) = changes.changed().await {
        report(&reporter, WHOLE, ready).await;
    }
}

async fn report(reporter: &HealthReporter, name: &str, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status(name, status).await;
}
