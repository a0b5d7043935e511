//! Training institutions.

use time::OffsetDateTime;
use uuid::Uuid;

use super::text::{self, TextFault};

/// The most characters of a display name.
pub const DISPLAY_NAME_CHARS_MAX: usize = 200;

/// What an institution is called, on one line; compared without regard to case and repeated blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName {
    text: String,
    folded: String,
}

impl DisplayName {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is empty, longer than 200 characters, or holds control characters.
    pub fn parse(value: &str) -> Result<DisplayName, TextFault> {
        let text = text::one_line(value, 1..=DISPLAY_NAME_CHARS_MAX)?;
        let folded = text::fold(&text);
        Ok(DisplayName { text, folded })
    }

    /// Returns the name as it is shown.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name as it is compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

/// A training institution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// `providers/{id}`.
    pub id: Uuid,
    /// What it is called.
    pub display_name: String,
    /// When it was created.
    pub create_time: OffsetDateTime,
}
