//! The generated traits: parse, call app, answer.

use chassis::{auth::Principal, status::Refusal};
use proto::jobs::v1::{
    self as pb, region_service_server::RegionService, vacancy_service_server::VacancyService,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::app::{self, App};

mod convert;
mod imports;
mod regions;
mod vacancies;

/// Serves `VacancyService` and `RegionService`.
#[derive(Clone, Debug)]
pub struct Rpc {
    app: App,
}

impl Rpc {
    /// Makes the services' implementation.
    pub fn new(app: App) -> Rpc {
        Rpc { app }
    }
}

type Answers<M> = ReceiverStream<Result<M, Status>>;

#[tonic::async_trait]
impl VacancyService for Rpc {
    type ImportVacanciesStream = Answers<pb::ImportVacanciesResponse>;

    async fn import_vacancies(
        &self,
        request: Request<Streaming<pb::ImportVacanciesRequest>>,
    ) -> Result<Response<Self::ImportVacanciesStream>, Status> {
        let principal = Principal::of(&request)?.clone();
        let feed = vacancies::VacancyFeed::new(self.app.clone());
        Ok(Response::new(imports::serve(
            self.app.clone(),
            principal,
            request.into_inner(),
            feed,
        )))
    }

    async fn get_vacancy(
        &self,
        request: Request<pb::GetVacancyRequest>,
    ) -> Result<Response<pb::Vacancy>, Status> {
        let name = request.into_inner().name;
        let id = convert::vacancy_id(&name)?;
        let vacancy = app::vacancies::get_vacancy(&self.app, id).await?;
        Ok(Response::new(convert::vacancy(vacancy)))
    }

    async fn search_vacancies(
        &self,
        request: Request<pb::SearchVacanciesRequest>,
    ) -> Result<Response<pb::SearchVacanciesResponse>, Status> {
        let (filter, page) = convert::search(request.into_inner())?;
        let (found, next_page_token) =
            app::vacancies::search_vacancies(&self.app, &filter, &page).await?;
        Ok(Response::new(pb::SearchVacanciesResponse {
            vacancies: found.into_iter().map(convert::vacancy).collect(),
            next_page_token,
        }))
    }

    async fn update_interests(
        &self,
        request: Request<pb::UpdateInterestsRequest>,
    ) -> Result<Response<pb::Interests>, Status> {
        let principal = Principal::of(&request)?.clone();
        let update = convert::UpdateInterests::parse(&principal, request.get_ref())?;
        principal.authorize(update.account_id)?;
        let answer = app::interests::update_interests(
            &self.app,
            &update.key,
            update.account_id,
            &update.interests,
            |now| convert::interests(update.account_id, &update.interests, now),
        )
        .await?;
        Ok(Response::new(answer))
    }

    async fn recommend_vacancies(
        &self,
        request: Request<pb::RecommendVacanciesRequest>,
    ) -> Result<Response<pb::RecommendVacanciesResponse>, Status> {
        let (account_id, count) = convert::recommend(request.get_ref())?;
        Principal::of(&request)?.authorize(account_id)?;
        let fits = app::recommendations::recommend_vacancies(&self.app, account_id, count).await?;
        Ok(Response::new(pb::RecommendVacanciesResponse {
            recommendations: fits.into_iter().map(convert::recommendation).collect(),
        }))
    }
}

#[tonic::async_trait]
impl RegionService for Rpc {
    type ImportRegionsStream = Answers<pb::ImportRegionsResponse>;

    async fn import_regions(
        &self,
        request: Request<Streaming<pb::ImportRegionsRequest>>,
    ) -> Result<Response<Self::ImportRegionsStream>, Status> {
        let principal = Principal::of(&request)?.clone();
        let feed = regions::RegionFeed::new(self.app.clone());
        Ok(Response::new(imports::serve(
            self.app.clone(),
            principal,
            request.into_inner(),
            feed,
        )))
    }

    async fn list_regions(
        &self,
        request: Request<pb::ListRegionsRequest>,
    ) -> Result<Response<pb::ListRegionsResponse>, Status> {
        let page = convert::list_regions(request.into_inner())?;
        let (found, next_page_token) = app::regions::list_regions(&self.app, &page).await?;
        Ok(Response::new(pb::ListRegionsResponse {
            regions: found.into_iter().map(convert::region).collect(),
            next_page_token,
        }))
    }
}

/// What every fallible step of a stream ends with.
type Refused<T> = Result<T, Refusal>;
