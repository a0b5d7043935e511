//! The places of a batch and how they are shared out, as the operator states them.

use std::collections::{BTreeMap, HashSet};

use draw::{Group, RegionPlaces, RegionWeight, Regions, RemainderRule};
use serde::{Deserialize, Serialize};

use super::{
    facts::{FactKind, Facts},
    rule::{Expression, FactContext},
};

/// The most places of a batch.
pub const PLACES_MAX: i64 = 10_000_000;

/// A quota plan as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaPlan {
    /// All places.
    pub place_count: i64,
    /// Groups with reserved places, in the order in which they are served.
    pub reserved_groups: Vec<ReservedGroup>,
    /// How the other places are shared among regions.
    pub region_rule: RegionRule,
    /// The regions' shares.
    pub regions: Vec<RegionShare>,
}

/// How places are shared among regions of the first level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RegionRule {
    /// Not at all.
    None,
    /// A number each.
    Fixed,
    /// By weight.
    Proportional,
}

/// A group with reserved places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedGroup {
    /// Its name.
    pub name: String,
    /// Its places.
    pub place_count: i64,
    /// What is true of its members.
    pub expression: String,
}

/// One region's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionShare {
    /// The code of the region.
    pub region: String,
    /// Its places, or its weight.
    pub weight: i64,
    /// Its least number of places.
    pub floor: i64,
}

/// What is wrong with a plan: the field and why.
pub type QuotaMistake = (String, String);

/// The expressions of a plan's groups, compiled.
#[derive(Debug)]
pub struct GroupRules(Vec<Expression>);

impl QuotaPlan {
    /// Returns the plan that the draw works with.
    ///
    /// # Errors
    /// Returns everything that is wrong with the plan.
    pub fn to_draw(&self) -> Result<draw::QuotaPlan, Vec<QuotaMistake>> {
        let mut mistakes = Vec::new();
        if !(1..=PLACES_MAX).contains(&self.place_count) {
            mistakes.push((
                "place_count".to_owned(),
                format!("is not within 1 and {PLACES_MAX}"),
            ));
        }
        let mut number = |field: String, value: i64| {
            u32::try_from(value).unwrap_or_else(|_| {
                mistakes.push((field, "is not within 0 and 4294967295".to_owned()));
                0
            })
        };
        let places = number("place_count".to_owned(), self.place_count.max(0));
        let groups: Vec<Group> = self
            .reserved_groups
            .iter()
            .enumerate()
            .map(|(i, group)| Group {
                name: group.name.clone(),
                places: number(
                    format!("reserved_groups[{i}].place_count"),
                    group.place_count,
                ),
            })
            .collect();
        let mut rows: Vec<RegionWeight> = self
            .regions
            .iter()
            .enumerate()
            .map(|(i, share)| RegionWeight {
                region: region_number(&share.region).unwrap_or(0),
                weight: number(format!("regions[{i}].weight"), share.weight),
                floor: number(format!("regions[{i}].floor"), share.floor),
            })
            .collect();
        rows.sort_unstable_by_key(|row| row.region);
        self.check_regions(&mut mistakes);

        let regions = match self.region_rule {
            RegionRule::None => Regions::None,
            RegionRule::Fixed => {
                let fixed = |row: &RegionWeight| RegionPlaces {
                    region: row.region,
                    places: row.weight,
                };
                Regions::Fixed(rows.iter().map(fixed).collect())
            }
            RegionRule::Proportional => Regions::Proportional(rows),
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        draw::QuotaPlan::new(places, groups, regions, RemainderRule::General)
            .map_err(|invalid| vec![(String::new(), invalid.to_string())])
    }

    /// Compiles the groups' expressions over the facts of a scheme.
    ///
    /// # Errors
    /// Returns everything that is wrong with them.
    pub fn group_rules(
        &self,
        kinds: &BTreeMap<String, FactKind>,
    ) -> Result<GroupRules, Vec<QuotaMistake>> {
        let mut rules = Vec::new();
        let mut mistakes = Vec::new();
        for (i, group) in self.reserved_groups.iter().enumerate() {
            match Expression::compile(&group.expression, kinds) {
                Ok(expression) => rules.push(expression),
                Err(found) => mistakes.extend(found.into_iter().map(|mistake| {
                    let place = format!("line {}, column {}: ", mistake.line, mistake.column);
                    (
                        format!("reserved_groups[{i}].expression"),
                        format!("{place}{}", mistake.text),
                    )
                })),
            }
        }
        if mistakes.is_empty() {
            Ok(GroupRules(rules))
        } else {
            Err(mistakes)
        }
    }

    fn check_regions(&self, mistakes: &mut Vec<QuotaMistake>) {
        let mut seen = HashSet::new();
        for (i, share) in self.regions.iter().enumerate() {
            let mut reject = |part: &str, text: &str| {
                mistakes.push((format!("regions[{i}].{part}"), text.to_owned()));
            };
            match region_number(&share.region) {
                None => reject("region", "is not the numeric code of a region"),
                Some(code) if !seen.insert(code) => reject("region", "stands twice"),
                Some(_) => {}
            }
            if self.region_rule == RegionRule::Fixed && share.floor != 0 {
                reject("floor", "is for PROPORTIONAL only");
            }
        }
        let needs_regions = self.region_rule != RegionRule::None;
        if needs_regions == self.regions.is_empty() {
            let text = if needs_regions {
                "is empty"
            } else {
                "is for FIXED and PROPORTIONAL only"
            };
            mistakes.push(("regions".to_owned(), text.to_owned()));
        }
    }
}

impl GroupRules {
    /// Returns the groups that a person belongs to: bit i for the i-th.
    pub fn bits(&self, facts: &Facts) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        let context = FactContext::new(facts);
        self.0
            .iter()
            .enumerate()
            .filter(|(_, expression)| expression.holds(&context))
            .fold(0, |bits, (i, _)| bits | (1 << i))
    }
}

