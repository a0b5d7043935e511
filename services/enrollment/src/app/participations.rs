//! Reading participations, and learning that payout has booked their money.

use chassis::{names, paging::PageRequest};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{App, applications::Of};
use crate::{domain::participation::Participation, error::Error, storage};

impl App {
    /// Returns a participation.
    pub async fn get_participation(&self, participation_id: Uuid) -> Result<Participation, Error> {
        let mut connection = self.db.acquire().await?;
        storage::participations::find(&mut connection, participation_id)
            .await?
            .ok_or_else(|| not_found(participation_id))
    }

    /// Lists participations, oldest first.
    pub async fn list_participations(
        &self,
        of: Of,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Participation>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = match of {
            Of::Batch(batch_id, account_id) => {
                storage::participations::list_of_batch(
                    &mut connection,
                    &batch_id,
                    account_id,
                    page.after,
                    page.limit(),
                )
                .await?
            }
            Of::Account(account_id) => {
                storage::participations::list_of_account(
                    &mut connection,
                    account_id,
                    page.after,
                    page.limit(),
                )
                .await?
            }
        };
        Ok(page.finish(rows, |last| last.id))
    }

    /// Marks participations as funded; tells whether all of them are known here.
    pub async fn on_participations_funded(
        &self,
        tx: &mut PgConnection,
        participation_ids: &[Uuid],
    ) -> Result<bool, sqlx::Error> {
        let marked = storage::participations::mark_funded(tx, participation_ids).await?;
        Ok(usize::try_from(marked) == Ok(participation_ids.len()))
    }
}

pub(super) fn not_found(participation_id: Uuid) -> Error {
    Error::NotFound(names::format("participations", participation_id))
}
