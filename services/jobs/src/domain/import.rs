//! Rows of a file: reading their values with every fault at once, and what becomes of each row.
//!
//! Whatever a row holds, what is kept of it is bounded: a value is either read into a bounded field, or cut into the
//! description of what is wrong with it.

use std::collections::BTreeMap;

/// Of a refused value, this much stands in the description.
const SHOWN_CHARS_MAX: usize = 60;

/// What is wrong or unclear with one column of a row, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The column.
    pub column: &'static str,
    /// What is wrong and what is expected.
    pub description: String,
}

impl Finding {
    /// Says what is wrong with a column.
    pub fn new(column: &'static str, description: impl Into<String>) -> Finding {
        Finding {
            column,
            description: description.into(),
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// A resource was created.
    Created,
    /// A resource that existed was changed.
    Updated,
    /// The row says what is already known.
    Unchanged,
    /// The row repeats another row's content and was folded into its resource.
    Duplicate,
    /// The row breaks rules; nothing was stored.
    Refused,
}

/// The answer to one row. `I` names the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowResult<I> {
    /// The row's number in the file.
    pub row_number: i64,
    /// What became of it.
    pub state: RowState,
    /// The resource, unless the row was refused.
    pub id: Option<I>,
    /// Every rule that the row breaks.
    pub violations: Vec<Finding>,
    /// What was unclear, and how it was read.
    pub warnings: Vec<Finding>,
}

impl<I> RowResult<I> {
    /// Refuses a row.
    pub fn refused(row_number: i64, violations: Vec<Finding>) -> RowResult<I> {
        RowResult {
            row_number,
            state: RowState::Refused,
            id: None,
            violations,
            warnings: Vec::new(),
        }
    }

    /// Answers a row that an earlier stream of its import has committed: it changes nothing.
    pub fn repeated(row_number: i64, id: Option<I>, warnings: Vec<Finding>) -> RowResult<I> {
        match id {
            Some(id) => RowResult::taken(row_number, RowState::Unchanged, id, warnings),
            // It can be read now, or what it needs is there now.
            None => {
                let text = "was refused by an earlier stream of this import; to take it now, open a new import";
                RowResult::refused(row_number, vec![Finding::new("", text)])
            }
        }
    }

    /// Answers a row that was taken.
    pub fn taken(row_number: i64, state: RowState, id: I, warnings: Vec<Finding>) -> RowResult<I> {
        RowResult {
            row_number,
            state,
            id: Some(id),
            violations: Vec::new(),
            warnings,
        }
    }
}

/// A row whose values were read, or all that is wrong with them.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// Its number in the file.
    pub number: i64,
    /// What it says.
    pub content: Result<T, Vec<Finding>>,
}

/// Reads the values of one row and collects what is wrong with them.
#[derive(Debug)]
pub struct Reader<'a> {
    fields: &'a BTreeMap<String, String>,
    violations: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// Starts to read a row.
    pub fn new(fields: &'a BTreeMap<String, String>) -> Reader<'a> {
        Reader {
            fields,
            violations: Vec::new(),
        }
    }

    /// Returns a value without the blanks around it; a missing column is an empty value.
    pub fn value(&self, column: &str) -> &'a str {
        self.fields.get(column).map_or("", |value| value.trim())
    }

    /// Reads a text of up to `chars_max` characters on one line; runs of blanks become one.
    pub fn text(&mut self, column: &'static str, chars_max: usize) -> String {
        let value = self.value(column);
        // Bytes first: counting the characters of a huge value is work that nobody needs.
        if value.len() > 4 * chars_max || value.chars().count() > chars_max {
            self.refuse(
                column,
                format!(
                    "is {} bytes long; expected are at most {chars_max} characters: {}",
                    value.len(),
                    shown(value)
                ),
            );
            return String::new();
        }
        if value.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            self.refuse(
                column,
                format!("holds control characters: {}", shown(value)),
            );
            return String::new();
        }
        value.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Reads a text that must be there.
    pub fn required_text(&mut self, column: &'static str, chars_max: usize) -> String {
        if self.value(column).is_empty() {
            self.refuse(column, "is empty");
            return String::new();
        }
        self.text(column, chars_max)
    }

    /// Reads a value with its own rule; an empty one is `None`. The rule says what it expects.
    pub fn parsed<T>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = self.value(column);
        if value.is_empty() {
            return None;
        }
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(expected) => {
                self.refuse(column, format!("{expected}: {}", shown(value)));
                None
            }
        }
    }

    /// Records what is wrong with a column.
    pub fn refuse(&mut self, column: &'static str, description: impl Into<String>) {
        self.violations.push(Finding::new(column, description));
    }

    /// Ends the row.
    ///
    /// # Errors
    /// When anything is wrong with it: all of it.
    pub fn finish<T>(self, content: T) -> Result<T, Vec<Finding>> {
        if self.violations.is_empty() {
            Ok(content)
        } else {
            Err(self.violations)
        }
    }
}

/// Returns the needed columns that a file does not have.
pub fn missing_columns(columns: &[String], needed: &[&'static str]) -> Vec<&'static str> {
    needed
        .iter()
        .copied()
        .filter(|needed| !columns.iter().any(|column| column == needed))
        .collect()
}

fn shown(value: &str) -> String {
    let mut shown: String = value
        .chars()
        .take(SHOWN_CHARS_MAX)
        .filter(|c| !c.is_control())
        .collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_text_is_put_on_one_line() {
        let fields = fields(&[("title", "  Staf \t Gudang\n")]);
        let mut reader = Reader::new(&fields);

        let title = reader.required_text("title", 20);

        assert_eq!(reader.finish(title), Ok("Staf Gudang".to_owned()));
    }

    #[test]
    fn every_fault_of_a_row_is_told_and_long_values_are_cut() {
        let huge = "x".repeat(2_000_000);
        let fields = fields(&[
            ("title", &huge),
            ("company", " "),
            ("code", "a\0b"),
            ("size", "ten"),
        ]);
        let mut reader = Reader::new(&fields);

        reader.required_text("title", 200);
        reader.required_text("company", 200);
        reader.text("code", 10);
        let size = reader.parsed("size", |text| {
            text.parse::<u8>().map_err(|_| "is not a size")
        });
        let findings = reader.finish(size).unwrap_err();

        let expected = format!(
            "is 2000000 bytes long; expected are at most 200 characters: `{}…`",
            "x".repeat(60)
        );
        assert_eq!(
            findings,
            [
                Finding::new("title", expected),
                Finding::new("company", "is empty"),
                Finding::new("code", "holds control characters: `ab…`"),
                Finding::new("size", "is not a size: `ten`"),
            ]
        );
    }

    #[test]
    fn the_limit_counts_characters() {
        let fields = fields(&[("title", "ééé")]);

        let mut reader = Reader::new(&fields);
        reader.text("title", 3);
        assert!(reader.finish(()).is_ok());

        let mut reader = Reader::new(&fields);
        reader.text("title", 2);
        assert!(reader.finish(()).is_err());
    }

    #[test]
    fn missing_columns_are_named() {
        let columns = ["title".to_owned(), "city".to_owned()];

        assert_eq!(
            missing_columns(&columns, &["title", "company"]),
            ["company"]
        );
    }
}