/// Reads a region's code as the draw's number; codes are written without leading zeros or signs.
fn region_number(code: &str) -> Option<u32> {
    let number: u32 = code.parse().ok()?;
    (number > 0 && number.to_string() == code).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::FactValue;

    fn plan() -> QuotaPlan {
        QuotaPlan {
            place_count: 100,
            reserved_groups: vec![ReservedGroup {
                name: "disability".to_owned(),
                place_count: 5,
                expression: "disability".to_owned(),
            }],
            region_rule: RegionRule::None,
            regions: Vec::new(),
        }
    }

    fn share(region: &str, weight: i64, floor: i64) -> RegionShare {
        RegionShare {
            region: region.to_owned(),
            weight,
            floor,
        }
    }

    #[test]
    fn a_plan_is_given_to_the_draw_with_ascending_regions() {
        let plan = QuotaPlan {
            region_rule: RegionRule::Fixed,
            regions: vec![share("32", 10, 0), share("11", 5, 0)],
            ..plan()
        };

        let drawn = plan.to_draw().unwrap();

        let expected = [(11, 5), (32, 10)].map(|(region, places)| RegionPlaces { region, places });
        assert_eq!(drawn.regions(), &Regions::Fixed(expected.to_vec()));
    }

    #[test]
    fn all_mistakes_of_a_plan_are_told() {
        let plan = QuotaPlan {
            place_count: 0,
            region_rule: RegionRule::Fixed,
            regions: vec![share("x", 10, 0), share("32", -5, 1), share("32", 5, 0)],
            ..plan()
        };

        let fields: Vec<String> = plan
            .to_draw()
            .unwrap_err()
            .into_iter()
            .map(|(field, _)| field)
            .collect();

        for field in [
            "place_count",
            "regions[0].region",
            "regions[1].weight",
            "regions[1].floor",
            "regions[2].region",
        ] {
            assert!(fields.iter().any(|f| f == field), "{field}: {fields:?}");
        }
    }

    #[test]
    fn more_reserved_places_than_places_are_refused() {
        let mut plan = plan();
        plan.reserved_groups[0].place_count = 101;

        assert!(plan.to_draw().is_err());
    }

    #[test]
    fn members_of_a_group_are_found_by_their_facts() {
        let kinds = BTreeMap::from([("disability".to_owned(), FactKind::Bool)]);
        let rules = plan().group_rules(&kinds).unwrap();
        let mut facts = Facts::default();

        assert_eq!(rules.bits(&facts), 0);
        facts.insert("disability", FactValue::Bool(true));
        assert_eq!(rules.bits(&facts), 1);
    }
}
