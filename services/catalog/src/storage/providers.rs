//! The table `providers`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::provider::{DisplayName, Provider};

/// Inserts a provider; `None` when one of this name exists.
pub async fn insert(
    tx: &mut PgConnection,
    id: Uuid,
    name: &DisplayName,
    now: OffsetDateTime,
) -> Result<Option<Provider>, sqlx::Error> {
    sqlx::query_as!(
        Provider,
        "INSERT INTO providers (id, display_name, display_name_folded, create_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT ON CONSTRAINT providers_display_name_folded_key DO NOTHING
         RETURNING id, display_name, create_time",
        id,
        name.as_str(),
        name.folded(),
        now,
    )
    .fetch_optional(tx)
    .await
}

/// Inserts those providers that do not exist yet, in the order of their names: two imports meet, but never in a circle.
pub async fn insert_missing(
    tx: &mut PgConnection,
    names: &[DisplayName],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = names.iter().map(|_| Uuid::now_v7()).collect();
    let texts: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let folded: Vec<String> = names.iter().map(|name| name.folded().to_owned()).collect();
    sqlx::query!(
        r#"INSERT INTO providers (id, display_name, display_name_folded, create_time)
           SELECT id, display_name, display_name_folded, $4
           FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, display_name, display_name_folded)
           ORDER BY display_name_folded COLLATE "C"
           ON CONFLICT ON CONSTRAINT providers_display_name_folded_key DO NOTHING"#,
        &ids,
        &texts,
        &folded,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Finds a provider.
pub async fn find(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Provider>, sqlx::Error> {
    sqlx::query_as!(
        Provider,
        "SELECT id, display_name, create_time FROM providers WHERE id = $1",
        id,
    )
    .fetch_optional(connection)
    .await
}

/// Finds the provider of a name.
pub async fn find_by_name(
    connection: &mut PgConnection,
    folded: &str,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM providers WHERE display_name_folded = $1",
        folded
    )
    .fetch_optional(connection)
    .await
}

/// Returns the providers of these names, with their compared names.
pub async fn list_by_names(
    connection: &mut PgConnection,
    folded: &[String],
) -> Result<Vec<(String, Provider)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, display_name, display_name_folded, create_time
         FROM providers
         WHERE display_name_folded = ANY($1)",
        folded,
    )
    .fetch_all(connection)
    .await?;
    let provider = |id, display_name, create_time| Provider {
        id,
        display_name,
        create_time,
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                row.display_name_folded,
                provider(row.id, row.display_name, row.create_time),
            )
        })
        .collect())
}

/// Lists providers by their compared names, after this one.
pub async fn list(
    connection: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Provider>, sqlx::Error> {
    sqlx::query_as!(
        Provider,
        "SELECT id, display_name, create_time
         FROM providers
         WHERE ($1::text IS NULL OR display_name_folded > $1)
         ORDER BY display_name_folded
         LIMIT $2",
        after,
        limit,
    )
    .fetch_all(connection)
    .await
}
