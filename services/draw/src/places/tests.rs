//! Cases by hand, where rank order is the order of the list, and properties of every plan.

use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::{
    entrant::Covariates,
    quota::{Group, RegionPlaces, RegionWeight, Regions},
};

const LOST: Verdict = Verdict::NotDrawn;
const LIMIT: Verdict = Verdict::HouseholdLimit;
const GENERAL: Verdict = Verdict::Won(Stratum::General);
const REGION: Verdict = Verdict::Won(Stratum::Region);
const FIRST_GROUP: Verdict = Verdict::Won(Stratum::Group(0));
const SECOND_GROUP: Verdict = Verdict::Won(Stratum::Group(1));

fn someone() -> Entrant {
    Entrant::default()
}

fn from_region(region: u32) -> Entrant {
    Entrant {
        region,
        ..someone()
    }
}

fn of_groups(groups: u32) -> Entrant {
    Entrant {
        groups,
        ..someone()
    }
}

fn of_household(household: u8, household_prior: u8) -> Entrant {
    Entrant {
        household: Some([household; 16]),
        household_prior,
        ..someone()
    }
}

fn plan(places: u32, groups: &[u32], regions: Regions, rule: RemainderRule) -> QuotaPlan {
    let group = |(i, &places): (usize, &u32)| Group {
        name: format!("group-{i}"),
        places,
    };
    let groups = groups.iter().enumerate().map(group).collect();
    QuotaPlan::new(places, groups, regions, rule).unwrap()
}

fn fixed(rows: &[(u32, u32)]) -> Regions {
    let rows = rows
        .iter()
        .map(|&(region, places)| RegionPlaces { region, places });
    Regions::Fixed(rows.collect())
}

fn verdicts(plan: &QuotaPlan, limit: u8, entrants: &[Entrant]) -> Vec<Verdict> {
    let order: Vec<u32> = (0..).take(entrants.len()).collect();
    give_places(plan, NonZeroU8::new(limit), entrants, &order)
}

#[test]
fn a_general_plan_takes_the_first_ranks() {
    let plan = plan(2, &[], Regions::None, RemainderRule::General);

    assert_eq!(
        verdicts(&plan, 0, &[someone(); 3]),
        [GENERAL, GENERAL, LOST]
    );
    assert_eq!(verdicts(&plan, 0, &[someone(); 1]), [GENERAL]);
}

#[test]
fn groups_are_served_in_their_order_and_nobody_twice() {
    let plan = plan(3, &[1, 1], Regions::None, RemainderRule::General);
    let entrants = [
        someone(),
        of_groups(0b11),
        of_groups(0b10),
        of_groups(0b11),
        of_groups(0b01),
    ];

    assert_eq!(
        verdicts(&plan, 0, &entrants),
        [GENERAL, FIRST_GROUP, SECOND_GROUP, LOST, LOST]
    );
}

#[test]
fn unused_places_follow_the_stated_rule() {
    let shared = || {
        let weight = |region| RegionWeight {
            region,
            weight: 1,
            floor: 0,
        };
        Regions::Proportional(vec![weight(1), weight(2)])
    };
    let entrants = [
        from_region(9),
        from_region(1),
        from_region(1),
        from_region(2),
        from_region(2),
    ];

    // Four places: two reserved for a group of nobody, one for each region.
    let general = plan(4, &[2], shared(), RemainderRule::General);
    assert_eq!(
        verdicts(&general, 0, &entrants),
        [GENERAL, REGION, GENERAL, REGION, LOST]
    );
    let regions = plan(4, &[2], shared(), RemainderRule::RegionsThenGeneral);
    assert_eq!(
        verdicts(&regions, 0, &entrants),
        [LOST, REGION, REGION, REGION, REGION]
    );
    let lapse = plan(4, &[2], shared(), RemainderRule::Lapse);
    assert_eq!(
        verdicts(&lapse, 0, &entrants),
        [LOST, REGION, LOST, REGION, LOST]
    );
}

