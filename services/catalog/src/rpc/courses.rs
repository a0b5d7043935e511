//! `CourseService`.

use chassis::auth::Principal;
use proto::catalog::v1::{self as pb, course_service_server::CourseService};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Rpc, answers, convert, imports};

#[tonic::async_trait]
impl CourseService for Rpc {
    type ImportCoursesStream = ReceiverStream<Result<pb::ImportCoursesResponse, Status>>;

    async fn create_course(
        &self,
        request: Request<pb::CreateCourseRequest>,
    ) -> Result<Response<pb::Course>, Status> {
        let (key, new) = convert::create_course(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app.create_course(&key, new, answers::course).await?,
        ))
    }

    async fn get_course(
        &self,
        request: Request<pb::GetCourseRequest>,
    ) -> Result<Response<pb::Course>, Status> {
        let id = convert::id(&request.into_inner().name, "courses")?;
        Ok(Response::new(answers::course(
            self.app.get_course(id).await?,
        )))
    }

    async fn list_courses(
        &self,
        request: Request<pb::ListCoursesRequest>,
    ) -> Result<Response<pb::ListCoursesResponse>, Status> {
        let (provider_id, page) = convert::list_courses(request.into_inner())?;
        let (courses, next_page_token) = self.app.list_courses(provider_id, &page).await?;
        Ok(Response::new(pb::ListCoursesResponse {
            courses: courses.into_iter().map(answers::course).collect(),
            next_page_token,
        }))
    }

    async fn search_courses(
        &self,
        request: Request<pb::SearchCoursesRequest>,
    ) -> Result<Response<pb::SearchCoursesResponse>, Status> {
        let (search, page) = convert::search_courses(request.into_inner())?;
        let (courses, next_page_token) = self.app.search_courses(&search, &page).await?;
        Ok(Response::new(pb::SearchCoursesResponse {
            courses: courses.into_iter().map(answers::course).collect(),
            next_page_token,
        }))
    }

    async fn import_courses(
        &self,
        request: Request<Streaming<pb::ImportCoursesRequest>>,
    ) -> Result<Response<Self::ImportCoursesStream>, Status> {
        let principal = Principal::of(&request)?.clone();
        Ok(Response::new(imports::serve(
            self.app.clone(),
            principal,
            request.into_inner(),
        )))
    }
}
