//! Feeds and files, as the tests import them.

use std::collections::BTreeMap;

use proto::{
    jobs::v1::{self as pb, import_regions_request, import_vacancies_request},
    r#type::v1::{
        ImportHeader, ImportProgress, ImportRow, ImportRowResult, import_row_result::State,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::harness::Jobs;

pub(crate) type Fields = BTreeMap<String, String>;

pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs
        .iter()
        .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
        .collect()
}

/// A row of a feed: title, company, location, salary.
pub(crate) fn row(values: &[&str; 4]) -> Fields {
    let columns = ["title", "company", "location", "mean_monthly_salary_idr"];
    columns
        .into_iter()
        .zip(values)
        .map(|(column, value)| (column.to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn header(request_id: Uuid, source: &str, columns: &[&str]) -> ImportHeader {
    ImportHeader {
        request_id: request_id.to_string(),
        source: source.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
    }
}

const FEED_COLUMNS: [&str; 6] = [
    "title",
    "company",
    "location",
    "mean_monthly_salary_idr",
    "external_id",
    "expire_time",
];

/// An import of vacancies that the test feeds by hand.
pub(crate) struct Import {
    rows: mpsc::Sender<pb::ImportVacanciesRequest>,
    answers: Streaming<pb::ImportVacanciesResponse>,
}

impl Import {
    /// Opens an import and returns the row after which to go on.
    pub(crate) async fn open(jobs: &Jobs, header: ImportHeader) -> Result<(Import, i64), Status> {
        let (rows, receiver) = mpsc::channel(64);
        rows.send(vacancy_part(import_vacancies_request::Part::Header(header)))
            .await
            .unwrap();
        let stream = ReceiverStream::new(receiver);
        let answers = jobs.operator().import_vacancies(stream).await?.into_inner();
        let mut import = Import { rows, answers };
        let greeting = import.progress().await?.expect("an import greets");
        Ok((import, greeting.resume_after_row_number))
    }

    pub(crate) async fn send(&self, row_number: i64, fields: &Fields) {
        let row = ImportRow {
            row_number,
            fields: fields.clone(),
        };
        // A refused import takes no more; its answer says why.
        let _ = self
            .rows
            .send(vacancy_part(import_vacancies_request::Part::Row(row)))
            .await;
    }

    pub(crate) async fn send_header(&self, header: ImportHeader) {
        let _ = self
            .rows
            .send(vacancy_part(import_vacancies_request::Part::Header(header)))
            .await;
    }

    pub(crate) async fn progress(&mut self) -> Result<Option<ImportProgress>, Status> {
        let answer = self.answers.message().await?;
        Ok(answer.map(|answer| answer.progress.expect("an answer holds progress")))
    }

    /// Ends the stream and returns the results that are left.
    pub(crate) async fn finish(self) -> Result<Vec<ImportRowResult>, Status> {
        let Import { rows, mut answers } = self;
        drop(rows);
        let mut results = Vec::new();
        while let Some(answer) = answers.message().await? {
            results.extend(answer.progress.expect("an answer holds progress").results);
        }
        Ok(results)
    }
}

fn vacancy_part(part: import_vacancies_request::Part) -> pb::ImportVacanciesRequest {
    pb::ImportVacanciesRequest { part: Some(part) }
}

/// Imports a whole feed; rows are numbered from 1.
pub(crate) async fn import(
    jobs: &Jobs,
    request_id: Uuid,
    portal: &str,
    rows: &[Fields],
) -> Result<Vec<ImportRowResult>, Status> {
    let header = header(request_id, portal, &FEED_COLUMNS);
    let header = vacancy_part(import_vacancies_request::Part::Header(header));
    let rows = (1..).zip(rows.to_vec()).map(|(row_number, fields)| {
        vacancy_part(import_vacancies_request::Part::Row(ImportRow {
            row_number,
            fields,
        }))
    });
    let messages: Vec<pb::ImportVacanciesRequest> = std::iter::once(header).chain(rows).collect();
    let mut answers = jobs
        .operator()
        .import_vacancies(tokio_stream::iter(messages))
        .await?
        .into_inner();
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await? {
        results.extend(answer.progress.expect("an answer holds progress").results);
    }
    Ok(results)
}

/// Imports a whole file of regions; rows are numbered from 1.
pub(crate) async fn import_regions(
    jobs: &Jobs,
    request_id: Uuid,
    rows: &[Fields],
) -> Result<Vec<ImportRowResult>, Status> {
    let header = header(request_id, "regions", &["code", "name"]);
    let header = pb::ImportRegionsRequest {
        part: Some(import_regions_request::Part::Header(header)),
    };
    let rows = (1..)
        .zip(rows.to_vec())
        .map(|(row_number, fields)| pb::ImportRegionsRequest {
            part: Some(import_regions_request::Part::Row(ImportRow {
                row_number,
                fields,
            })),
        });
    let messages: Vec<pb::ImportRegionsRequest> = std::iter::once(header).chain(rows).collect();
    let mut answers = jobs
        .regions()
        .import_regions(tokio_stream::iter(messages))
        .await?
        .into_inner();
    let mut results = Vec::new();
    while let Some(answer) = answers.message().await? {
        results.extend(answer.progress.expect("an answer holds progress").results);
    }
    Ok(results)
}

pub(crate) fn states(results: &[ImportRowResult]) -> Vec<State> {
    results.iter().map(ImportRowResult::state).collect()
}
