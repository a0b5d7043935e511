//! Files as the import streams take them: a header, then a row each. CSV is read while it is sent.

use std::{collections::BTreeSet, fs, path::Path};

use proto::r#type::v1::{ImportHeader, ImportProgress, ImportRow, import_row_result::State};
use serde_json::{Map, Value};

use super::request_id;

/// What became of an import's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Rows that made something new.
    pub created: u64,
    /// Rows that changed something.
    pub updated: u64,
    /// Rows that said what was known.
    pub unchanged: u64,
    /// Rows that repeated an earlier one.
    pub duplicate: u64,
    /// Rows that broke a rule.
    pub refused: u64,
    /// Rows that were imported with a warning.
    pub warned: u64,
    /// What was wrong with the first refused rows.
    pub refusals: Vec<String>,
}

/// A file to import, opened.
pub struct Source {
    pub(super) header: ImportHeader,
    pub(super) rows: Box<dyn Iterator<Item = ImportRow> + Send>,
}

impl ImportReport {
    /// Returns how many rows were answered.
    pub fn row_count(&self) -> u64 {
        self.created + self.updated + self.unchanged + self.duplicate + self.refused
    }

    /// Adds another file's report.
    pub fn merge(&mut self, other: ImportReport) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.duplicate += other.duplicate;
        self.refused += other.refused;
        self.warned += other.warned;
        self.refusals.extend(other.refusals);
    }

    pub(super) fn add(&mut self, progress: Option<ImportProgress>) {
        for row in progress.into_iter().flat_map(|progress| progress.results) {
            *match row.state() {
                State::Created => &mut self.created,
                State::Updated => &mut self.updated,
                State::Unchanged => &mut self.unchanged,
                State::Duplicate => &mut self.duplicate,
                State::Refused | State::Unspecified => &mut self.refused,
            } += 1;
            self.warned += u64::from(!row.warnings.is_empty());
            if let (Some(first), true) = (row.violations.first(), self.refusals.len() < 5) {
                let text = format!(
                    "row {}: {}: {}",
                    row.row_number, first.column, first.description
                );
                self.refusals.push(text);
            }
        }
    }
}

impl Source {
    /// Opens a CSV file with a header line. A row that cannot be taken apart, or has more or fewer values than the header,
    /// comes as an empty one, which the service refuses by its number.
    ///
    /// # Errors
    /// When it cannot be read, or is no text in UTF-8.
    pub fn csv(source: &str, file: &Path) -> Result<Source, String> {
        let at = |error: csv::Error| format!("{}: {error}", file.display());
        let mut reader = csv::Reader::from_path(file).map_err(at)?;
        let columns: Vec<String> = reader
            .byte_headers()
            .map_err(at)?
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let header = header(source, columns.clone());
        let rows = reader
            .into_byte_records()
            .zip(1..)
            .map(move |(row, number)| {
                let row = row.unwrap_or_default();
                let fields = row.iter().zip(&columns).map(|(value, column)| {
                    (column.clone(), String::from_utf8_lossy(value).into_owned())
                });
                ImportRow {
                    row_number: number,
                    fields: fields.collect(),
                }
            });
        Ok(Source {
            header,
            rows: Box::new(rows),
        })
    }

    /// Opens a JSON file: a list of objects with texts as values.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn json(source: &str, file: &Path) -> Result<Source, String> {
        let text = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        let rows: Vec<Map<String, Value>> = serde_json::from_slice(&text)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let columns: BTreeSet<&String> = rows.iter().flat_map(Map::keys).collect();
        let header = header(source, columns.into_iter().cloned().collect());
        let rows = rows.into_iter().zip(1..).map(|(row, number)| ImportRow {
            row_number: number,
            fields: row.into_iter().map(text_field).collect(),
        });
        Ok(Source {
            header,
            rows: Box::new(rows),
        })
    }
}

fn header(source: &str, columns: Vec<String>) -> ImportHeader {
    ImportHeader {
        request_id: request_id(),
        source: source.to_owned(),
        columns,
    }
}

fn text_field((column, value): (String, Value)) -> (String, String) {
    match value {
        Value::String(text) => (column, text),
        Value::Null => (column, String::new()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            (column, other.to_string())
        }
    }
}