#[test]
fn what_a_region_cannot_fill_goes_to_the_best_ranks_elsewhere() {
    let regions = fixed(&[(1, 2), (2, 1)]);
    let entrants = [
        from_region(2),
        from_region(2),
        from_region(3),
        from_region(1),
    ];

    let general = plan(4, &[], regions.clone(), RemainderRule::General);
    assert_eq!(
        verdicts(&general, 0, &entrants),
        [REGION, GENERAL, GENERAL, REGION]
    );
    // The fourth place was never bound to a region, so it does not lapse.
    let lapse = plan(4, &[], regions, RemainderRule::Lapse);
    assert_eq!(
        verdicts(&lapse, 0, &entrants),
        [REGION, GENERAL, LOST, REGION]
    );
}

#[test]
fn several_members_win_in_one_draw_up_to_the_limit() {
    let plan = plan(4, &[], Regions::None, RemainderRule::General);
    let entrants = [
        of_household(1, 0),
        of_household(1, 0),
        of_household(1, 0),
        of_household(2, 1),
        of_household(2, 1),
        of_household(3, 2),
        someone(),
        of_household(1, 0),
    ];

    assert_eq!(
        verdicts(&plan, 2, &entrants),
        [
            GENERAL, GENERAL, LIMIT, GENERAL, LIMIT, LIMIT, GENERAL, LOST
        ]
    );
}

#[test]
fn a_household_that_won_in_a_group_counts_in_its_region() {
    let plan = plan(2, &[1], fixed(&[(1, 1)]), RemainderRule::General);
    let member = |groups| Entrant {
        groups,
        region: 1,
        ..of_household(1, 0)
    };
    let entrants = [member(0), member(1), from_region(1)];

    assert_eq!(verdicts(&plan, 1, &entrants), [LIMIT, FIRST_GROUP, REGION]);
}

#[test]
fn without_a_limit_or_a_household_nobody_is_refused() {
    let plan = plan(9, &[], Regions::None, RemainderRule::General);

    assert_eq!(verdicts(&plan, 0, &[of_household(1, 9); 3]), [GENERAL; 3]);
    assert_eq!(verdicts(&plan, 1, &[someone(); 3]), [GENERAL; 3]);
}

fn any_plan(rule: impl Strategy<Value = RemainderRule>) -> impl Strategy<Value = QuotaPlan> {
    let groups = proptest::collection::vec(0_u32..6, 0..4);
    let regions = proptest::collection::vec(0_u32..6, 0..4);
    (groups, regions, 0_u8..3, 0_u32..15, rule).prop_map(|(groups, rows, kind, spare, rule)| {
        let bound: u32 = groups.iter().chain(rows.iter().filter(|_| kind > 0)).sum();
        let rows = (1..).zip(rows);
        let regions = match kind {
            0 => Regions::None,
            1 => fixed(&rows.collect::<Vec<_>>()),
            _ => Regions::Proportional(
                rows.map(|(region, floor)| RegionWeight {
                    region,
                    weight: region % 3,
                    floor,
                })
                .collect(),
            ),
        };
        plan(bound + spare, &groups, regions, rule)
    })
}

fn any_entrants() -> impl Strategy<Value = Vec<Entrant>> {
    let entrant = (0_u32..5, 0_u32..16, proptest::option::of(0_u8..12));
    let entrant = entrant.prop_map(|(region, groups, household)| Entrant {
        region,
        // Bits beyond the plan's groups do not matter to the walk.
        groups,
        household: household.map(|token| [token; 16]),
        // All members of a household have the same history.
        household_prior: household.map_or(0, |token| token % 3),
        ..someone()
    });
    proptest::collection::vec(entrant, 0..60)
}

fn any_rule() -> impl Strategy<Value = RemainderRule> {
    prop_oneof![
        Just(RemainderRule::General),
        Just(RemainderRule::RegionsThenGeneral),
        Just(RemainderRule::Lapse)
    ]
}

/// Most winners that the household limit allows, whatever the order.
fn capacity(entrants: &[Entrant], limit: u8) -> usize {
    let mut members: HashMap<[u8; 16], (usize, u8)> = HashMap::new();
    let mut free = 0;
    for entrant in entrants {
        match entrant.household {
            Some(token) if limit > 0 => {
                members
                    .entry(token)
                    .or_insert((0, entrant.household_prior))
                    .0 += 1;
            }
            _ => free += 1,
        }
    }
    let allowed = |&(size, prior): &(usize, u8)| size.min(usize::from(limit.saturating_sub(prior)));
    free + members.values().map(allowed).sum::<usize>()
}

