//! The right to be paid: certificate, review and payee account together make the instalments of the first completion
//! READY. Each fact is recorded under the lock of the participation's funds, and then all are looked at: whichever comes
//! last finds the others.

use messaging::HandleError;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use crate::{
    domain::award::first_completion_instalments,
    storage::{self, disbursements::NewDisbursement},
};

impl App {
    /// Records the certificate of a participation's first course.
    ///
    /// # Errors
    /// `Missing` when the participation is not funded yet.
    pub async fn on_first_certificate(
        &self,
        tx: &mut PgConnection,
        participation_id: Uuid,
        issue_time: OffsetDateTime,
    ) -> Result<(), HandleError> {
        let funds =
            storage::participation_funds::set_certificate_time(tx, participation_id, issue_time)
                .await?;
        self.entitle_funded(tx, participation_id, funds).await
    }

    /// Records the review of a participation's first course.
    ///
    /// # Errors
    /// `Missing` when the participation is not funded yet.
    pub async fn on_first_review(
        &self,
        tx: &mut PgConnection,
        participation_id: Uuid,
        review_time: OffsetDateTime,
    ) -> Result<(), HandleError> {
        let funds =
            storage::participation_funds::set_review_time(tx, participation_id, review_time)
                .await?;
        self.entitle_funded(tx, participation_id, funds).await
    }

    async fn entitle_funded(
        &self,
        tx: &mut PgConnection,
        participation_id: Uuid,
        is_funded: bool,
    ) -> Result<(), HandleError> {
        if !is_funded {
            return Err(HandleError::Missing(format!(
                "the funds of participations/{participation_id}"
            )));
        }
        self.entitle(tx, &[participation_id]).await?;
        Ok(())
    }

    /// Makes the payments of those participations READY that have all it takes. Those that are there already stay as
    /// they are. The caller holds the locks of the participations' funds.
    pub(super) async fn entitle(
        &self,
        tx: &mut PgConnection,
        participation_ids: &[Uuid],
    ) -> Result<(), sqlx::Error> {
        let now = self.clock.now();
        let entitled = storage::participation_funds::find_entitled(tx, participation_ids).await?;
        let due: Vec<NewDisbursement> = entitled
            .iter()
            .flat_map(|row| {
                first_completion_instalments(&row.incentives, now)
                    .into_iter()
                    .map(|instalment| NewDisbursement {
                        participation_id: row.participation_id,
                        account_id: row.account_id,
                        batch: row.batch.clone(),
                        currency: row.currency.clone(),
                        instalment,
                    })
            })
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        storage::disbursements::insert_all(tx, &due, now).await
    }
}
