//! Persons: what somebody says of themselves, and the states of its verification.
//!
//! PENDING → VERIFIED | MISMATCHED; MISMATCHED → PENDING by a corrected submission. Only an answer of the registry
//! leaves PENDING: its absence never does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{
    facts::{DeclaredFacts, RegistryFacts},
    national_id::{HouseholdId, NationalId},
    personal::Personal,
};

const FULL_NAME_CHARS_MAX: usize = 150;

/// Nobody alive was born before.
const BIRTH_YEAR_MIN: i32 = 1900;

/// The first delay after an attempt without an answer, and the longest one.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// What a person says of themselves and the registry is asked about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submission {
    /// The national id.
    pub national_id: NationalId,
    /// The household id, where the country has households.
    pub household_id: Option<HouseholdId>,
    /// The name as in the registry.
    pub full_name: FullName,
    /// The date of birth.
    pub birth_date: Personal<Date>,
}

/// A submission that is to be stored.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// Whose it is.
    pub account_id: Uuid,
    /// What the registry is asked about.
    pub submission: Submission,
    /// What the registry does not know.
    pub declared: Option<DeclaredFacts>,
}

/// A person's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FullName(Personal<String>);

impl FullName {
    /// Takes a name, without blanks around it; `None` when it has no letter, is too long or holds control characters.
    pub fn parse(text: &str) -> Option<FullName> {
        let text = text.trim();
        let is_name = text.chars().count() <= FULL_NAME_CHARS_MAX
            && text.chars().any(char::is_alphabetic)
            && !text.chars().any(char::is_control);
        is_name.then(|| FullName(Personal::new(text.to_owned())))
    }

    /// Returns the name itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Says whether somebody who lives today may have been born on that date.
pub fn is_possible_birth_date(birth_date: Date, today: Date) -> bool {
    birth_date.year() >= BIRTH_YEAR_MIN && birth_date <= today
}

/// The states of a person's verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonState {
    /// Waits for the registry.
    Pending,
    /// The registry has confirmed everything.
    Verified,
    /// The registry contradicts a field.
    Mismatched,
}

/// Where a person's verification stands.
#[derive(Clone, Debug)]
pub struct Person {
    /// Whose.
    pub account_id: Uuid,
    /// The state.
    pub state: PersonState,
    /// The contradicted fields.
    pub mismatch_fields: Vec<String>,
    /// When it was last submitted.
    pub submit_time: OffsetDateTime,
    /// When the registry answered.
    pub verify_time: Option<OffsetDateTime>,
}

/// Why an identity cannot be submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefusal {
    /// The person is verified.
    #[error("the person is verified already")]
    AlreadyVerified,
    /// The registry is being asked about an earlier submission.
    #[error("the registry is being asked about an earlier submission")]
    Pending,
    /// Another account holds the national id.
    #[error("another account holds the national id")]
    NationalIdTaken,
}

/// Decides whether a person in this state may submit; `None` for an account that never did.
///
/// # Errors
/// When the registry has confirmed the person, or is being asked.
pub fn may_submit(state: Option<PersonState>) -> Result<(), SubmitRefusal> {
    match state {
        None | Some(PersonState::Mismatched) => Ok(()),
        Some(PersonState::Verified) => Err(SubmitRefusal::AlreadyVerified),
        Some(PersonState::Pending) => Err(SubmitRefusal::Pending),
    }
}

/// A field that the registry may contradict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MismatchField {
    /// Also when the registry knows no such person.
    NationalId,
    /// The household id.
    HouseholdId,
    /// The name.
    FullName,
    /// The date of birth.
    BirthDate,
}

impl MismatchField {
    /// Reads the field's name.
    pub fn parse(name: &str) -> Option<MismatchField> {
        [
            MismatchField::NationalId,
            MismatchField::HouseholdId,
            MismatchField::FullName,
            MismatchField::BirthDate,
        ]
        .into_iter()
        .find(|field| field.name() == name)
    }

    /// Returns the field's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            MismatchField::NationalId => "national_id",
            MismatchField::HouseholdId => "household_id",
            MismatchField::FullName => "full_name",
            MismatchField::BirthDate => "birth_date",
        }
    }
}

/// What the registry says about a submission.
#[derive(Clone, Debug)]
pub enum RegistryAnswer {
    /// Everything is right.
    Match {
        /// What it knows of the person.
        facts: RegistryFacts,
        /// The household that the person belongs to now.
        household_id: Option<HouseholdId>,
    },
    /// At least one field is wrong.
    Mismatch(Vec<MismatchField>),
}

/// Returns how long to wait before the registry is asked again, after so many attempts without an answer: twice as long
/// each time. `jitter` spreads persons whose attempts failed together over the second half of the delay.
pub fn retry_delay(attempt_count: u32, jitter: u8) -> Duration {
    let doubled = RETRY_DELAY_MIN.saturating_mul(1 << attempt_count.saturating_sub(1).min(16));
    let half = doubled.min(RETRY_DELAY_MAX) / 2;
    half + half * u32::from(jitter) / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn a_name_has_a_letter_and_an_end() {
        assert_eq!(FullName::parse("  Sukarno ").unwrap().expose(), "Sukarno");
        assert!(FullName::parse("阿明").is_some());
        for text in [
            "",
            "  ",
            "123",
            "-",
            "Si\u{0}ti",
            "Si\nti",
            &"a".repeat(151),
        ] {
            assert!(FullName::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_birth_date_is_in_a_life() {
        let today = date!(2026 - 11 - 24);

        assert!(is_possible_birth_date(today, today));
        assert!(!is_possible_birth_date(date!(2026 - 11 - 25), today));
        assert!(!is_possible_birth_date(date!(1899 - 12 - 31), today));
    }

    #[test]
    fn only_a_contradicted_person_submits_again() {
        assert_eq!(may_submit(None), Ok(()));
        assert_eq!(may_submit(Some(PersonState::Mismatched)), Ok(()));
        assert_eq!(
            may_submit(Some(PersonState::Pending)),
            Err(SubmitRefusal::Pending)
        );
        assert_eq!(
            may_submit(Some(PersonState::Verified)),
            Err(SubmitRefusal::AlreadyVerified)
        );
    }

    #[test]
    fn the_delay_grows_up_to_a_minute() {
        let longest: Vec<u64> = [1, 2, 3, 7, 8, 40]
            .map(|count| retry_delay(count, u8::MAX).as_secs())
            .into();

        assert_eq!(longest, [1, 2, 4, 60, 60, 60]);
        assert_eq!(retry_delay(3, 0), Duration::from_secs(2));
    }

    #[test]
    fn fields_have_the_names_of_the_contract() {
        for name in ["national_id", "household_id", "full_name", "birth_date"] {
            assert_eq!(MismatchField::parse(name).unwrap().name(), name);
        }
        assert_eq!(MismatchField::parse("mother"), None);
    }
}
