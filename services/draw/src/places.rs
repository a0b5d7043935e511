//! Gives the places out along the rank order: reserved groups, then regions, then what is left (README §5).
//! Invariant: a household's count only grows, so who is refused for it once would be refused again.

use std::{collections::HashMap, num::NonZeroU8};

use crate::{
    entrant::{Entrant, TOKEN_BYTES},
    outcome::{Stratum, Verdict},
    quota::{QuotaPlan, RemainderRule},
};

/// More than the loads that a processor has under way at a time.
const LOOKAHEAD: usize = 32;

/// Returns the verdict on each entrant, in the order of `entrants`; `order` is the rank order.
pub(crate) fn give_places(
    plan: &QuotaPlan,
    household_limit: Option<NonZeroU8>,
    entrants: &[Entrant],
    order: &[u32],
) -> Vec<Verdict> {
    let mut round = Round {
        household_limit,
        entrants,
        order,
        verdicts: vec![Verdict::NotDrawn; entrants.len()],
        winners_by_household: HashMap::new(),
        won: 0,
    };
    if household_limit.is_some() {
        let winners_max = entrants.len().min(plan.places() as usize);
        round.winners_by_household.reserve(winners_max);
    }

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
    round.verdicts
}

struct Round<'a> {
    household_limit: Option<NonZeroU8>,
    entrants: &'a [Entrant],
    order: &'a [u32],
    verdicts: Vec<Verdict>,
    winners_by_household: HashMap<[u8; TOKEN_BYTES], u32>,
    won: u32,
}

impl Round<'_> {
    /// Gives `places` along the rank order; returns how many could not be.
    fn fill(&mut self, places: u32, stratum: Stratum, eligible: impl Fn(&Entrant) -> bool) -> u32 {
        let mut free = places;
        self.walk(|round, position, entrant| {
            if free > 0 && eligible(entrant) && round.give(position, entrant, stratum) {
                free -= 1;
            }
            free > 0
        });
        free
    }

    /// One walk serves all regions, since an entrant has one; households may span several.
    fn fill_regions(&mut self, mut free_by_region: HashMap<u32, u32>) {
        let mut free: u64 = free_by_region
            .values()
            .map(|&places| u64::from(places))
            .sum();
        self.walk(|round, position, entrant| {
            if let Some(places) = free_by_region.get_mut(&entrant.region)
                && *places > 0
                && round.give(position, entrant, Stratum::Region)
            {
                *places -= 1;
                free -= 1;
            }
            free > 0
        });
    }

    /// Visits in rank order all who were neither given a place nor refused one, while `visit` wants more.
    fn walk(&mut self, mut visit: impl FnMut(&mut Self, u32, &Entrant) -> bool) {
        let mut loaded = Vec::with_capacity(LOOKAHEAD);
        for positions in self.order.chunks(LOOKAHEAD) {
            // They lie apart in memory: loaded together, they are waited for together.
            loaded.extend(positions.iter().map(|&position| {
                let verdict = self.verdicts[position as usize];
                (position, verdict, self.entrants[position as usize])
            }));
            for (position, verdict, entrant) in loaded.drain(..) {
                if verdict == Verdict::NotDrawn && !visit(self, position, &entrant) {
                    return;
                }
            }
        }
    }

    /// Gives a place unless the household is full; tells whether it was given.
    fn give(&mut self, position: u32, entrant: &Entrant, stratum: Stratum) -> bool {
        let verdict = &mut self.verdicts[position as usize];
        if let (Some(limit), Some(token)) = (self.household_limit, entrant.household) {
            let winners = self.winners_by_household.entry(token).or_default();
            if u32::from(entrant.household_prior) + *winners >= u32::from(limit.get()) {
                *verdict = Verdict::HouseholdLimit;
                return false;
            }
            *winners += 1;
        }
        *verdict = Verdict::Won(stratum);
        self.won += 1;
        true
    }
}

#[cfg(test)]
mod tests;
