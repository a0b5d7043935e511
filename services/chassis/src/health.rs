//! Whether this process should be sent calls (`""`) and whether it lives (`liveness`), as `grpc.health.v1` tells.
//!
//! `""` is `NOT_SERVING` until all latches are released, and again for good once the process drains. What is away later
//! (broker, database) does not take it out of rotation: answers tell it better than a cluster without endpoints.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

/// The health service's name for the process as a whole: may calls come?
const WHOLE: &str = "";
/// Its name for the liveness probe, which looks at nothing but the process.
const LIVENESS: &str = "liveness";

/// Whether calls are welcome. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    ready: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    closed: BTreeSet<&'static str>,
    draining: bool,
}

/// Something that must be there before the first call, such as `database`. Dropped unreleased, it stays closed.
#[derive(Debug)]
pub struct Latch {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Starts without latches: ready at once.
    #[expect(
        clippy::new_without_default,
        reason = "a default that is ready is not what most processes want"
    )]
    pub fn new() -> Readiness {
        Readiness(Arc::new(Inner {
            state: Mutex::default(),
            ready: watch::Sender::new(true),
        }))
    }

    /// Closes a latch, before serving begins.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.change(|state| state.closed.insert(name));
        Latch {
            name,
            readiness: self.clone(),
        }
    }

    /// Makes the process not ready for good, because it is going down.
    pub fn drain(&self) {
        self.change(|state| std::mem::replace(&mut state.draining, true));
    }

    /// Says whether calls are welcome.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Makes the health service that tells of this, and the work that keeps it told until the server stops taking calls.
    pub(crate) async fn service(
        &self,
        stopping: CancellationToken,
    ) -> (
        HealthServer<HealthService>,
        impl Future<Output = ()> + use<>,
    ) {
        let mut reporter = HealthReporter::new();
        // tonic registers the whole as SERVING from birth.
        let mut changes = self.0.ready.subscribe();
        let ready = *changes.borrow_and_update();
        report(&reporter, WHOLE, ready).await;
        report(&reporter, LIVENESS, true).await;
        let service = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
        let follow = async move {
            while let Some(Ok(())) = stopping.run_until_cancelled(changes.changed()).await {
                let ready = *changes.borrow_and_update();
                report(&reporter, WHOLE, ready).await;
            }
            // Ends the streams of those who watch: a call that never ends would use up the grace period.
            reporter.clear_service_status(WHOLE).await;
            reporter.clear_service_status(LIVENESS).await;
        };
        (service, follow)
    }

    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let ready = state.closed.is_empty() && !state.draining;
        self.0.ready.send_replace(ready);
    }
}

impl Latch {
    /// Releases the latch, for good.
    pub fn release(self) {
        self.readiness
            .change(|state| state.closed.remove(self.name));
        let ready = self.readiness.is_ready();
        tracing::info!(latch = self.name, ready, "a latch is released");
    }
}

async fn report(reporter: &HealthReporter, name: &str, serving: bool) {
    let status = if serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    reporter.set_service_status(name, status).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_the_last_latch_is_released() {
        let readiness = Readiness::new();
        let (database, broker) = (readiness.latch("database"), readiness.latch("broker"));
        assert!(!readiness.is_ready());

        broker.release();
        assert!(!readiness.is_ready());
        database.release();
        assert!(readiness.is_ready());
    }

    #[test]
    fn it_is_never_ready_again_after_draining() {
        let readiness = Readiness::new();
        let late = readiness.latch("broker");

        readiness.drain();
        late.release();

        assert!(!readiness.is_ready());
    }
}
