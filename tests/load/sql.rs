//! SQL straight into the databases: for setting up by the million, and for yardsticks.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Decode, Executor, PgConnection, Postgres, Row, Type};
use tests::{cluster::Cluster, process::Service};

use crate::Fault;

/// The schema of the copies that yardsticks write into.
pub(crate) const YARDSTICK: &str = "yardstick";

/// How much is handed to the server at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Connects to a service's database, as a superuser with memory for building indexes.
pub(crate) async fn connect(cluster: &Cluster, service: Service) -> Result<PgConnection, Fault> {
    let mut connection = PgConnection::connect(&cluster.databases().url(service)).await?;
    execute(
        &mut connection,
        "SET maintenance_work_mem = '1GB'; SET work_mem = '64MB'",
    )
    .await?;
    Ok(connection)
}

/// Runs statements.
pub(crate) async fn execute(
    connection: &mut PgConnection,
    statements: impl Into<String>,
) -> Result<(), Fault> {
    let statements = AssertSqlSafe(statements.into());
    connection.execute(sqlx::raw_sql(statements)).await?;
    Ok(())
}

/// Runs statements and returns how long they took.
pub(crate) async fn timed(
    connection: &mut PgConnection,
    statements: impl Into<String>,
) -> Result<Duration, Fault> {
    let start = Instant::now();
    execute(connection, statements).await?;
    Ok(start.elapsed())
}

/// Reads one value.
pub(crate) async fn value<T>(
    connection: &mut PgConnection,
    query: impl Into<String>,
) -> Result<T, Fault>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    let query = AssertSqlSafe(query.into());
    let row = connection.fetch_one(sqlx::raw_sql(query)).await?;
    Ok(row.try_get(0)?)
}

/// Reads one column.
async fn texts(connection: &mut PgConnection, query: String) -> Result<Vec<String>, Fault> {
    let rows = connection
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(query)))
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Makes an empty copy of a table, with its indexes and checks, for a yardstick to write into.
pub(crate) async fn copy_table(connection: &mut PgConnection, table: &str) -> Result<(), Fault> {
    let statements = format!(
        "CREATE SCHEMA IF NOT EXISTS {YARDSTICK};
         DROP TABLE IF EXISTS {YARDSTICK}.{table};
         CREATE TABLE {YARDSTICK}.{table} (LIKE public.{table} INCLUDING ALL)"
    );
    execute(connection, statements).await
}

/// Returns the columns of a table that can be written, but for some.
pub(crate) async fn columns(
    connection: &mut PgConnection,
    table: &str,
    but: &[&str],
) -> Result<Vec<String>, Fault> {
    let query = format!(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'public.{table}'::regclass AND attnum > 0 AND NOT attisdropped
           AND attgenerated = '' AND attidentity = ''
         ORDER BY attnum"
    );
    let mut columns = texts(connection, query).await?;
    columns.retain(|column| !but.contains(&column.as_str()));
    Ok(columns)
}

/// Reads all that a query gives, in PostgreSQL's binary format, and returns it.
pub(crate) async fn copy_out(
    connection: &mut PgConnection,
    query: &str,
) -> Result<Vec<Vec<u8>>, Fault> {
    let statement = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
    let pieces = connection.copy_out_raw(&statement).await?;
    Ok(pieces.map_ok(|piece| piece.to_vec()).try_collect().await?)
}

/// Writes what [`copy_out`] gave into a table.
pub(crate) async fn copy_in(
    connection: &mut PgConnection,
    target: &str,
    pieces: &[Vec<u8>],
) -> Result<(), Fault> {
    let statement = format!("COPY {target} FROM STDIN (FORMAT binary)");
    let mut copy = connection.copy_in_raw(&statement).await?;
    for piece in pieces {
        copy.send(piece.as_slice()).await?;
    }
    copy.finish().await?;
    Ok(())
}

/// Writes rows in PostgreSQL's text format into a table: `write` puts row `index` into the buffer, with its end.
pub(crate) async fn copy_rows(
    connection: &mut PgConnection,
    target: &str,
    indexes: impl Iterator<Item = u64>,
    write: impl Fn(&mut Vec<u8>, u64),
) -> Result<(), Fault> {
    let statement = format!("COPY {target} FROM STDIN");
    let mut copy = connection.copy_in_raw(&statement).await?;
    let mut buffer = Vec::with_capacity(2 * PIECE_BYTES);
    for index in indexes {
        write(&mut buffer, index);
        if buffer.len() >= PIECE_BYTES {
            copy.send(buffer.as_slice()).await?;
            buffer.clear();
        }
    }
    copy.send(buffer.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// The keys and indexes of some tables, taken off while they are filled. Putting them back checks every row at once,
/// which takes a fraction of the time of a check a row. Checks of single rows, and triggers, stay on.
pub(crate) struct Indexes {
    restore: Vec<String>,
    analyze: String,
}

impl Indexes {
    /// Takes them off.
    pub(crate) async fn take_off(
        connection: &mut PgConnection,
        tables: &[&str],
    ) -> Result<Indexes, Fault> {
        let named: Vec<String> = tables
            .iter()
            .map(|table| format!("'{table}'::regclass"))
            .collect();
        let list = named.join(", ");
        // Foreign keys rest on the keys that they point to: taken off first, put back last.
        let constraints = format!(
            "FROM pg_constraint
             WHERE contype IN ('p', 'u', 'f') AND (conrelid IN ({list}) OR confrelid IN ({list}))"
        );
        let order = "CASE contype WHEN 'f' THEN 1 ELSE 0 END";
        let drop = texts(
            connection,
            format!(
                "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) {constraints}
                 ORDER BY {order} DESC, conname"
            ),
        )
        .await?;
        let mut restore = texts(
            connection,
            format!(
                "SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                               pg_get_constraintdef(oid)) {constraints} AND contype <> 'f' ORDER BY conname"
            ),
        )
        .await?;
        let foreign = texts(
            connection,
            format!(
                "SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                               pg_get_constraintdef(oid)) {constraints} AND contype = 'f' ORDER BY conname"
            ),
        )
        .await?;
        for statement in drop {
            execute(connection, statement).await?;
        }
        // What is left are indexes of their own.
        let condition = format!("FROM pg_index WHERE indrelid IN ({list})");
        restore.extend(
            texts(
                connection,
                format!("SELECT pg_get_indexdef(indexrelid) {condition}"),
            )
            .await?,
        );
        let drop = format!("SELECT format('DROP INDEX %s', indexrelid::regclass) {condition}");
        for statement in texts(connection, drop).await? {
            execute(connection, statement).await?;
        }
        restore.extend(foreign);
        Ok(Indexes {
            restore,
            analyze: format!("VACUUM ANALYZE {}", tables.join(", ")),
        })
    }

    /// Puts them back.
    pub(crate) async fn put_back(self, connection: &mut PgConnection) -> Result<(), Fault> {
        for statement in self.restore {
            execute(connection, statement).await?;
        }
        // As autovacuum would have done in the days over which the rows came.
        execute(connection, self.analyze).await
    }
}
