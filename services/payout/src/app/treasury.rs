//! Public money: appropriations, allotments to batches, re-allocations between batches, and the trace.

use chassis::{
    db,
    idempotency::{self, RequestKey},
    money::Money,
    names,
    paging::PageRequest,
};
use messaging::outbox;
use proto::payout::v1 as pb;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    App,
    ledger::{apply, apply_all, first_refusal},
};
use crate::{
    domain::{
        chart::{self, AccountKind},
        ledger::{Code, Leg, NewAccount, Transfer, TransferRefusal},
        treasury::{
            Allotment, Appropriation, AppropriationBalance, FundTrace, Reallocation,
            TreasuryRefusal, check_currency,
        },
    },
    error::Error,
    storage,
};

/// An appropriation as it is asked for.
#[derive(Clone, Debug)]
pub struct NewAppropriation {
    /// The caller's id.
    pub id: String,
    /// The fiscal year.
    pub fiscal_year: i32,
    /// The amount, above zero.
    pub amount: Money,
}

/// An allotment as it is asked for.
#[derive(Clone, Debug)]
pub struct NewAllotment {
    /// From which appropriation.
    pub appropriation_id: String,
    /// Into which batch.
    pub batch: String,
    /// The amount, above zero.
    pub amount: Money,
}

/// A re-allocation as it is asked for.
#[derive(Clone, Debug)]
pub struct NewReallocation {
    /// From which batch.
    pub source_batch: String,
    /// Into which other batch.
    pub target_batch: String,
    /// The amount, above zero.
    pub amount: Money,
}

impl App {
    /// Books an appropriation.
    pub async fn create_appropriation(
        &self,
        key: RequestKey,
        new: NewAppropriation,
    ) -> Result<pb::Appropriation, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let appropriation = Appropriation {
            id: new.id,
            fiscal_year: new.fiscal_year,
            amount: new.amount,
            create_time: now,
        };
        let name = names::format("appropriations", &appropriation.id);
        storage::treasury::insert_appropriation(&mut tx, &appropriation)
            .await
            .map_err(|error| match db::constraint(&error) {
                Some("appropriations_pkey") => {
                    Error::Treasury(TreasuryRefusal::AppropriationExists {
                        appropriation: name.clone(),
                    })
                }
                Some(_) | None => error.into(),
            })?;

        let currency = new.amount.currency();
        let (source, target) = (
            chart::treasury(currency),
            chart::appropriation(&appropriation.id, currency),
        );
        let id = chart::transfer_id_by_name(&name, "appropriate");
        let leg = Leg {
            debit: source.id,
            credit: target.id,
            amount: new.amount,
        };
        storage::ledger::insert_accounts(&mut tx, &[source, target]).await?;
        apply_all(
            &mut tx,
            &[Transfer::post(id, Code::Appropriation, leg)],
            now,
        )
        .await?;

