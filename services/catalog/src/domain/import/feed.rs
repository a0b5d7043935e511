//! The columns of a Skills Week's feed. What is kept of a row is bounded, whatever the row holds: a value is either read
//! into a bounded field, or cut into the description of what is wrong with it.

use std::{collections::BTreeMap, fmt::Display};

use chassis::money::{Currency, Money};

use super::{FeedCourse, Finding};
use crate::domain::{
    course::{self, CourseContent, Mode, Prices, Title},
    price,
    provider::DisplayName,
};

pub(super) const PROVIDER: &str = "lp_name";
pub(super) const TITLE: &str = "course_title";
pub(super) const CATEGORY: &str = "course_category";
pub(super) const MODE: &str = "course_type";
pub(super) const URI: &str = "course_url";
pub(super) const DISCOUNT: &str = "Prosentase diskon";
pub(super) const PRICE: &str = "course_price";

/// The columns without which a file is not this feed.
pub const COLUMNS: &[&str] = &[PROVIDER, TITLE, CATEGORY, MODE, URI, DISCOUNT, PRICE];

/// The feed's currency.
const CURRENCY: &str = "IDR";

/// Of a value that is wrong, this much stands in the description.
const SHOWN_CHARS_MAX: usize = 60;
/// Prices, discounts and modes are short; what is longer is not looked at.
const SHORT_BYTES_MAX: usize = 200;

/// Returns the needed columns that a file does not have.
pub fn missing_columns(columns: &[String]) -> Vec<&'static str> {
    let is_missing = |needed: &&&str| !columns.iter().any(|column| column == **needed);
    COLUMNS.iter().filter(is_missing).copied().collect()
}

/// Reads one row.
///
/// # Errors
/// When anything is wrong with it: all of it.
pub fn read_row(fields: &BTreeMap<String, String>) -> Result<FeedCourse, Vec<Finding>> {
    let mut reader = Reader {
        fields,
        violations: Vec::new(),
        warnings: Vec::new(),
    };
    let provider = reader.parsed(PROVIDER, DisplayName::parse);
    let title = reader.parsed(TITLE, Title::parse);
    let category = reader.parsed(CATEGORY, course::parse_category);
    let mode = reader.mode();
    let uri = reader.uri();
    let prices = reader.prices();

    match (provider, title, category, mode, uri, prices) {
        (Some(provider), Some(title), Some(category), Some(mode), Some(uri), Some(prices))
            if reader.violations.is_empty() =>
        {
            Ok(FeedCourse {
                provider,
                content: CourseContent {
                    title,
                    category,
                    mode,
                    prices,
                    uri,
                },
                warnings: reader.warnings,
            })
        }
        _ => Err(reader.violations),
    }
}

struct Reader<'a> {
    fields: &'a BTreeMap<String, String>,
    violations: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl<'a> Reader<'a> {
    /// Returns a value without the blanks around it; a missing column is an empty value.
    fn value(&self, column: &str) -> &'a str {
        self.fields.get(column).map_or("", |value| value.trim())
    }

    fn refuse(&mut self, column: &'static str, fault: impl Display) {
        let value = self.value(column);
        let text = if value.is_empty() {
            fault.to_string()
        } else {
            format!("{fault}: {}", shown(value))
        };
        self.violations.push(Finding::new(column, text));
    }

    fn warn(&mut self, column: &'static str, note: Option<&'static str>) {
        if let Some(note) = note {
            let text = format!("{note}: {}", shown(self.value(column)));
            self.warnings.push(Finding::new(column, text));
        }
    }

    fn parsed<T, E: Display>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(self.value(column))
            .map_err(|fault| self.refuse(column, fault))
            .ok()
    }

    fn short<T, E: Display>(
        &mut self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let bytes = self.value(column).len();
        if bytes > SHORT_BYTES_MAX {
            self.refuse(
                column,
                format!("is {bytes} bytes long; at most {SHORT_BYTES_MAX} are expected"),
            );
            return None;
        }
        self.parsed(column, parse)
    }

    fn mode(&mut self) -> Option<Mode> {
        self.short(MODE, |value| {
            let word = value.to_lowercase().replace(['-', '_', '/'], " ");
            let word = word.split_whitespace().collect::<Vec<_>>().join(" ");
            match word.as_str() {
                "online lms" | "lms" | "spl" | "self paced" | "self paced learning" => Ok(Mode::SelfPaced),
                "online webinar" | "webinar" => Ok(Mode::Webinar),
                "offline" | "luring" | "tatap muka" => Ok(Mode::Offline),
                "blended" | "bauran" | "hybrid" | "online offline" => Ok(Mode::Blended),
                "" => Err("is empty; expected is `Online - LMS`, `Online - Webinar`, `Offline` or `Blended`"),
                _ => Err("is not `Online - LMS`, `Online - Webinar`, `Offline` or `Blended`"),
            }
        })
    }

    /// Reads the page's address. Feeds leave out its scheme, and a course is taken without a page that nobody can open.
    fn uri(&mut self) -> Option<String> {
        let value = self.value(URI);
        match course::parse_uri(value) {
            Ok(uri) => Some(uri),
            Err(fault @ course::UriFault::TooLong(_)) => {
                self.refuse(URI, fault);
                None
            }
            Err(course::UriFault::NotAnAddress) => {
                let completed = format!("https://{value}");
                let looks_like_a_host = value
                    .split('/')
                    .next()
                    .is_some_and(|host| host.contains('.'));
                if looks_like_a_host && let Ok(uri) = course::parse_uri(&completed) {
                    self.warn(URI, Some("has no scheme and was read with https://"));
                    return Some(uri);
                }
                self.warn(
                    URI,
                    Some("is not an address of http or https and was left out"),
                );
                Some(String::new())
            }
        }
    }

    fn prices(&mut self) -> Option<Prices> {
        let price = self.short(PRICE, price::read_price);
        let discount = self.short(DISCOUNT, price::read_discount);
        let (price, discount) = (price?, discount?);
        self.warn(PRICE, price.note);

        let found = price::before_discount(price.value, discount)
            .map_err(|fault| self.refuse(PRICE, fault))
            .ok()?;
        self.warn(DISCOUNT, found.note);
        let currency =
            Currency::from_code(CURRENCY).expect("the feed's currency is one of ISO 4217");
        let money = |minor| Money::new(minor, currency);
        Prices::new(money(found.price_minor), money(found.public_price_minor))
            .map_err(|fault| self.refuse(PRICE, fault))
            .ok()
    }
}

