//! Frozen participations: their money stands still where it is, and goes on by itself when they are unfrozen. The lock of
//! the participation's funds decides between a freeze and a purchase or a sending.

use messaging::HandleError;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{App, lock_of_batch};
use crate::storage;

impl App {
    /// Freezes participations of a batch: no hold is made for them, and no payment is batched or sent. What is held can
    /// still be captured or released, and payments that were sent go on to their end. A later unfreezing wins, whichever
    /// is heard first.
    ///
    /// # Errors
    /// `Missing` when a participation is not funded yet. `Reject` when one belongs to another batch.
    pub async fn on_participations_frozen(
        &self,
        tx: &mut PgConnection,
        batch: &str,
        participation_ids: &[Uuid],
        reason: &str,
        freeze_time: OffsetDateTime,
    ) -> Result<(), HandleError> {
        lock_of_batch(tx, batch, participation_ids).await?;
        let frozen =
            storage::participation_funds::set_frozen(tx, participation_ids, reason, freeze_time)
                .await?;
        let sent_count = storage::disbursements::orders::count_sent(tx, &frozen).await?;
        if sent_count > 0 {
            tracing::warn!(
                batch.name = batch,
                sent_count,
                "payments were sent before their participations were frozen, and go on"
            );
        }
        Ok(())
    }

    /// Unfreezes participations of a batch: what waited goes on. A later freeze wins, whichever is heard first, and also
    /// one of the same time.
    ///
    /// # Errors
    /// `Missing` when a participation is not funded yet. `Reject` when one belongs to another batch.
    pub async fn on_participations_unfrozen(
        &self,
        tx: &mut PgConnection,
        batch: &str,
        participation_ids: &[Uuid],
        unfreeze_time: OffsetDateTime,
    ) -> Result<(), HandleError> {
        lock_of_batch(tx, batch, participation_ids).await?;
        storage::participation_funds::set_unfrozen(tx, participation_ids, unfreeze_time).await?;
        Ok(())
    }
}
