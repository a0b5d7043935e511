//! The rail's notices. One is a reason to ask and nothing more: a doubled, late or wrong notice leads to an inquiry that
//! finds what is so, and at most that.

use std::collections::HashSet;

use chassis::{Clock, db::is_transient};
use sqlx::PgPool;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{disbursement::parse_reference, rail::is_paid_state},
    rail::{NoticeRefusal, SignedNotice},
    storage::disbursements::orders::{self, Notice},
};

/// How often a transaction that met another one in a deadlock, or whose database was away, is run.
const ATTEMPTS_MAX: u32 = 3;

/// Why a notice has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// It is none of the rail's, or none at all.
    #[error("refuse a notice")]
    Refused(#[source] NoticeRefusal),
    /// No order of ours has this reference.
    #[error("no order of ours has this reference")]
    Unknown,
    /// It could not be taken in now.
    #[error("the notice is to be sent again")]
    Later,
}

/// Takes in gathered notices.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) db: PgPool,
    pub(super) clock: Clock,
}

impl App {
    /// Takes in what the rail tells of an order.
    ///
    /// # Errors
    /// When it is not the rail that tells, the order is none of ours, or the database is away.
    pub async fn take_notice(&self, signed: &SignedNotice<'_>) -> Result<(), NoticeError> {
        let notice = self
            .rail
            .read_notice(signed)
            .map_err(NoticeError::Refused)?;
        let (disbursement_id, attempt) =
            parse_reference(&notice.reference).ok_or(NoticeError::Unknown)?;
        let notice = Notice {
            disbursement_id,
            attempt,
            is_paid: is_paid_state(&notice.state),
        };
        let taken = self.notices.submit(notice).await;
        taken.unwrap_or(Err(NoticeError::Later))
    }
}

impl Batches {
    pub(super) async fn run(&self, notices: Vec<Notice>) -> Vec<Result<(), NoticeError>> {
        let mut attempt = 1;
        let known = loop {
            match self.hasten(&notices).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_transient(&error) => attempt += 1,
                known => break known,
            }
        };
        let known = known.inspect_err(|error| {
            let error = chassis::telemetry::chain(error);
            tracing::warn!(error, "notices of the rail were not taken in");
        });
        let outcome = |notice: &Notice| match &known {
            Ok(known) if known.contains(&(notice.disbursement_id, notice.attempt)) => Ok(()),
            Ok(_) => Err(NoticeError::Unknown),
            Err(_) => Err(NoticeError::Later),
        };
        notices.iter().map(outcome).collect()
    }

    async fn hasten(&self, notices: &[Notice]) -> Result<HashSet<(Uuid, i32)>, sqlx::Error> {
        let mut tx = self.db.begin().await?;
        let known = orders::hasten_inquiries(&mut tx, notices, self.clock.now()).await?;
        tx.commit().await?;
        Ok(known)
    }
}
