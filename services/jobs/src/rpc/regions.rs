//! The import of regions, as the stream's driver needs it.

use proto::{
    jobs::v1::{self as pb, import_regions_request},
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
        region::{self, Region},
    },
};

/// A file of regions.
pub(super) struct RegionFeed {
    app: App,
}

impl RegionFeed {
    pub(super) fn new(app: App) -> RegionFeed {
        RegionFeed { app }
    }
}

impl Feed for RegionFeed {
    const METHOD: &'static str = "/bekal.jobs.v1.RegionService/ImportRegions";
    const COLUMNS: &'static [&'static str] = &region::COLUMNS;
    type Request = pb::ImportRegionsRequest;
    type Response = pb::ImportRegionsResponse;
    type Content = Region;

    fn part(request: pb::ImportRegionsRequest) -> Option<Part> {
        Some(match request.part? {
            import_regions_request::Part::Header(header) => Part::Header(header),
            import_regions_request::Part::Row(row) => Part::Row(row),
        })
    }

    fn response(progress: ImportProgress) -> pb::ImportRegionsResponse {
        pb::ImportRegionsResponse {
            progress: Some(progress),
        }
    }

    async fn prepare(&mut self) -> Refused<()> {
        Ok(())
    }

    fn read(&self, row: &ImportRow) -> Row<Region> {
        Row {
            number: row.row_number,
            content: region::read_row(&row.fields),
        }
    }

    async fn commit(
        &self,
        import: &Import,
        rows: Vec<Row<Region>>,
    ) -> Refused<Vec<ImportRowResult>> {
        let results = app::regions::import_group(&self.app, import, rows).await?;
        Ok(results
            .into_iter()
            .map(|result| convert::row_result(result, "regions"))
            .collect())
    }
}
