//! Background work: named, traced, joined. The only place that spawns.
//!
//! A background task that panics brings the process down in order: a relay that died unseen would be worse.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// The background tasks of a process. Clones hold the same tasks.
#[derive(Clone, Debug)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    set: Mutex<JoinSet<()>>,
    stop: CancellationToken,
    process_shutdown: CancellationToken,
    failed: AtomicBool,
}

/// A background task died, or did not end in time.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The log names the task that panicked.
    #[error("a background task panicked")]
    Panicked,
    /// Tasks still ran when the grace period ended, and were aborted.
    #[error("background tasks did not end within the grace period")]
    Stuck,
}

impl Tasks {
    /// Makes an empty set. A task that panics cancels `process_shutdown`.
    pub fn new(process_shutdown: &CancellationToken) -> Tasks {
        Tasks(Arc::new(Inner {
            set: Mutex::new(JoinSet::new()),
            stop: CancellationToken::new(),
            process_shutdown: process_shutdown.clone(),
            failed: AtomicBool::new(false),
        }))
    }

    /// Returns the token that tells the tasks to finish. Each takes a clone and ends soon after its cancellation.
    pub fn stopping(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Starts a task in a trace of its own.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let inner = Arc::clone(&self.0);
        let watched = async move {
            if let Err(payload) = AssertUnwindSafe(work).catch_unwind().await {
                tracing::error!(
                    task.name = name,
                    panic = panic_text(payload.as_ref()),
                    "a background task panicked"
                );
                inner.failed.store(true, Ordering::Relaxed);
                inner.process_shutdown.cancel();
            }
        };
        let span = tracing::info_span!(parent: None, "task", task.name = name);
        let mut set = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.spawn(watched.instrument(span));
        while set.try_join_next().is_some() {}
    }

    /// Tells the tasks to finish and waits for them; what runs on after `grace` is aborted.
    ///
    /// # Errors
    /// When a task panicked at any time, or had to be aborted.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), TaskError> {
        self.0.stop.cancel();
        let mut set =
            std::mem::take(&mut *self.0.set.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while set.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            set.abort_all();
            return Err(TaskError::Stuck);
        }
        if self.0.failed.load(Ordering::Relaxed) {
            return Err(TaskError::Panicked);
        }
        Ok(())
    }
}

/// Starts a short piece of work in the trace of the caller, such as the producer behind a stream.
#[expect(
    clippy::disallowed_methods,
    reason = "this is what everybody else calls instead"
)]
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(work.instrument(tracing::debug_span!("task", task.name = name)))
}

/// Reads the text of a panic, cut so that no log line grows without end.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    const LENGTH_MAX: usize = 300;
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    text.get(..LENGTH_MAX).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_what_a_task_has_in_hand() {
        let tasks = Tasks::new(&CancellationToken::new());
        let stopping = tasks.stopping();
        let done = Arc::new(AtomicBool::new(false));

        let seen = Arc::clone(&done);
        tasks.spawn("careful", async move {
            stopping.cancelled().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.store(true, Ordering::Relaxed);
        });
        let ended = tasks.shutdown(Duration::from_secs(5)).await;

        assert!(ended.is_ok());
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_aborted() {
        let tasks = Tasks::new(&CancellationToken::new());

        tasks.spawn("deaf", std::future::pending());
        let ended = tasks.shutdown(Duration::from_millis(10)).await;

        assert!(matches!(ended, Err(TaskError::Stuck)));
    }

    #[tokio::test]
    async fn a_panic_in_a_task_brings_the_process_down() {
        let process_shutdown = CancellationToken::new();
        let tasks = Tasks::new(&process_shutdown);

        tasks.spawn("broken", async { panic!("out of luck") });
        process_shutdown.cancelled().await;
        let ended = tasks.shutdown(Duration::from_secs(5)).await;

        assert!(matches!(ended, Err(TaskError::Panicked)));
    }
}
