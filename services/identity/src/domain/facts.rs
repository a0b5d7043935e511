//! What other services may know of a person: typed facts, each with who says so and since when.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};

use super::personal::Personal;

/// What the registry knows of a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RegistryFacts {
    /// The date of birth, which leaves as an age alone.
    pub birth_date: Personal<Date>,
    /// Female or male.
    pub sex: Sex,
    /// ISO 3166 alpha-2.
    pub citizenship: String,
    /// The registry's code of the occupation.
    pub occupation: String,
    /// The official code of the region of residence, a dotted path.
    pub region: String,
    /// Whether the registry knows of the person's death.
    pub deceased: bool,
}

/// The sex that the registry has entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// `FEMALE`.
    #[serde(rename = "FEMALE")]
    Female,
    /// `MALE`.
    #[serde(rename = "MALE")]
    Male,
}

/// What the registry does not know and the person declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredFacts {
    /// The highest finished education.
    pub education: Option<Education>,
    /// Lives with a disability.
    pub disability: bool,
    /// Lives in a rural area.
    pub rural: bool,
}

/// The highest finished education.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Education {
    /// None.
    None,
    /// Primary school.
    Primary,
    /// Junior secondary school.
    JuniorSecondary,
    /// Senior secondary school.
    SeniorSecondary,
    /// A diploma.
    Diploma,
    /// A bachelor's degree.
    Bachelor,
    /// A degree above.
    Postgraduate,
}

impl Education {
    /// Every value, in ascending order.
    pub const ALL: [Education; 7] = [
        Education::None,
        Education::Primary,
        Education::JuniorSecondary,
        Education::SeniorSecondary,
        Education::Diploma,
        Education::Bachelor,
        Education::Postgraduate,
    ];

    /// Reads the code of the contract.
    pub fn parse(code: &str) -> Option<Education> {
        Education::ALL
            .into_iter()
            .find(|education| education.code() == code)
    }

    /// Returns the code of the contract.
    pub fn code(self) -> &'static str {
        match self {
            Education::None => "NONE",
            Education::Primary => "PRIMARY",
            Education::JuniorSecondary => "JUNIOR_SECONDARY",
            Education::SeniorSecondary => "SENIOR_SECONDARY",
            Education::Diploma => "DIPLOMA",
            Education::Bachelor => "BACHELOR",
            Education::Postgraduate => "POSTGRADUATE",
        }
    }
}

