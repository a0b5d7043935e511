//! Where public money is: by region, by participation, and by fiscal year.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chassis::{money::Currency, names, paging::PageRequest};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        chart::{self, AccountKind},
        disbursement::Disbursement,
        fiscal_year::{FiscalYear, FiscalYearStatement},
        ledger::{AccountId, TransferId},
        trace::{ParticipationTrace, RegionTraces, withhold},
    },
    error::Error,
    storage::{self, traces::MovementRow},
};

/// How long a batch's regions are told as they were read.
const REGIONS_KEPT: Duration = Duration::minutes(1);

/// The regions of batches as they were last read. Everybody may ask, and a reading of a large batch takes seconds: there is
/// one at a time, and nobody waits for that of another batch but who has no answer at all.
#[derive(Clone, Default)]
pub struct LastRegions {
    by_batch: Arc<Mutex<HashMap<String, LastReading>>>,
    /// Held by the reading under way.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
struct LastReading {
    read_time: OffsetDateTime,
    traces: RegionTraces,
}

impl LastRegions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, LastReading>> {
        self.by_batch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, batch: &str) -> Option<LastReading> {
        self.lock().get(batch).cloned()
    }
}

impl App {
    /// Tells where the money of a batch's participations is, by region. Which regions are withheld follows from all of them,
    /// whatever the page.
    pub async fn trace_region_funds(
        &self,
        batch: &str,
        page: PageRequest<String>,
    ) -> Result<(RegionTraces, String), Error> {
        let RegionTraces { currency, regions } = self.regions_of(batch).await?;
        let is_after = |region: &str| page.after.as_deref().is_none_or(|after| region > after);
        let rows = regions
            .into_iter()
            .filter(|(region, _)| is_after(&region.region))
            .collect();
        let (regions, next_page_token) = page.finish(rows, |(last, _)| last.region.clone());
        Ok((RegionTraces { currency, regions }, next_page_token))
    }

    async fn regions_of(&self, batch: &str) -> Result<RegionTraces, Error> {
        let now = self.clock.now();
        let is_fresh = |last: &LastReading| now - last.read_time < REGIONS_KEPT;
        let last = self.regions.find(batch);
        if let Some(last) = last.as_ref().filter(|last| is_fresh(last)) {
            return Ok(last.traces.clone());
        }
        let turn = Arc::clone(&self.regions.turn);
        let turn = match (turn.clone().try_lock_owned(), last) {
            (Ok(turn), _) => turn,
            (Err(_), Some(last)) => return Ok(last.traces),
            (Err(_), None) => turn.lock_owned().await,
        };
        // Whoever had the turn before may have read this batch.
        if let Some(last) = self.regions.find(batch).filter(is_fresh) {
            return Ok(last.traces);
        }
        // A task of its own, which goes on when the caller goes away: the database would go on as well, beside the next
        // reading.
        let (app, batch) = (self.clone(), batch.to_owned());
        let reading = chassis::task::spawn("regions", async move {
            let read_time = app.clock.now();
            let traces = app.read_regions(&batch).await?;
            let last = LastReading {
                read_time,
                traces: traces.clone(),
            };
            app.regions.lock().insert(batch, last);
            drop(turn);
            Ok(traces)
        });
        reading.await?
    }

    async fn read_regions(&self, batch: &str) -> Result<RegionTraces, Error> {
        let mut connection = self.db.acquire().await?;
        let currency = storage::treasury::find_currency(&mut connection, batch).await?;
        let currency = currency.ok_or_else(|| Error::NotFound(batch.to_owned()))?;
        let regions = storage::traces::by_region(&mut connection, batch, currency).await?;
        let withheld = withhold(&regions);
        let regions = regions.into_iter().zip(withheld).collect();
        Ok(RegionTraces { currency, regions })
    }

    /// Tells where a participation's money is and how it came there.
    pub async fn trace_participation_funds(
        &self,
        participation_id: Uuid,
        page: PageRequest<i64>,
    ) -> Result<(ParticipationTrace, Vec<MovementRow>, String), Error> {
        let mut tx = self.begin_reading().await?;
        let row = storage::participation_funds::find(&mut tx, participation_id).await?;
        let row =
            row.ok_or_else(|| Error::NotFound(names::format("participations", participation_id)))?;
        let (accounts, transfers) = movements_of(&mut tx, participation_id).await?;
        let sums = storage::traces::sum_movements(&mut tx, &accounts, &transfers).await?;
        let rows = storage::traces::list_movements(
            &mut tx,
            &accounts,
            &transfers,
            page.after,
            page.limit(),
        )
        .await?;
        let (movements, next_page_token) = page.finish(rows, |last| last.sequence);
        let trace = ParticipationTrace {
            participation_id,
            account_id: row.account_id,
            batch: row.funds.batch,
            currency: row.funds.zero.currency(),
            sums,
        };
        Ok((trace, movements, next_page_token))
    }

    /// Makes the statement of a fiscal year.
    pub async fn get_fiscal_year_statement(
        &self,
        year: FiscalYear,
        currency: Currency,
    ) -> Result<FiscalYearStatement, Error> {
        let mut tx = self.begin_reading().await?;
        let reading = storage::fiscal_years::read(&mut tx, &year, currency).await?;
        Ok(FiscalYearStatement::new(year, currency, &reading))
    }

    /// Begins a transaction whose statements all see the same moment.
    pub(super) async fn begin_reading(
        &self,
    ) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        self.db
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
    }
}

/// Names the accounts of a participation, and the transfers of its money between other accounts.
pub(super) async fn movements_of(
    connection: &mut PgConnection,
    participation_id: Uuid,
) -> Result<(Vec<AccountId>, Vec<TransferId>), sqlx::Error> {
    let accounts = [
        AccountKind::TrainingBalance,
        AccountKind::IncentiveCommitment,
        AccountKind::TrainingReceivable,
        AccountKind::IncentiveReceivable,
    ];
    let accounts = accounts.map(|kind| chart::own_id(kind, participation_id));
    let payments = storage::traces::find_payments(connection, participation_id).await?;
    let transfers = payments
        .into_iter()
        .flat_map(|(id, attempts)| Disbursement::transfers_after_sending(id, attempts));
    Ok((accounts.to_vec(), transfers.collect()))
}
