//! The shapes of national ids and household ids, one country an arm.
//!
//! Only the shape is checked. Whether the number is somebody's, and whose, is for the registry to say: in Indonesia the
//! number stays the same when a birth date is corrected or a person moves.

use std::{ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use super::personal::Personal;

/// How a country writes its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFormat {
    /// The NIK, 16 digits `PPKKCC DDMMYY SSSS` (the day of birth + 40 for women, the serial from 0001) without a check
    /// digit; the household's KK, 16 digits.
    Indonesia,
    /// The NIF, 9 digits, the last one a check digit; no households.
    Portugal,
}

/// The digits of a NIK, and what is added to the day of women.
const NIK_DIGITS: usize = 16;
const NIK_DAY: Range<usize> = 6..8;
const NIK_MONTH: Range<usize> = 8..10;
const NIK_SERIAL: Range<usize> = 12..16;
const NIK_FEMALE_DAY_OFFSET: u32 = 40;

const KK_DIGITS: usize = 16;

const NIF_DIGITS: usize = 9;
/// What a NIF begins with: 4 alone is not given out, 45 is for who lives abroad.
const NIF_PREFIXES: [&str; 8] = ["1", "2", "3", "45", "5", "6", "8", "9"];

/// Not a country whose ids are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither ID nor PT")]
pub struct UnknownCountry;

impl FromStr for IdFormat {
    type Err = UnknownCountry;

    /// Reads a country's code, ISO 3166 alpha-2.
    fn from_str(country: &str) -> Result<IdFormat, UnknownCountry> {
        match country {
            "ID" => Ok(IdFormat::Indonesia),
            "PT" => Ok(IdFormat::Portugal),
            _ => Err(UnknownCountry),
        }
    }
}

impl IdFormat {
    /// Reads a national id, or tells what is wrong with its shape.
    ///
    /// # Errors
    /// A text for the person, without any digit of the id.
    pub fn national_id(self, text: &str) -> Result<NationalId, String> {
        match self {
            IdFormat::Indonesia => check_nik(text)?,
            IdFormat::Portugal => check_nif(text)?,
        }
        Ok(NationalId(Personal::new(text.to_owned())))
    }

    /// Reads a household id; empty where the country has none.
    ///
    /// # Errors
    /// A text for the person, without any digit of the id.
    pub fn household_id(self, text: &str) -> Result<Option<HouseholdId>, String> {
        match self {
            IdFormat::Indonesia => {
                check_digits(text, KK_DIGITS)?;
                Ok(Some(HouseholdId(Personal::new(text.to_owned()))))
            }
            IdFormat::Portugal if text.is_empty() => Ok(None),
            IdFormat::Portugal => Err("is not known in this country".to_owned()),
        }
    }
}

fn check_nik(text: &str) -> Result<(), String> {
    check_digits(text, NIK_DIGITS)?;
    let (day, month) = (number(text, &NIK_DAY), number(text, &NIK_MONTH));
    // The year has two digits and does not tell its century, so that 29 February is always possible.
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let is_possible =
        (1..=days).contains(&day) || (1..=days).contains(&day.wrapping_sub(NIK_FEMALE_DAY_OFFSET));
    if !is_possible {
        return Err("holds no possible day and month of birth".to_owned());
    }
    if number(text, &NIK_SERIAL) == 0 {
        return Err("has the serial number zero".to_owned());
    }
    Ok(())
}

fn check_nif(text: &str) -> Result<(), String> {
    check_digits(text, NIF_DIGITS)?;
    if !NIF_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return Err("begins as no number does".to_owned());
    }
    // The first digit counts 9 times, the next 8 times, the one before the check digit twice.
    let sum: u32 = (2..=9)
        .rev()
        .zip(text.bytes())
        .map(|(weight, digit)| weight * u32::from(digit - b'0'))
        .sum();
    let check_digit = match 11 - sum % 11 {
        10 | 11 => 0,
        digit => digit,
    };
    if number(text, &(NIF_DIGITS - 1..NIF_DIGITS)) != check_digit {
        return Err("has another check digit".to_owned());
    }
    Ok(())
}

