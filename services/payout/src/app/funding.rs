//! Awards get their money: a chunk of up to 1,000 is a handful of statements.

use messaging::{HandleError, outbox};
use proto::payout::v1 as pb;
use sqlx::PgConnection;

use super::{
    App,
    ledger::{apply, first_refusal},
};
use crate::{
    domain::{
        award::{Award, Terms},
        event::ParticipationsFunded,
        ledger::TransferRefusal,
    },
    storage,
};

impl App {
    /// Funds those awards that are not funded yet from the batch's budget.
    ///
    /// # Errors
    /// `Missing` while the batch has too little money: the chunk waits until it is allotted. `Reject` for terms in
    /// another currency than the batch's.
    pub async fn on_participations_awarded(
        &self,
        tx: &mut PgConnection,
        terms: &Terms,
        mut awards: Vec<Award>,
    ) -> Result<(), HandleError> {
        let now = self.clock.now();
        match storage::treasury::find_currency(tx, &terms.batch).await? {
            None => return Err(HandleError::Missing(format!("a budget of {}", terms.batch))),
            Some(currency) if currency != terms.currency() => {
                let text = format!("{} has the currency {}", terms.batch, currency.code());
                return Err(HandleError::Reject(text));
            }
            Some(_) => {}
        }
        let fresh = storage::participation_funds::insert_all(tx, terms, &awards, now).await?;
        awards.retain(|award| fresh.contains(&award.participation_id));
        if awards.is_empty() {
            return Ok(());
        }

        storage::ledger::insert_accounts(tx, &terms.accounts(&awards)).await?;
        let lines = terms
            .transfers(&awards)
            .map_err(|error| HandleError::Reject(error.to_string()))?;
        match first_refusal(apply(tx, &lines, now).await?) {
            None => {}
            Some(TransferRefusal::Overdraft { available }) => {
                let text = format!(
                    "money in the budget of {}, which has {available} minor units",
                    terms.batch
                );
                return Err(HandleError::Missing(text));
            }
            // The batch has a currency and no account yet: its first allotment is not committed, or was refused.
            Some(TransferRefusal::AccountNotFound(_)) => {
                return Err(HandleError::Missing(format!("a budget of {}", terms.batch)));
            }
            Some(refusal) => return Err(HandleError::Reject(refusal.to_string())),
        }
        let event = pb::ParticipationsFunded::from(ParticipationsFunded {
            batch: &terms.batch,
            awards: &awards,
        });
        outbox::append(tx, &terms.batch, now, &event).await?;
        Ok(())
    }
}
