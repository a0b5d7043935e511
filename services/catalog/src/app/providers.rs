//! Providers: created, read.

use chassis::{
    idempotency::{self, Claim, RequestKey},
    names,
    paging::PageRequest,
};
use prost::Message;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        provider::{DisplayName, Provider},
        text,
    },
    error::Error,
    storage,
};

impl App {
    /// Creates a provider, or returns the answer that was given before. `answer` writes what the caller gets, which is
    /// stored as it is.
    pub async fn create_provider<M: Message + Default>(
        &self,
        key: &RequestKey,
        name: &DisplayName,
        answer: impl FnOnce(Provider) -> M,
    ) -> Result<M, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let claim: Claim = idempotency::claim(&mut tx, key, now).await?;
        if let Some(answer) = claim.answer()? {
            return Ok(answer);
        }
        let Some(provider) = storage::providers::insert(&mut tx, Uuid::now_v7(), name, now).await?
        else {
            let existing = storage::providers::find_by_name(&mut tx, name.folded()).await?;
            return Err(existing.map_or(Error::Conflict, Error::ProviderExists));
        };
        let answer = answer(provider);
        idempotency::store(&mut tx, key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a provider.
    pub async fn get_provider(&self, id: Uuid) -> Result<Provider, Error> {
        let provider = storage::providers::find(&mut *self.db.acquire().await?, id).await?;
        provider.ok_or_else(|| Error::NotFound(names::format("providers", id)))
    }

    /// Lists providers by name.
    pub async fn list_providers(
        &self,
        page: &PageRequest<String>,
    ) -> Result<(Vec<Provider>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let after = page.after.as_deref();
        let providers = storage::providers::list(&mut connection, after, page.limit()).await?;
        Ok(page.finish(providers, |provider| text::fold(&provider.display_name)))
    }
}
