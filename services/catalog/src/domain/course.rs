//! Courses: what they are, and which are allowed.

use std::{fmt, str::FromStr};

use chassis::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::text::{self, TextFault};

const TITLE_CHARS_MIN: usize = 3;
const TITLE_CHARS_MAX: usize = 300;
const CATEGORY_CHARS_MAX: usize = 100;
const URI_CHARS_MAX: usize = 2000;

/// How a course is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Recorded, at one's own pace.
    SelfPaced,
    /// Live over the internet.
    Webinar,
    /// In one place.
    Offline,
    /// Partly live, partly in one place.
    Blended,
}

/// Whether a course can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CourseState {
    /// Not yet visible.
    Draft,
    /// Can have runs and be bought.
    Published,
    /// Can no longer be bought.
    Retired,
}

/// A word that is no mode or state of ours.
#[derive(Debug, thiserror::Error)]
#[error("no such word: {0}")]
pub struct UnknownWord(String);

impl UnknownWord {
    /// Names the word.
    pub fn new(word: &str) -> UnknownWord {
        UnknownWord(word.to_owned())
    }
}

/// A course's title, on one line; compared like a provider's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    text: String,
    folded: String,
}

/// What a buyer pays, and what the course costs outside the programme: never less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    price: Money,
    public_price: Money,
}

/// Why two amounts are no prices of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricesFault {
    /// A price is below zero.
    #[error("is below zero")]
    Negative,
    /// The currencies differ.
    #[error("is in another currency than public_price")]
    Currency,
    /// The programme would pay more than everybody else.
    #[error("is above public_price")]
    AbovePublic,
}

/// What a course says, whoever brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseContent {
    /// What it is called.
    pub title: Title,
    /// Its field.
    pub category: String,
    /// How it is held.
    pub mode: Mode,
    /// What it costs.
    pub prices: Prices,
    /// Its page at the provider; empty when it has none.
    pub uri: String,
}

/// A course that is to be created at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCourse {
    /// Its provider.
    pub provider_id: Uuid,
    /// What it says.
    pub content: CourseContent,
}

/// A course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// `courses/{id}`.
    pub id: Uuid,
    /// Its provider.
    pub provider_id: Uuid,
    /// What it says.
    pub content: CourseContent,
    /// Whether it can be bought.
    pub state: CourseState,
    /// How many ratings it has.
    pub rating_count: i64,
    /// The sum of the stars.
    pub rating_sum: i64,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When it last changed.
    pub update_time: OffsetDateTime,
}

/// A search for courses. Words that are empty find all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Words to find.
    pub words: String,
    /// Only this category.
    pub category: Option<String>,
    /// Only this mode.
    pub mode: Option<Mode>,
}

// === impl Mode ===

impl Mode {
    /// Returns the word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::SelfPaced => "SELF_PACED",
            Mode::Webinar => "WEBINAR",
            Mode::Offline => "OFFLINE",
            Mode::Blended => "BLENDED",
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Mode, UnknownWord> {
        match word {
            "SELF_PACED" => Ok(Mode::SelfPaced),
            "WEBINAR" => Ok(Mode::Webinar),
            "OFFLINE" => Ok(Mode::Offline),
            "BLENDED" => Ok(Mode::Blended),
            unknown => Err(UnknownWord::new(unknown)),
        }
    }
}

// === impl CourseState ===

impl CourseState {
    /// Returns the word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            CourseState::Draft => "DRAFT",
            CourseState::Published => "PUBLISHED",
            CourseState::Retired => "RETIRED",
        }
    }
}

impl fmt::Display for CourseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CourseState {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<CourseState, UnknownWord> {
        match word {
            "DRAFT" => Ok(CourseState::Draft),
            "PUBLISHED" => Ok(CourseState::Published),
            "RETIRED" => Ok(CourseState::Retired),
            unknown => Err(UnknownWord::new(unknown)),
        }
    }
}

// === impl Title ===

impl Title {
    /// Reads a title.
    ///
    /// # Errors
    /// When it is not 3 to 300 characters, or holds control characters.
    pub fn parse(value: &str) -> Result<Title, TextFault> {
        let text = text::one_line(value, TITLE_CHARS_MIN..=TITLE_CHARS_MAX)?;
        let folded = text::fold(&text);
        Ok(Title { text, folded })
    }

