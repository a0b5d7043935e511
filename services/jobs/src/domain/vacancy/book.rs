//! What adverts do to the vacancies of a portal.
//!
//! Adverts come in two kinds:
//! - **Postings** have the portal's own number (`external_id`). A number stands for one advert however often it comes;
//!   when it says something else, its vacancy changes, or the posting moves to the vacancy that says so already.
//! - **Unnumbered** rows can only be counted. The k-th equal row of one import is the k-th advert: it is new when no
//!   import has brought that many before, and known otherwise. So the same file tomorrow changes nothing, also when
//!   it comes interleaved with another one, and no repeat after a cut is counted twice.
//!
//! The caller loads the book under the portal's lock, lets it take a group of rows, and writes its changes back.

use std::collections::{BTreeSet, HashMap};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Advert, ContentKey, Vacancy};
use crate::domain::import::RowState;

/// What is known of one portal, as far as a group of rows can touch it, and what the rows make of it.
#[derive(Debug)]
pub struct Book {
    portal: String,
    now: OffsetDateTime,
    pub(super) vacancies: HashMap<Uuid, Vacancy>,
    by_content: HashMap<ContentKey, Uuid>,
    pub(super) postings: HashMap<String, Uuid>,
    /// Unnumbered adverts that this import has brought so far.
    brought: HashMap<Uuid, i64>,
    changes: Changes,
}

/// What has to be written back.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Vacancies to insert, in the order of their rows.
    pub created: Vec<Uuid>,
    /// Vacancies to update.
    pub updated: BTreeSet<Uuid>,
    /// Postings that are new or have moved.
    pub postings: BTreeSet<String>,
    /// Vacancies of which this import has brought another unnumbered advert.
    pub brought: BTreeSet<Uuid>,
}

impl Book {
    /// Opens the book with what is stored.
    pub fn new(
        portal: &str,
        now: OffsetDateTime,
        vacancies: Vec<Vacancy>,
        postings: HashMap<String, Uuid>,
        brought: HashMap<Uuid, i64>,
    ) -> Book {
        let by_content = vacancies
            .iter()
            .map(|vacancy| (vacancy.content.key(), vacancy.id))
            .collect();
        let vacancies = vacancies
            .into_iter()
            .map(|vacancy| (vacancy.id, vacancy))
            .collect();
        Book {
            portal: portal.to_owned(),
            now,
            vacancies,
            by_content,
            postings,
            brought,
            changes: Changes::default(),
        }
    }

    /// Returns the vacancy that an advert stands in, if it is known.
    pub fn find(&self, advert: &Advert) -> Option<Uuid> {
        let posted = advert
            .external_id
            .as_ref()
            .and_then(|id| self.postings.get(id));
        posted
            .or_else(|| self.by_content.get(&advert.content.key()))
            .copied()
    }

    /// Takes an advert in; `new_id` is used if it makes a new vacancy.
    pub fn take(&mut self, advert: &Advert, new_id: Uuid) -> (RowState, Uuid) {
        let key = advert.content.key();
        let same = self.by_content.get(&key).copied();
        match &advert.external_id {
            None => self.take_unnumbered(advert, key, same, new_id),
            Some(external_id) => {
                let holder = self.postings.get(external_id).copied();
                self.take_posting(advert, external_id, key, same, holder, new_id)
            }
        }
    }

    fn take_unnumbered(
        &mut self,
        advert: &Advert,
        key: ContentKey,
        same: Option<Uuid>,
        new_id: Uuid,
    ) -> (RowState, Uuid) {
        let id = same.unwrap_or(new_id);
        let brought = self.brought.entry(id).or_default();
        *brought += 1;
        let brought = *brought;
        self.changes.brought.insert(id);
        let Some(vacancy) = self.vacancies.get_mut(&id) else {
            self.create(advert, key, id, (0, 1));
            return (RowState::Created, id);
        };
        if brought <= vacancy.unnumbered_count {
            return (self.refresh(id, advert), id);
        }
        vacancy.unnumbered_count = brought;
        (self.join(id, advert), id)
    }

