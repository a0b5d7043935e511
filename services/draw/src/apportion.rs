//! Shares places among regions by largest remainder, with floors. Integers only, so that every
//! implementation gets the same table.

use crate::quota::RegionWeight;

/// Returns the places of each region, in the order given.
///
/// A region whose exact share `total × weight ÷ weights` is below its floor gets the floor and leaves the
/// sharing, together with its weight; this repeats until no floor is missed. The others get the whole part
/// of their share, and one more by descending remainder, equal remainders in the order given. Regions that
/// weigh nothing get their floor; if only such remain, the rest of the places is shared by no one.
pub(crate) fn largest_remainder(total: u32, regions: &[RegionWeight]) -> Vec<u32> {
    let mut places = vec![0; regions.len()];
    let mut sharing: Vec<usize> = (0..regions.len()).collect();
    let mut left = u128::from(total);
    let mut weights = weight_sum(regions, &sharing);
    loop {
        let (kept, floored): (Vec<usize>, Vec<usize>) = sharing.into_iter().partition(|&i| {
            left * u128::from(regions[i].weight) >= u128::from(regions[i].floor) * weights
                && weights > 0
        });
        for &i in &floored {
            places[i] = regions[i].floor;
            left = left.saturating_sub(u128::from(regions[i].floor));
        }
        sharing = kept;
        weights = weight_sum(regions, &sharing);
        if floored.is_empty() || sharing.is_empty() {
            break;
        }
    }
    if weights > 0 {
        share(left, weights, regions, sharing, &mut places);
    }
    places
}

fn share(
    left: u128,
    weights: u128,
    regions: &[RegionWeight],
    mut sharing: Vec<usize>,
    places: &mut [u32],
) {
    let mut rest = left;
    for &i in &sharing {
        let whole = left * u128::from(regions[i].weight) / weights;
        rest -= whole;
        places[i] = u32::try_from(whole).expect("a share is at most the total");
    }
    let remainder = |i: usize| left * u128::from(regions[i].weight) % weights;
    // Stable: equal remainders keep the order of the regions.
    sharing.sort_by_key(|&i| std::cmp::Reverse(remainder(i)));
    let rest = usize::try_from(rest).expect("fewer places than regions are left");
    for &i in sharing.iter().take(rest) {
        places[i] += 1;
    }
}

fn weight_sum(regions: &[RegionWeight], sharing: &[usize]) -> u128 {
    sharing.iter().map(|&i| u128::from(regions[i].weight)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn shares(total: u32, table: &[(u32, u32)]) -> Vec<u32> {
        let regions: Vec<RegionWeight> = (1..)
            .zip(table)
            .map(|(region, &(weight, floor))| RegionWeight {
                region,
                weight,
                floor,
            })
            .collect();
        largest_remainder(total, &regions)
    }

    #[test]
    fn tables_worked_by_hand() {
        // The textbook example of the Hamilton method: 100 votes in thousands, 10 seats.
        let votes = [
            (47_000, 0),
            (16_000, 0),
            (15_800, 0),
            (12_000, 0),
            (6_100, 0),
            (3_100, 0),
        ];
        assert_eq!(shares(10, &votes), [5, 2, 1, 1, 1, 0]);
        // Equal remainders: the earlier region.
        assert_eq!(shares(10, &[(1, 0), (1, 0), (1, 0)]), [4, 3, 3]);
        assert_eq!(shares(0, &[(1, 0), (2, 0)]), [0, 0]);
        // 100 × 1/100 = 1 is below 10; the others share 90 by 49 : 50 = 44.54… : 45.45….
        assert_eq!(shares(100, &[(1, 10), (49, 0), (50, 0)]), [10, 45, 45]);
        // The second floor is missed only after the first was given: 70 × 30/99 = 21.2 < 25.
        assert_eq!(shares(100, &[(1, 30), (30, 25), (69, 0)]), [30, 25, 45]);
    }

    #[test]
    fn a_region_that_weighs_nothing_gets_its_floor_alone() {
        assert_eq!(shares(10, &[(0, 2), (0, 0), (5, 0)]), [2, 0, 8]);
        assert_eq!(shares(10, &[(0, 2), (0, 3)]), [2, 3]);
        assert_eq!(shares(10, &[]), [0; 0]);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let halves = [(u32::MAX, 0), (u32::MAX, 0)];
        assert_eq!(shares(u32::MAX, &halves), [0x8000_0000, 0x7fff_ffff]);
    }

    proptest! {
        #[test]
        fn every_place_is_shared_and_every_floor_kept(
            table in proptest::collection::vec((0_u32..1000, 0_u32..50), 1..40),
            extra in 0_u32..10_000,
        ) {
            let floors: u32 = table.iter().map(|row| row.1).sum();
            let total = floors + extra;

            let places = shares(total, &table);

            for (share, row) in places.iter().zip(&table) {
                prop_assert!(*share >= row.1);
            }
            let sum: u32 = places.iter().sum();
            if table.iter().any(|row| row.0 > 0) {
                prop_assert_eq!(sum, total);
            } else {
                prop_assert_eq!(sum, floors);
            }
        }
    }
}
