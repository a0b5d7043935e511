//! The shapes of national ids and household ids. A country is a value of [`IdFormat`], not code.
//!
//! Only the shape is checked. Whether the number is somebody's, and whose, is for the registry to say: in Indonesia the
//! number stays the same when a birth date is corrected or a person moves.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::personal::Personal;

/// How a country writes its ids.
#[derive(Clone, Debug)]
pub struct IdFormat {
    /// How many digits a national id has.
    pub national_id_digits: usize,
    /// The date of birth inside the national id, if there is one.
    pub birth_date: Option<BirthDateDigits>,
    /// Digits of the national id that are not all zero.
    pub serial: Option<Range<usize>>,
    /// How many digits a household id has; `None` where there are no households.
    pub household_id_digits: Option<usize>,
}

/// Where a national id holds day and month of birth, two digits each.
#[derive(Clone, Debug)]
pub struct BirthDateDigits {
    /// The digits of the day.
    pub day: Range<usize>,
    /// The digits of the month.
    pub month: Range<usize>,
    /// What is added to the day of women; 0 where nothing is.
    pub female_day_offset: u32,
}

impl IdFormat {
    /// Indonesia: NIK `PPKKCC DDMMYY SSSS`, the day + 40 for women, the serial from 0001; KK 16 digits.
    pub const INDONESIA: IdFormat = IdFormat {
        national_id_digits: 16,
        birth_date: Some(BirthDateDigits {
            day: 6..8,
            month: 8..10,
            female_day_offset: 40,
        }),
        serial: Some(12..16),
        household_id_digits: Some(16),
    };

    /// Reads a national id, or tells what is wrong with its shape.
    ///
    /// # Errors
    /// A text for the person, without any digit of the id.
    pub fn national_id(&self, text: &str) -> Result<NationalId, String> {
        if !is_digits(text, self.national_id_digits) {
            return Err(format!("is not {} digits", self.national_id_digits));
        }
        if let Some(digits) = &self.birth_date
            && !digits.is_possible(text)
        {
            return Err("holds no possible day and month of birth".to_owned());
        }
        if let Some(serial) = &self.serial
            && number(text, serial) == 0
        {
            return Err("has the serial number zero".to_owned());
        }
        Ok(NationalId(Personal::new(text.to_owned())))
    }

    /// Reads a household id; empty where the country has none.
    ///
    /// # Errors
    /// A text for the person, without any digit of the id.
    pub fn household_id(&self, text: &str) -> Result<Option<HouseholdId>, String> {
        match self.household_id_digits {
            Some(count) if is_digits(text, count) => {
                Ok(Some(HouseholdId(Personal::new(text.to_owned()))))
            }
            Some(count) => Err(format!("is not {count} digits")),
            None if text.is_empty() => Ok(None),
            None => Err("is not known in this country".to_owned()),
        }
    }
}

impl BirthDateDigits {
    fn is_possible(&self, text: &str) -> bool {
        let day = number(text, &self.day);
        let month = number(text, &self.month);
        // The year has two digits and does not tell its century, so that 29 February is always possible.
        let days = match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return false,
        };
        (1..=days).contains(&day) || (1..=days).contains(&day.wrapping_sub(self.female_day_offset))
    }
}

fn is_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
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
            assert!(IdFormat::INDONESIA.national_id(text).is_ok(), "{text}");
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
            let refused = IdFormat::INDONESIA.national_id(text).unwrap_err();

            assert_eq!(refused, why, "{text}");
        }
    }

    #[test]
    fn a_household_id_is_16_digits() {
        let format = IdFormat::INDONESIA;

        assert!(format.household_id("3204010101900001").unwrap().is_some());
        assert!(format.household_id("").is_err());
        assert!(format.household_id("320401010190000A").is_err());
    }

    #[test]
    fn another_country_is_another_value() {
        let format = IdFormat {
            national_id_digits: 10,
            birth_date: None,
            serial: None,
            household_id_digits: None,
        };

        assert!(format.national_id("0000000000").is_ok());
        assert_eq!(format.household_id("").unwrap(), None);
        assert!(format.household_id("1").is_err());
    }
}
