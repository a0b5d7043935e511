//! The quota plan: how many places there are, for whom they are reserved, and what becomes of unused ones.
//! A plan is checked when it is made or read, so that a plan in hand always adds up.

use std::collections::HashSet;

use crate::{
    Invalid,
    apportion::largest_remainder,
    codec::{Decoder, check_text, put_text},
};

/// Most reserved groups of a plan: the bits of [`crate::Entrant::groups`].
pub const GROUPS_MAX: usize = 32;
/// Most regions of a plan: a hundred times the provinces of a large country.
pub const REGIONS_MAX: usize = 10_000;

const VERSION: u8 = 1;

/// A reserved group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name, such as `disability`.
    pub name: String,
    /// Places reserved for it.
    pub places: u32,
}

/// A region with a fixed number of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionPlaces {
    /// Code of the region.
    pub region: u32,
    /// Places of the region.
    pub places: u32,
}

/// A region that shares places by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionWeight {
    /// Code of the region.
    pub region: u32,
    /// Weight, such as the number of inhabitants.
    pub weight: u32,
    /// Least number of places.
    pub floor: u32,
}

/// How places are bound to regions. Regions stand in ascending order of their codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// Not at all.
    None,
    /// A number each.
    Fixed(Vec<RegionPlaces>),
    /// Shared by weight with floors, by largest remainder.
    Proportional(Vec<RegionWeight>),
}

/// What becomes of places that their stratum could not fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemainderRule {
    /// All go to the general pool.
    General,
    /// Those of groups are shared by the regions; what regions cannot fill goes to the general pool.
    RegionsThenGeneral,
    /// They stay empty.
    Lapse,
}

/// A checked quota plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaPlan {
    places: u32,
    groups: Vec<Group>,
    regions: Regions,
    remainder: RemainderRule,
}

impl QuotaPlan {
    /// Returns the plan if it adds up.
    ///
    /// # Errors
    /// Refuses more reserved places, regional places or floors than there are places, repeated names or
    /// regions, regions out of order or with code 0, and more groups or regions than the limits.
    pub fn new(
        places: u32,
        groups: Vec<Group>,
        regions: Regions,
        remainder: RemainderRule,
    ) -> Result<Self, Invalid> {
        let plan = Self {
            places,
            groups,
            regions,
            remainder,
        };
        plan.check()?;
        Ok(plan)
    }

    /// Returns the number of places.
    pub fn places(&self) -> u32 {
        self.places
    }

    /// Returns the reserved groups in the order in which they are served.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns how places are bound to regions.
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Returns what becomes of unused places.
    pub fn remainder(&self) -> RemainderRule {
        self.remainder
    }

    /// Returns the places outside the reserved groups.
    pub(crate) fn places_outside_groups(&self) -> u32 {
        let reserved: u32 = self.groups.iter().map(|group| group.places).sum();
        self.places - reserved
    }

    /// Returns the places of each region, ascending by region, when `total` places are left for regions.
    pub(crate) fn places_by_region(&self, total: u32) -> Vec<RegionPlaces> {
        match &self.regions {
            Regions::None => Vec::new(),
            Regions::Fixed(rows) => rows.clone(),
            Regions::Proportional(rows) => rows
                .iter()
                .zip(largest_remainder(total, rows))
                .map(|(row, places)| RegionPlaces {
                    region: row.region,
                    places,
                })
                .collect(),
        }
    }

