//! Money that came back after it had arrived: a counter-entry, and the right to it is open again, once.

use std::collections::HashMap;

use chassis::money::Money;
use messaging::outbox;
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{clawbacks::OpenClaims, ledger::apply_all, returns::tell_late_returns};
use crate::{
    domain::{
        disbursement::Disbursement, event::DisbursementFailed, ledger::Transfer,
        rail::FailureReason,
    },
    error::Error,
    storage::{
        self,
        disbursements::{orders, reversals},
    },
};

/// Books settled payments back, lets them have failed for REVERSED, and tells. One whose person has linked another account
/// meanwhile is READY again; one whose participation's money went back goes to the treasury, and off the claim that counts
/// it. Those that are not settled, because they were reversed before, are passed over.
pub(super) async fn reverse(
    tx: &mut PgConnection,
    disbursement_ids: &[Uuid],
    participation_ids: &[Uuid],
    now: OffsetDateTime,
) -> Result<(), Error> {
    // The funds first: a return at the same time takes turns with this.
    let funds = storage::participation_funds::lock_all(tx, participation_ids).await?;
    let returned: HashMap<Uuid, bool> = funds
        .into_iter()
        .map(|row| (row.participation_id, row.funds.is_returned))
        .collect();
    let ended: Vec<Uuid> = participation_ids
        .iter()
        .filter(|id| returned.get(id) == Some(&true))
        .copied()
        .collect();
    let mut claims = OpenClaims::lock(tx, &ended).await?;
    let lines = reversals::lock_settled(tx, disbursement_ids).await?;
    let is_returned = |line: &Disbursement| {
        returned
            .get(&line.participation_id)
            .copied()
            .unwrap_or(false)
    };
    let transfers: Vec<Transfer> = lines
        .iter()
        .flat_map(|line| claims.reverse(line, is_returned(line)))
        .collect();
    apply_all(tx, &transfers, now).await?;
    claims.close(tx, now).await?;
    let ids: Vec<Uuid> = lines.iter().map(|line| line.id).collect();
    reversals::set_reversed(tx, &ids).await?;
    orders::revive_replaced(tx, &ids).await?;

    let late: Vec<(&str, Uuid, Money)> = lines
        .iter()
        .filter(|line| is_returned(line))
        .map(|line| (line.batch.as_str(), line.participation_id, line.amount))
        .collect();
    tell_late_returns(tx, &late, now).await?;
    let failed: Vec<pb::DisbursementFailed> = lines
        .iter()
        .map(|payment| {
            DisbursementFailed {
                payment,
                reason: FailureReason::Reversed,
            }
            .into()
        })
        .collect();
    let failed: Vec<(&str, &pb::DisbursementFailed)> = failed
        .iter()
        .map(|event| (event.disbursement.as_str(), event))
        .collect();
    outbox::append_all(tx, now, &failed).await?;
    Ok(())
}
