//! Accounts that callers open for money of their own, beside those of the programme.

use std::collections::HashMap;

use super::App;
use crate::{
    app::is_lost_race,
    domain::ledger::{AccountId, CallerAccount, Opening},
    error::Error,
    storage::ledger::callers,
};

/// How many accounts one call may open.
pub const ACCOUNTS_MAX: usize = 8_190;

/// How often a transaction that met another one in a deadlock is run.
const ATTEMPTS_MAX: u32 = 3;

impl App {
    /// Opens accounts, and tells of each what became of it.
    pub async fn create_ledger_accounts(
        &self,
        accounts: &[CallerAccount],
    ) -> Result<Vec<Opening>, Error> {
        let mut attempt = 1;
        loop {
            match self.open_accounts(accounts).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_lost_race(&error) => attempt += 1,
                result => return Ok(result?),
            }
        }
    }

    async fn open_accounts(&self, accounts: &[CallerAccount]) -> Result<Vec<Opening>, sqlx::Error> {
        let mut first: HashMap<AccountId, &CallerAccount> = HashMap::with_capacity(accounts.len());
        for account in accounts {
            first.entry(account.id).or_insert(account);
        }
        let new: Vec<&CallerAccount> = first.values().copied().collect();

        let mut tx = self.db.begin().await?;
        let mut added = callers::insert(&mut tx, &new).await?;
        // A statement of its own: it sees those for whose commit the insertion waited.
        let ids: Vec<AccountId> = first.into_keys().collect();
        let found = callers::find(&mut tx, &ids).await?;
        tx.commit().await?;

        let opening = |account: &CallerAccount| match found.get(&account.id) {
            None => Opening::OwnerHasAnother,
            Some(stored) => Opening::of(account, stored, added.remove(&account.id)),
        };
        Ok(accounts.iter().map(opening).collect())
    }
}
