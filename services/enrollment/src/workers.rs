//! What happens by itself: missed deadlines, rules that are applied again, and sagas that wait for a peer. Each loop looks about once a second of real
//! time and asks the injected clock what is due; several replicas look side by side.

use std::{future::Future, time::Duration};

use chassis::task::Tasks;
use tokio_util::sync::CancellationToken;

use crate::{app::App, error::Error};

const PAUSE: Duration = Duration::from_secs(1);

/// Starts the loops.
pub fn start(tasks: &Tasks, app: &App) {
    let deadlines = app.clone();
    tasks.spawn(
        "deadlines",
        every(tasks.stopping(), "deadlines", move || {
            let app = deadlines.clone();
            async move { app.sweep_deadlines().await }
        }),
    );
    let rechecks = app.clone();
    tasks.spawn(
        "rechecks",
        every(tasks.stopping(), "rechecks", move || {
            let app = rechecks.clone();
            async move { app.sweep_rechecks().await }
        }),
    );
    let purchases = app.clone();
    tasks.spawn(
        "purchases",
        every(tasks.stopping(), "purchases", move || {
            let app = purchases.clone();
            async move { app.sweep_purchases().await }
        }),
    );
    let vouchers = app.clone();
    tasks.spawn(
        "vouchers",
        every(tasks.stopping(), "vouchers", move || {
            let app = vouchers.clone();
            async move { app.sweep_vouchers().await }
        }),
    );
}

/// Does rounds until the process ends; a round in work is finished.
async fn every<F, Fut>(stopping: CancellationToken, name: &'static str, round: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<usize, Error>>,
{
    loop {
        match round().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(worker = name, count, "a round is done"),
            Err(error) => {
                let error = chassis::telemetry::chain(&error);
                tracing::warn!(
                    worker = name,
                    error,
                    "a round failed; the next one tries again"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stopping.cancelled() => return,
        }
    }
}
