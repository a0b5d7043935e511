//! Imports of courses.
//!
//! 1. The header claims the import's `request_id`; a repeat finds the import and where it stands.
//! 2. A group of rows is one transaction. It locks the import's row first, so that the streams of one import take turns.
//! 3. Providers that are missing are inserted, the courses that the rows name are locked, each row is decided in order,
//!    and what came of it is written: one statement each, whatever the number of rows.
//! 4. The group's last row number is written in the same transaction, so that a cut anywhere loses and repeats nothing.
//! 5. Where someone else has created one of the courses meanwhile, the group is rolled back and done again.

use std::collections::{BTreeMap, HashMap};

use chassis::{
    db,
    idempotency::{self, Claim, RequestKey},
};
use messaging::outbox;
use proto::r#type::v1::ImportProgress;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        course::{CourseContent, NewCourse},
        import::{
            self, CourseKey, FeedCourse, KnownCourse, Origin, Row, RowResult, RowState, Verdict,
        },
        provider::DisplayName,
    },
    error::Error,
    events, storage,
};

/// How often a group is done again after somebody else has won.
const ATTEMPTS_MAX: usize = 5;

/// An import that was opened.
#[derive(Clone, Debug)]
pub struct Import {
    /// The id that the caller gave it.
    pub request_id: Uuid,
    /// Where its rows come from.
    pub source: String,
    /// The last row that earlier streams have committed.
    pub resume_after: i64,
}

impl App {
    /// Opens an import, or finds the one that was opened with this id.
    pub async fn open_import(&self, key: &RequestKey, source: &str) -> Result<Import, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let resume_after = match idempotency::claim(&mut tx, key, now).await? {
            Claim::New => {
                storage::imports::insert(&mut tx, key.request_id(), source, now).await?;
                idempotency::store(&mut tx, key, &ImportProgress::default()).await?;
                0
            }
            Claim::Repeat(_) => storage::imports::get(&mut tx, key.request_id()).await?,
        };
        tx.commit().await?;
        Ok(Import {
            request_id: key.request_id(),
            source: source.to_owned(),
            resume_after,
        })
    }

    /// Commits a group of rows and answers each, in their order.
    pub async fn import_courses(
        &self,
        import: &Import,
        rows: &[Row],
    ) -> Result<Vec<RowResult>, Error> {
        for _ in 0..ATTEMPTS_MAX {
            match try_import(&self.db, import, rows, self.clock.now()).await {
                Ok(Some(results)) => {
                    self.relay.wake();
                    return Ok(results);
                }
                Ok(None) => {}
                Err(error) if is_lost_race(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }
}

/// A deadlock or the like; an absent database is not tried again here, because the caller resumes.
fn is_lost_race(error: &sqlx::Error) -> bool {
    db::is_transient(error) && error.as_database_error().is_some()
}

/// `None` when a course that was to be created exists by now.
async fn try_import(
    pool: &PgPool,
    import: &Import,
    rows: &[Row],
    now: OffsetDateTime,
) -> Result<Option<Vec<RowResult>>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let last_committed = storage::imports::get_for_update(&mut tx, import.request_id).await?;
    let mut group = Group::load(&mut tx, import, rows, last_committed, now).await?;
    let results = rows.iter().map(|row| group.decide(row)).collect();
    if !group.write(&mut tx, now).await? {
        return Ok(None);
    }
    if let Some(last) = rows
        .last()
        .map(|row| row.number)
        .filter(|&number| number > last_committed)
    {
        storage::imports::advance(&mut tx, import.request_id, last, now).await?;
    }
    tx.commit().await?;
    Ok(Some(results))
}

/// A group of rows being decided: what is known, and what is to be written.
struct Group<'a> {
    import: &'a Import,
    last_committed: i64,
    provider_ids: HashMap<String, Uuid>,
    known: HashMap<CourseKey, KnownCourse>,
    created: Vec<(Uuid, NewCourse)>,
    updated: Vec<(Uuid, CourseContent)>,
    /// By course, the row that stated it.
    stated: BTreeMap<Uuid, i64>,
}

impl<'a> Group<'a> {
    /// Creates the providers that are missing and loads what the rows name.
    async fn load(
        tx: &mut PgConnection,
        import: &'a Import,
        rows: &[Row],
        last_committed: i64,
        now: OffsetDateTime,
    ) -> Result<Group<'a>, sqlx::Error> {
        let mut names: BTreeMap<&str, &DisplayName> = BTreeMap::new();
        let mut new_names: BTreeMap<&str, &DisplayName> = BTreeMap::new();
        let mut keys: Vec<CourseKey> = Vec::new();
        for row in rows {
            let Ok(course) = &row.course else { continue };
            names
                .entry(course.provider.folded())
                .or_insert(&course.provider);
            if row.number > last_committed {
                new_names
                    .entry(course.provider.folded())
                    .or_insert(&course.provider);
            }
            keys.push(course.key());
        }
        keys.sort_unstable();
        keys.dedup();