        let answer = pb::Appropriation::from(AppropriationBalance {
            appropriation,
            available: new.amount,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns an appropriation and what is left of it.
    pub async fn get_appropriation(&self, id: &str) -> Result<AppropriationBalance, Error> {
        let mut connection = self.db.acquire().await?;
        let appropriation = storage::treasury::find_appropriation(&mut connection, id).await?;
        let appropriation =
            appropriation.ok_or_else(|| Error::NotFound(names::format("appropriations", id)))?;
        let currency = appropriation.amount.currency();
        let account_id = chart::appropriation(id, currency).id;
        let sums = storage::ledger::books::find_sums(&mut connection, &[account_id]).await?;
        let available = sums.first().map_or(0, |(_, sums)| sums.available());
        Ok(AppropriationBalance {
            appropriation,
            available: Money::new(available, currency),
        })
    }

    /// Moves money from an appropriation into a batch's budget.
    pub async fn create_allotment(
        &self,
        key: RequestKey,
        new: NewAllotment,
    ) -> Result<pb::Allotment, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let source = storage::treasury::find_appropriation(&mut tx, &new.appropriation_id).await?;
        let source = source.ok_or_else(|| {
            Error::NotFound(names::format("appropriations", &new.appropriation_id))
        })?;
        let currency = new.amount.currency();
        check_currency(new.amount, source.amount.currency()).map_err(Error::Treasury)?;
        let of_batch = storage::treasury::ensure_budget(&mut tx, &new.batch, currency, now).await?;
        check_currency(new.amount, of_batch).map_err(Error::Treasury)?;

        let allotment = Allotment {
            id: Uuid::now_v7(),
            appropriation_id: new.appropriation_id,
            batch: new.batch,
            amount: new.amount,
            create_time: now,
        };
        storage::treasury::insert_allotment(&mut tx, &allotment).await?;
        let order = Order {
            id: allotment.id,
            step: "allot",
            code: Code::Allotment,
            source: chart::appropriation(&allotment.appropriation_id, currency),
            target: chart::of_batch(AccountKind::BatchBudget, &allotment.batch, currency),
            amount: allotment.amount,
        };
        move_public_money(&mut tx, order, now).await?;

        let answer = pb::Allotment::from(allotment);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Moves returned money of one batch into the budget of another.
    pub async fn create_reallocation(
        &self,
        key: RequestKey,
        new: NewReallocation,
    ) -> Result<pb::Reallocation, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let currency = new.amount.currency();
        let Some(of_source) = storage::treasury::find_currency(&mut tx, &new.source_batch).await?
        else {
            // A batch that never had money has none to give.
            let available = Money::new(0, currency);
            return Err(Error::Treasury(TreasuryRefusal::FundsInsufficient {
                available,
            }));
        };
        check_currency(new.amount, of_source).map_err(Error::Treasury)?;
        let of_target =
            storage::treasury::ensure_budget(&mut tx, &new.target_batch, currency, now).await?;
        check_currency(new.amount, of_target).map_err(Error::Treasury)?;

        let reallocation = Reallocation {
            id: Uuid::now_v7(),
            source_batch: new.source_batch,
            target_batch: new.target_batch,
            amount: new.amount,
            create_time: now,
        };
        storage::treasury::insert_reallocation(&mut tx, &reallocation).await?;
        let order = Order {
            id: reallocation.id,
            step: "reallocate",
            code: Code::Reallocation,
            source: chart::of_batch(AccountKind::Returned, &reallocation.source_batch, currency),
            target: chart::of_batch(
                AccountKind::BatchBudget,
                &reallocation.target_batch,
                currency,
            ),
            amount: reallocation.amount,
        };
        move_public_money(&mut tx, order, now).await?;

        let event = pb::FundsReallocated::from(&reallocation);
        outbox::append(&mut tx, &reallocation.target_batch, now, &event).await?;
        let answer = pb::Reallocation::from(reallocation);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Lists the re-allocations out of or into a batch.
    pub async fn list_reallocations(
        &self,
        batch: &str,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Reallocation>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::treasury::list_reallocations(&mut connection, batch, page.after, page.limit())
                .await?;
        Ok(page.finish(rows, |last| last.id))
    }

    /// Tells where a batch's money is.
    pub async fn trace_funds(&self, batch: &str) -> Result<FundTrace, Error> {
        let mut connection = self.db.acquire().await?;
        let trace = storage::treasury::trace(&mut connection, batch).await?;
        trace.ok_or_else(|| Error::NotFound(batch.to_owned()))
    }
}

/// One movement of public money.
struct Order {
    id: Uuid,
    step: &'static str,
    code: Code,
    source: NewAccount,
    target: NewAccount,
    amount: Money,
}

async fn move_public_money(
    tx: &mut PgConnection,
    order: Order,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let leg = Leg {
        debit: order.source.id,
        credit: order.target.id,
        amount: order.amount,
    };
    storage::ledger::insert_accounts(tx, &[order.source, order.target]).await?;
    let line = Transfer::post(chart::transfer_id(order.id, order.step), order.code, leg);
    match first_refusal(apply(tx, &[line], now).await?) {
        None => Ok(()),
        Some(TransferRefusal::Overdraft { available }) => {
            let available = Money::new(available, order.amount.currency());
            Err(Error::Treasury(TreasuryRefusal::FundsInsufficient {
                available,
            }))
        }
        Some(refusal) => Err(Error::Booking(refusal)),
    }
}
