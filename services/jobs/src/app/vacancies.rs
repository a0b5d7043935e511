//! Use cases on vacancies.

use std::collections::HashMap;

use chassis::paging::PageRequest;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    App,
    imports::{self, Group, Import},
};
use crate::{
    domain::{
        import::{Row, RowResult},
        region::RegionCode,
        vacancy::{Advert, Book, ContentKey, Vacancy},
    },
    error::Error,
    storage,
};

/// What the search asks for.
#[derive(Clone, Debug)]
pub struct VacancyFilter {
    /// Words; empty finds all.
    pub words: String,
    /// Only in this region and below it.
    pub region: Option<RegionCode>,
}

/// The last vacancy of a page: how well it matched, and its id.
pub type SearchCursor = (i64, Uuid);

/// Commits a group of rows of a portal's feed and answers each.
pub async fn import_group(
    app: &App,
    import: &Import,
    rows: Vec<Row<Advert>>,
) -> Result<Vec<RowResult<Uuid>>, Error> {
    let Some(last_row_number) = rows.last().map(|row| row.number) else {
        return Ok(Vec::new());
    };
    let mut group = imports::begin_group(app, import, "vacancies").await?;
    let mut book = open_book(&mut group, import, &rows).await?;

    let mut results = Vec::with_capacity(rows.len());
    for row in rows {
        let repeat = group.is_repeat(&row);
        results.push(match row.content {
            Err(violations) => RowResult::refused(row.number, violations),
            Ok(advert) if repeat => {
                RowResult::repeated(row.number, book.find(&advert), advert.warnings)
            }
            Ok(advert) => {
                let (state, id) = book.take(&advert, Uuid::now_v7());
                RowResult::taken(row.number, state, id, advert.warnings)
            }
        });
    }

    write_book(&mut group, import, &book).await?;
    group.commit(last_row_number).await?;
    Ok(results)
}

/// Loads all that a group of rows can touch.
async fn open_book(
    group: &mut Group,
    import: &Import,
    rows: &[Row<Advert>],
) -> Result<Book, Error> {
    let adverts: Vec<&Advert> = rows
        .iter()
        .filter_map(|row| row.content.as_ref().ok())
        .collect();
    let external_ids: Vec<String> = adverts
        .iter()
        .filter_map(|advert| advert.external_id.clone())
        .collect();
    let keys: Vec<ContentKey> = adverts.iter().map(|advert| advert.content.key()).collect();

    let postings = match external_ids.is_empty() {
        true => HashMap::new(),
        false => {
            storage::vacancies::find_postings(&mut group.tx, &import.source, &external_ids).await?
        }
    };
    let held: Vec<Uuid> = postings.values().copied().collect();
    let vacancies =
        storage::vacancies::find_all(&mut group.tx, &import.source, &keys, &held).await?;
    let ids: Vec<Uuid> = vacancies.iter().map(|vacancy| vacancy.id).collect();
    let brought = storage::vacancies::find_brought(&mut group.tx, import.request_id, &ids).await?;
    Ok(Book::new(
        &import.source,
        group.now,
        vacancies,
        postings,
        brought,
    ))
}

async fn write_book(group: &mut Group, import: &Import, book: &Book) -> Result<(), Error> {
    let changes = book.changes();
    let updated: Vec<&Vacancy> = changes
        .updated
        .iter()
        .filter_map(|id| book.vacancy(*id))
        .collect();
    let created: Vec<&Vacancy> = changes
        .created
        .iter()
        .filter_map(|id| book.vacancy(*id))
        .collect();
    let postings: Vec<(String, Uuid)> = changes
        .postings
        .iter()
        .filter_map(|external_id| Some((external_id.clone(), book.posting(external_id)?)))
        .collect();
    let brought: Vec<(Uuid, i64)> = changes
        .brought
        .iter()
        .map(|id| (*id, book.brought(*id)))
        .collect();

    if !updated.is_empty() {
        storage::vacancies::update_all(&mut group.tx, &updated, group.now).await?;
    }
    if !created.is_empty() {
        storage::vacancies::insert_all(&mut group.tx, &created, group.now).await?;
    }
    if !postings.is_empty() {
        storage::vacancies::upsert_postings(&mut group.tx, &import.source, &postings).await?;
    }
    if !brought.is_empty() {
        storage::vacancies::upsert_brought(&mut group.tx, import.request_id, &brought).await?;
    }
    Ok(())
}

/// Returns a vacancy, also one that has ended: whoever kept its name may still look it up.
pub async fn get_vacancy(app: &App, id: Uuid) -> Result<Vacancy, Error> {
    let mut connection = app.db.acquire().await?;
    storage::vacancies::find(&mut connection, id)
        .await?
        .ok_or(Error::VacancyNotFound(id))
}

/// Finds open vacancies: with words the best match first, without the newest.
pub async fn search_vacancies(
    app: &App,
    filter: &VacancyFilter,
    page: &PageRequest<SearchCursor>,
) -> Result<(Vec<Vacancy>, String), Error> {
    let now = app.clock.now();
    let region = filter.region.as_ref().map(RegionCode::as_str);
    let mut connection = app.db.acquire().await?;
    refuse_unknown_regions(&mut connection, filter.region.as_slice()).await?;

    if filter.words.is_empty() {
        let before = page.after.map(|(_, id)| id);
        let found =
            storage::vacancies::list_newest(&mut connection, region, now, before, page.limit())
                .await?;
        return Ok(page.finish(found, |vacancy| (0, vacancy.id)));
    }
    let found = storage::vacancies::search(
        &mut connection,
        &filter.words,
        region,
        now,
        page.after,
        page.limit(),
    )
    .await?;
    let (found, next) = page.finish(found, |(rank, vacancy)| (*rank, vacancy.id));
    Ok((
        found.into_iter().map(|(_, vacancy)| vacancy).collect(),
        next,
    ))
}

/// Refuses regions that are not in the tree.
pub(super) async fn refuse_unknown_regions(
    connection: &mut PgConnection,
    regions: &[RegionCode],
) -> Result<(), Error> {
    if regions.is_empty() {
        return Ok(());
    }
    let codes: Vec<String> = regions.iter().map(RegionCode::to_string).collect();
    let known = storage::regions::find_all(connection, &codes).await?;
    match regions
        .iter()
        .find(|code| known.iter().all(|region| region.code != **code))
    {
        Some(unknown) => Err(Error::RegionUnknown(unknown.clone())),
        None => Ok(()),
    }
}
