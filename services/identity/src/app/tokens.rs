//! Issuing tokens to accounts and service accounts.

use chassis::names;
use jsonwebtoken::jwk::JwkSet;

use super::App;
use crate::{
    domain::{
        account::{AccountState, Login, Password},
        personal::Personal,
    },
    error::Error,
    storage,
    tokens::IssuedToken,
};

impl App {
    /// Issues a token to an account. An unknown login, an account without password, a blocked account and a wrong
    /// password are one answer after one and the same time.
    pub async fn sign_in(&self, login: Login, password: Password) -> Result<IssuedToken, Error> {
        let account = {
            let mut connection = self.db.acquire().await?;
            storage::accounts::find_sign_in(&mut connection, &login).await?
        };
        let usable = account.filter(|account| account.state == AccountState::Active);
        let (id, password_hash) = match usable {
            Some(account) => (Some(account.id), account.password_hash),
            None => (None, None),
        };
        let hash = password_hash.map(Personal::into_exposed);
        let is_right = self.passwords.verify(password, hash).await?;

        let id = id.filter(|_| is_right).ok_or(Error::CredentialsWrong)?;
        Ok(self
            .token_keys
            .issue(&names::format("accounts", id), &[], self.clock.now())?)
    }

    /// Issues a token to a service account.
    pub fn sign_in_service_account(&self, name: &str, secret: &str) -> Result<IssuedToken, Error> {
        let permissions = self
            .service_accounts
            .permissions_of(name, secret)
            .ok_or(Error::CredentialsWrong)?;
        Ok(self.token_keys.issue(name, permissions, self.clock.now())?)
    }

    /// Returns the keys that tokens are checked with.
    pub fn key_set(&self) -> JwkSet {
        self.token_keys.key_set()
    }
}
