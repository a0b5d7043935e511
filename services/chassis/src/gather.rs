//! Concurrent calls of one hot command, run as one set-wise transaction, each caller with its own answer.
//!
//! There is no timer: what arrived while the last batch ran is the next batch, so an idle system sends batches of one.
//! What nobody waits for any more is dropped before the work starts. The queue is short; when it is full, calls are
//! refused at once.

use std::{future::Future, marker::PhantomData, panic::AssertUnwindSafe};

use futures::FutureExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    deadline,
    status::Refusal,
    task::{self, Tasks},
};

/// The way into the batches of one command. Clones lead to the same queue.
#[derive(Debug)]
pub struct Gatherer<I, O> {
    queue: mpsc::Sender<Waiting<I, O>>,
    marker: PhantomData<fn(I) -> O>,
}

#[derive(Debug)]
struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<O>,
    deadline: Option<Instant>,
}

/// Why an item has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    /// The queue is full; the item was not looked at.
    #[error("too many calls wait for the same command")]
    Overloaded,
    /// The process is going down; the item was not looked at.
    #[error("the gatherer has stopped")]
    Stopped,
    /// The batch panicked or forgot the item; whether the work was done is not known.
    #[error("the batch gave no answer")]
    Lost,
}

impl From<GatherError> for Refusal {
    fn from(error: GatherError) -> Refusal {
        match error {
            GatherError::Overloaded => Refusal::overloaded(),
            GatherError::Stopped => Refusal::draining(),
            GatherError::Lost => Refusal::internal(error),
        }
    }
}

