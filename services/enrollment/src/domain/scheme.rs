//! One version of a programme's rules: all that a programme is, as data.

use std::{collections::BTreeMap, fmt, sync::Arc};

use chassis::money::{Currency, Money};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use super::{
    facts::{FactKind, FactValue, Facts, VERIFIED},
    rule::{Expression, FactContext},
    time_zone::{Day, TimeZone},
};

/// The reason of the rule that every scheme has.
pub const PERSON_NOT_VERIFIED: &str = "PERSON_NOT_VERIFIED";
/// The reason of the rule that a scheme has when it gives once only.
pub const ALREADY_RECIPIENT: &str = "ALREADY_RECIPIENT";

const RULE_SET_DOMAIN: &[u8] = b"bekal/rule-set/2";

/// A scheme. Immutable; a change is another scheme.
#[derive(Debug, PartialEq)]
pub struct Scheme {
    /// The id in `schemes/{scheme}`.
    pub id: String,
    /// The programme that it belongs to.
    pub programme: String,
    /// What it is called.
    pub display_name: String,
    /// When batches of it open, as the file states it.
    pub period: Period,
    /// The languages that every text has.
    pub languages: Vec<String>,
    /// Where days end; ages are those of the day in this zone, wherever a person lives.
    pub time_zone: TimeZone,
    /// The zones of regions where days end at another time, by the region's dotted path.
    pub region_time_zones: BTreeMap<String, TimeZone>,
    /// The currency of all its amounts.
    pub currency: Currency,
    /// What may be spent on courses.
    pub training_balance: Money,
    /// What is paid to the person.
    pub incentives: Vec<Incentive>,
    /// The days from the award to the last day for the first purchase.
    pub first_purchase_days: u32,
    /// The days from finishing a course to the last day for buying the next one; `None` for no limit.
    pub next_purchase_days: Option<u32>,
    /// The last days of each budget year, by the year of the award.
    pub year_ends: BTreeMap<i32, YearEnd>,
    /// The most recipients of one household over the programme's history; 0 for no limit.
    pub household_limit: u8,
    /// Whether a person takes part in the programme once only.
    pub once_only: bool,
    /// The facts that rules may use, with their types.
    pub fact_kinds: BTreeMap<String, FactKind>,
    /// What counts for a person of whom the fact is not known; a fact without a default makes a rule broken.
    pub fact_defaults: Facts,
    /// The rules that decide on an application.
    pub rules: RuleSet,
    /// What it takes to finish a course.
    pub completion: CompletionRule,
    /// What it takes to buy the next course.
    pub next_purchase: NextPurchaseRule,
    /// SHA-256 of the file.
    pub content_hash: [u8; 32],
}

/// When batches of a scheme open; a side that is `None` has no end. What has begun under a scheme is finished under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// The beginning of the first day.
    pub start: Option<OffsetDateTime>,
    /// The end of the last day, exclusive.
    pub end: Option<OffsetDateTime>,
}

/// The last days of a budget year, each until 23:59:59 where the person lives; `None` where the scheme sets no such day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct YearEnd {
    /// For buying a course: what is left of the balance goes back afterwards.
    pub purchase: Option<Day>,
    /// For finishing a course that counts.
    pub completion: Option<Day>,
    /// For the rating and review without which no incentive is due.
    pub review: Option<Day>,
    /// For linking the account that incentives are paid to.
    pub payee: Option<Day>,
    /// For handing in a survey that is paid for.
    pub survey: Option<Day>,
}

/// What a person is paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incentive {
    /// Which benefit.
    pub benefit: String,
    /// What makes it due.
    pub trigger: Trigger,
    /// One instalment.
    pub amount: Money,
    /// How many instalments.
    pub instalment_count: i32,
    /// The days between two.
    pub instalment_interval_days: i32,
}

/// What makes an incentive due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The first certificate with its review and a linked payee account.
    FirstCompletion,
    /// A survey that was handed in.
    Survey,
}

/// What it takes to finish a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletionRule {
    /// The least attendance, in parts of a thousand.
    pub attendance_permille_min: i32,
    /// The least score of the test after.
    pub post_test_score_min: i32,
}

/// What every earlier course needs before the next one can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextPurchaseRule {
    /// Its certificate.
    pub certificate: bool,
    /// Its review.
    pub review: bool,
}

/// The rules of a scheme, in order, and their hash.
#[derive(Debug, PartialEq)]
pub struct RuleSet {
    rules: Vec<Rule>,
    hash: [u8; 32],
}

/// One rule of eligibility.
#[derive(Debug, PartialEq)]
pub struct Rule {
    /// The reason code of a refusal.
    pub reason: String,
    /// What is true of the eligible.
    pub expression: Expression,
    /// The text for the person, by language tag.
    pub texts: BTreeMap<String, String>,
}

/// A scheme with all that a caller sees of it.
#[derive(Clone, Debug)]
pub struct SchemeView {
    /// The scheme.
    pub stored: Arc<StoredScheme>,
    /// When batches of it open: as the file states it, or until it was ended.
    pub period: Period,
}

