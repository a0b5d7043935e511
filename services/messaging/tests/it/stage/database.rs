//! SQL of the tests, on tables that only they have.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Makes a pool as wide as a service's.
pub(crate) async fn pool(options: &PgConnectOptions) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(12)
        .acquire_timeout(Duration::from_secs(5));
    pool.connect_with(options.clone()).await.unwrap()
}

/// Runs statements of a test.
pub(crate) async fn sql(pool: &PgPool, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(pool)
        .await
        .unwrap();
}

pub(crate) async fn execute(tx: &mut PgConnection, statements: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(tx)
        .await
        .map(|_| ())
}

/// Reads one column.
pub(crate) async fn numbers(pool: &PgPool, query: &str) -> Vec<i64> {
    let rows = sqlx::raw_sql(AssertSqlSafe(query))
        .fetch_all(pool)
        .await
        .unwrap();
    // Without parameters the values come as text.
    rows.iter()
        .map(|row| i64::from_str(row.get_unchecked::<&str, _>(0)).unwrap())
        .collect()
}

pub(crate) async fn number(pool: &PgPool, query: &str) -> i64 {
    numbers(pool, query).await[0]
}
