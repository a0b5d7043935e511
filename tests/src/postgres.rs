//! The databases of one cluster: one per service, made for it and dropped with it.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::process::Service;

/// The databases of one cluster.
#[derive(Debug)]
pub struct Databases {
    /// A superuser's URL, whose database part is replaced.
    server: String,
    /// The cluster's id, the head of every name.
    prefix: String,
}

impl Databases {
    /// Makes an empty database for each service.
    pub async fn create(database_url: &str, prefix: &str, services: &[Service]) -> Databases {
        let databases = Databases {
            server: database_url.to_owned(),
            prefix: prefix.to_owned(),
        };
        for service in services {
            let name = databases.name(*service);
            databases
                .administer(format!("CREATE DATABASE {name}"))
                .await;
        }
        databases
    }

    /// Drops them all, also with connections open.
    pub async fn drop_all(&self, services: &[Service]) {
        for service in services {
            let name = self.name(*service);
            self.administer(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await;
        }
    }

    /// Returns a service's URL.
    pub fn url(&self, service: Service) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a URL has a path");
        format!("{server}/{}", self.name(service))
    }

    /// Returns how many events wait in a service's outbox.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn outbox_count(&self, service: Service) -> Result<i64, sqlx::Error> {
        let mut connection = PgConnection::connect(&self.url(service)).await?;
        let row = connection
            .fetch_one(sqlx::raw_sql("SELECT count(*) FROM outbox"))
            .await?;
        row.try_get(0)
    }

    /// Returns how many advisory locks with one key a service holds: enrollment holds one while it works on a batch.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn long_work_count(&self, service: Service) -> Result<i64, sqlx::Error> {
        let mut connection = PgConnection::connect(&self.url(service)).await?;
        let row = connection
            .fetch_one(sqlx::raw_sql(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
                 WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND datname = current_database()",
            ))
            .await?;
        row.try_get(0)
    }

    fn name(&self, service: Service) -> String {
        format!("{}_{}", self.prefix, service.name())
    }

    async fn administer(&self, statement: String) {
        let connection = PgConnection::connect(&self.server).await;
        let mut connection = connection.expect("the private PostgreSQL takes a connection");
        let done = connection
            .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
            .await;
        done.expect("a superuser may create and drop databases");
    }
}
