//! Creating and reading exclusion lists. What they name comes with snapshots.

use chassis::{
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use proto::identity::v1 as pb;

use super::App;
use crate::{
    domain::exclusion_list::{ExclusionList, ExclusionListId, NewExclusionList},
    error::Error,
    storage,
};

impl App {
    /// Creates a list that names nobody yet.
    pub async fn create_exclusion_list(
        &self,
        key: RequestKey,
        new: NewExclusionList,
    ) -> Result<pb::ExclusionList, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        if !storage::exclusion_lists::insert(&mut tx, &new, now).await? {
            return Err(Error::ExclusionListExists(list_name(&new.id)));
        }
        let answer = pb::ExclusionList::from(ExclusionList {
            id: new.id,
            display_name: new.display_name,
            source: new.source,
            snapshot_date: None,
            import_time: None,
            entry_count: 0,
            create_time: now,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a list.
    pub async fn get_exclusion_list(&self, id: &ExclusionListId) -> Result<ExclusionList, Error> {
        let mut connection = self.db.acquire().await?;
        storage::exclusion_lists::find(&mut connection, id)
            .await?
            .ok_or_else(|| Error::NotFound(list_name(id)))
    }

    /// Lists the lists by id.
    pub async fn list_exclusion_lists(
        &self,
        page: PageRequest<String>,
    ) -> Result<(Vec<ExclusionList>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::exclusion_lists::list(&mut connection, page.after.as_deref(), page.limit())
                .await?;
        Ok(page.finish(rows, |last| last.id.as_str().to_owned()))
    }
}

pub(super) fn list_name(id: &ExclusionListId) -> String {
    names::format("exclusionLists", id.as_str())
}
