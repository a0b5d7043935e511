//! The stages of a run: a bar while one works, a line and its figures afterwards.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tests::broker::VirtualHost;
use tonic::Status;

use crate::{
    Fault, explain,
    format::{grouped, rate, seconds},
};

/// How many calls are under way at once, as many front ends would have.
const CONCURRENCY: usize = 64;

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    done: Vec<Stage>,
}

/// One stage that is over.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) count: u64,
    pub(crate) took: Duration,
    /// How many events had been published when it ended, since the start.
    pub(crate) events: u64,
}

impl Stages {
    /// Does a stage: `work` moves the bar, whose position in the end is the stage's count.
    pub(crate) async fn run<T>(
        &mut self,
        broker: &VirtualHost,
        name: &'static str,
        (length, unit): (u64, &'static str),
        work: impl AsyncFnOnce(&ProgressBar) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let bar = bar(name, length);
        let start = Instant::now();
        let result = work(&bar).await;
        let took = start.elapsed();
        let count = bar.position();
        bar.finish_and_clear();
        let result = result.map_err(|fault| format!("{name}: {}", explain(fault.as_ref())))?;
        let events = broker.published().await;
        let stage = Stage {
            name,
            unit,
            count,
            took,
            events,
        };
        println!("{stage}");
        self.done.push(stage);
        Ok(result)
    }

    /// Returns all stages so far.
    pub(crate) fn done(&self) -> &[Stage] {
        &self.done
    }

    /// Returns how long some stages took together.
    pub(crate) fn took(&self, names: &[&str]) -> Duration {
        let some = self.done.iter().filter(|stage| names.contains(&stage.name));
        some.map(|stage| stage.took).sum()
    }

    /// Returns a stage's count.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let found = self.done.iter().find(|stage| stage.name == name);
        found.map_or(0, |stage| stage.count)
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "  {:<22}", self.name)?;
        write!(f, "{:>9} {:<14}", grouped(self.count), self.unit)?;
        write!(f, "{:>9}", seconds(self.took))?;
        write!(f, "{:>9}/s", grouped(rate(self.count, self.took)))
    }
}

/// Does the same for many, several at once, and moves the bar with each. Results come as they are ready.
pub(crate) async fn for_each<I, T, F>(
    bar: &ProgressBar,
    items: I,
    work: impl Fn(I::Item) -> F,
) -> Result<Vec<T>, Fault>
where
    I: IntoIterator,
    F: Future<Output = Result<T, Status>>,
{
    let work = &work;
    let tasks = items.into_iter().map(|item| async move {
        let result = work(item).await;
        bar.inc(1);
        result
    });
    let results = stream::iter(tasks).buffer_unordered(CONCURRENCY);
    Ok(results.try_collect().await?)
}

fn bar(name: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg:22} {bar:40} {pos}/{len} {per_sec} {eta}")
        .expect("the template is well formed");
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(length).with_style(style);
    bar.set_message(name);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
