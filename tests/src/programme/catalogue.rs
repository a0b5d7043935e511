//! Courses and their runs.

use futures::stream;
use proto::catalog::v1::{
    self as pb, course_service_client::CourseServiceClient, import_courses_request::Part,
    run_service_client::RunServiceClient,
};
use time::OffsetDateTime;
use tonic::Status;

use super::{ImportReport, Programme, import::Source, request_id};
use crate::{
    accounts::Caller,
    cluster::{Client, to_timestamp},
    process::Service,
};

impl Programme {
    /// Imports a feed of courses.
    ///
    /// # Errors
    /// When catalog refuses the import as a whole.
    pub async fn import_courses(&self, source: Source) -> Result<ImportReport, Status> {
        let Source { header, rows } = source;
        let parts = std::iter::once(Part::Header(header)).chain(rows.map(Part::Row));
        let requests = parts.map(|part| pb::ImportCoursesRequest { part: Some(part) });
        let mut courses = CourseServiceClient::new(self.cataloguer());
        let answers = courses.import_courses(stream::iter(requests)).await?;
        let mut answers = answers.into_inner();
        let mut report = ImportReport::default();
        while let Some(answer) = answers.message().await? {
            report.add(answer.progress);
        }
        Ok(report)
    }

    /// Returns the first thousand courses.
    ///
    /// # Errors
    /// When catalog refuses.
    pub async fn courses(&self) -> Result<Vec<pb::Course>, Status> {
        let request = pb::ListCoursesRequest {
            page_size: 1_000,
            ..pb::ListCoursesRequest::default()
        };
        let mut courses = CourseServiceClient::new(self.cataloguer());
        Ok(courses.list_courses(request).await?.into_inner().courses)
    }

    /// Makes a run of a course.
    ///
    /// # Errors
    /// When catalog refuses.
    pub async fn create_run(
        &self,
        course: &str,
        seat_count: i64,
        start_time: OffsetDateTime,
        end_time: OffsetDateTime,
    ) -> Result<pb::Run, Status> {
        let request = pb::CreateRunRequest {
            request_id: request_id(),
            run: Some(pb::Run {
                course: course.to_owned(),
                seat_count,
                start_time: Some(to_timestamp(start_time)),
                end_time: Some(to_timestamp(end_time)),
                ..pb::Run::default()
            }),
        };
        let mut runs = RunServiceClient::new(self.cataloguer());
        Ok(runs.create_run(request).await?.into_inner())
    }

    /// Returns a run as it is now.
    ///
    /// # Errors
    /// When catalog refuses.
    pub async fn run(&self, name: &str) -> Result<pb::Run, Status> {
        let request = pb::GetRunRequest {
            name: name.to_owned(),
        };
        let mut runs = RunServiceClient::new(self.cataloguer());
        Ok(runs.get_run(request).await?.into_inner())
    }

    /// Returns a course as it is now.
    ///
    /// # Errors
    /// When catalog refuses.
    pub async fn course(&self, name: &str) -> Result<pb::Course, Status> {
        let request = pb::GetCourseRequest {
            name: name.to_owned(),
        };
        let mut courses = CourseServiceClient::new(self.cataloguer());
        Ok(courses.get_course(request).await?.into_inner())
    }

    fn cataloguer(&self) -> Client {
        self.client(Service::Catalog, Caller::Operator1)
    }
}
