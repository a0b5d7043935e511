//! Courses: created, read, found, rated.

use chassis::{
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use messaging::outbox;
use prost::Message;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::App;
use crate::{
    domain::course::{Course, NewCourse, Search},
    error::Error,
    events, storage,
};

impl App {
    /// Creates a published course, or returns the answer that was given before.
    pub async fn create_course<M: Message + Default>(
        &self,
        key: &RequestKey,
        new: NewCourse,
        answer: impl FnOnce(Course) -> M,
    ) -> Result<M, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, key, now).await?.answer()? {
            return Ok(answer);
        }
        let id = Uuid::now_v7();
        let batch = [(id, new)];
        let created = storage::courses::insert_missing(&mut tx, &batch, now).await?;
        let [(_, new)] = batch;
        if created.is_empty() {
            if storage::providers::find(&mut tx, new.provider_id)
                .await?
                .is_none()
            {
                return Err(Error::NotFound(names::format("providers", new.provider_id)));
            }
            let existing = storage::courses::find_by_key(&mut tx, &new).await?;
            return Err(existing.map_or(Error::Conflict, Error::CourseExists));
        }
        let (subject, event) = events::course_published(id, &new);
        outbox::append(&mut tx, &subject, now, &event).await?;

        let course = storage::courses::find(&mut tx, id).await?;
        let answer = answer(course.ok_or(sqlx::Error::RowNotFound)?);
        idempotency::store(&mut tx, key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Returns a course.
    pub async fn get_course(&self, id: Uuid) -> Result<Course, Error> {
        let course = storage::courses::find(&mut *self.db.acquire().await?, id).await?;
        course.ok_or_else(|| Error::NotFound(names::format("courses", id)))
    }

    /// Lists courses, oldest first.
    pub async fn list_courses(
        &self,
        provider_id: Option<Uuid>,
        page: &PageRequest<Uuid>,
    ) -> Result<(Vec<Course>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let courses =
            storage::courses::list(&mut connection, provider_id, page.after, page.limit()).await?;
        Ok(page.finish(courses, |course| course.id))
    }

    /// Finds published courses, best match first. Without words all match alike.
    pub async fn search_courses(
        &self,
        search: &Search,
        page: &PageRequest<(i64, Uuid)>,
    ) -> Result<(Vec<Course>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let found = if search.words.is_empty() {
            let after = page.after.map(|(_, id)| id);
            let courses =
                storage::courses::list_published(&mut connection, search, after, page.limit())
                    .await?;
            courses.into_iter().map(|course| (0, course)).collect()
        } else {
            storage::courses::search(&mut connection, search, page.after, page.limit()).await?
        };
        let (found, token) = page.finish(found, |(rank, course)| (*rank, course.id));
        Ok((found.into_iter().map(|(_, course)| course).collect(), token))
    }
}

/// Adds a review's stars to its course; `false` when there is no such course. The inbox sees to it that a review counts
/// once.
pub async fn on_review_created(
    tx: &mut PgConnection,
    course_id: Uuid,
    stars: i64,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    storage::courses::add_rating(tx, course_id, stars, now).await
}
