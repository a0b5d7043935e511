//! What must not be seen in a log: every value of a person is kept in a type whose `Debug` hides it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value about a person. It is shown to nobody by accident; who needs it says [`Personal::expose`]. It is serialised
/// for one purpose, to be encrypted (`vault`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Wraps a value that no log may show.
    pub fn new(value: T) -> Personal<T> {
        Personal(value)
    }

    /// Returns the value itself.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value itself.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let name = Personal::new("Siti");

        assert_eq!(format!("{name:?}"), "[personal]");
        assert_eq!(*name.expose(), "Siti");
    }
}