    /// Makes a title from what was stored.
    pub fn from_stored(text: String, folded: String) -> Title {
        Title { text, folded }
    }

    /// Returns the title as it is shown.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the title as it is compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

// === impl Prices ===

impl Prices {
    /// Puts two amounts together.
    ///
    /// # Errors
    /// When one is below zero, the currencies differ, or the price is above the public price.
    pub fn new(price: Money, public_price: Money) -> Result<Prices, PricesFault> {
        if price.minor() < 0 || public_price.minor() < 0 {
            return Err(PricesFault::Negative);
        }
        if price.currency() != public_price.currency() {
            return Err(PricesFault::Currency);
        }
        if price.minor() > public_price.minor() {
            return Err(PricesFault::AbovePublic);
        }
        Ok(Prices {
            price,
            public_price,
        })
    }

    /// Returns what a buyer pays.
    pub fn price(self) -> Money {
        self.price
    }

    /// Returns what the course costs outside the programme.
    pub fn public_price(self) -> Money {
        self.public_price
    }
}

/// Reads a category.
///
/// # Errors
/// When it is not 1 to 100 characters, or holds control characters.
pub fn parse_category(value: &str) -> Result<String, TextFault> {
    text::one_line(value, 1..=CATEGORY_CHARS_MAX)
}

/// Reads the address of a page, http or https; an empty one stays empty.
///
/// # Errors
/// When it is something else, or longer than 2,000 characters.
pub fn parse_uri(value: &str) -> Result<String, UriFault> {
    let value = value.trim();
    if value.len() > URI_CHARS_MAX {
        return Err(UriFault::TooLong(value.len()));
    }
    if value.is_empty() {
        return Ok(String::new());
    }
    let rest = ["https://", "http://"].iter().find_map(|&scheme| {
        let head = value.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme)
            .then(|| &value[scheme.len()..])
    });
    let host_fits = rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.starts_with(['.', ':']) && !host.contains('@')
    });
    if !host_fits || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UriFault::NotAnAddress);
    }
    Ok(value.to_owned())
}

/// What is wrong with the address of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriFault {
    /// It is longer than 2,000 characters.
    #[error("is {0} bytes long; at most 2000 characters are expected")]
    TooLong(usize),
    /// It is no address of http or https.
    #[error("is not an address such as https://example.org/course")]
    NotAnAddress,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rupiah(minor: i64) -> Money {
        Money::from_stored(minor, "IDR").unwrap()
    }

    #[test]
    fn a_price_is_never_above_the_public_price() {
        let dollars = Money::from_stored(1, "USD").unwrap();
        for (price, public_price, fault) in [
            (rupiah(0), rupiah(0), None),
            (rupiah(5), rupiah(5), None),
            (rupiah(6), rupiah(5), Some(PricesFault::AbovePublic)),
            (rupiah(-1), rupiah(5), Some(PricesFault::Negative)),
            (dollars, rupiah(5), Some(PricesFault::Currency)),
        ] {
            assert_eq!(
                Prices::new(price, public_price).err(),
                fault,
                "{price} {public_price}"
            );
        }
    }

    #[test]
    fn an_address_is_of_http() {
        for good in [
            "",
            "https://example.org",
            "http://example.org/a?b=c#d",
            "HTTPS://example.org",
        ] {
            assert_eq!(parse_uri(good), Ok(good.to_owned()));
        }
        for bad in [
            "www.example.org",
            "ftp://example.org",
            "https://",
            "https:///a",
            "https://a b",
            "https://u@h",
            "é",
        ] {
            assert_eq!(parse_uri(bad), Err(UriFault::NotAnAddress), "{bad}");
        }
        let long = format!("https://example.org/{}", "x".repeat(2000));
        assert_eq!(parse_uri(&long), Err(UriFault::TooLong(2020)));
    }

    #[test]
    fn words_survive_storage() {
        for mode in [Mode::SelfPaced, Mode::Webinar, Mode::Offline, Mode::Blended] {
            assert_eq!(mode.as_str().parse::<Mode>().unwrap(), mode);
        }
        for state in [
            CourseState::Draft,
            CourseState::Published,
            CourseState::Retired,
        ] {
            assert_eq!(state.as_str().parse::<CourseState>().unwrap(), state);
        }
    }
}