impl<I, O> Clone for Gatherer<I, O> {
    fn clone(&self) -> Self {
        Gatherer {
            queue: self.queue.clone(),
            marker: PhantomData,
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Gatherer<I, O> {
    /// Starts the task that runs the batches, one after the other.
    ///
    /// `run` gets up to `batch_max` items and returns an answer for each, in their order. It keeps what it needs (the
    /// pool) in itself. One command may have several gatherers side by side, if its batches do not lock each other.
    pub fn start<F, Fut>(
        name: &'static str,
        batch_max: usize,
        queue_max: usize,
        tasks: &Tasks,
        run: F,
    ) -> Gatherer<I, O>
    where
        F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<O>> + Send + 'static,
    {
        let (queue, waiting) = mpsc::channel(queue_max);
        tasks.spawn(name, drain(name, batch_max, waiting, tasks.stopping(), run));
        Gatherer {
            queue,
            marker: PhantomData,
        }
    }

    /// Hands in an item and waits for its answer.
    ///
    /// # Errors
    /// When the queue is full or closed, or the batch failed without an answer.
    pub async fn submit(&self, item: I) -> Result<O, GatherError> {
        let (answer, received) = oneshot::channel();
        let waiting = Waiting {
            item,
            answer,
            deadline: deadline::current(),
        };
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => GatherError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => GatherError::Stopped,
        })?;
        received.await.map_err(|_| GatherError::Lost)
    }
}

async fn drain<I, O, F, Fut>(
    name: &'static str,
    batch_max: usize,
    mut waiting: mpsc::Receiver<Waiting<I, O>>,
    stopping: CancellationToken,
    run: F,
) where
    F: Fn(Vec<I>) -> Fut,
    Fut: Future<Output = Vec<O>>,
{
    let mut batch = Vec::with_capacity(batch_max);
    loop {
        let received = tokio::select! {
            received = waiting.recv_many(&mut batch, batch_max) => received,
            // No more is let in; what is queued is still run, until `recv_many` says that nothing is left.
            () = stopping.cancelled(), if !waiting.is_closed() => {
                waiting.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }

        let now = Instant::now();
        let (items, answers): (Vec<I>, Vec<oneshot::Sender<O>>) = batch
            .drain(..)
            .filter(|entry| !entry.answer.is_closed() && entry.deadline.is_none_or(|at| at > now))
            .map(|entry| (entry.item, entry.answer))
            .unzip();
        if items.is_empty() {
            continue;
        }
        match AssertUnwindSafe(run(items)).catch_unwind().await {
            Ok(outputs) => {
                for (answer, output) in answers.into_iter().zip(outputs) {
                    // The caller may have gone; its work is done all the same, and a repeat finds the answer.
                    let _ = answer.send(output);
                }
            }
            // Their callers learn it by the closed channel; the next batch is another one.
            Err(payload) => tracing::error!(
                gatherer.name = name,
                panic = task::panic_text(payload.as_ref()),
                "a batch panicked"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    fn tasks() -> Tasks {
        Tasks::new(&CancellationToken::new())
    }

    #[tokio::test]
    async fn what_arrives_while_a_batch_runs_is_the_next_batch() {
        let tasks = tasks();
        let gate = Arc::new(Semaphore::new(0));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (opened, seen) = (Arc::clone(&gate), Arc::clone(&sizes));
        let gatherer = Gatherer::start("double", 10, 100, &tasks, move |items: Vec<u32>| {
            let (gate, sizes) = (Arc::clone(&opened), Arc::clone(&seen));
            async move {
                gate.acquire().await.unwrap().forget();
                sizes.lock().unwrap().push(items.len());
                items.into_iter().map(|item| item * 2).collect()
            }
        });

        let calls = join_all((0..5).map(|item| gatherer.submit(item)));
        let opener = async {
            // Lets the first batch be taken before the gate opens.
            while gate.available_permits() == 0 {
                gate.add_permits(10);
                tokio::task::yield_now().await;
            }
        };
        let (answers, ()) = tokio::join!(calls, opener);

        let answers: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [0, 2, 4, 6, 8]);
        assert_eq!(sizes.lock().unwrap().iter().sum::<usize>(), 5);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let tasks = tasks();
        let gatherer = Gatherer::start("stuck", 1, 1, &tasks, |_: Vec<u32>| {
            std::future::pending::<Vec<u32>>()
        });

        let waiting = gatherer.clone();
        tasks.spawn("first", async move {
            let _ = waiting.submit(1).await;
        });
        let mut refused = Ok(0);
        for _ in 0..10 {
            let call = tokio::time::timeout(Duration::from_millis(20), gatherer.submit(2));
            if let Ok(answer) = call.await {
                refused = answer;
                break;
            }
        }

        assert_eq!(refused, Err(GatherError::Overloaded));
    }

    #[tokio::test]
    async fn a_batch_that_panics_fails_alone() {
        let tasks = tasks();
        let gatherer = Gatherer::start("fragile", 10, 10, &tasks, |items: Vec<u32>| async move {
            assert!(!items.contains(&13), "unlucky");
            items
        });

        assert_eq!(gatherer.submit(13).await, Err(GatherError::Lost));
        assert_eq!(gatherer.submit(14).await, Ok(14));
    }

    #[tokio::test]
    async fn nobody_works_for_a_caller_whose_deadline_has_passed() {
        let tasks = tasks();
        let gatherer = Gatherer::start("late", 10, 10, &tasks, |items: Vec<u32>| async { items });

        let late = deadline::scope(Instant::now(), gatherer.submit(1)).await;

        assert_eq!(late, Err(GatherError::Lost));
    }

    #[tokio::test]
    async fn what_is_queued_is_finished_at_shutdown() {
        let tasks = tasks();
        let gatherer = Gatherer::start("brave", 1, 10, &tasks, |items: Vec<u32>| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            items
        });

        let calls = join_all((0..3).map(|item| gatherer.submit(item)));
        let stop = async {
            tokio::task::yield_now().await;
            tasks.shutdown(Duration::from_secs(5)).await
        };
        let (answers, stopped) = tokio::join!(calls, stop);

        assert!(stopped.is_ok());
        assert_eq!(answers, [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(gatherer.submit(4).await, Err(GatherError::Stopped));
    }
}
