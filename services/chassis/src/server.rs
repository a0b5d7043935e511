//! The gRPC server of a process: the services, what stands before them, health, reflection, and an orderly end.
//!
//! Every call passes one gate (`server/gate.rs`), whose steps are a list read from top to bottom.

use std::{convert::Infallible, time::Duration};

use http::Request;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::server::TcpIncoming,
};
use tower::Service;

use crate::{
    Clock,
    auth::{KeyStore, Permissions},
    config::ProcessConfig,
    health::Readiness,
    task,
};

mod body;
mod clock;
mod gate;
mod observation;

/// Long-lived connections are ended now and then, so that callers spread over new instances (gRPC balances connections,
/// not calls).
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

const HEALTH_NAME: &str = "grpc.health.v1.Health";

/// A server being put together.
pub struct Server {
    routes: RoutesBuilder,
    gate: gate::Gate,
    readiness: Readiness,
    names: Vec<&'static str>,
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
    pub fn new(
        config: &ProcessConfig,
        keys: KeyStore,
        clock: Clock,
        readiness: Readiness,
    ) -> Server {
        let mut routes = Routes::builder();
        let mut names = vec![HEALTH_NAME];
        if clock.is_movable() {
            let service = clock::service(clock);
            names.push(name_of(&service));
            routes.add_service(service);
        }
        Server {
            routes,
            gate: gate::Gate::new(config, Permissions::of_contract(), keys),
            readiness,
            names,
            drain_delay: config.drain_delay,
            grace: config.grace,
        }
    }

    /// Adds a generated service.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "the name that tonic's own builders have for it, and no sum"
    )]
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
        self.names.push(S::NAME);
        self
    }

    /// Serves until the token is cancelled, then drains: not ready, `drain_delay` of going on, no new calls, `grace` for
    /// those in work.
    ///
    /// # Errors
    /// When the transport fails, or calls do not end.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let draining = CancellationToken::new();
        let (health, follow) = self.readiness.service(draining.clone()).await;
        let watching = task::spawn("health", follow);
        self.routes.add_service(health);
        self.add_reflection();

        let mut transport = tonic::transport::Server::builder()
            .max_connection_age(CONNECTION_AGE_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .layer(self.gate);
        let serving = transport
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(
                // An answer is two writes: without it, the second waits for the acknowledgement of the first.
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                draining.clone().cancelled_owned(),
            );
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
        ended
            .map_err(|_| ServeError::Stuck)?
            .map_err(ServeError::Transport)
    }

    /// Mounts reflection in both versions, since older clients know the first alone. It lists what is served here, not
    /// the whole contract.
    fn add_reflection(&mut self) {
        let builder = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            let names = self.names.iter();
            names.fold(builder, |builder, name| builder.with_service_name(*name))
        };
        let v1 = builder()
            .build_v1()
            .expect("the descriptor sets are compiled in");
        let v1alpha = builder()
            .build_v1alpha()
            .expect("the descriptor sets are compiled in");
        self.routes.add_service(v1).add_service(v1alpha);
    }
}

fn name_of<S: NamedService>(_service: &S) -> &'static str {
    S::NAME
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}
