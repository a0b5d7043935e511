//! What an account is looking for.

use super::region::RegionCode;

/// The most keywords, and the most regions.
pub const COUNT_MAX: usize = 20;
const KEYWORD_CHARS_MIN: usize = 2;
const KEYWORD_CHARS_MAX: usize = 60;

/// Words for the work sought, and the regions sought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interests {
    /// As the person wrote them, without repeats.
    pub keywords: Vec<String>,
    /// Codes; a region stands for all below it.
    pub regions: Vec<RegionCode>,
}

/// Reads a keyword: blanks are tidied.
///
/// # Errors
/// What is wrong with it.
pub fn keyword(text: &str) -> Result<String, &'static str> {
    if text.len() > 4 * KEYWORD_CHARS_MAX {
        return Err("is not 2 to 60 characters long");
    }
    let tidy = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !(KEYWORD_CHARS_MIN..=KEYWORD_CHARS_MAX).contains(&tidy.chars().count()) {
        return Err("is not 2 to 60 characters long");
    }
    if tidy.chars().any(char::is_control) {
        return Err("holds control characters");
    }
    Ok(tidy)
}

impl Interests {
    /// Adds a keyword, unless it is there already in other letters.
    pub fn add_keyword(&mut self, keyword: String) {
        let folded = keyword.to_lowercase();
        if self
            .keywords
            .iter()
            .all(|known| known.to_lowercase() != folded)
        {
            self.keywords.push(keyword);
        }
    }

    /// Adds a region, unless it is there already.
    pub fn add_region(&mut self, region: RegionCode) {
        if !self.regions.contains(&region) {
            self.regions.push(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_tidied_and_bounded() {
        assert_eq!(keyword("  staf   gudang "), Ok("staf gudang".to_owned()));
        assert_eq!(keyword("IT"), Ok("IT".to_owned()));
        for text in ["", "a", &"x".repeat(61), &"x".repeat(1_000_000), "a\0b"] {
            assert!(keyword(text).is_err());
        }
    }

    #[test]
    fn repeats_are_dropped() {
        let mut interests = Interests::default();

        interests.add_keyword("Web".to_owned());
        interests.add_keyword("web".to_owned());

        assert_eq!(interests.keywords, ["Web"]);
    }
}
