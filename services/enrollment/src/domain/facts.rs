//! What is known of a person, as rules see it: names and typed values.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// The fact that identity has verified the person; every scheme has it.
pub const VERIFIED: &str = "verified";
/// The fact that the person took part in the programme before; every scheme has it.
pub const ALREADY_RECIPIENT: &str = "already_recipient";
/// The region of residence as a dotted path; every scheme has it.
pub const REGION: &str = "region";

/// The facts that every scheme has, whatever its country.
pub const BUILT_IN: [(&str, FactKind); 3] = [
    (VERIFIED, FactKind::Bool),
    (ALREADY_RECIPIENT, FactKind::Bool),
    (REGION, FactKind::Text),
];

/// The type of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// A yes or no.
    Bool,
    /// A whole number.
    Int,
    /// A text or a code.
    Text,
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FactValue {
    /// A yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text or a code.
    Text(String),
}

/// The facts about one person, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(BTreeMap<String, FactValue>);

/// What identity tells of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// Whether the civil registry has confirmed the person.
    pub verified: bool,
    /// The region of residence as a dotted path of codes, such as `32.73`; may be empty.
    pub region: String,
    /// The household's pseudonym.
    pub household: Option<[u8; 16]>,
    /// The other facts.
    pub facts: Facts,
    /// The version of all of this; `None` when identity knows nothing.
    pub change_time: Option<OffsetDateTime>,
    /// The facts that tell of exclusion lists, with the time of the newest snapshot of each.
    pub list_snapshots: BTreeMap<String, OffsetDateTime>,
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FactKind::Bool => "bool",
            FactKind::Int => "int",
            FactKind::Text => "string",
        })
    }
}

impl FactValue {
    /// Returns the value's type.
    pub fn kind(&self) -> FactKind {
        match self {
            FactValue::Bool(_) => FactKind::Bool,
            FactValue::Int(_) => FactKind::Int,
            FactValue::Text(_) => FactKind::Text,
        }
    }
}

impl fmt::Display for FactValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FactValue::Bool(value) => write!(f, "{value}"),
            FactValue::Int(value) => write!(f, "{value}"),
            FactValue::Text(value) => f.write_str(value),
        }
    }
}

impl Facts {
    /// Adds a fact, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, value: FactValue) {
        self.0.insert(name.into(), value);
    }

    /// Returns a fact.
    pub fn get(&self, name: &str) -> Option<&FactValue> {
        self.0.get(name)
    }

    /// Returns the facts in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FactValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Keeps those that are declared with the type that they have; a fact of another type counts as missing.
    pub fn retain_declared(&mut self, kinds: &BTreeMap<String, FactKind>) {
        self.0
            .retain(|name, value| kinds.get(name) == Some(&value.kind()));
    }

    /// Returns the SHA-256 of the canonical facts: JSON with ascending names and no blanks.
    pub fn hash(&self) -> [u8; 32] {
        let canonical = serde_json::to_vec(&self.0).expect("facts are plain data");
        Sha256::digest(canonical).into()
    }
}

impl PersonFacts {
    /// A person of whom identity tells nothing.
    pub fn unknown() -> PersonFacts {
        PersonFacts {
            verified: false,
            region: String::new(),
            household: None,
            facts: Facts::default(),
            change_time: None,
            list_snapshots: BTreeMap::new(),
        }
    }

    /// Returns the facts that a scheme's rules are applied to, and no others: the person's, and the scheme's default for
    /// one that is missing.
    pub fn for_rules(
        &self,
        kinds: &BTreeMap<String, FactKind>,
        defaults: &Facts,
        already_recipient: bool,
    ) -> Facts {
        let mut known = self.facts.clone();
        known.insert(VERIFIED, FactValue::Bool(self.verified));
        known.insert(ALREADY_RECIPIENT, FactValue::Bool(already_recipient));
        known.insert(REGION, FactValue::Text(self.region.clone()));
        known.retain_declared(kinds);
        let mut facts = defaults.clone();
        facts.0.append(&mut known.0);
        facts
    }

