//! The auditor: all sums again from all transfers, and each batch's money whole. By call, by command, and by itself at an
//! interval; then a difference is logged as an error, counted, and told.

use std::time::Duration;

use chassis::names;
use messaging::outbox;
use opentelemetry::metrics::Gauge;
use proto::payout::v1 as pb;
use sqlx::PgPool;
use time::OffsetDateTime;

use super::App;
use crate::{
    domain::event::LedgerDifferenceFound,
    error::Error,
    storage::ledger::audit::{self, Audit},
};

/// The subject of the event, as the contract says.
const SUBJECT: &str = "ledger";

/// How many accounts and batches differ, by the last audit of this process.
struct Metrics {
    differences: Gauge<u64>,
}

impl App {
    /// Compares all sums with all transfers.
    pub async fn audit_ledger(&self) -> Result<(Audit, OffsetDateTime), Error> {
        let now = self.clock.now();
        Ok((audit::audit(&self.db).await?, now))
    }

    /// Audits at an interval until told to stop.
    pub async fn run_audits(&self, interval: Duration) {
        let metrics = Metrics::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = self.stopping.cancelled() => return,
            }
            let round = tokio::select! {
                round = self.audit_round() => round,
                // Reading is left off at once: nothing was changed.
                () = self.stopping.cancelled() => return,
            };
            match round {
                Ok(Some(audit)) => metrics.report(&audit),
                Ok(None) => {}
                Err(error) => {
                    let error = chassis::telemetry::chain(&error);
                    tracing::warn!(error, "audit the ledger: the round failed and is repeated");
                }
            }
        }
    }

    /// Audits, and tells what differs; `None` while another replica does.
    pub async fn audit_round(&self) -> Result<Option<Audit>, Error> {
        let now = self.clock.now();
        let Some(audit) = audit::audit_alone(&self.db).await? else {
            return Ok(None);
        };
        if !audit.is_sound() {
            log_differences(&audit);
            let event = pb::LedgerDifferenceFound::from(LedgerDifferenceFound {
                account_ids: &audit.differing,
                account_count: audit.differing_count,
                batches: &audit.batches,
                audit_time: now,
            });
            let mut tx = self.db.begin().await?;
            outbox::append(&mut tx, SUBJECT, now, &event).await?;
            tx.commit().await?;
            self.relay.wake();
        }
        Ok(Some(audit))
    }
}

/// Audits once, for the command.
///
/// # Errors
/// When the database fails.
pub async fn audit_at_length(db: &PgPool) -> Result<Audit, sqlx::Error> {
    let audit = audit::audit_at_length(db).await?;
    if !audit.is_sound() {
        log_differences(&audit);
    }
    Ok(audit)
}

fn log_differences(audit: &Audit) {
    let accounts: Vec<String> = audit
        .differing
        .iter()
        .map(|id| names::format("ledgerAccounts", id.0))
        .collect();
    tracing::error!(
        ledger.account_count = audit.differing_count,
        ledger.accounts = accounts.join(" "),
        ledger.batches = audit.batches.join(" "),
        "the ledger differs from its transfers"
    );
}

impl Metrics {
    fn new() -> Metrics {
        let meter = opentelemetry::global::meter("payout");
        Metrics {
            differences: meter.u64_gauge("ledger_difference_count").build(),
        }
    }

    fn report(&self, audit: &Audit) {
        let batches = u64::try_from(audit.batches.len()).unwrap_or(u64::MAX);
        let accounts = audit.differing_count.unsigned_abs();
        self.differences
            .record(accounts.saturating_add(batches), &[]);
    }
}
