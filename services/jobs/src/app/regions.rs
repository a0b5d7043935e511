//! Use cases on the tree of regions.

use std::collections::{BTreeMap, BTreeSet};

use chassis::paging::PageRequest;

use super::{App, imports, imports::Import};
use crate::{
    domain::{
        import::{Finding, Row, RowResult, RowState},
        place::Gazetteer,
        region::{Region, RegionCode},
    },
    error::Error,
    storage,
};

/// Commits a group of rows of a file of regions and answers each.
pub async fn import_group(
    app: &App,
    import: &Import,
    rows: Vec<Row<Region>>,
) -> Result<Vec<RowResult<RegionCode>>, Error> {
    let Some(last_row_number) = rows.last().map(|row| row.number) else {
        return Ok(Vec::new());
    };
    let mut group = imports::begin_group(app, import, "regions").await?;
    let mut known = known_regions(&mut group.tx, &rows).await?;
    let mut changed = BTreeSet::new();

    let mut results = Vec::with_capacity(rows.len());
    for row in rows {
        let repeat = group.is_repeat(&row);
        results.push(match row.content {
            Err(violations) => RowResult::refused(row.number, violations),
            Ok(region) if repeat => {
                let code = known.contains_key(&region.code).then_some(region.code);
                RowResult::repeated(row.number, code, Vec::new())
            }
            Ok(region) => take(row.number, region, &mut known, &mut changed),
        });
    }

    if !changed.is_empty() {
        let regions: Vec<Region> = changed
            .iter()
            .filter_map(|code| {
                known.get(code).map(|display_name| Region {
                    code: code.clone(),
                    display_name: display_name.clone(),
                })
            })
            .collect();
        let regions: Vec<&Region> = regions.iter().collect();
        storage::regions::upsert_all(&mut group.tx, &regions, group.now).await?;
    }
    group.commit(last_row_number).await?;
    Ok(results)
}

type Names = BTreeMap<RegionCode, String>;

/// Loads what the rows name, and what lies above it.
async fn known_regions(tx: &mut sqlx::PgConnection, rows: &[Row<Region>]) -> Result<Names, Error> {
    let codes = rows
        .iter()
        .filter_map(|row| row.content.as_ref().ok())
        .flat_map(|region| {
            let parent = region.code.parent().map(|parent| parent.to_string());
            parent.into_iter().chain([region.code.to_string()])
        });
    let codes: Vec<String> = codes.collect();
    let regions = storage::regions::find_all(tx, &codes).await?;
    Ok(regions
        .into_iter()
        .map(|region| (region.code, region.display_name))
        .collect())
}

fn take(
    row_number: i64,
    region: Region,
    known: &mut Names,
    changed: &mut BTreeSet<RegionCode>,
) -> RowResult<RegionCode> {
    if let Some(parent) = region.code.parent()
        && !known.contains_key(&parent)
    {
        let finding = Finding::new(
            "code",
            format!("{parent}, which it lies in, is not known: import it before"),
        );
        return RowResult::refused(row_number, vec![finding]);
    }
    let state = match known.get(&region.code) {
        Some(name) if *name == region.display_name => RowState::Unchanged,
        Some(_) => RowState::Updated,
        None => RowState::Created,
    };
    if state != RowState::Unchanged {
        changed.insert(region.code.clone());
        known.insert(region.code.clone(), region.display_name);
    }
    RowResult::taken(row_number, state, region.code, Vec::new())
}

/// Returns the names of the tree as it is now, for reading locations.
pub async fn gazetteer(app: &App) -> Result<Gazetteer, Error> {
    let mut connection = app.db.acquire().await?;
    let regions = storage::regions::list_all(&mut connection).await?;
    Ok(Gazetteer::new(&regions))
}

/// Lists regions by code.
pub async fn list_regions(
    app: &App,
    page: &PageRequest<String>,
) -> Result<(Vec<Region>, String), Error> {
    let mut connection = app.db.acquire().await?;
    let regions =
        storage::regions::list(&mut connection, page.after.as_deref(), page.limit()).await?;
    Ok(page.finish(regions, |region| region.code.to_string()))
}