/// A scheme with what the database knows of it and what never changes.
#[derive(Debug)]
pub struct StoredScheme {
    /// The scheme.
    pub scheme: Scheme,
    /// When it was loaded.
    pub create_time: OffsetDateTime,
}

// === impl Scheme ===

impl Scheme {
    /// Returns the zone in which days end for somebody who lives in a region: that of the nearest region above which has
    /// one of its own.
    pub fn time_zone_of(&self, region: &str) -> &TimeZone {
        let mut path = region;
        loop {
            if let Some(zone) = self.region_time_zones.get(path) {
                return zone;
            }
            match path.rsplit_once('.') {
                Some((above, _)) => path = above,
                None => return &self.time_zone,
            }
        }
    }

    /// Returns the last moment for the first purchase of somebody who lives in a region. `None` beyond the calendar.
    pub fn first_purchase_deadline(
        &self,
        region: &str,
        award_time: OffsetDateTime,
    ) -> Option<OffsetDateTime> {
        self.time_zone_of(region)
            .end_of_day_after(award_time, self.first_purchase_days)
    }

    /// Returns a fact's default as JSON; empty when it has none.
    pub fn default_of(&self, fact: &str) -> String {
        default_text(self.fact_defaults.get(fact))
    }
}

fn default_text(default: Option<&FactValue>) -> String {
    let json = default.map(|value| serde_json::to_string(value).expect("a fact is plain data"));
    json.unwrap_or_default()
}

// === impl Period ===

impl Period {
    /// Returns the period from the first to the last day, both included. `None` when a day is not in the calendar, or the
    /// first comes after the last.
    pub fn of_days(zone: &TimeZone, first: Option<Day>, last: Option<Day>) -> Option<Period> {
        let end = match last {
            Some(last) => Some(zone.end_of_day(last)? + Duration::SECOND),
            None => None,
        };
        let start = match first {
            Some(first) => Some(zone.start_of_day(first)?),
            None => None,
        };
        let is_ordered = start.zip(end).is_none_or(|(start, end)| start < end);
        is_ordered.then_some(Period { start, end })
    }

    /// Returns the first day, where there is one.
    pub fn first_day(&self, zone: &TimeZone) -> Option<Day> {
        self.start.map(|start| zone.day_of(start))
    }

    /// Returns the last day, where there is one.
    pub fn last_day(&self, zone: &TimeZone) -> Option<Day> {
        self.end.map(|end| zone.day_of(end - Duration::SECOND))
    }
}

// === impl RuleSet ===

impl RuleSet {
    /// Makes the set and its hash: SHA-256 over all that decides, each text after its length. These are the number of
    /// facts and of each its name, type and default as JSON (empty without one), by name; then the number of rules and
    /// of each its reason and expression. The texts for persons are not part of it.
    pub fn new(
        rules: Vec<Rule>,
        fact_kinds: &BTreeMap<String, FactKind>,
        fact_defaults: &Facts,
    ) -> RuleSet {
        let mut hash = Sha256::new_with_prefix(RULE_SET_DOMAIN);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
        let mut put = |bytes: &[u8]| {
            hash.update(number(bytes.len()));
            hash.update(bytes);
        };
        put(&number(fact_kinds.len()));
        for (name, kind) in fact_kinds {
            put(name.as_bytes());
            put(kind.to_string().as_bytes());
            put(default_text(fact_defaults.get(name)).as_bytes());
        }
        put(&number(rules.len()));
        for rule in &rules {
            put(rule.reason.as_bytes());
            put(rule.expression.source().as_bytes());
        }
        RuleSet {
            rules,
            hash: hash.finalize().into(),
        }
    }

    /// Returns the rules in their order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the hash that decisions and commitments name.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns the reasons of the rules that the person breaks; empty for the eligible. Of a person who is not verified
    /// nothing else is said, since nothing is known.
    pub fn broken_by(&self, facts: &Facts) -> Vec<String> {
        let context = FactContext::new(facts);
        let broken = |rule: &&Rule| !rule.expression.holds(&context);
        let reasons = self
            .rules
            .iter()
            .filter(broken)
            .map(|rule| rule.reason.clone());
        if facts.get(VERIFIED) == Some(&FactValue::Bool(true)) {
            reasons.collect()
        } else {
            reasons.take(1).collect()
        }
    }

    /// Returns the reasons of the rules that the person breaks and is not exempted from.
    pub fn refusals(&self, facts: &Facts, exemptions: &[String]) -> Vec<String> {
        let mut reasons = self.broken_by(facts);
        reasons.retain(|reason| !exemptions.contains(reason));
        reasons
    }

    /// Returns the texts of a reason.
    pub fn texts(&self, reason: &str) -> BTreeMap<String, String> {
        let rule = self.rules.iter().find(|rule| rule.reason == reason);
        rule.map(|rule| rule.texts.clone()).unwrap_or_default()
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trigger::FirstCompletion => "FIRST_COMPLETION",
            Trigger::Survey => "SURVEY",
        })
    }
}