        let new_names: Vec<DisplayName> = new_names.into_values().cloned().collect();
        storage::providers::insert_missing(tx, &new_names, now).await?;
        let folded: Vec<String> = names.into_keys().map(str::to_owned).collect();
        let providers = storage::providers::list_by_names(tx, &folded).await?;
        let known = storage::courses::list_known_for_update(tx, &keys).await?;
        Ok(Group {
            import,
            last_committed,
            provider_ids: providers
                .into_iter()
                .map(|(folded, provider)| (folded, provider.id))
                .collect(),
            known: known.into_iter().collect(),
            created: Vec::new(),
            updated: Vec::new(),
            stated: BTreeMap::new(),
        })
    }

    /// Decides the next row. What it changes is what the rows after it find.
    fn decide(&mut self, row: &Row) -> RowResult {
        let course = match &row.course {
            Ok(course) => course,
            Err(violations) => return RowResult::refused(row.number, violations.clone()),
        };
        let key = course.key();
        let known = self.known.get(&key);
        let committed = row.number <= self.last_committed;
        let verdict = import::decide(
            &self.import.source,
            self.import.request_id,
            row.number,
            committed,
            course,
            known,
        );
        let known_id = known.map(|known| known.id);

        let (state, course_id, warning) = match verdict {
            Verdict::Refuse(violations) => return RowResult::refused(row.number, violations),
            Verdict::Duplicate(warning) => (RowState::Duplicate, known_id, warning),
            Verdict::Repeated(warning) => (RowState::Unchanged, known_id, warning),
            Verdict::Unchanged => (
                RowState::Unchanged,
                self.state(key, row.number, course, known_id),
                None,
            ),
            Verdict::Update => {
                let id = self.state(key, row.number, course, known_id);
                self.updated
                    .extend(id.map(|id| (id, course.content.clone())));
                (RowState::Updated, id, None)
            }
            Verdict::Create => {
                let provider_id = self.provider_ids.get(&key.provider).copied();
                let id = self.state(key, row.number, course, Some(Uuid::now_v7()));
                self.created
                    .extend(id.zip(provider_id).map(|(id, provider_id)| {
                        let content = course.content.clone();
                        (
                            id,
                            NewCourse {
                                provider_id,
                                content,
                            },
                        )
                    }));
                (RowState::Created, id, None)
            }
        };
        RowResult {
            row_number: row.number,
            state,
            course_id,
            violations: Vec::new(),
            warnings: course.warnings.iter().cloned().chain(warning).collect(),
        }
    }

    /// Notes that a row states a course.
    fn state(
        &mut self,
        key: CourseKey,
        row_number: i64,
        course: &FeedCourse,
        id: Option<Uuid>,
    ) -> Option<Uuid> {
        let id = id?;
        self.stated.insert(id, row_number);
        let known = KnownCourse {
            id,
            content: course.content.clone(),
            origin: Some(Origin {
                source: self.import.source.clone(),
                request_id: self.import.request_id,
                row_number,
            }),
        };
        self.known.insert(key, known);
        Some(id)
    }

    /// Writes what the rows changed; `false` when a course exists by now that was to be created.
    async fn write(self, tx: &mut PgConnection, now: OffsetDateTime) -> Result<bool, sqlx::Error> {
        if !self.created.is_empty() {
            let written = storage::courses::insert_missing(tx, &self.created, now).await?;
            if written.len() < self.created.len() {
                return Ok(false);
            }
            let published: Vec<_> = self
                .created
                .iter()
                .map(|(id, new)| events::course_published(*id, new))
                .collect();
            let published: Vec<_> = published
                .iter()
                .map(|(subject, event)| (subject.as_str(), event))
                .collect();
            outbox::append_all(tx, now, &published).await?;
        }
        if !self.updated.is_empty() {
            storage::courses::update_all(tx, &self.updated, now).await?;
        }
        if !self.stated.is_empty() {
            let stated: Vec<(Uuid, i64)> = self.stated.into_iter().collect();
            storage::imports::state_courses(
                tx,
                self.import.request_id,
                &self.import.source,
                &stated,
            )
            .await?;
        }
        Ok(true)
    }
}
