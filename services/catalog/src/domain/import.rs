//! Imports: a feed's rows read with every fault at once (`feed`), and what becomes of each row.
//!
//! A course is known by its provider, title and mode. The feed that created it keeps it up to date; other feeds that
//! name it change nothing.

use uuid::Uuid;

use super::{
    course::{CourseContent, Mode},
    provider::DisplayName,
};

mod feed;

pub use feed::{COLUMNS, missing_columns, read_row};

/// What is wrong or unclear with one column of a row, for a person. The column is empty where it is the whole row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The column.
    pub column: &'static str,
    /// What is wrong and what is expected, or how it was read.
    pub description: String,
}

/// What a readable row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCourse {
    /// The course's provider.
    pub provider: DisplayName,
    /// What it says of the course.
    pub content: CourseContent,
    /// What was unclear, and how it was read.
    pub warnings: Vec<Finding>,
}

/// What two rows of one course have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CourseKey {
    /// The provider's name as it is compared.
    pub provider: String,
    /// The title as it is compared.
    pub title: String,
    /// The mode.
    pub mode: Mode,
}

/// A row of a feed: what it says, or everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number in the file.
    pub number: i64,
    /// What it says.
    pub course: Result<FeedCourse, Vec<Finding>>,
}

/// The row that stated a course last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The source of its import.
    pub source: String,
    /// Its import.
    pub request_id: Uuid,
    /// Its number.
    pub row_number: i64,
}

/// A course that exists, or that an earlier row of the group creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownCourse {
    /// `courses/{id}`.
    pub id: Uuid,
    /// What is stored, or will be.
    pub content: CourseContent,
    /// Where it comes from; `None` when a person created it.
    pub origin: Option<Origin>,
}

/// What is to be done with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The course is new.
    Create,
    /// The course says something else now.
    Update,
    /// The course says the same.
    Unchanged,
    /// The row says what an earlier row or somebody else has said.
    Duplicate(Option<Finding>),
    /// The row was committed before; it is not looked at again.
    Repeated(Option<Finding>),
    /// The row contradicts.
    Refuse(Vec<Finding>),
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// A course was created.
    Created,
    /// A course was changed.
    Updated,
    /// The row says what is already known.
    Unchanged,
    /// The row was folded into a course that is stated elsewhere.
    Duplicate,
    /// The row breaks rules; nothing was stored.
    Refused,
}

/// The answer to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowResult {
    /// The row's number.
    pub row_number: i64,
    /// What became of it.
    pub state: RowState,
    /// The course, unless the row was refused.
    pub course_id: Option<Uuid>,
    /// Every rule that the row breaks.
    pub violations: Vec<Finding>,
    /// What was unclear, and how it was read.
    pub warnings: Vec<Finding>,
}

// === impl Finding ===

impl Finding {
    /// Says what is wrong or unclear with a column.
    pub fn new(column: &'static str, description: impl Into<String>) -> Finding {
        Finding {
            column,
            description: description.into(),
        }
    }
}

// === impl FeedCourse ===

impl FeedCourse {
    /// Returns what the course is known by.
    pub fn key(&self) -> CourseKey {
        CourseKey {
            provider: self.provider.folded().to_owned(),
            title: self.content.title.folded().to_owned(),
            mode: self.content.mode,
        }
    }
}

// === impl RowResult ===

impl RowResult {
    /// Refuses a row.
    pub fn refused(row_number: i64, violations: Vec<Finding>) -> RowResult {
        RowResult {
            row_number,
            state: RowState::Refused,
            course_id: None,
            violations,
            warnings: Vec::new(),
        }
    }
}

/// Decides what becomes of a readable row of the import `request_id` from `source`. `committed` says that the import has
/// passed this row number before: such a row changes nothing.
pub fn decide(
    source: &str,
    request_id: Uuid,
    row_number: i64,
    committed: bool,
    course: &FeedCourse,
    known: Option<&KnownCourse>,
) -> Verdict {
    let Some(known) = known else {
        return if committed {
            let text = "was committed by an earlier stream of this import, which refused it; to take it now, open a new import";
            Verdict::Refuse(vec![Finding::new("", text)])
        } else {
            Verdict::Create
        };
    };
    let differing = differing_columns(&known.content, &course.content);
    let differing_text = || differing.join(", ");

    match &known.origin {
        Some(origin) if origin.request_id == request_id && origin.row_number < row_number => {
            if differing.is_empty() {
                return Verdict::Duplicate(None);
            }
            let text = format!(
                "differs from row {} of this import, which was taken",
                origin.row_number
            );
            Verdict::Refuse(
                differing
                    .into_iter()
                    .map(|column| Finding::new(column, text.clone()))
                    .collect(),
            )
        }
        Some(_) | None if committed => {
            let text = "was committed before with other values, which were kept: ";
            Verdict::Repeated(
                (!differing.is_empty())
                    .then(|| Finding::new("", format!("{text}{}", differing_text()))),
            )
        }
        Some(origin) if origin.source == source => {
            if differing.is_empty() {
                Verdict::Unchanged
            } else {
                Verdict::Update
            }
        }
        Some(_) | None => {
            let text = "the course is known from elsewhere with other values, which were kept: ";
            Verdict::Duplicate(
                (!differing.is_empty())
                    .then(|| Finding::new("", format!("{text}{}", differing_text()))),
            )
        }
    }
}

