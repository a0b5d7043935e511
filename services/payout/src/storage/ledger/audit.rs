//! The audit: the running sums beside those that the transfers give, by the view `ledger_comparison`. The work is done by
//! PostgreSQL in one pass, with a row for each batch as its answer; whatever the size of the ledger, little is kept here.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::ledger::AccountId;

/// How many accounts an audit names at most.
const DIFFERING_MAX: i64 = 100;

/// The key of the lock that lets one replica audit at a time.
const LOCK: i64 = 0x6c65_6467_6572;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Accounts compared.
    pub account_count: i64,
    /// Transfers read.
    pub transfer_count: i64,
    /// Accounts whose sums differ, or that are not there.
    pub differing_count: i64,
    /// The first of them.
    pub differing: Vec<AccountId>,
    /// Batches whose allotted money is not all there.
    pub batches: Vec<String>,
}

impl Audit {
    /// Says whether nothing differs.
    pub fn is_sound(&self) -> bool {
        self.differing_count == 0 && self.batches.is_empty()
    }
}

/// Compares everything at one moment. A statement may take as long as the connection lets it.
pub async fn audit(db: &PgPool) -> Result<Audit, sqlx::Error> {
    let mut tx = begin(db).await?;
    read(&mut tx).await
}

/// Compares everything at one moment, however long it takes.
pub async fn audit_at_length(db: &PgPool) -> Result<Audit, sqlx::Error> {
    let mut tx = begin(db).await?;
    lift_limit(&mut tx).await?;
    read(&mut tx).await
}

/// Compares everything at one moment, however long it takes; `None` while another replica does.
pub async fn audit_alone(db: &PgPool) -> Result<Option<Audit>, sqlx::Error> {
    let mut tx = begin(db).await?;
    lift_limit(&mut tx).await?;
    let is_ours = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock($1) AS "is_ours!""#,
        LOCK
    )
    .fetch_one(&mut *tx)
    .await?;
    if is_ours {
        read(&mut tx).await.map(Some)
    } else {
        Ok(None)
    }
}

async fn lift_limit(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT set_config('statement_timeout', '0', true)")
        .fetch_one(tx)
        .await?;
    Ok(())
}

async fn begin(db: &PgPool) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, sqlx::Error> {
    // All statements see the same moment.
    db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
}

async fn read(tx: &mut PgConnection) -> Result<Audit, sqlx::Error> {
    // Enough for a hash of some hundred thousand accounts; what is more is kept on disk.
    sqlx::query!("SELECT set_config('work_mem', '64MB', true)")
        .fetch_one(&mut *tx)
        .await?;
    // What a batch was allotted is what its accounts hold, and what went to other batches.
    let rows = sqlx::query!(
        r#"SELECT batch, count(kind) AS "account_count!", sum(side_count)::bigint AS "side_count!",
                  count(*) FILTER (WHERE differs) AS "differing_count!",
                  coalesce(sum(credits_posted) FILTER (WHERE kind = 'batch-budget'), 0)
                      = sum(credits_posted - debits_posted)
                        + coalesce(sum(debits_posted) FILTER (WHERE kind = 'returned'), 0) AS "is_all_there!"
           FROM ledger_comparison
           GROUP BY batch
           ORDER BY batch"#,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut audit = Audit::default();
    let mut side_count = 0;
    for row in rows {
        audit.account_count += row.account_count;
        audit.differing_count += row.differing_count;
        side_count += row.side_count;
        audit
            .batches
            .extend(row.batch.filter(|_| !row.is_all_there));
    }
    audit.transfer_count = side_count / 2;
    if audit.differing_count > 0 {
        // The same work once more, which only a ledger pays for that is not sound.
        let ids: Vec<Uuid> = sqlx::query_scalar!(
            r#"SELECT id AS "id!" FROM ledger_comparison WHERE differs ORDER BY id LIMIT $1"#,
            DIFFERING_MAX,
        )
        .fetch_all(tx)
        .await?;
        audit.differing = ids.into_iter().map(AccountId).collect();
    }
    Ok(audit)
}
