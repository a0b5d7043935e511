//! Applications and the decisions on them.

use std::collections::BTreeMap;

use draw::Outcome;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    facts::{Facts, PersonFacts},
    quota::GroupRules,
    scheme::Scheme,
};

/// The states of an application. They follow from the newest decision and the draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationState {
    /// Every rule was kept.
    Accepted,
    /// A rule refused it.
    Refused,
    /// It won a place.
    Drawn,
    /// It won no place.
    NotDrawn,
}

/// A decision on eligibility, with all that it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rules that were applied.
    pub rule_set_hash: [u8; 32],
    /// The facts that they were applied to.
    pub facts: Facts,
    /// The reasons of the rules that were broken; empty for the eligible.
    pub refusals: Vec<String>,
    /// The reasons that are not held against the person, since appeals against them were granted.
    pub exemptions: Vec<String>,
    /// The region of the first level as the draw's number.
    pub region: u32,
    /// The reserved groups, as bits.
    pub groups: u32,
    /// The household's pseudonym.
    pub household: Option<[u8; 16]>,
    /// The version of the facts: whoever finds another one at identity decides on newer facts.
    pub facts_change_time: Option<OffsetDateTime>,
    /// The exclusion lists among the facts, with the time of the newest snapshot of each.
    pub list_snapshots: BTreeMap<String, OffsetDateTime>,
    /// For the self-test of the draw, as in the public list.
    pub sex: u8,
    /// For the self-test of the draw, as in the public list.
    pub age_band: u8,
    /// When it was made.
    pub time: OffsetDateTime,
}

/// An application as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// The id.
    pub id: Uuid,
    /// The batch.
    pub batch_id: String,
    /// The scheme of the batch, for the texts of the reasons.
    pub scheme_id: String,
    /// Whose.
    pub account_id: Uuid,
    /// The name in the list of entrants.
    pub pseudonym: [u8; 16],
    /// The signature of the receipt.
    pub signature: [u8; 64],
    /// When the person applied.
    pub create_time: OffsetDateTime,
    /// Which decision is the newest.
    pub decision_stage: i16,
    /// Whether every rule was kept.
    pub eligible: bool,
    /// The reasons of the rules that were broken.
    pub refusals: Vec<String>,
    /// The rules that were applied.
    pub rule_set_hash: Vec<u8>,
    /// SHA-256 of the facts.
    pub facts_hash: Vec<u8>,
    /// When the newest decision was made.
    pub decide_time: OffsetDateTime,
    /// What the draw said of it.
    pub result: Option<Outcome>,
}

impl Decision {
    /// Decides: the same values give the same decision, now and in years.
    pub fn make(
        scheme: &Scheme,
        groups: &GroupRules,
        person: &PersonFacts,
        already_recipient: bool,
        exemptions: &[String],
        now: OffsetDateTime,
    ) -> Decision {
        let facts = person.for_rules(&scheme.fact_kinds, &scheme.fact_defaults, already_recipient);
        Decision {
            rule_set_hash: *scheme.rules.hash(),
            refusals: scheme.rules.refusals(&facts, exemptions),
            exemptions: exemptions.to_vec(),
            region: person.region_number(),
            groups: groups.bits(&facts),
            household: person.household,
            facts_change_time: person.change_time,
            list_snapshots: person
                .list_snapshots
                .iter()
                .filter(|(name, _)| facts.get(name).is_some())
                .map(|(name, time)| (name.clone(), *time))
                .collect(),
            sex: person.sex(),
            age_band: person.age_band(),
            facts,
            time: now,
        }
    }

    /// Says whether every rule was kept.
    pub fn eligible(&self) -> bool {
        self.refusals.is_empty()
    }
}

