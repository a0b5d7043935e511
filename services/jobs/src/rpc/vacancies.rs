//! The import of vacancies, as the stream's driver needs it.

use proto::{
    jobs::v1::{self as pb, import_vacancies_request},
    r#type::v1::{ImportProgress, ImportRow, ImportRowResult},
};

use super::{
    Refused, convert,
    imports::{Feed, Part},
};
use crate::{
    app::{self, App, imports::Import},
    domain::{
        import::Row,
        place::Gazetteer,
        vacancy::{self, Advert},
    },
};

/// A portal's feed. Its locations are read against the tree of regions as it was when the stream began.
pub(super) struct VacancyFeed {
    app: App,
    gazetteer: Gazetteer,
}

impl VacancyFeed {
    pub(super) fn new(app: App) -> VacancyFeed {
        VacancyFeed {
            app,
            gazetteer: Gazetteer::default(),
        }
    }
}

impl Feed for VacancyFeed {
    const METHOD: &'static str = "/bekal.jobs.v1.VacancyService/ImportVacancies";
    const COLUMNS: &'static [&'static str] = &vacancy::COLUMNS;
    type Request = pb::ImportVacanciesRequest;
    type Response = pb::ImportVacanciesResponse;
    type Content = Advert;

    fn part(request: pb::ImportVacanciesRequest) -> Option<Part> {
        Some(match request.part? {
            import_vacancies_request::Part::Header(header) => Part::Header(header),
            import_vacancies_request::Part::Row(row) => Part::Row(row),
        })
    }

    fn response(progress: ImportProgress) -> pb::ImportVacanciesResponse {
        pb::ImportVacanciesResponse {
            progress: Some(progress),
        }
    }

    async fn prepare(&mut self) -> Refused<()> {
        self.gazetteer = app::regions::gazetteer(&self.app).await?;
        Ok(())
    }

    fn read(&self, row: &ImportRow) -> Row<Advert> {
        Row {
            number: row.row_number,
            content: vacancy::read_row(&row.fields, &self.gazetteer),
        }
    }

    async fn commit(
        &self,
        import: &Import,
        rows: Vec<Row<Advert>>,
    ) -> Refused<Vec<ImportRowResult>> {
        let results = app::vacancies::import_group(&self.app, import, rows).await?;
        Ok(results
            .into_iter()
            .map(|result| convert::row_result(result, "vacancies"))
            .collect())
    }
}
