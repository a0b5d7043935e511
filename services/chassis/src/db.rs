//! The service's own database: its pool, its limits, its migrations, and what its errors mean.

use std::{borrow::Cow, str::FromStr, time::Duration};

use sqlx::{
    ConnectOptions, PgPool,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::config::ProcessConfig;

/// How long a call waits for a connection: longer means that the database is away or the service overloaded.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A transaction that does nothing for this long belongs to a task that hangs, and blocks others with its locks.
const IDLE_IN_TRANSACTION: &str = "60s";

/// Makes the pool. It connects when first used, so that a process starts also while its database is away.
///
/// Statements are stopped after the request time-out; bulk work sets its own limit by `SET LOCAL statement_timeout`.
///
/// # Errors
/// When the URL is not one.
pub fn connect(config: &ProcessConfig) -> Result<PgPool, sqlx::Error> {
    let statement_timeout = config.request_timeout.as_millis().to_string();
    let options = PgConnectOptions::from_str(config.database_url.expose())?
        .application_name(config.service)
        .options([
            ("statement_timeout", statement_timeout.as_str()),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
        ])
        .log_statements(tracing::log::LevelFilter::Trace);
    // min = max and no test before use: a call never pays for a connect or a ping.
    let pool = PgPoolOptions::new()
        .min_connections(config.database_pool_size)
        .max_connections(config.database_pool_size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .connect_lazy_with(options);
    Ok(pool)
}

/// Applies the migrations that are missing, without a limit of time. Two at once take turns.
///
/// # Errors
/// When the database is away, or a migration fails or differs from what was applied.
pub async fn migrate(pool: &PgPool, migrator: &Migrator) -> Result<(), MigrateError> {
    let mut connection = pool.acquire().await?.detach();
    sqlx::query!("SELECT set_config('statement_timeout', '0', false)")
        .fetch_one(&mut connection)
        .await?;
    migrator.run_direct(None, &mut connection, false).await
}

/// Says whether every migration of this build has been applied as it is. Later ones may be there too: each release
/// runs with the next one's schema.
///
/// # Errors
/// When the database is away.
pub async fn migrations_applied(pool: &PgPool, migrator: &Migrator) -> Result<bool, MigrateError> {
    let mut connection = pool.acquire().await?;
    let applied = match connection
        .list_applied_migrations(&migrator.table_name)
        .await
    {
        Ok(applied) => applied,
        Err(MigrateError::Execute(error))
            if sqlstate(&error).as_deref() == Some(UNDEFINED_TABLE) =>
        {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let is_applied = |migration: &sqlx::migrate::Migration| {
        applied
            .iter()
            .any(|row| row.version == migration.version && row.checksum == migration.checksum)
    };
    Ok(migrator
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .all(is_applied))
}

/// Returns the name of the constraint that was broken, if that is what went wrong.
pub fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}

/// Says whether the same transaction may succeed if it is repeated.
pub fn is_transient(error: &sqlx::Error) -> bool {
    matches!(fault(error), Fault::Away | Fault::LostRace)
}

const UNDEFINED_TABLE: &str = "42P01";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const LOCK_NOT_AVAILABLE: &str = "55P03";
const QUERY_CANCELED: &str = "57014";

/// What an error of the database means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot be reached, or is going down.
    Away,
    /// Another transaction won.
    LostRace,
    /// The statement took longer than allowed.
    TooSlow,
    /// A bug, or a constraint that nobody looked at.
    Other,
}

pub(crate) fn fault(error: &sqlx::Error) -> Fault {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other error, also of later versions, is one of ours"
    )]
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Fault::Away,
        sqlx::Error::Database(_) => sqlstate(error).map_or(Fault::Other, |state| fault_of(&state)),
        _ => Fault::Other,
    }
}

fn fault_of(state: &str) -> Fault {
    match state {
        SERIALIZATION_FAILURE | DEADLOCK_DETECTED | LOCK_NOT_AVAILABLE => Fault::LostRace,
        QUERY_CANCELED => Fault::TooSlow,
        // Class 08: connection; 53: resources such as "too many connections"; 57P: shutting down or starting;
        // 25006: a standby was promoted elsewhere and this one only reads.
        _ if state.starts_with("08") || state.starts_with("53") || state.starts_with("57P") => {
            Fault::Away
        }
        "25006" => Fault::Away,
        _ => Fault::Other,
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        for (state, expected) in [
            ("08006", Fault::Away),
            ("53300", Fault::Away),
            ("57P01", Fault::Away),
            ("57P03", Fault::Away),
            ("25006", Fault::Away),
            ("40001", Fault::LostRace),
            ("40P01", Fault::LostRace),
            ("57014", Fault::TooSlow),
            ("23505", Fault::Other),
            ("42P01", Fault::Other),
        ] {
            assert_eq!(fault_of(state), expected, "{state}");
        }
    }

    #[test]
    fn a_lost_connection_is_transient_and_a_missing_row_is_not() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);

        assert!(is_transient(&sqlx::Error::Io(reset)));
        assert!(!is_transient(&sqlx::Error::RowNotFound));
    }
}