fn check_digits(text: &str, count: usize) -> Result<(), String> {
    if text.len() == count && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(())
    } else {
        Err(format!("is not {count} digits"))
    }
}

fn number(digits: &str, range: &Range<usize>) -> u32 {
    digits.as_bytes()[range.clone()]
        .iter()
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

/// A national id of the right shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NationalId(Personal<String>);

impl NationalId {
    /// Returns the digits.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A household id of the right shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HouseholdId(Personal<String>);

impl HouseholdId {
    /// Returns the digits.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_possible_national_id_is_taken() {
        for text in [
            "3204010101900001",
            // A woman born on the 31st, and on the 1st.
            "3204017112900001",
            "3204014101900001",
            // 29 February of an unknown century.
            "3204012902010001",
            "3204016902010001",
            // An area that does not exist: the registry decides.
            "0000000101900001",
        ] {
            assert!(IdFormat::Indonesia.national_id(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_impossible_national_id_is_refused() {
        for (text, why) in [
            ("", "is not 16 digits"),
            ("320401010190001", "is not 16 digits"),
            ("32040101019000011", "is not 16 digits"),
            ("320401010190000x", "is not 16 digits"),
            ("٣204010101900001", "is not 16 digits"),
            (
                "3204010001900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204013201900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204014001900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204017201900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204010100900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204010113900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204013002900001",
                "holds no possible day and month of birth",
            ),
            (
                "3204017104900001",
                "holds no possible day and month of birth",
            ),
            ("3204010101900000", "has the serial number zero"),
        ] {
            let refused = IdFormat::Indonesia.national_id(text).unwrap_err();

            assert_eq!(refused, why, "{text}");
        }
    }

    #[test]
    fn a_household_id_is_16_digits() {
        let format = IdFormat::Indonesia;

        assert!(format.household_id("3204010101900001").unwrap().is_some());
        assert!(format.household_id("").is_err());
        assert!(format.household_id("320401010190000A").is_err());
    }

    #[test]
    fn a_nif_has_a_check_digit() {
        for text in [
            "123456789",
            "210000007",
            "300000014",
            "450000001",
            "500000000",
            "600000001",
            "800000005",
            "999999990",
            // The remainders 1 and 0, whose check digit is 0.
            "200000080",
            "200000020",
        ] {
            assert!(IdFormat::Portugal.national_id(text).is_ok(), "{text}");
        }
        for (text, why) in [
            ("", "is not 9 digits"),
            ("12345678", "is not 9 digits"),
            ("1234567890", "is not 9 digits"),
            ("12345678x", "is not 9 digits"),
            ("3204010101900001", "is not 9 digits"),
            ("023456787", "begins as no number does"),
            ("400000008", "begins as no number does"),
            ("700000003", "begins as no number does"),
            ("123456788", "has another check digit"),
            // Two digits changed their places.
            ("213456789", "has another check digit"),
        ] {
            let refused = IdFormat::Portugal.national_id(text).unwrap_err();

            assert_eq!(refused, why, "{text}");
        }
    }

    #[test]
    fn where_there_are_no_households_none_can_be_given() {
        assert_eq!(IdFormat::Portugal.household_id("").unwrap(), None);
        assert!(IdFormat::Portugal.household_id("3204010101900001").is_err());
    }

    #[test]
    fn a_country_is_named_by_its_code() {
        assert_eq!("ID".parse(), Ok(IdFormat::Indonesia));
        assert_eq!("PT".parse(), Ok(IdFormat::Portugal));
        for text in ["", "pt", "BR"] {
            assert_eq!(text.parse::<IdFormat>(), Err(UnknownCountry), "{text}");
        }
    }
}
