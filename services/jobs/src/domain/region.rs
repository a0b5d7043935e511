//! Regions: dotted codes, the tree that they make, and the rows of a file of regions.

use std::{collections::BTreeMap, fmt};

use super::import::{Finding, Reader};

/// The columns that a file of regions must have.
pub const COLUMNS: [&str; 2] = ["code", "name"];

const PART_CHARS_MAX: usize = 10;
const DEPTH_MAX: usize = 5;
const NAME_CHARS_MAX: usize = 100;

/// The official code of a region, a dotted path such as `32` or `32.73`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionCode(String);

impl RegionCode {
    /// Reads a code.
    pub fn parse(text: &str) -> Option<RegionCode> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.len() <= PART_CHARS_MAX
                && part.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let valid = text.split('.').all(is_part) && text.split('.').count() <= DEPTH_MAX;
        valid.then(|| RegionCode(text.to_owned()))
    }

    /// Returns the code as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the code without its last part; `None` at the top of the tree.
    pub fn parent(&self) -> Option<RegionCode> {
        let (parent, _) = self.0.rsplit_once('.')?;
        Some(RegionCode(parent.to_owned()))
    }

    /// Says how many parts the code has.
    pub fn depth(&self) -> usize {
        self.0.split('.').count()
    }

    /// Says whether this region is the other one or lies below it.
    pub fn is_within(&self, other: &RegionCode) -> bool {
        self.0
            .strip_prefix(&other.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its official code.
    pub code: RegionCode,
    /// What it is called.
    pub display_name: String,
}

/// Reads one row of a file of regions.
///
/// # Errors
/// All that is wrong with the row.
pub fn read_row(fields: &BTreeMap<String, String>) -> Result<Region, Vec<Finding>> {
    let mut reader = Reader::new(fields);
    let code = reader.parsed("code", |text| {
        RegionCode::parse(text).ok_or("is not a dotted code such as 32 or 32.73")
    });
    if reader.value("code").is_empty() {
        reader.refuse("code", "is empty");
    }
    let display_name = reader.required_text("name", NAME_CHARS_MAX);
    let region = code.map(|code| Region { code, display_name });
    // A missing code has its violation already, so that nothing is lost by the empty list.
    reader.finish(region)?.ok_or_else(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> RegionCode {
        RegionCode::parse(text).unwrap()
    }

    #[test]
    fn a_code_is_a_dotted_path() {
        for text in ["32", "32.73", "ID.JB.04.1.2"] {
            assert_eq!(code(text).as_str(), text);
        }
        for text in [
            "",
            ".",
            "32.",
            ".73",
            "32..73",
            "32 73",
            "32.7é",
            "1.2.3.4.5.6",
            "12345678901",
        ] {
            assert_eq!(RegionCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_tree_is_in_the_code() {
        assert_eq!(code("32.73").parent(), Some(code("32")));
        assert_eq!(code("32").parent(), None);
        assert!(code("32.73").is_within(&code("32")));
        assert!(code("32").is_within(&code("32")));
        assert!(!code("32").is_within(&code("32.73")));
        assert!(!code("321").is_within(&code("32")));
    }

    #[test]
    fn a_row_tells_every_fault() {
        let fields = BTreeMap::from([("code".to_owned(), "32-73".to_owned())]);

        let findings = read_row(&fields).unwrap_err();

        assert_eq!(
            findings,
            [
                Finding::new("code", "is not a dotted code such as 32 or 32.73: `32-73`"),
                Finding::new("name", "is empty"),
            ]
        );
    }
}
