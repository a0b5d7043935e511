//! Texts that people type: put on one line, bounded, and folded for comparison.

use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// It is empty or holds only blanks.
    #[error("is empty")]
    Empty,
    /// It has fewer characters than asked for.
    #[error("is shorter than {0} characters")]
    TooShort(usize),
    /// It has more characters than allowed.
    #[error("is {bytes} bytes long; at most {chars_max} characters are expected")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// What is allowed.
        chars_max: usize,
    },
    /// It holds control characters.
    #[error("holds control characters")]
    Control,
}

/// Puts a text on one line, runs of blanks becoming one, and checks its length in characters.
///
/// # Errors
/// When it is empty, too short, too long, or holds control characters.
pub fn one_line(value: &str, chars: RangeInclusive<usize>) -> Result<String, TextFault> {
    let (chars_min, chars_max) = (*chars.start(), *chars.end());
    let value = value.trim();
    if value.is_empty() {
        return Err(TextFault::Empty);
    }
    // Bytes first: nobody needs the characters of a huge value counted.
    if value.len() > 4 * chars_max {
        return Err(TextFault::TooLong {
            bytes: value.len(),
            chars_max,
        });
    }
    if value.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(TextFault::Control);
    }
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let count = line.chars().count();
    if count > chars_max {
        return Err(TextFault::TooLong {
            bytes: value.len(),
            chars_max,
        });
    }
    if count < chars_min {
        return Err(TextFault::TooShort(chars_min));
    }
    Ok(line)
}

/// Returns the form in which two spellings of one name are equal: compatible characters unified, lower case, single
/// blanks.
pub fn fold(text: &str) -> String {
    let unified: String = text.nfkc().collect::<String>().to_lowercase();
    unified.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_put_on_one_line() {
        assert_eq!(
            one_line("  Bisnis \t Katering\n", 3..=20),
            Ok("Bisnis Katering".to_owned())
        );
    }

    #[test]
    fn a_text_out_of_its_limits_is_refused() {
        let huge = "x".repeat(2_000_000);
        let too_long = |bytes| TextFault::TooLong {
            bytes,
            chars_max: 4,
        };
        for (value, expected) in [
            ("", TextFault::Empty),
            (" \u{a0} ", TextFault::Empty),
            ("ab", TextFault::TooShort(3)),
            ("abcde", too_long(5)),
            ("a\0b", TextFault::Control),
            (huge.as_str(), too_long(2_000_000)),
        ] {
            assert_eq!(one_line(value, 3..=4), Err(expected));
        }
        assert_eq!(one_line("éééé", 3..=4), Ok("éééé".to_owned()));
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        let folded = fold("Ruang Kursus");
        for spelling in [
            "ruang kursus",
            "RUANG  KURSUS",
            " Ruang\u{a0}Kursus ",
            "Ｒuang Kursus",
        ] {
            assert_eq!(fold(spelling), folded, "{spelling}");
        }
        assert_ne!(fold("Ruang Kursus 2"), folded);
    }
}
