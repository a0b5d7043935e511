//! Exclusion lists: people whom rules may exclude, as another office keeps them. A list becomes a fact about a person.

use time::{Date, OffsetDateTime};

use super::facts::{Fact, FactSource, FactValue};

const ID_CHARS_MAX: usize = 40;

/// The longest text of a list.
const TEXT_CHARS_MAX: usize = 200;

/// The id of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExclusionListId(String);

/// A list that is to be created.
#[derive(Clone, Debug)]
pub struct NewExclusionList {
    /// Its id.
    pub id: ExclusionListId,
    /// What it is called.
    pub display_name: String,
    /// Who keeps it.
    pub source: String,
}

/// A list.
#[derive(Clone, Debug)]
pub struct ExclusionList {
    /// Its id.
    pub id: ExclusionListId,
    /// What it is called.
    pub display_name: String,
    /// Who keeps it.
    pub source: String,
    /// The date of the newest snapshot.
    pub snapshot_date: Option<Date>,
    /// When that took effect.
    pub import_time: Option<OffsetDateTime>,
    /// How many ids are on it.
    pub entry_count: i64,
    /// When it was created.
    pub create_time: OffsetDateTime,
}

/// Whether a list names a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The list.
    pub list_id: ExclusionListId,
    /// When its newest snapshot took effect.
    pub import_time: Option<OffsetDateTime>,
    /// Whether it names the person.
    pub is_listed: bool,
}

impl ExclusionListId {
    /// Takes an id: words of lower case letters and digits between single hyphens, the first one with a letter first.
    pub fn parse(id: &str) -> Option<ExclusionListId> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let is_id = id.len() <= ID_CHARS_MAX
            && id.starts_with(|first: char| first.is_ascii_lowercase())
            && id.split('-').all(is_word);
        is_id.then(|| ExclusionListId(id.to_owned()))
    }

    /// Returns the id itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Says whether a list may be called or kept so.
pub fn is_list_text(text: &str) -> bool {
    (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

impl Listing {
    /// Says it as a fact. No two lists have one name, since an id has no underscore.
    pub fn fact(&self) -> Fact {
        Fact {
            name: format!("listed_{}", self.list_id.0.replace('-', "_")).into(),
            value: FactValue::Bool(self.is_listed),
            source: FactSource::ExclusionList,
            observe_time: self.import_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_makes_the_name_of_a_fact() {
        let listing = Listing {
            list_id: ExclusionListId::parse("other-aid-2026").unwrap(),
            import_time: None,
            is_listed: true,
        };

        let fact = listing.fact();

        assert_eq!(fact.name, "listed_other_aid_2026");
        assert_eq!(fact.value, FactValue::Bool(true));
    }

    #[test]
    fn an_id_is_of_words_and_single_hyphens() {
        assert!(ExclusionListId::parse("a").is_some());
        assert!(ExclusionListId::parse(&"a".repeat(40)).is_some());
        for id in [
            "",
            "Students",
            "1st",
            "-a",
            "a-",
            "a--b",
            "a_b",
            "a.b",
            "é",
            &"a".repeat(41),
        ] {
            assert!(ExclusionListId::parse(id).is_none(), "{id}");
        }
    }

    #[test]
    fn a_text_is_one_line_of_some_length() {
        assert!(is_list_text("Aparatur Sipil Negara"));
        for text in ["", "a\nb", &"a".repeat(201)] {
            assert!(!is_list_text(text), "{text:?}");
        }
    }
}