    /// Returns the canonical encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let count = |length: usize| u16::try_from(length).expect("a checked plan is within limits");
        out.extend_from_slice(&self.places.to_be_bytes());
        out.extend_from_slice(&count(self.groups.len()).to_be_bytes());
        for group in &self.groups {
            put_text(&mut out, &group.name);
            out.extend_from_slice(&group.places.to_be_bytes());
        }
        match &self.regions {
            Regions::None => out.push(0),
            Regions::Fixed(rows) => {
                out.push(1);
                out.extend_from_slice(&count(rows.len()).to_be_bytes());
                for row in rows {
                    out.extend_from_slice(&row.region.to_be_bytes());
                    out.extend_from_slice(&row.places.to_be_bytes());
                }
            }
            Regions::Proportional(rows) => {
                out.push(2);
                out.extend_from_slice(&count(rows.len()).to_be_bytes());
                for row in rows {
                    out.extend_from_slice(&row.region.to_be_bytes());
                    out.extend_from_slice(&row.weight.to_be_bytes());
                    out.extend_from_slice(&row.floor.to_be_bytes());
                }
            }
        }
        out.push(match self.remainder {
            RemainderRule::General => 0,
            RemainderRule::RegionsThenGeneral => 1,
            RemainderRule::Lapse => 2,
        });
        out
    }

    /// Reads a canonical encoding.
    ///
    /// # Errors
    /// Refuses every byte string that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Decoder::new("quota plan", bytes);
        fields.domain(&[VERSION])?;
        let places = fields.u32()?;
        let mut groups = Vec::new();
        for _ in 0..fields.u16()? {
            groups.push(Group {
                name: fields.text()?,
                places: fields.u32()?,
            });
        }
        let regions = match fields.u8()? {
            0 => Regions::None,
            1 => {
                let mut rows = Vec::new();
                for _ in 0..fields.u16()? {
                    rows.push(RegionPlaces {
                        region: fields.u32()?,
                        places: fields.u32()?,
                    });
                }
                Regions::Fixed(rows)
            }
            2 => {
                let mut rows = Vec::new();
                for _ in 0..fields.u16()? {
                    let (region, weight) = (fields.u32()?, fields.u32()?);
                    rows.push(RegionWeight {
                        region,
                        weight,
                        floor: fields.u32()?,
                    });
                }
                Regions::Proportional(rows)
            }
            _ => return Err(fields.malformed("has an unknown kind of regions")),
        };
        let remainder = match fields.u8()? {
            0 => RemainderRule::General,
            1 => RemainderRule::RegionsThenGeneral,
            2 => RemainderRule::Lapse,
            _ => return Err(fields.malformed("has an unknown remainder rule")),
        };
        fields.end()?;
        Self::new(places, groups, regions, remainder)
    }

    fn check(&self) -> Result<(), Invalid> {
        let malformed = |problem| {
            Err(Invalid::Malformed {
                field: "quota plan",
                problem,
            })
        };
        if self.groups.len() > GROUPS_MAX {
            return Err(Invalid::LimitExceeded {
                field: "number of reserved groups",
            });
        }
        let mut names = HashSet::new();
        for group in &self.groups {
            check_text("quota plan", &group.name)?;
            if !names.insert(&group.name) {
                return malformed("names a group twice");
            }
        }
        let (codes, least): (Vec<u32>, Vec<u32>) = match &self.regions {
            Regions::None => (Vec::new(), Vec::new()),
            Regions::Fixed(rows) => rows.iter().map(|row| (row.region, row.places)).unzip(),
            Regions::Proportional(rows) => rows.iter().map(|row| (row.region, row.floor)).unzip(),
        };
        if codes.len() > REGIONS_MAX {
            return Err(Invalid::LimitExceeded {
                field: "number of regions",
            });
        }
        if codes.first() == Some(&0) || !codes.is_sorted_by(|a, b| a < b) {
            return malformed("has regions out of order, repeated or with code 0");
        }
        let bound = self.groups.iter().map(|group| group.places).chain(least);
        if bound.map(u64::from).sum::<u64>() > u64::from(self.places) {
            return malformed("reserves more places than there are");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, places: u32) -> Group {
        Group {
            name: name.to_owned(),
            places,
        }
    }

    #[test]
    fn a_plan_is_laid_out_field_by_field() {
        let regions = Regions::Fixed(vec![RegionPlaces {
            region: 31,
            places: 4,
        }]);
        let plan =
            QuotaPlan::new(10, vec![group("rural", 2)], regions, RemainderRule::Lapse).unwrap();

        let expected = b"\x01\0\0\0\x0a\0\x01\x05rural\0\0\0\x02\x01\0\x01\0\0\0\x1f\0\0\0\x04\x02";
        assert_eq!(plan.to_bytes(), expected);
        assert_eq!(QuotaPlan::from_bytes(expected), Ok(plan));
    }

    #[test]
    fn plans_of_every_kind_are_read_back() {
        let row = RegionWeight {
            region: 32,
            weight: 500,
            floor: 1,
        };
        for regions in [Regions::None, Regions::Proportional(vec![row])] {
            for rule in [RemainderRule::General, RemainderRule::RegionsThenGeneral] {
                let plan = QuotaPlan::new(9, Vec::new(), regions.clone(), rule).unwrap();
                assert_eq!(QuotaPlan::from_bytes(&plan.to_bytes()), Ok(plan));
            }
        }
    }

    #[test]
    fn a_plan_that_does_not_add_up_is_refused() {
        let fixed = |rows: &[(u32, u32)]| {
            let rows = rows
                .iter()
                .map(|&(region, places)| RegionPlaces { region, places });
            Regions::Fixed(rows.collect())
        };
        let refused = |groups: Vec<Group>, regions: Regions| {
            QuotaPlan::new(10, groups, regions, RemainderRule::General)
                .unwrap_err()
                .to_string()
        };

        let too_many = "the quota plan reserves more places than there are";
        assert_eq!(
            refused(vec![group("a", 6), group("b", 5)], Regions::None),
            too_many
        );
        assert_eq!(refused(vec![group("a", 6)], fixed(&[(1, 5)])), too_many);
        assert_eq!(
            refused(vec![group("a", u32::MAX), group("b", 11)], Regions::None),
            too_many
        );
        assert_eq!(
            refused(vec![group("a", 1), group("a", 1)], Regions::None),
            "the quota plan names a group twice"
        );
        let disordered = "the quota plan has regions out of order, repeated or with code 0";
        assert_eq!(refused(Vec::new(), fixed(&[(2, 1), (1, 1)])), disordered);
        assert_eq!(refused(Vec::new(), fixed(&[(1, 1), (1, 1)])), disordered);
        assert_eq!(refused(Vec::new(), fixed(&[(0, 1)])), disordered);
        let groups = (0..33).map(|i| group(&format!("g{i}"), 0)).collect();
        assert_eq!(
            refused(groups, Regions::None),
            "the number of reserved groups is above the limit"
        );
    }

    #[test]
    fn every_cut_and_every_extension_of_an_encoding_is_refused() {
        let plan = QuotaPlan::new(
            3,
            vec![group("a", 1)],
            Regions::None,
            RemainderRule::General,
        )
        .unwrap();
        let bytes = plan.to_bytes();

        for length in 0..bytes.len() {
            assert!(QuotaPlan::from_bytes(&bytes[..length]).is_err());
        }
        assert!(QuotaPlan::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}