/// All that is known of a person, as it is encrypted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KnownFacts {
    /// From the registry; `None` until it has confirmed the person.
    pub registry: Option<RegistryFacts>,
    /// From the person.
    pub declared: Option<DeclaredFacts>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name, by which rules refer to it.
    pub name: Cow<'static, str>,
    /// Its value.
    pub value: FactValue,
    /// Who says so.
    pub source: FactSource,
    /// When it was learned; `None` for an exclusion list that never had a snapshot.
    pub observe_time: Option<OffsetDateTime>,
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactValue {
    /// A yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text or a code.
    Text(String),
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactSource {
    /// The registry.
    Registry,
    /// The person.
    Declared,
    /// An exclusion list.
    ExclusionList,
}

impl KnownFacts {
    /// Lists the facts by name, with the age on the given date. `verify_time` is when the registry answered,
    /// `submit_time` when the person declared.
    pub fn on_date(
        &self,
        as_of_date: Date,
        verify_time: Option<OffsetDateTime>,
        submit_time: OffsetDateTime,
    ) -> Vec<Fact> {
        let mut facts = Vec::with_capacity(8);
        if let (Some(known), Some(observe_time)) = (&self.registry, verify_time) {
            let age = age_years(*known.birth_date.expose(), as_of_date);
            let sex = match known.sex {
                Sex::Female => "FEMALE",
                Sex::Male => "MALE",
            };
            facts.extend(
                [
                    ("age_years", FactValue::Int(age)),
                    ("citizenship", FactValue::Text(known.citizenship.clone())),
                    ("deceased", FactValue::Bool(known.deceased)),
                    ("occupation", FactValue::Text(known.occupation.clone())),
                    ("sex", FactValue::Text(sex.to_owned())),
                ]
                .map(|(name, value)| Fact {
                    name: name.into(),
                    value,
                    source: FactSource::Registry,
                    observe_time: Some(observe_time),
                }),
            );
        }
        if let Some(declared) = &self.declared {
            let education = declared
                .education
                .map(|education| ("education", FactValue::Text(education.code().to_owned())));
            let always = [
                ("disability", FactValue::Bool(declared.disability)),
                ("rural", FactValue::Bool(declared.rural)),
            ];
            facts.extend(
                always
                    .into_iter()
                    .chain(education)
                    .map(|(name, value)| Fact {
                        name: name.into(),
                        value,
                        source: FactSource::Declared,
                        observe_time: Some(submit_time),
                    }),
            );
        }
        facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        facts
    }
}

/// Returns the completed years of life on a date; 0 before the birth. Who was born on 29 February completes a year on
/// 1 March when the year has no such day.
pub fn age_years(birth_date: Date, as_of_date: Date) -> i64 {
    let birthday = (u8::from(birth_date.month()), birth_date.day());
    let day = (u8::from(as_of_date.month()), as_of_date.day());
    let years = i64::from(as_of_date.year()) - i64::from(birth_date.year());
    (years - i64::from(day < birthday)).max(0)
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    #[test]
    fn an_age_counts_completed_years() {
        for (birth, as_of, expected) in [
            (date!(2008 - 11 - 24), date!(2026 - 11 - 23), 17),
            (date!(2008 - 11 - 24), date!(2026 - 11 - 24), 18),
            (date!(2008 - 12 - 31), date!(2027 - 01 - 01), 18),
            (date!(2026 - 11 - 24), date!(2026 - 11 - 24), 0),
            (date!(2026 - 11 - 24), date!(2020 - 01 - 01), 0),
            // 29 February: 1 March in common years.
            (date!(2008 - 02 - 29), date!(2026 - 02 - 28), 17),
            (date!(2008 - 02 - 29), date!(2026 - 03 - 01), 18),
            (date!(2008 - 02 - 29), date!(2028 - 02 - 28), 19),
            (date!(2008 - 02 - 29), date!(2028 - 02 - 29), 20),
        ] {
            assert_eq!(age_years(birth, as_of), expected, "{birth} {as_of}");
        }
    }

    #[test]
    fn facts_stand_in_the_order_of_their_names() {
        let known = KnownFacts {
            registry: Some(RegistryFacts {
                birth_date: Personal::new(date!(1990 - 01 - 01)),
                sex: Sex::Female,
                citizenship: "ID".to_owned(),
                occupation: "STUDENT".to_owned(),
                region: "32.04".to_owned(),
                deceased: false,
            }),
            declared: Some(DeclaredFacts {
                education: Some(Education::Diploma),
                disability: false,
                rural: true,
            }),
        };
        let verified = datetime!(2026-11-02 08:00 UTC);
        let submitted = datetime!(2026-11-01 08:00 UTC);

        let facts = known.on_date(date!(2026 - 11 - 24), Some(verified), submitted);

        let names: Vec<&str> = facts.iter().map(|fact| fact.name.as_ref()).collect();
        assert_eq!(
            names,
            [
                "age_years",
                "citizenship",
                "deceased",
                "disability",
                "education",
                "occupation",
                "rural",
                "sex"
            ]
        );
        assert_eq!(facts[0].value, FactValue::Int(36));
        assert_eq!(
            (facts[0].source, facts[0].observe_time),
            (FactSource::Registry, Some(verified))
        );
        assert_eq!(
            (facts[4].source, facts[4].observe_time),
            (FactSource::Declared, Some(submitted))
        );
    }

    #[test]
    fn nothing_is_known_before_the_registry_has_answered() {
        let facts = KnownFacts::default().on_date(
            date!(2026 - 11 - 24),
            None,
            datetime!(2026-11-01 08:00 UTC),
        );

        assert!(facts.is_empty());
    }

    #[test]
    fn education_has_the_codes_of_the_contract() {
        for education in Education::ALL {
            assert_eq!(Education::parse(education.code()), Some(education));
        }
        assert_eq!(Education::parse("none"), None);
    }
}