    /// Returns the code of the region of the first level, such as `32`.
    pub fn first_level_region(&self) -> &str {
        first_level(&self.region)
    }

    /// Returns the sex as the public list of a draw shows it: 0 unknown, 1 female, 2 male.
    pub fn sex(&self) -> u8 {
        match self.facts.get("sex") {
            Some(FactValue::Text(sex)) if sex == "FEMALE" => 1,
            Some(FactValue::Text(sex)) if sex == "MALE" => 2,
            _ => 0,
        }
    }

    /// Returns the band of the age as the public list of a draw shows it: 0 unknown, 1 below 25, then ten years each,
    /// 6 from 65.
    pub fn age_band(&self) -> u8 {
        match self.facts.get("age_years") {
            Some(FactValue::Int(..=24)) => 1,
            Some(FactValue::Int(25..=34)) => 2,
            Some(FactValue::Int(35..=44)) => 3,
            Some(FactValue::Int(45..=54)) => 4,
            Some(FactValue::Int(55..=64)) => 5,
            Some(FactValue::Int(65..)) => 6,
            _ => 0,
        }
    }

    /// Returns the same code as the number that a draw works with; 0 when there is none.
    pub fn region_number(&self) -> u32 {
        self.first_level_region().parse().unwrap_or(0)
    }
}

/// Returns the first code of a dotted path.
pub fn first_level(region: &str) -> &str {
    region.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_of_another_type_counts_as_missing() {
        let kinds = BTreeMap::from([
            ("age_years".to_owned(), FactKind::Int),
            ("sex".to_owned(), FactKind::Text),
        ]);
        let mut facts = Facts::default();
        facts.insert("age_years", FactValue::Text("30".to_owned()));
        facts.insert("sex", FactValue::Text("FEMALE".to_owned()));
        facts.insert("shoe_size", FactValue::Int(40));

        facts.retain_declared(&kinds);

        assert_eq!(facts.get("age_years"), None);
        assert_eq!(facts.get("shoe_size"), None);
        assert!(facts.get("sex").is_some());
    }

    #[test]
    fn a_default_stands_for_a_missing_fact_alone() {
        let kinds = BTreeMap::from([
            ("listed_students".to_owned(), FactKind::Bool),
            ("listed_deceased".to_owned(), FactKind::Bool),
            ("deceased".to_owned(), FactKind::Bool),
        ]);
        let mut defaults = Facts::default();
        defaults.insert("listed_students", FactValue::Bool(false));
        defaults.insert("listed_deceased", FactValue::Bool(false));
        let mut person = PersonFacts::unknown();
        person
            .facts
            .insert("listed_students", FactValue::Bool(true));
        // Of another type: as if it were missing.
        person.facts.insert("listed_deceased", FactValue::Int(1));

        let facts = person.for_rules(&kinds, &defaults, false);

        let expected = [
            ("listed_deceased", &FactValue::Bool(false)),
            ("listed_students", &FactValue::Bool(true)),
        ];
        assert_eq!(facts.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_insertion() {
        let (mut a, mut b) = (Facts::default(), Facts::default());
        a.insert("x", FactValue::Int(1));
        a.insert("y", FactValue::Bool(true));
        b.insert("y", FactValue::Bool(true));
        b.insert("x", FactValue::Int(1));

        assert_eq!(a.hash(), b.hash());
    }

    #[test]
    fn the_first_level_of_a_region_is_a_number_or_none() {
        let at = |region: &str| PersonFacts {
            region: region.to_owned(),
            ..PersonFacts::unknown()
        };

        assert_eq!(at("32.73").region_number(), 32);
        assert_eq!(at("32").first_level_region(), "32");
        assert_eq!(at("").region_number(), 0);
        assert_eq!(at("north.1").region_number(), 0);
    }
}
