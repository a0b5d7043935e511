//! How many retries a peer is worth: each call earns a tenth of one, and some are there from the start.

use std::sync::atomic::{AtomicU32, Ordering};

/// In tenths of a retry.
const COST: u32 = 10;
/// What may be saved up: ten retries, enough for a restart of the peer, too few to bury it.
const SAVED_MAX: u32 = 100;

#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) fn new() -> Budget {
        Budget(AtomicU32::new(SAVED_MAX))
    }

    /// Counts a call.
    pub(super) fn earn(&self) {
        let earned = |saved: u32| Some((saved + 1).min(SAVED_MAX));
        let _ = self
            .0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, earned);
    }

    /// Takes a retry, if there is one left.
    pub(super) fn spend(&self) -> bool {
        let left = |saved: u32| saved.checked_sub(COST);
        self.0
            .try_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_calls_earn_a_retry() {
        let budget = Budget::new();
        while budget.spend() {}

        for _ in 0..9 {
            budget.earn();
        }
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
    }
}
