//! Password hashing (argon2id) on a bounded pool of its own, so that a storm of registrations or sign-ins takes a few
//! threads and no more.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::domain::account::Password;

/// How many callers may wait for each hash in work. At some 25 ms a hash, who is further behind waits for more than a
/// second and is better told to come back.
const WAITING_PER_SLOT: usize = 40;

/// Hashes and checks passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// The hash of nobody's password, which an unknown login is checked against, so that it costs the same time.
    decoy: Arc<str>,
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    /// The library failed, or a stored hash is damaged.
    #[error("hash a password")]
    Hash,
}

impl Passwords {
    /// Makes the pool.
    ///
    /// # Errors
    /// When the library fails.
    pub fn new(concurrency_max: usize) -> Result<Passwords, PasswordError> {
        let decoy = hash("the password of nobody")?;
        Ok(Passwords {
            waiting: Arc::new(Semaphore::new(concurrency_max * (WAITING_PER_SLOT + 1))),
            running: Arc::new(Semaphore::new(concurrency_max)),
            decoy: decoy.into(),
        })
    }

    /// Hashes a password into PHC form.
    ///
    /// # Errors
    /// When too many wait.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordError> {
        self.run(move || hash(password.expose())).await
    }

    /// Says whether a password is the one that was hashed. Without a hash the answer is no, and takes as long.
    ///
    /// # Errors
    /// When too many wait, or the hash is damaged.
    pub async fn verify(
        &self,
        password: Password,
        password_hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let decoy = Arc::clone(&self.decoy);
        self.run(move || {
            let stored = password_hash.as_deref().unwrap_or(&decoy);
            let parsed = PasswordHash::new(stored).map_err(|_| PasswordError::Hash)?;
            let is_right = Argon2::default()
                .verify_password(password.expose().as_bytes(), &parsed)
                .is_ok();
            Ok(is_right && password_hash.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self
            .waiting
            .try_acquire()
            .map_err(|_| PasswordError::Overloaded)?;
        let slot = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| PasswordError::Overloaded)?;
        let hashing = tokio::task::spawn_blocking(move || {
            // Held by the thread: when the caller goes, its work runs on and still counts.
            let _slot = slot;
            work()
        });
        hashing.await.map_err(|_| PasswordError::Hash)?
    }
}

/// 19 MiB, two passes: the library's default is the first choice of OWASP's cheat sheet.
fn hash(password: &str) -> Result<String, PasswordError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Hash)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_password_is_known_again() {
        let passwords = Passwords::new(2).unwrap();

        let hash = passwords.hash(password("correct horse")).await.unwrap();

        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            passwords
                .verify(password("correct horse"), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(password("wrong horse"), Some(hash))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn without_a_hash_no_password_is_right() {
        let passwords = Passwords::new(1).unwrap();

        let is_right = passwords
            .verify(password("the password of nobody"), None)
            .await
            .unwrap();

        assert!(!is_right);
    }

    #[tokio::test]
    async fn who_is_too_far_behind_is_told_at_once() {
        let passwords = Passwords::new(1).unwrap();

        let calls = join_all((0..60).map(|_| passwords.hash(password("correct horse")))).await;

        let refused = calls
            .iter()
            .filter(|call| matches!(call, Err(PasswordError::Overloaded)))
            .count();
        assert_eq!(refused, 60 - (WAITING_PER_SLOT + 1));
    }
}
