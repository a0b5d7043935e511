//! Runs: created, read.

use chassis::{
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use prost::Message;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        course::CourseState,
        run::{NewRun, Run},
    },
    error::Error,
    storage,
};

impl App {
    /// Creates a run of a published course, or returns the answer that was given before.
    pub async fn create_run<M: Message + Default>(
        &self,
        key: &RequestKey,
        new: &NewRun,
        answer: impl FnOnce(Run) -> M,
    ) -> Result<M, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, key, now).await?.answer()? {
            return Ok(answer);
        }
        let course = storage::courses::find(&mut tx, new.course_id).await?;
        let course =
            course.ok_or_else(|| Error::NotFound(names::format("courses", new.course_id)))?;
        if course.state != CourseState::Published {
            return Err(Error::CourseNotPublished {
                course_id: course.id,
                state: course.state,
            });
        }
        let id = Uuid::now_v7();
        storage::runs::insert(&mut tx, id, new, now).await?;
        let run = storage::runs::find(&mut tx, id).await?;
        let answer = answer(run.ok_or(sqlx::Error::RowNotFound)?);
        idempotency::store(&mut tx, key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a run.
    pub async fn get_run(&self, id: Uuid) -> Result<Run, Error> {
        let run = storage::runs::find(&mut *self.db.acquire().await?, id).await?;
        run.ok_or_else(|| Error::NotFound(names::format("runs", id)))
    }

    /// Lists runs, oldest first.
    pub async fn list_runs(
        &self,
        course_id: Option<Uuid>,
        page: &PageRequest<Uuid>,
    ) -> Result<(Vec<Run>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let runs =
            storage::runs::list(&mut connection, course_id, page.after, page.limit()).await?;
        Ok(page.finish(runs, |run| run.id))
    }
}
