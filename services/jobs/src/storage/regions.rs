//! The table `regions`.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::domain::region::{Region, RegionCode};

struct Row {
    code: String,
    display_name: String,
}

impl Row {
    fn into_region(self) -> Option<Region> {
        // The column's check is the same rule.
        RegionCode::parse(&self.code).map(|code| Region {
            code,
            display_name: self.display_name,
        })
    }
}

fn regions(rows: Vec<Row>) -> Vec<Region> {
    rows.into_iter().filter_map(Row::into_region).collect()
}

/// Returns regions by code, after this one.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Region>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT code, display_name FROM regions WHERE code > $1 ORDER BY code LIMIT $2",
        after.unwrap_or(""),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(regions(rows))
}

/// Returns the whole tree: some hundred rows.
pub async fn list_all(connection: &mut PgConnection) -> Result<Vec<Region>, sqlx::Error> {
    let rows = sqlx::query_as!(Row, "SELECT code, display_name FROM regions ORDER BY code")
        .fetch_all(connection)
        .await?;
    Ok(regions(rows))
}

/// Returns those of the codes that exist.
pub async fn find_all(
    connection: &mut PgConnection,
    codes: &[String],
) -> Result<Vec<Region>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT code, display_name FROM regions WHERE code = ANY($1)",
        codes,
    )
    .fetch_all(connection)
    .await?;
    Ok(regions(rows))
}

/// Inserts regions, or gives those that exist their new names. A code stands once among them.
pub async fn upsert_all(
    tx: &mut PgConnection,
    regions: &[&Region],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let codes: Vec<String> = regions
        .iter()
        .map(|region| region.code.to_string())
        .collect();
    let names: Vec<String> = regions
        .iter()
        .map(|region| region.display_name.clone())
        .collect();
    sqlx::query!(
        "INSERT INTO regions (code, display_name, create_time, update_time)
         SELECT code, display_name, $3, $3
         FROM unnest($1::text[], $2::text[]) AS new (code, display_name)
         ON CONFLICT (code) DO UPDATE
         SET display_name = excluded.display_name, update_time = excluded.update_time",
        &codes,
        &names,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}
