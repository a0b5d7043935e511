//! Vacancies, and the adverts that they are made of: a vacancy is what one portal says with one title, company, location
//! and salary. What an advert does to the vacancies is decided in `vacancy/book.rs`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    import::{Finding, Reader},
    place::Gazetteer,
    region::RegionCode,
};

mod book;

pub use book::Book;

/// The columns that a feed must have; `external_id` and `expire_time` are optional.
pub const COLUMNS: [&str; 4] = ["title", "company", "location", "mean_monthly_salary_idr"];

/// The currency that the salary's column names, and its minor units.
pub const SALARY_CURRENCY: &str = "IDR";
const SALARY_MINOR_PER_UNIT: i64 = 100;

const TEXT_CHARS_MAX: usize = 200;
const EXTERNAL_ID_CHARS_MAX: usize = 100;
/// A trillion rupiah a month is not a salary.
const SALARY_DIGITS_MAX: usize = 12;

/// What tells vacancies of a portal apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The position's title.
    pub title: String,
    /// The employer.
    pub company: String,
    /// As the portal wrote it; may be empty.
    pub location: String,
    /// A month's salary in sen; `None` when it is not said.
    pub salary_minor: Option<i64>,
}

/// SHA-256 of a [`Content`].
pub type ContentKey = [u8; 32];

impl Content {
    /// Returns the hash by which equal contents are found.
    pub fn key(&self) -> ContentKey {
        let mut hash = Sha256::new();
        let salary = self.salary_minor.unwrap_or(0).to_string();
        for part in [&self.title, &self.company, &self.location, &salary] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// One row of a portal's feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// What it says.
    pub content: Content,
    /// The portal's number for it.
    pub external_id: Option<String>,
    /// When it ends.
    pub expire_time: Option<OffsetDateTime>,
    /// What the location was read as.
    pub region: Option<RegionCode>,
    /// What was unclear about the row.
    pub warnings: Vec<Finding>,
}

/// Reads one row of a feed.
///
/// # Errors
/// All that is wrong with the row.
pub fn read_row(
    fields: &BTreeMap<String, String>,
    gazetteer: &Gazetteer,
) -> Result<Advert, Vec<Finding>> {
    let mut reader = Reader::new(fields);
    let content = Content {
        title: reader.required_text("title", TEXT_CHARS_MAX),
        company: reader.required_text("company", TEXT_CHARS_MAX),
        location: reader.text("location", TEXT_CHARS_MAX),
        salary_minor: reader.parsed("mean_monthly_salary_idr", salary),
    };
    let external_id = reader.text("external_id", EXTERNAL_ID_CHARS_MAX);
    let expire_time = reader.parsed("expire_time", |text| {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|time| time.checked_to_offset(UtcOffset::UTC))
            .ok_or("is not a time of RFC 3339 such as 2026-12-31T23:59:59+07:00")
    });

    let mut advert = reader.finish(Advert {
        content,
        external_id: Some(external_id).filter(|id| !id.is_empty()),
        expire_time,
        region: None,
        warnings: Vec::new(),
    })?;
    let reading = gazetteer.read(&advert.content.location);
    advert.region = reading.region;
    advert.warnings = reading
        .warning
        .map(|text| Finding::new("location", text))
        .into_iter()
        .collect();
    Ok(advert)
}

fn salary(text: &str) -> Result<i64, &'static str> {
    const EXPECTED: &str = "is not a whole amount of rupiah above 0, in up to 12 digits";
    if text.len() > SALARY_DIGITS_MAX || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    text.parse::<i64>()
        .ok()
        .filter(|rupiah| *rupiah > 0)
        .and_then(|rupiah| rupiah.checked_mul(SALARY_MINOR_PER_UNIT))
        .ok_or(EXPECTED)
}

/// A vacancy as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacancy {
    /// Its id.
    pub id: Uuid,
    /// Where it comes from.
    pub portal: String,
    /// What it says.
    pub content: Content,
    /// What the location was read as.
    pub region: Option<RegionCode>,
    /// Hidden from then on.
    pub expire_time: Option<OffsetDateTime>,
    /// Adverts with a number of the portal.
    pub posting_count: i64,
    /// Adverts without one.
    pub unnumbered_count: i64,
    /// When it was first seen.
    pub create_time: OffsetDateTime,
}

impl Vacancy {
    /// Returns how many adverts were folded into this vacancy.
    pub fn advert_count(&self) -> i64 {
        self.posting_count + self.unnumbered_count
    }
}

#[cfg(test)]
mod tests;
