//! Tokens that were verified, until they expire: no call pays for a signature check twice.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use super::Claims;

/// Above this many, the expired ones go, and if that is not enough all of them: a check of a signature costs 0.1 ms.
const ENTRIES_MAX: usize = 20_000;

/// Keyed by the token's hash, so that no memory dump holds tokens.
pub(super) struct VerifiedTokens(Mutex<HashMap<[u8; 32], Arc<Claims>>>);

impl VerifiedTokens {
    pub(super) fn new() -> VerifiedTokens {
        VerifiedTokens(Mutex::new(HashMap::new()))
    }

    pub(super) fn find(&self, token: &str) -> Option<Arc<Claims>> {
        let key = key(token);
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&key).cloned()
    }

    pub(super) fn insert(&self, token: &str, claims: Arc<Claims>, now: i64) {
        let key = key(token);
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|_, claims| claims.exp > now);
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, claims);
    }

    /// Forgets all, because a key was withdrawn.
    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn key(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