fn shown(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    let printable: String = shown.chars().filter(|c| !c.is_control()).collect();
    format!("`{printable}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let plain = [
            (PROVIDER, "Balai Latih Nusa"),
            (TITLE, "Dasar Barista untuk Pemula"),
            (CATEGORY, "Makanan dan Minuman"),
            (MODE, "Online - LMS"),
            (URI, "https://kursus.example.org/1"),
            (DISCOUNT, "50%"),
            (PRICE, "Rp 20.000"),
        ];
        plain
            .iter()
            .chain(changes)
            .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn rupiah(units: i64) -> Money {
        Money::from_stored(units * 100, "IDR").unwrap()
    }

    #[test]
    fn a_plain_row_is_read_without_a_warning() {
        let course = read_row(&row(&[])).unwrap();

        assert_eq!(course.provider.as_str(), "Balai Latih Nusa");
        assert_eq!(course.content.title.as_str(), "Dasar Barista untuk Pemula");
        assert_eq!(course.content.mode, Mode::SelfPaced);
        assert_eq!(course.content.prices.price(), rupiah(20_000));
        assert_eq!(course.content.prices.public_price(), rupiah(40_000));
        assert_eq!(course.warnings, []);
    }

    #[test]
    fn every_fault_of_a_row_is_told_and_long_values_are_cut() {
        let huge = "x".repeat(2_000_000);
        let violations = read_row(&row(&[
            (PROVIDER, " "),
            (TITLE, &huge),
            (CATEGORY, &huge),
            (MODE, "Radio"),
            (URI, &huge),
            (DISCOUNT, &huge),
            (PRICE, "Rp 2O.000"),
        ]))
        .unwrap_err();

        let cut = format!("`{}…`", "x".repeat(60));
        let expected = [
            (PROVIDER, "is empty".to_owned()),
            (
                TITLE,
                format!("is 2000000 bytes long; at most 300 characters are expected: {cut}"),
            ),
            (
                CATEGORY,
                format!("is 2000000 bytes long; at most 100 characters are expected: {cut}"),
            ),
            (
                MODE,
                "is not `Online - LMS`, `Online - Webinar`, `Offline` or `Blended`: `Radio`"
                    .to_owned(),
            ),
            (
                URI,
                format!("is 2000000 bytes long; at most 2000 characters are expected: {cut}"),
            ),
            (
                PRICE,
                "is not a price such as `Rp 20.000`, `Gratis` or `0`: `Rp 2O.000`".to_owned(),
            ),
            (
                DISCOUNT,
                format!("is 2000000 bytes long; at most 200 are expected: {cut}"),
            ),
        ]
        .map(|(column, description)| Finding::new(column, description));
        assert_eq!(violations, expected);
    }

    #[test]
    fn modes_are_read_in_their_spellings() {
        for (text, mode) in [
            ("Online - LMS", Mode::SelfPaced),
            ("online-lms", Mode::SelfPaced),
            ("SPL", Mode::SelfPaced),
            ("Online - Webinar", Mode::Webinar),
            ("Offline", Mode::Offline),
            ("Luring", Mode::Offline),
            ("Bauran", Mode::Blended),
        ] {
            assert_eq!(
                read_row(&row(&[(MODE, text)])).unwrap().content.mode,
                mode,
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_without_a_scheme_gets_one_and_a_useless_one_is_left_out() {
        for (text, uri, warnings) in [
            ("", "", 0),
            ("www.example.org", "https://www.example.org", 1),
            ("bit.ly/kelas-kopi", "https://bit.ly/kelas-kopi", 1),
            ("segera", "", 1),
            ("lihat di www.example.org", "", 1),
        ] {
            let course = read_row(&row(&[(URI, text)])).unwrap();

            assert_eq!(
                (course.content.uri.as_str(), course.warnings.len()),
                (uri, warnings),
                "{text}"
            );
        }
    }

    #[test]
    fn a_price_beside_a_whole_discount_is_refused() {
        let violations = read_row(&row(&[(DISCOUNT, "100%")])).unwrap_err();

        assert_eq!(
            violations,
            [Finding::new(
                PRICE,
                "is not free, although the discount is 100%: `Rp 20.000`"
            )]
        );
    }

    #[test]
    fn missing_columns_are_named() {
        let columns = ["lp_name", "course_title", "harga"].map(str::to_owned);

        assert_eq!(
            missing_columns(&columns),
            [CATEGORY, MODE, URI, DISCOUNT, PRICE]
        );
    }
}
