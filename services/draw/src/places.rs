//! Gives the places out along the rank order: reserved groups, then regions, then what is left (README §5).
//! Invariant: a household's count only grows, so who is refused for it once would be refused again.

use std::{collections::HashMap, num::NonZeroU8};

use crate::{
    entrant::{Entrant, TOKEN_BYTES},
    outcome::{Outcome, Stratum, Verdict},
    quota::{QuotaPlan, RemainderRule},
};

/// Returns the outcome of each entrant, in the order of `entrants`; `order` is the rank order.
pub(crate) fn give_places(
    plan: &QuotaPlan,
    household_limit: Option<NonZeroU8>,
    entrants: &[Entrant],
    order: &[u32],
) -> Vec<Outcome> {
    let mut round = Round::new(household_limit, entrants, order);

    let mut unused_in_groups = 0;
    for (group, i) in plan.groups().iter().zip(0_u8..) {
        let eligible = |entrant: &Entrant| entrant.groups >> i & 1 == 1;
        unused_in_groups += round.fill(group.places, Stratum::Group(i), eligible);
    }

    let outside_groups = plan.places_outside_groups();
    let for_regions = match plan.remainder() {
        RemainderRule::RegionsThenGeneral => outside_groups + unused_in_groups,
        RemainderRule::General | RemainderRule::Lapse => outside_groups,
    };
    let by_region = plan.places_by_region(for_regions);
    let bound: u32 = by_region.iter().map(|row| row.places).sum();
    round.fill_regions(
        by_region
            .iter()
            .map(|row| (row.region, row.places))
            .collect(),
    );

    let general = match plan.remainder() {
        RemainderRule::General | RemainderRule::RegionsThenGeneral => plan.places() - round.won,
        RemainderRule::Lapse => outside_groups - bound,
    };
    round.fill(general, Stratum::General, |_| true);
    round.outcomes
}

struct Round<'a> {
    household_limit: Option<NonZeroU8>,
    entrants: &'a [Entrant],
    order: &'a [u32],
    outcomes: Vec<Outcome>,
    winners_by_household: HashMap<[u8; TOKEN_BYTES], u32>,
    won: u32,
}

impl<'a> Round<'a> {
    fn new(household_limit: Option<NonZeroU8>, entrants: &'a [Entrant], order: &'a [u32]) -> Self {
        let unranked = Outcome {
            rank: 0,
            verdict: Verdict::NotDrawn,
        };
        let mut outcomes = vec![unranked; entrants.len()];
        for (&position, rank) in order.iter().zip(1..) {
            outcomes[position as usize].rank = rank;
        }
        let winners_by_household = HashMap::new();
        Self {
            household_limit,
            entrants,
            order,
            outcomes,
            winners_by_household,
            won: 0,
        }
    }

    /// Walks the rank order until `places` are given; returns how many could not be.
    fn fill(&mut self, places: u32, stratum: Stratum, eligible: impl Fn(&Entrant) -> bool) -> u32 {
        let mut free = places;
        for &position in self.order {
            if free == 0 {
                break;
            }
            if eligible(&self.entrants[position as usize]) && self.give(position, stratum) {
                free -= 1;
            }
        }
        free
    }

    /// One walk serves all regions, since an entrant has one; households may span several.
    fn fill_regions(&mut self, mut free_by_region: HashMap<u32, u32>) {
        let mut free: u64 = free_by_region
            .values()
            .map(|&places| u64::from(places))
            .sum();
        for &position in self.order {
            if free == 0 {
                break;
            }
            let region = self.entrants[position as usize].region;
            if let Some(places) = free_by_region.get_mut(&region)
                && *places > 0
                && self.give(position, Stratum::Region)
            {
                *places -= 1;
                free -= 1;
            }
        }
    }

    fn give(&mut self, position: u32, stratum: Stratum) -> bool {
        let outcome = &mut self.outcomes[position as usize];
        if outcome.verdict != Verdict::NotDrawn {
            return false;
        }
        let entrant = &self.entrants[position as usize];
        if let (Some(limit), Some(token)) = (self.household_limit, entrant.household) {
            let winners = self.winners_by_household.entry(token).or_default();
            if u32::from(entrant.household_prior) + *winners >= u32::from(limit.get()) {
                outcome.verdict = Verdict::HouseholdLimit;
                return false;
            }
            *winners += 1;
        }
        outcome.verdict = Verdict::Won(stratum);
        self.won += 1;
        true
    }
}

#[cfg(test)]
mod tests;
