//! A feed of courses and its stream.

use std::collections::BTreeMap;

use proto::{
    catalog::v1::{ImportCoursesRequest, ImportCoursesResponse, import_courses_request::Part},
    r#type::v1::{ImportHeader, ImportRow, ImportRowResult, import_row_result::State},
};
use tonic::{Status, Streaming};

use crate::world::World;

pub(crate) const COLUMNS: [&str; 7] = [
    "lp_name",
    "course_title",
    "course_category",
    "course_type",
    "course_url",
    "Prosentase diskon",
    "course_price",
];

pub(crate) fn header(request_id: &str, source: &str) -> ImportCoursesRequest {
    ImportCoursesRequest {
        part: Some(Part::Header(ImportHeader {
            request_id: request_id.to_owned(),
            source: source.to_owned(),
            columns: COLUMNS.map(str::to_owned).to_vec(),
        })),
    }
}

/// A row with these values, in the order of [`COLUMNS`].
pub(crate) fn row(row_number: i64, values: [&str; 7]) -> ImportCoursesRequest {
    let fields: BTreeMap<String, String> = COLUMNS
        .iter()
        .zip(values)
        .map(|(column, value)| ((*column).to_owned(), value.to_owned()))
        .collect();
    ImportCoursesRequest {
        part: Some(Part::Row(ImportRow { row_number, fields })),
    }
}

/// A plain row of this title and price.
pub(crate) fn plain(row_number: i64, title: &str, price: &str) -> ImportCoursesRequest {
    row(
        row_number,
        [
            "Balai Latih Nusa",
            title,
            "Teknik",
            "Online - LMS",
            "",
            "",
            price,
        ],
    )
}

pub(crate) async fn send(
    world: &World,
    parts: Vec<ImportCoursesRequest>,
) -> Result<Streaming<ImportCoursesResponse>, Status> {
    let stream = world
        .courses()
        .import_courses(tokio_stream::iter(parts))
        .await?;
    Ok(stream.into_inner())
}

/// Sends a whole stream; returns where it began and the results of all rows.
pub(crate) async fn import(
    world: &World,
    parts: Vec<ImportCoursesRequest>,
) -> Result<(i64, Vec<ImportRowResult>), Status> {
    let mut stream = send(world, parts).await?;
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await? {
        answers.push(answer.progress.unwrap());
    }
    let resume_after = answers[0].resume_after_row_number;
    Ok((
        resume_after,
        answers
            .into_iter()
            .flat_map(|progress| progress.results)
            .collect(),
    ))
}

pub(crate) fn states(results: &[ImportRowResult]) -> Vec<State> {
    results.iter().map(ImportRowResult::state).collect()
}