    fn take_posting(
        &mut self,
        advert: &Advert,
        external_id: &str,
        key: ContentKey,
        same: Option<Uuid>,
        holder: Option<Uuid>,
        new_id: Uuid,
    ) -> (RowState, Uuid) {
        match (holder, same) {
            (Some(holder), Some(same)) if holder == same => {
                return (self.refresh(holder, advert), holder);
            }
            (Some(holder), None) if self.is_alone(holder) => {
                self.rewrite(holder, advert, key);
                return (RowState::Updated, holder);
            }
            (Some(holder), _) => self.leave(holder),
            (None, _) => {}
        }

        let id = same.unwrap_or(new_id);
        self.postings.insert(external_id.to_owned(), id);
        self.changes.postings.insert(external_id.to_owned());
        let Some(vacancy) = self.vacancies.get_mut(&id) else {
            self.create(advert, key, id, (1, 0));
            return (RowState::Created, id);
        };
        vacancy.posting_count += 1;
        (self.join(id, advert), id)
    }

    fn is_alone(&self, id: Uuid) -> bool {
        self.vacancies
            .get(&id)
            .is_some_and(|vacancy| vacancy.advert_count() == 1)
    }

    fn create(&mut self, advert: &Advert, key: ContentKey, id: Uuid, counts: (i64, i64)) {
        let vacancy = Vacancy {
            id,
            portal: self.portal.clone(),
            content: advert.content.clone(),
            region: advert.region.clone(),
            expire_time: advert.expire_time,
            posting_count: counts.0,
            unnumbered_count: counts.1,
            create_time: self.now,
        };
        self.vacancies.insert(id, vacancy);
        self.by_content.insert(key, id);
        self.changes.created.push(id);
    }

    /// Another advert of a vacancy, already counted.
    fn join(&mut self, id: Uuid, advert: &Advert) -> RowState {
        self.refresh(id, advert);
        self.touch(id);
        match self.vacancies.get(&id) {
            // All its adverts had left: the portal brings it back.
            Some(vacancy) if vacancy.advert_count() == 1 => RowState::Updated,
            Some(_) | None => RowState::Duplicate,
        }
    }

    /// A known advert comes again. One advert's end is the vacancy's; of several, the latest.
    fn refresh(&mut self, id: Uuid, advert: &Advert) -> RowState {
        let Some(vacancy) = self.vacancies.get_mut(&id) else {
            return RowState::Unchanged;
        };
        let expire_time = match (vacancy.expire_time, advert.expire_time) {
            (_, said) if vacancy.advert_count() <= 1 => said,
            (Some(known), Some(said)) => Some(known.max(said)),
            (None, _) | (_, None) => None,
        };
        if vacancy.expire_time == expire_time && vacancy.region == advert.region {
            return RowState::Unchanged;
        }
        vacancy.expire_time = expire_time;
        vacancy.region.clone_from(&advert.region);
        self.touch(id);
        RowState::Updated
    }

    /// The only advert of a vacancy says something else, which no other vacancy says.
    fn rewrite(&mut self, id: Uuid, advert: &Advert, key: ContentKey) {
        if let Some(vacancy) = self.vacancies.get_mut(&id) {
            self.by_content.remove(&vacancy.content.key());
            self.by_content.insert(key, id);
            vacancy.content = advert.content.clone();
            vacancy.region.clone_from(&advert.region);
            vacancy.expire_time = advert.expire_time;
            self.touch(id);
        }
    }

    /// A posting goes to another vacancy; one without adverts has ended.
    fn leave(&mut self, id: Uuid) {
        if let Some(vacancy) = self.vacancies.get_mut(&id) {
            vacancy.posting_count -= 1;
            if vacancy.advert_count() == 0 {
                vacancy.expire_time = Some(self.now);
            }
            self.touch(id);
        }
    }

    fn touch(&mut self, id: Uuid) {
        if !self.changes.created.contains(&id) {
            self.changes.updated.insert(id);
        }
    }

    /// Returns what has to be written back.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Returns a vacancy of the book.
    pub fn vacancy(&self, id: Uuid) -> Option<&Vacancy> {
        self.vacancies.get(&id)
    }

    /// Returns the vacancy of a posting.
    pub fn posting(&self, external_id: &str) -> Option<Uuid> {
        self.postings.get(external_id).copied()
    }

    /// Returns how many unnumbered adverts of a vacancy this import has brought so far.
    pub fn brought(&self, id: Uuid) -> i64 {
        self.brought.get(&id).copied().unwrap_or(0)
    }
}
