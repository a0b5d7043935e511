//! A scheme as a TOML file. Every mistake is told with its place, also keys that nobody knows: a misspelt deadline must
//! not become a default.

use std::{collections::BTreeMap, fmt};

use chassis::money::{Currency, Money};
use sha2::{Digest, Sha256};

use super::{
    facts::{self, FactKind},
    rule::Expression,
    scheme::{
        ALREADY_RECIPIENT, CompletionRule, Incentive, NextPurchaseRule, PERSON_NOT_VERIFIED, Rule,
        RuleSet, Scheme, Trigger,
    },
};
use crate::domain::toml_reader::{Document, Mistake, Table};

mod calendar;
mod declarations;

/// What is wrong with a scheme's file.
#[derive(Debug, PartialEq, Eq)]
pub struct SchemeMistakes {
    /// The file's name, as given.
    pub file_name: String,
    /// Each mistake, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

/// The rules that schemes have without writing an expression; the file gives their texts.
const BUILT_IN_RULES: [(&str, &str); 2] = [
    (PERSON_NOT_VERIFIED, facts::VERIFIED),
    (ALREADY_RECIPIENT, "!already_recipient"),
];

/// Reads a scheme.
///
/// # Errors
/// Returns every mistake of the file.
pub fn parse(file_name: &str, content: &str) -> Result<Scheme, SchemeMistakes> {
    let document = Document::parse(content);
    let scheme = read(&document, content);
    let mistakes = document.into_mistakes();
    match scheme {
        Some(scheme) if mistakes.is_empty() => Ok(scheme),
        Some(_) | None => Err(SchemeMistakes {
            file_name: file_name.to_owned(),
            mistakes,
        }),
    }
}

fn read(document: &Document<'_>, content: &str) -> Option<Scheme> {
    let root = document.root();
    let id = root
        .text("name", 1..=40)
        .filter(|id| root.check(is_id(id), "name", ID_TEXT));
    let programme = root
        .text("programme", 1..=40)
        .filter(|id| root.check(is_id(id), "programme", ID_TEXT));
    let display_name = root.text("display_name", 1..=200);
    let languages = languages(&root);
    let time_zone = calendar::time_zone(&root, "time_zone");
    let period = calendar::period(&root, time_zone.as_ref());
    let region_time_zones = calendar::region_time_zones(&root);
    let currency = root.text("currency_code", 3..=3).and_then(|code| {
        root.require(
            Currency::from_code(&code),
            "currency_code",
            "is not a currency of ISO 4217",
        )
    });
    let training_balance = amount(&root, "training_balance", currency);
    let first_purchase_days = root.integer("first_purchase_days", 1..=366);
    let next_purchase_days = root
        .has("next_purchase_days")
        .then(|| root.integer("next_purchase_days", 1..=366))
        .flatten();
    let year_ends = calendar::year_ends(&root);
    let household_limit = root.integer("household_limit", 0..=255);
    let once_only = root.boolean("once_only");

    let incentives: Vec<Option<Incentive>> = root
        .tables("incentives", 0..=20)
        .iter()
        .map(|table| incentive(table, currency))
        .collect();
    let completion = root.table("completion").and_then(|table| {
        let attendance = table.integer("attendance_permille_min", 0..=1000);
        let score = table.integer("post_test_score_min", 0..=100);
        table.refuse_unknown();
        Some(CompletionRule {
            attendance_permille_min: attendance?,
            post_test_score_min: score?,
        })
    });
    let next_purchase = root.table("next_purchase").and_then(|table| {
        let certificate = table.boolean("requires_certificate");
        let review = table.boolean("requires_review");
        table.refuse_unknown();
        Some(NextPurchaseRule {
            certificate: certificate?,
            review: review?,
        })
    });

    let (fact_kinds, fact_defaults) = declarations::read(&root);
    let rules = rules(&root, once_only, &fact_kinds, languages.as_deref());
    root.refuse_unknown();

    Some(Scheme {
        id: id?,
        programme: programme?,
        display_name: display_name?,
        rules: RuleSet::new(rules?, &fact_kinds, &fact_defaults),
        period: period?,
        languages: languages?,
        time_zone: time_zone?,
        region_time_zones,
        currency: currency?,
        training_balance: training_balance?,
        incentives: incentives.into_iter().collect::<Option<_>>()?,
        first_purchase_days: u32::try_from(first_purchase_days?).ok()?,
        next_purchase_days: next_purchase_days.and_then(|days| u32::try_from(days).ok()),
        year_ends,
        household_limit: u8::try_from(household_limit?).ok()?,
        once_only: once_only?,
        fact_kinds,
        fact_defaults,
        completion: completion?,
        next_purchase: next_purchase?,
        content_hash: Sha256::digest(content).into(),
    })
}

fn incentive(table: &Table<'_, '_>, currency: Option<Currency>) -> Option<Incentive> {
    let benefit = table
        .text("benefit", 1..=40)
        .filter(|id| table.check(is_id(id), "benefit", ID_TEXT));
    let trigger = table.text("trigger", 1..=40).and_then(|word| {
        let trigger = match word.as_str() {
            "FIRST_COMPLETION" => Some(Trigger::FirstCompletion),
            "SURVEY" => Some(Trigger::Survey),
            _ => None,
        };
        table.require(trigger, "trigger", "is neither FIRST_COMPLETION nor SURVEY")
    });
    let amount = amount(table, "amount", currency);
    let instalment_count = table.integer("instalment_count", 1..=36);
    let instalment_interval_days = table.integer("instalment_interval_days", 0..=366);
    table.refuse_unknown();
    Some(Incentive {
        benefit: benefit?,
        trigger: trigger?,
        amount: amount?,
        instalment_count: instalment_count?,
        instalment_interval_days: instalment_interval_days?,
    })
}

/// Reads the languages that every text must have.
fn languages(root: &Table<'_, '_>) -> Option<Vec<String>> {
    let languages = root.texts("languages", 1..=10)?;
    let is_tag = |tag: &String| {
        (2..=20).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_valid = root.check(
        languages.iter().all(is_tag),
        "languages",
        "has what is not a language tag",
    );
    is_valid.then_some(languages)
}

fn rules(
    root: &Table<'_, '_>,
    once_only: Option<bool>,
    kinds: &BTreeMap<String, FactKind>,
    languages: Option<&[String]>,
) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    let mut complete = true;
    let built_in = root.table("built_in_texts");
    for (reason, source) in BUILT_IN_RULES {
        if reason == ALREADY_RECIPIENT && once_only != Some(true) {
            continue;
        }
        let texts = built_in
            .as_ref()
            .and_then(|table| texts(table, reason, languages));
        let rule = texts
            .zip(Expression::compile(source, kinds).ok())
            .map(|(texts, expression)| Rule {
                reason: reason.to_owned(),
                expression,
                texts,
            });
        complete &= rule.is_some();
        rules.extend(rule);
    }
    if let Some(table) = built_in {
        table.refuse_unknown();
    }
    for table in root.tables("rules", 1..=100) {
        let rule = rule(&table, kinds, languages);
        if let Some(rule) = &rule {
            let repeats = rules.iter().any(|earlier| earlier.reason == rule.reason);
            table.check(!repeats, "reason", "is the reason of an earlier rule");
        }
        complete &= rule.is_some();
        rules.extend(rule);
    }
    complete.then_some(rules)
}

fn rule(
    table: &Table<'_, '_>,
    kinds: &BTreeMap<String, FactKind>,
    languages: Option<&[String]>,
) -> Option<Rule> {
    let reason = table.text("reason", 1..=63).filter(|reason| {
        let is_reason = reason.starts_with(|c: char| c.is_ascii_uppercase())
            && reason
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        table.check(
            is_reason,
            "reason",
            "is not a name of upper-case letters, digits and underscores",
        )
    });
    let source = table.text("expression", 1..=super::rule::EXPRESSION_BYTES_MAX);
    let expression = source.and_then(|source| {
        Expression::compile(&source, kinds)
            .map_err(|mistakes| {
                for mistake in mistakes {
                    let (line, column) = (mistake.line, mistake.column);
                    table.reject_inside("expression", line, column, mistake.text);
                }
            })
            .ok()
    });
    let texts = texts(table, "texts", languages);
    table.refuse_unknown();
    Some(Rule {
        reason: reason?,
        expression: expression?,
        texts: texts?,
    })
}

/// Reads a text in each of the scheme's languages.
fn texts(
    table: &Table<'_, '_>,
    key: &str,
    languages: Option<&[String]>,
) -> Option<BTreeMap<String, String>> {
    let given = table.table(key)?;
    let read = |tag: &String| given.text(tag, 1..=500).map(|text| (tag.clone(), text));
    let texts: Vec<Option<(String, String)>> = languages?.iter().map(read).collect();
    given.refuse_unknown();
    texts.into_iter().collect()
}

/// Reads an amount, written as a decimal text: a number of TOML with a fraction would be a floating-point one.
fn amount(table: &Table<'_, '_>, key: &str, currency: Option<Currency>) -> Option<Money> {
    let text = table.text(key, 1..=20)?;
    let currency = currency?;
    let minor = minor_units(&text, currency.minor_per_unit());
    table
        .require(minor, key, "is not an amount such as \"600000\" or \"12.50\", no finer than the currency's minor unit")
        .map(|minor| Money::new(minor, currency))
}

fn minor_units(text: &str, minor_per_unit: i64) -> Option<i64> {
    let (units, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let digits = minor_per_unit.checked_ilog10()?;
    let fraction_digits = u32::try_from(fraction.len()).ok()?;
    let is_written_so = !units.is_empty()
        && all_digits(units)
        && all_digits(fraction)
        && fraction_digits <= digits
        && !text.ends_with('.');
    if !is_written_so {
        return None;
    }
    let units: i64 = units.parse().ok()?;
    let fraction: i64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let scale = 10_i64.checked_pow(digits - fraction_digits)?;
    units
        .checked_mul(minor_per_unit)?
        .checked_add(fraction.checked_mul(scale)?)
}

const ID_TEXT: &str = "is not an id of lower-case letters, digits and hyphens";

fn is_id(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl fmt::Display for SchemeMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistakes in {}", self.mistakes.len(), self.file_name)
    }
}

impl std::error::Error for SchemeMistakes {}

#[cfg(test)]
#[path = "scheme_file_tests.rs"]
mod tests;
