//! Long work on a batch is done by one replica at a time. The lock lives in a connection of its own: when its holder ends
//! in any way, kill -9 among them, the connection and with it the lock are gone.

use sqlx::{PgConnection, PgPool};

/// Held while a batch is frozen, drawn or awarded.
pub struct BatchLock {
    _connection: PgConnection,
}

impl BatchLock {
    /// Waits for the batch to be free; at most as long as a statement may take.
    pub async fn take(db: &PgPool, batch_id: &str) -> Result<BatchLock, sqlx::Error> {
        // Detached: a connection that goes back to the pool would keep the lock.
        let mut connection = db.acquire().await?.detach();
        sqlx::query!(
            "SELECT pg_advisory_lock(hashtextextended('batch ' || $1, 0))",
            batch_id,
        )
        .fetch_one(&mut connection)
        .await?;
        Ok(BatchLock {
            _connection: connection,
        })
    }
}

/// Prepares a transaction that reads a whole batch: memory to sort it, and no limit of time.
pub async fn prepare_whole_batch(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT set_config('work_mem', '256MB', true) AS memory,
                -- A batch that is younger than the statistics counts as one of few rows; looking each row up in the
                -- others would then take the square of the time.
                set_config('enable_nestloop', 'off', true) AS nestloop,
                -- Compiling the query costs more than it gains for one pass.
                set_config('jit', 'off', true) AS jit",
    )
    .fetch_one(&mut *tx)
    .await?;
    lift_time_limits(tx).await
}

/// Lifts the limits of time from a long transaction, until it ends.
pub async fn lift_time_limits(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT set_config('statement_timeout', '0', true) AS statement,
                set_config('idle_in_transaction_session_timeout', '0', true) AS idle",
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}
