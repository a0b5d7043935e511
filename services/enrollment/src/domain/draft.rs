//! What the rules of a draft would change, over stored decisions.

use std::collections::BTreeMap;

use super::{
    decision::StoredDecision,
    facts::{FactValue, Facts, REGION, first_level},
    scheme::Scheme,
};

/// How many are eligible, and would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Applications.
    pub applications: i64,
    /// Those that are eligible.
    pub eligible: i64,
    /// Those that are not and would be.
    pub gained: i64,
    /// Those that are and would not be.
    pub lost: i64,
}

/// The shifts that a draft would make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DraftReplay {
    /// All of them.
    pub total: Shift,
    /// By `regions/{code}` and `groups/{name}`.
    pub strata: BTreeMap<String, Shift>,
    /// How often each reason speaks against those who would lose.
    pub lost_by_reason: BTreeMap<String, i64>,
    /// How often each reason spoke against those who would gain.
    pub gained_by_reason: BTreeMap<String, i64>,
}

impl DraftReplay {
    /// Adds a decision; `groups` are the names of the batch's reserved groups, in their order.
    pub fn add(&mut self, draft: &Scheme, groups: &[String], decision: &StoredDecision) {
        let facts = decision
            .facts
            .redeclared(&draft.fact_kinds, &draft.fact_defaults);
        let refusals = draft.rules.refusals(&facts, &decision.exemptions);
        let (before, after) = (decision.eligible, refusals.is_empty());
        let shift = Shift {
            applications: 1,
            eligible: i64::from(before),
            gained: i64::from(!before && after),
            lost: i64::from(before && !after),
        };
        self.total.add(shift);
        for stratum in strata(decision, groups) {
            self.strata.entry(stratum).or_default().add(shift);
        }
        let (reasons, counts) = match (shift.lost, shift.gained) {
            (1, _) => (&refusals, &mut self.lost_by_reason),
            (_, 1) => (&decision.refusals, &mut self.gained_by_reason),
            _ => return,
        };
        for reason in reasons {
            *counts.entry(reason.clone()).or_default() += 1;
        }
    }
}

impl Shift {
    fn add(&mut self, other: Shift) {
        self.applications += other.applications;
        self.eligible += other.eligible;
        self.gained += other.gained;
        self.lost += other.lost;
    }
}

fn strata(decision: &StoredDecision, groups: &[String]) -> Vec<String> {
    let region = match decision.facts.get(REGION) {
        Some(FactValue::Text(path)) => first_level(path),
        Some(FactValue::Bool(_) | FactValue::Int(_)) | None => "",
    };
    let member = |(i, _): &(usize, &String)| decision.groups >> i & 1 == 1;
    let groups = groups.iter().enumerate().filter(member);
    let mut strata: Vec<String> = groups.map(|(_, name)| format!("groups/{name}")).collect();
    if !region.is_empty() {
        strata.push(format!("regions/{region}"));
    }
    strata
}

impl Facts {
    /// Returns these facts as another scheme declares them.
    fn redeclared(
        &self,
        kinds: &BTreeMap<String, super::facts::FactKind>,
        defaults: &Facts,
    ) -> Facts {
        let mut facts = defaults.clone();
        for (name, value) in self.iter() {
            facts.insert(name, value.clone());
        }
        facts.retain_declared(kinds);
        facts
    }
}
