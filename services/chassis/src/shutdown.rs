//! The end of a process. In this order, each step after the one before:
//!
//! 1. SIGTERM or SIGINT cancels the token of [`signal`]; a second one exits at once.
//! 2. Health `""` becomes `NOT_SERVING` (`server`), so that nobody new is sent here.
//! 3. The server serves on for `drain_delay`, until the endpoints are updated everywhere.
//! 4. The server stops accepting and finishes the calls in work, for at most `grace` (`server::Server::serve` returns).
//! 5. The tasks are cancelled: consumers finish the delivery in hand, gatherers and the relay what they hold
//!    (`task::Tasks::shutdown`, for at most `grace`).
//! 6. The pool closes (`PgPool::close`).
//! 7. Telemetry is flushed (`telemetry::TelemetryGuard::shutdown`), and the process exits.

use tokio::signal::unix::{Signal, SignalKind};
use tokio_util::sync::CancellationToken;

use crate::task;

/// The exit code after a second signal: 128 and SIGINT.
const EXIT_CODE_IMPATIENT: i32 = 130;

/// Returns the token that the first SIGTERM or SIGINT cancels. The second ends the process at once.
///
/// # Errors
/// When the process may not listen to signals.
pub fn signal() -> std::io::Result<CancellationToken> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();

    let token = shutdown.clone();
    task::spawn("signals", async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("shutting down");
        token.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("a second signal: exiting at once");
        std::process::exit(EXIT_CODE_IMPATIENT);
    });
    Ok(shutdown)
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
