//! Shares work out among threads. Every item has a slot of its own for its result, so that neither the number
//! of threads nor their pace changes anything.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// Does `work` for each item on up to `threads` threads, and `meanwhile` on this one, which then helps.
pub(crate) fn for_each<T, R>(
    items: impl Iterator<Item = T> + Send,
    threads: usize,
    work: impl Fn(T) + Sync,
    meanwhile: impl FnOnce() -> R,
) -> R {
    let items = Mutex::new(items);
    // A function of its own: the lock must be free again before the work begins.
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work_off = || {
        while let Some(item) = next() {
            work(item);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work_off);
        }
        let result = meanwhile();
        work_off();
        result
    })
}
