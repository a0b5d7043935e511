//! Pending transfers whose time is over give back what they hold, set-wise.
//!
//! Nobody has to wait for it to be safe: from its time on a pending transfer can no longer be posted, whether it was swept
//! or not. Several replicas may sweep side by side: the locks of the accounts decide, and a transfer ends once.

use std::time::Duration;

use uuid::Uuid;

use super::{App, apply};
use crate::{
    domain::ledger::{Transfer, TransferId, TransferRefusal, Verdict},
    error::Error,
    storage::{self, ledger::timeouts},
};

/// How long the sweeper rests when nothing is due.
const REST: Duration = Duration::from_secs(1);

/// How many end in one transaction.
const EXPIRED_MAX: i64 = 8_000;

impl App {
    /// Sweeps until told to stop.
    pub async fn run_timeouts(&self) {
        while !self.stopping.is_cancelled() {
            match self.expire_round().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => {
                    let error = chassis::telemetry::chain(&error);
                    tracing::warn!(error, "expire transfers: the round failed and is repeated");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// Ends some of the pending transfers whose time is over, and returns how many were due.
    pub async fn expire_round(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let due = timeouts::list_due(&mut tx, now, EXPIRED_MAX).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let pending = storage::ledger::find_transfers(&mut tx, &due, &[]).await?;
        let lines: Vec<Transfer> = pending
            .iter()
            .map(|booked| Transfer::expire(TransferId(Uuid::now_v7()), booked))
            .collect();
        for verdict in apply(&mut tx, &lines, now).await? {
            match verdict {
                // Somebody was faster while the locks were waited for.
                Verdict::Applied
                | Verdict::Repeated
                | Verdict::Refused(
                    TransferRefusal::PendingPosted
                    | TransferRefusal::PendingVoided
                    | TransferRefusal::PendingExpired,
                ) => {}
                Verdict::Refused(refusal) => return Err(Error::Booking(refusal)),
            }
        }
        timeouts::delete(&mut tx, &due).await?;
        tx.commit().await?;
        Ok(due.len())
    }
}
