//! Readiness as latches: a process is ready when every latch that its start took is released, and never again once it
//! drains. Liveness does not look at any of this.

use tokio::sync::watch;

/// What is still to be done before calls may come. Clones see the same.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    latched: usize,
    draining: bool,
}

/// One thing that is still to be done. Dropped without a release, it stays to be done for ever: a start that failed
/// never looks ready.
#[derive(Debug)]
pub struct Latch {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Starts with nothing to be done.
    pub fn new() -> Readiness {
        Readiness(watch::Sender::new(State::default()))
    }

    /// Adds something to be done, such as `database`.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.0.send_modify(|state| state.latched += 1);
        Latch {
            name,
            readiness: self.clone(),
        }
    }

    /// Says whether calls may come.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// Ends readiness for good.
    pub(crate) fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.borrow().draining
    }

    /// Waits until readiness may have changed and returns it; `None` never comes while anyone holds a clone.
    pub(crate) fn watch(&self) -> ReadinessWatch {
        ReadinessWatch(self.0.subscribe())
    }
}

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness::new()
    }
}

impl State {
    fn is_ready(self) -> bool {
        self.latched == 0 && !self.draining
    }
}

impl Latch {
    /// Tells that it is done.
    pub fn release(self) {
        tracing::info!(latch = self.name, "ready");
        self.readiness.0.send_modify(|state| state.latched -= 1);
    }
}

pub(crate) struct ReadinessWatch(watch::Receiver<State>);

impl ReadinessWatch {
    pub(crate) fn now(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// Returns the readiness after the next change; `None` when nobody can change it any more.
    pub(crate) async fn changed(&mut self) -> Option<bool> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().is_ready())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_latch_is_released_and_until_it_drains() {
        let readiness = Readiness::new();
        let database = readiness.latch("database");
        let broker = readiness.latch("broker");

        database.release();
        assert!(!readiness.is_ready());
        broker.release();
        assert!(readiness.is_ready());
        readiness.drain();
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_latch_that_is_dropped_is_not_released() {
        let readiness = Readiness::new();

        drop(readiness.latch("database"));

        assert!(!readiness.is_ready());
    }
}