fn count(verdicts: &[Verdict], wanted: Verdict) -> u32 {
    u32::try_from(
        verdicts
            .iter()
            .filter(|verdict| **verdict == wanted)
            .count(),
    )
    .unwrap()
}

proptest! {
    #[test]
    fn places_are_filled_exactly_when_enough_may_win(
        plan in any_plan(prop_oneof![Just(RemainderRule::General), Just(RemainderRule::RegionsThenGeneral)]),
        entrants in any_entrants(),
        limit in 0_u8..4,
    ) {
        let won = verdicts(&plan, limit, &entrants)
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Won(_)))
            .count();

        prop_assert_eq!(won, capacity(&entrants, limit).min(plan.places() as usize));
    }

    #[test]
    fn nobody_is_left_out_while_a_place_of_his_stratum_is_free(
        plan in any_plan(any_rule()),
        entrants in any_entrants(),
        limit in 0_u8..4,
    ) {
        let verdicts = verdicts(&plan, limit, &entrants);

        for (group, i) in plan.groups().iter().zip(0_u8..) {
            let won = count(&verdicts, Verdict::Won(Stratum::Group(i)));
            prop_assert!(won <= group.places);
            let left_out = entrants
                .iter()
                .zip(&verdicts)
                .any(|(entrant, verdict)| *verdict == LOST && entrant.groups >> i & 1 == 1);
            prop_assert!(!left_out || won == group.places);
        }
        let outside = plan.places_outside_groups();
        if plan.remainder() != RemainderRule::RegionsThenGeneral {
            for row in plan.places_by_region(outside) {
                let in_region =
                    |wanted: Verdict| entrants.iter().zip(&verdicts)
                        .filter(|(entrant, verdict)| entrant.region == row.region && **verdict == wanted)
                        .count();
                prop_assert!(in_region(REGION) <= row.places as usize);
                prop_assert!(in_region(LOST) == 0 || in_region(REGION) == row.places as usize);
            }
        }
    }

    #[test]
    fn covariates_decide_nothing(
        plan in any_plan(any_rule()),
        entrants in any_entrants(),
        limit in 0_u8..4,
        covariates in proptest::collection::vec((0_u8..100, 0_u8..3, 0_u8..16), 60),
    ) {
        let mut others = entrants.clone();
        for (entrant, (apply_order, sex, age_band)) in others.iter_mut().zip(covariates) {
            entrant.covariates = Covariates { apply_order, sex, age_band };
        }

        prop_assert_eq!(verdicts(&plan, limit, &entrants), verdicts(&plan, limit, &others));
    }

    #[test]
    fn no_household_gets_more_than_its_limit(
        plan in any_plan(any_rule()),
        entrants in any_entrants(),
        limit in 1_u8..4,
    ) {
        let verdicts = verdicts(&plan, limit, &entrants);

        for token in 0_u8..12 {
            let members = entrants.iter().zip(&verdicts).filter(|(e, _)| e.household == Some([token; 16]));
            let won = members.filter(|(_, verdict)| matches!(verdict, Verdict::Won(_))).count();
            prop_assert!(won <= usize::from(limit.saturating_sub(token % 3)));
        }
    }

    #[test]
    fn a_refusal_for_the_household_means_that_the_household_is_full(
        plan in any_plan(any_rule()),
        entrants in any_entrants(),
        limit in 1_u8..4,
    ) {
        let verdicts = verdicts(&plan, limit, &entrants);

        for (entrant, _) in entrants.iter().zip(&verdicts).filter(|(_, v)| **v == LIMIT) {
            let won = entrants
                .iter()
                .zip(&verdicts)
                .filter(|(e, v)| e.household == entrant.household && matches!(v, Verdict::Won(_)))
                .count();
            prop_assert!(won + usize::from(entrant.household_prior) >= usize::from(limit));
        }
    }
}
