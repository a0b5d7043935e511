//! Settings: the environment turned into typed values, every mistake collected before the process gives up.
//!
//! A value whose name says that it is secret is never shown, not even in a mistake.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::{self, Display},
    ops::RangeInclusive,
    str::FromStr,
};

mod process;

pub use process::ProcessConfig;

/// The exit code of a process whose configuration is wrong (`EX_USAGE`).
pub const EXIT_CODE_BAD_CONFIG: u8 = 64;

/// The settings as they were given, and what was wrong with those read so far.
#[derive(Debug)]
pub struct Env {
    values: BTreeMap<String, String>,
    mistakes: Vec<String>,
}

impl Env {
    /// Takes the environment of this process.
    pub fn from_process() -> Env {
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Env::from_pairs(std::env::vars_os().filter_map(readable))
    }

    /// Takes the given settings, for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Env {
        // An empty value is an absent one: templates of deployments leave such behind.
        let values = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Env {
            values,
            mistakes: Vec::new(),
        }
    }

    /// Reads a setting that must be there.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        if !self.values.contains_key(name) {
            self.reject(name, "missing");
            return None;
        }
        self.optional(name)
    }

    /// Reads a setting that may be absent.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.values.get(name)?;
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(_) if is_secret(name) => {
                self.reject(name, "not valid (the value is not shown)");
                None
            }
            Err(why) => {
                let text = format!("`{value}` is not valid: {why}");
                self.reject(name, &text);
                None
            }
        }
    }

    /// Reads a setting that has a default.
    pub fn or<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> T {
        self.optional(name).unwrap_or(default)
    }

    /// Reads a number that has a default and limits.
    pub fn within<T>(&mut self, name: &str, default: T, limits: RangeInclusive<T>) -> T
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        match self.optional(name) {
            None => default,
            Some(value) if limits.contains(&value) => value,
            Some(value) => {
                let text = format!(
                    "{value} is not within {} and {}",
                    limits.start(),
                    limits.end()
                );
                self.reject(name, &text);
                default
            }
        }
    }

    /// Records a mistake that the reader of the settings found itself.
    pub fn reject(&mut self, name: &str, why: &str) {
        self.mistakes.push(format!("{name}: {why}"));
    }

    /// Gives what was built, or all mistakes.
    ///
    /// # Errors
    /// When any setting was wrong, also one that `build` does not depend on.
    pub fn finish<T>(self, build: Option<T>) -> Result<T, Mistakes> {
        match build {
            Some(config) if self.mistakes.is_empty() => Ok(config),
            Some(_) | None => Err(Mistakes(self.mistakes)),
        }
    }
}

fn is_secret(name: &str) -> bool {
    ["_SECRET", "_KEY", "_PASSWORD", "_URL"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// Everything that is wrong with the settings; shown one mistake a line.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl Mistakes {
    /// Returns the mistakes, each as `NAME: what is wrong`.
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Error for Mistakes {}

/// A setting that no log may show.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that no log may show.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(Secret::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once() {
        let mut env = Env::from_pairs([("A_SIZE", "many"), ("A_COUNT", "0"), ("A_EMPTY", "")]);

        let size: Option<u32> = env.required("A_SIZE");
        let count = env.within("A_COUNT", 5, 1..=9);
        let empty: Option<String> = env.required("A_EMPTY");
        let absent: Option<String> = env.required("A_NAME");
        let mistakes = env
            .finish(size.zip(empty).zip(absent).map(|_| count))
            .unwrap_err();

        assert_eq!(
            mistakes.to_string(),
            "A_SIZE: `many` is not valid: invalid digit found in string\n\
             A_COUNT: 0 is not within 1 and 9\n\
             A_EMPTY: missing\n\
             A_NAME: missing"
        );
    }

    #[test]
    fn a_mistake_beside_a_complete_config_still_counts() {
        let mut env = Env::from_pairs([("A_SIZE", "many")]);

        let size = env.or("A_SIZE", 3);

        assert!(env.finish(Some(size)).is_err());
    }

    #[test]
    fn no_secret_is_shown() {
        let mut env = Env::from_pairs([("A_SECRET", "open sesame"), ("A_KEY", "hunter2")]);

        let secret: Secret = env.required("A_SECRET").unwrap();
        let key: Option<u32> = env.required("A_KEY");
        let mistakes = env.finish(key).unwrap_err();

        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(
            mistakes.lines(),
            ["A_KEY: not valid (the value is not shown)"]
        );
    }
}
