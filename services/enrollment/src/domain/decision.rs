//! Stored decisions: made again to prove them, and explained to the person.

use std::{collections::BTreeMap, fmt};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    facts::{FactValue, Facts, REGION, VERIFIED, first_level},
    quota::GroupRules,
    rule::FactContext,
    scheme::{Rule, Scheme},
};

/// The decision that is made when a person applies.
pub const AT_APPLICATION: i16 = 1;
/// The decision that is made at the freeze, where the facts have changed.
pub const AT_FREEZE: i16 = 2;

/// Which decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionId {
    /// On which application.
    pub application_id: Uuid,
    /// [`AT_APPLICATION`] or [`AT_FREEZE`].
    pub stage: i16,
}

/// A decision as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDecision {
    /// Which.
    pub id: DecisionId,
    /// The batch of the application.
    pub batch_id: String,
    /// Whose application.
    pub account_id: Uuid,
    /// Whether every rule was kept.
    pub eligible: bool,
    /// The rules that were applied.
    pub rule_set_hash: Vec<u8>,
    /// The facts that they were applied to.
    pub facts: Facts,
    /// SHA-256 of the facts when they were stored.
    pub facts_hash: Vec<u8>,
    /// The reasons of the rules that were broken.
    pub refusals: Vec<String>,
    /// The reasons that were not held against the person.
    pub exemptions: Vec<String>,
    /// The region of the first level as the draw's number.
    pub region: i64,
    /// The reserved groups, as bits.
    pub groups: i64,
    /// The version of the facts at identity.
    pub facts_change_time: Option<OffsetDateTime>,
    /// The exclusion lists among the facts, with the time of the newest snapshot of each.
    pub list_snapshots: BTreeMap<String, OffsetDateTime>,
    /// When it was made.
    pub decide_time: OffsetDateTime,
}

/// What one rule made of the facts.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleOutcome<'s> {
    /// The rule.
    pub rule: &'s Rule,
    /// Whether it was kept; `None` when it was not looked at.
    pub kept: Option<bool>,
    /// The facts that it names, as far as they were known.
    pub facts: BTreeMap<String, String>,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecisionId {
            application_id,
            stage,
        } = self;
        write!(f, "applications/{application_id}/decisions/{stage}")
    }
}

impl StoredDecision {
    /// Makes the decision again from its facts and returns the fields that come out otherwise; none when it agrees.
    pub fn replay(&self, scheme: &Scheme, groups: &GroupRules) -> Vec<&'static str> {
        let refusals = scheme.rules.refusals(&self.facts, &self.exemptions);
        let region = match self.facts.get(REGION) {
            Some(FactValue::Text(path)) => first_level(path).parse().unwrap_or(0),
            Some(FactValue::Bool(_) | FactValue::Int(_)) | None => 0_u32,
        };
        let same = [
            (
                "rule_set_hash",
                self.rule_set_hash == scheme.rules.hash().as_slice(),
            ),
            ("facts_hash", self.facts_hash == self.facts.hash()),
            ("eligible", self.eligible == refusals.is_empty()),
            ("refusals", self.refusals == refusals),
            ("region", self.region == i64::from(region)),
            ("groups", self.groups == i64::from(groups.bits(&self.facts))),
        ];
        same.into_iter()
            .filter(|(_, same)| !same)
            .map(|(field, _)| field)
            .collect()
    }

    /// Returns every rule of the scheme with its outcome.
    pub fn explain<'s>(&self, scheme: &'s Scheme) -> Vec<RuleOutcome<'s>> {
        let context = FactContext::new(&self.facts);
        let verified = self.facts.get(VERIFIED) == Some(&FactValue::Bool(true));
        let outcome = |(i, rule): (usize, &'s Rule)| RuleOutcome {
            rule,
            // As when it was decided: of a person who is not verified nothing is known but that.
            kept: (verified || i == 0).then(|| rule.expression.holds(&context)),
            facts: rule
                .expression
                .fact_names()
                .into_iter()
                .filter_map(|name| {
                    let value = self.facts.get(&name)?.to_string();
                    Some((name, value))
                })
                .collect(),
        };
        scheme
            .rules
            .rules()
            .iter()
            .enumerate()
            .map(outcome)
            .collect()
    }
}
