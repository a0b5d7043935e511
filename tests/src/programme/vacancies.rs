//! Vacancies, and what they mean to somebody.

use futures::stream;
use proto::jobs::v1::{
    self as pb, import_regions_request, import_vacancies_request,
    region_service_client::RegionServiceClient, vacancy_service_client::VacancyServiceClient,
};
use tonic::Status;

use super::{ImportReport, Programme, import::Source, request_id};
use crate::{accounts::Caller, process::Service};

impl Programme {
    /// Imports codes and names of regions.
    ///
    /// # Errors
    /// When jobs refuses the import as a whole.
    pub async fn import_regions(&self, source: Source) -> Result<ImportReport, Status> {
        use import_regions_request::Part;
        let Source { header, rows } = source;
        let parts = std::iter::once(Part::Header(header)).chain(rows.map(Part::Row));
        let requests = parts.map(|part| pb::ImportRegionsRequest { part: Some(part) });
        let mut regions = RegionServiceClient::new(self.client(Service::Jobs, Caller::Operator1));
        let answers = regions.import_regions(stream::iter(requests)).await?;
        let mut answers = answers.into_inner();
        let mut report = ImportReport::default();
        while let Some(answer) = answers.message().await? {
            report.add(answer.progress);
        }
        Ok(report)
    }

    /// Imports a portal's adverts.
    ///
    /// # Errors
    /// When jobs refuses the import as a whole.
    pub async fn import_vacancies(&self, source: Source) -> Result<ImportReport, Status> {
        use import_vacancies_request::Part;
        let Source { header, rows } = source;
        let parts = std::iter::once(Part::Header(header)).chain(rows.map(Part::Row));
        let requests = parts.map(|part| pb::ImportVacanciesRequest { part: Some(part) });
        let mut vacancies = VacancyServiceClient::new(self.client(Service::Jobs, Caller::Portal));
        let answers = vacancies.import_vacancies(stream::iter(requests)).await?;
        let mut answers = answers.into_inner();
        let mut report = ImportReport::default();
        while let Some(answer) = answers.message().await? {
            report.add(answer.progress);
        }
        Ok(report)
    }

    /// Says what an account is looking for.
    ///
    /// # Errors
    /// When jobs refuses.
    pub async fn update_interests(
        &self,
        account: &str,
        keywords: &[&str],
        regions: &[&str],
    ) -> Result<pb::Interests, Status> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let request = pb::UpdateInterestsRequest {
            request_id: request_id(),
            account: account.to_owned(),
            interests: Some(pb::Interests {
                keywords: texts(keywords),
                regions: texts(regions),
                ..pb::Interests::default()
            }),
        };
        let mut vacancies = VacancyServiceClient::new(self.client(Service::Jobs, Caller::Frontend));
        Ok(vacancies.update_interests(request).await?.into_inner())
    }

    /// Recommends vacancies to an account.
    ///
    /// # Errors
    /// When jobs refuses.
    pub async fn recommendations(&self, account: &str) -> Result<Vec<pb::Recommendation>, Status> {
        let request = pb::RecommendVacanciesRequest {
            account: account.to_owned(),
            page_size: 0,
        };
        let mut vacancies = VacancyServiceClient::new(self.client(Service::Jobs, Caller::Frontend));
        let answer = vacancies.recommend_vacancies(request).await?.into_inner();
        Ok(answer.recommendations)
    }
}
