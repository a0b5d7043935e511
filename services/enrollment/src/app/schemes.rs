//! Loading and reading schemes.

use std::sync::Arc;

use chassis::{
    idempotency::{self, RequestKey},
    paging::PageRequest,
};
use proto::enrollment::v1 as pb;

use super::App;
use crate::{
    domain::{scheme::StoredScheme, scheme_file},
    error::Error,
    storage,
};

impl App {
    /// Loads a scheme from its file. The same content again is the same scheme.
    pub async fn import_scheme(
        &self,
        key: RequestKey,
        file_name: &str,
        content: &str,
    ) -> Result<pb::Scheme, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let scheme = scheme_file::parse(file_name, content)?;
        let stored = if storage::schemes::insert(&mut tx, &scheme, file_name, content, now).await? {
            Arc::new(StoredScheme {
                scheme,
                create_time: now,
            })
        } else {
            let earlier = self.rules.scheme(&mut tx, &scheme.id).await?;
            if earlier.scheme.content_hash != scheme.content_hash {
                return Err(Error::SchemeExists(scheme.id));
            }
            earlier
        };
        let answer = pb::Scheme::from(&*stored);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a scheme.
    pub async fn get_scheme(&self, scheme_id: &str) -> Result<Arc<StoredScheme>, Error> {
        let mut connection = self.db.acquire().await?;
        self.rules.scheme(&mut connection, scheme_id).await
    }

    /// Lists schemes by name.
    pub async fn list_schemes(
        &self,
        page: PageRequest<String>,
    ) -> Result<(Vec<Arc<StoredScheme>>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::schemes::list(&mut connection, page.after.as_deref(), page.limit()).await?;
        let (rows, next_page_token) = page.finish(rows, |last| last.scheme_id.clone());
        let schemes = rows
            .into_iter()
            .map(|row| self.rules.keep(row))
            .collect::<Result<_, _>>()?;
        Ok((schemes, next_page_token))
    }
}
