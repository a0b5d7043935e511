//! What is wrong with the fields of a request, collected before it is refused.

use std::fmt;

use tonic_types::FieldViolation;

use super::Refusal;

/// The violations of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Starts with none.
    pub fn new() -> Violations {
        Violations::default()
    }

    /// Adds what is wrong with a field; nested fields are written `account.email` and `lines[3].amount`.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push((field.into(), description.into()));
    }

    /// Adds a violation unless the condition holds.
    pub fn check(&mut self, holds: bool, field: impl Into<String>, description: impl Into<String>) {
        if !holds {
            self.add(field, description);
        }
    }

    /// Unwraps what was parsed, or adds a violation.
    pub fn require<T>(
        &mut self,
        parsed: Option<T>,
        field: impl Into<String>,
        description: impl Into<String>,
    ) -> Option<T> {
        if parsed.is_none() {
            self.add(field, description);
        }
        parsed
    }

    /// Says whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the check.
    ///
    /// # Errors
    /// When anything is wrong.
    pub fn into_result(self) -> Result<(), Refusal> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Refusal::invalid(self))
        }
    }

    /// Ends the check and gives what was built from the fields; a part that is missing without a violation counts as
    /// a fault of ours.
    ///
    /// # Errors
    /// When anything is wrong.
    pub fn finish<T>(self, built: Option<T>) -> Result<T, Refusal> {
        self.into_result()?;
        built.ok_or_else(|| Refusal::internal("a request without violations gave no value"))
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (field, description)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {description}")?;
        }
        Ok(())
    }
}

impl From<Violations> for Vec<FieldViolation> {
    fn from(violations: Violations) -> Vec<FieldViolation> {
        violations
            .0
            .into_iter()
            .map(|(field, description)| FieldViolation::new(field, description))
            .collect()
    }
}