impl Application {
    /// Returns the state.
    pub fn state(&self) -> ApplicationState {
        match self.result {
            Some(outcome) if outcome.won() => ApplicationState::Drawn,
            Some(_) => ApplicationState::NotDrawn,
            None if self.eligible => ApplicationState::Accepted,
            None => ApplicationState::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::{
        facts::FactValue,
        quota::{QuotaPlan, RegionRule},
        scheme_file,
    };

    fn scheme() -> Scheme {
        let content = include_str!("../../../../deploy/schemes/prakerja-2023.toml");
        scheme_file::parse("prakerja-2023.toml", content).unwrap()
    }

    fn person() -> PersonFacts {
        let mut facts = Facts::default();
        facts.insert("age_years", FactValue::Int(30));
        facts.insert("citizenship", FactValue::Text("ID".to_owned()));
        facts.insert("occupation", FactValue::Text("JOB_SEEKER".to_owned()));
        facts.insert("deceased", FactValue::Bool(false));
        PersonFacts {
            verified: true,
            region: "32.73".to_owned(),
            household: Some([7; 16]),
            facts,
            ..PersonFacts::unknown()
        }
    }

    fn decide(person: &PersonFacts, already_recipient: bool) -> Decision {
        let plan = QuotaPlan {
            place_count: 1,
            reserved_groups: Vec::new(),
            region_rule: RegionRule::None,
            regions: Vec::new(),
        };
        let scheme = scheme();
        let groups = plan.group_rules(&scheme.fact_kinds).unwrap();
        Decision::make(
            &scheme,
            &groups,
            person,
            already_recipient,
            &[],
            datetime!(2026-11-24 10:00 UTC),
        )
    }

    #[test]
    fn each_rule_refuses_with_its_reason() {
        let with = |name: &str, value: FactValue| {
            let mut person = person();
            person.facts.insert(name, value);
            person
        };
        let text = |text: &str| FactValue::Text(text.to_owned());

        for (person, expected) in [
            (person(), vec![]),
            (with("age_years", FactValue::Int(18)), vec![]),
            (with("age_years", FactValue::Int(64)), vec![]),
            (
                with("age_years", FactValue::Int(17)),
                vec!["AGE_OUT_OF_RANGE"],
            ),
            (
                with("age_years", FactValue::Int(65)),
                vec!["AGE_OUT_OF_RANGE"],
            ),
            (with("citizenship", text("MY")), vec!["NOT_CITIZEN"]),
            (with("deceased", FactValue::Bool(true)), vec!["DECEASED"]),
            (with("occupation", text("STUDENT")), vec!["STUDENT"]),
            (
                with("occupation", text("CIVIL_SERVANT")),
                vec!["CIVIL_SERVANT"],
            ),
            (with("occupation", text("MILITARY")), vec!["MILITARY"]),
            (with("occupation", text("POLICE")), vec!["POLICE"]),
            (
                with("occupation", text("STATE_OFFICIAL")),
                vec!["STATE_OFFICIAL"],
            ),
            (
                with("occupation", text("VILLAGE_OFFICIAL")),
                vec!["VILLAGE_OFFICIAL"],
            ),
            (
                with("occupation", text("SOE_DIRECTOR")),
                vec!["SOE_DIRECTOR"],
            ),
            // A fact of the wrong type is a missing one: not eligible, and no fault.
            (with("age_years", text("thirty")), vec!["AGE_OUT_OF_RANGE"]),
        ] {
            assert_eq!(decide(&person, false).refusals, expected, "{person:?}");
        }
        assert_eq!(decide(&person(), true).refusals, ["ALREADY_RECIPIENT"]);
        assert_eq!(
            decide(&PersonFacts::unknown(), false).refusals,
            ["PERSON_NOT_VERIFIED"]
        );
    }

    #[test]
    fn a_decision_can_be_made_again_from_what_it_keeps() {
        let decision = decide(&person(), false);

        let again = scheme().rules.broken_by(&decision.facts);

        assert_eq!(again, decision.refusals);
        assert_eq!(&decision.rule_set_hash, scheme().rules.hash());
        // What no rule names is not kept.
        assert_eq!(decision.facts.get("full_name"), None);
    }
}