/// Names the columns in which two rows of one course differ. Another spelling of its title or provider is no difference.
fn differing_columns(stored: &CourseContent, stated: &CourseContent) -> Vec<&'static str> {
    [
        (stored.category != stated.category, feed::CATEGORY),
        (stored.uri != stated.uri, feed::URI),
        (
            stored.prices.public_price() != stated.prices.public_price(),
            feed::DISCOUNT,
        ),
        (stored.prices.price() != stated.prices.price(), feed::PRICE),
    ]
    .into_iter()
    .filter_map(|(differs, column)| differs.then_some(column))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MINE: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    fn course(price: &str) -> FeedCourse {
        let fields: BTreeMap<String, String> = [
            (feed::PROVIDER, "Balai Latih"),
            (feed::TITLE, "Dasar Barista"),
            (feed::CATEGORY, "Makanan dan Minuman"),
            (feed::MODE, "Online - LMS"),
            (feed::PRICE, price),
        ]
        .map(|(column, value)| (column.to_owned(), value.to_owned()))
        .into();
        read_row(&fields).unwrap()
    }

    fn known(origin: Option<(&str, Uuid, i64)>) -> KnownCourse {
        KnownCourse {
            id: Uuid::from_u128(77),
            content: course("Rp 20.000").content,
            origin: origin.map(|(source, request_id, row_number)| Origin {
                source: source.to_owned(),
                request_id,
                row_number,
            }),
        }
    }

    fn verdict(price: &str, committed: bool, known: Option<KnownCourse>) -> Verdict {
        decide("isw", MINE, 7, committed, &course(price), known.as_ref())
    }

    #[test]
    fn a_course_is_created_once_and_then_kept_up_to_date_by_its_own_feed() {
        let mine = || Some(known(Some(("isw", OTHER, 90))));

        assert_eq!(verdict("Rp 20.000", false, None), Verdict::Create);
        assert_eq!(verdict("Rp 20.000", false, mine()), Verdict::Unchanged);
        assert_eq!(verdict("Gratis", false, mine()), Verdict::Update);
    }

    #[test]
    fn a_row_that_repeats_an_earlier_one_of_its_import_is_folded_into_it() {
        let earlier = || Some(known(Some(("isw", MINE, 3))));

        assert_eq!(
            verdict("Rp 20.000", false, earlier()),
            Verdict::Duplicate(None)
        );
        let Verdict::Refuse(violations) = verdict("Rp 30.000", false, earlier()) else {
            panic!("a contradiction within one file is refused");
        };
        let columns: Vec<&str> = violations.iter().map(|finding| finding.column).collect();
        assert_eq!(columns, [feed::DISCOUNT, feed::PRICE]);
        assert!(violations[0].description.contains("row 3"));
    }

    #[test]
    fn another_feed_changes_nothing() {
        for origin in [None, Some(("karier", OTHER, 3))] {
            assert_eq!(
                verdict("Rp 20.000", false, Some(known(origin))),
                Verdict::Duplicate(None)
            );
            assert!(matches!(
                verdict("Gratis", false, Some(known(origin))),
                Verdict::Duplicate(Some(_))
            ));
        }
    }

    #[test]
    fn a_row_that_was_committed_changes_nothing() {
        let itself = || Some(known(Some(("isw", MINE, 7))));

        assert_eq!(
            verdict("Rp 20.000", true, itself()),
            Verdict::Repeated(None)
        );
        assert!(matches!(
            verdict("Gratis", true, itself()),
            Verdict::Repeated(Some(_))
        ));
        assert!(matches!(verdict("Gratis", true, None), Verdict::Refuse(_)));
    }
}
