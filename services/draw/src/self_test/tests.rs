//! Biases that must be found, and honest draws that must not raise more alarms than stated.

use super::*;
use crate::{
    entrant::Covariates,
    merkle::leaf_hash,
    outcome::{Stratum, Verdict},
    randomness::Randomness,
    rank::Ranking,
};

/// Entrants whose attributes do not follow their position: four days of application, a dozen regions of which
/// some are small, both sexes and unknown, seven age bands.
fn entrants(count: u32) -> Vec<Entrant> {
    let entrant = |i: u32| {
        let bytes = leaf_hash(&i.to_be_bytes());
        let part = |at: usize, bound: u8| bytes[at] % bound;
        Entrant {
            pseudonym: u128::from(i).to_be_bytes(),
            region: u32::from(part(0, 12).min(part(1, 12))),
            covariates: Covariates {
                apply_order: part(2, 100),
                sex: part(3, 9).min(2),
                age_band: part(4, 7),
            },
            ..Entrant::default()
        }
    };
    (0..count).map(entrant).collect()
}

/// Ranks by a true draw, where those for whom `favours` holds come before all others.
fn biased(
    entrants: &[Entrant],
    seed: u32,
    places: usize,
    favours: impl Fn(&Entrant) -> bool,
) -> Vec<Outcome> {
    let mut randomness = [0; 32];
    randomness[..4].copy_from_slice(&seed.to_be_bytes());
    let ranking = Ranking::new(&Randomness(randomness), &[0; 32], "batches/48");
    let mut order = ranking.order(entrants, 1);
    order.sort_by_key(|&position| !favours(&entrants[position as usize]));
    let lost = Outcome {
        rank: 0,
        verdict: Verdict::NotDrawn,
    };
    let mut outcomes = vec![lost; entrants.len()];
    for (&position, rank) in order.iter().zip(1..) {
        outcomes[position as usize].rank = rank;
    }
    for &position in order.iter().take(places) {
        outcomes[position as usize].verdict = Verdict::Won(Stratum::General);
    }
    outcomes
}

fn honest(entrants: &[Entrant], seed: u32, places: usize) -> Vec<Outcome> {
    biased(entrants, seed, places, |_| true)
}

fn p_values(test: &SelfTest) -> Vec<(&str, f64)> {
    test.tests
        .iter()
        .map(|test| (test.name, test.p_value))
        .collect()
}

/// Asserts that the bias raises the alarm by the named test alone.
fn assert_found(name: &str, favours: impl Fn(&Entrant) -> bool) {
    let entrants = entrants(20_000);
    let outcomes = biased(&entrants, 7, 4000, favours);

    let test = self_test(&entrants, &outcomes, 2);

    assert!(test.alarm);
    for (tested, p_value) in p_values(&test) {
        if tested == name {
            assert!(p_value < 1e-6, "{tested}: {p_value}");
        } else {
            assert!(p_value > 0.001, "{tested}: {p_value}");
        }
    }
}

#[test]
fn a_bias_for_the_first_two_of_four_days_is_found() {
    assert_found("apply_order", |entrant| entrant.covariates.apply_order < 50);
}

#[test]
fn a_bias_by_region_sex_or_age_is_found() {
    assert_found("region", |entrant| entrant.region == 3);
    assert_found("sex", |entrant| entrant.covariates.sex == 2);
    assert_found("age_band", |entrant| entrant.covariates.age_band == 1);
}

#[test]
fn honest_draws_raise_few_alarms_and_p_values_spread_evenly() {
    let entrants = entrants(2000);
    let mut alarms = 0;
    let mut low = [0; 4];
    for seed in 0..1000 {
        let test = self_test(&entrants, &honest(&entrants, seed, 400), 1);
        alarms += u32::from(test.alarm);
        for (low, test) in low.iter_mut().zip(&test.tests) {
            *low += u32::from(test.p_value < 0.1);
        }
    }

    assert!(alarms < 20, "{alarms} alarms");
    // A tenth each; Kolmogorov–Smirnov with ties stays a little below.
    for low in low {
        assert!((60..140).contains(&low), "{low} of 1000 below 0.1");
    }
}

#[test]
fn a_quota_does_not_look_like_a_bias() {
    // A region takes all places: the winners are its entrants, and their ranks are as good as anyone's.
    let entrants = entrants(20_000);
    let mut outcomes = honest(&entrants, 3, 0);
    for (outcome, entrant) in outcomes.iter_mut().zip(&entrants) {
        if entrant.region == 3 {
            outcome.verdict = Verdict::Won(Stratum::Region);
        }
    }

    assert!(!self_test(&entrants, &outcomes, 2).alarm);
}

#[test]
fn threads_change_nothing() {
    let entrants = entrants(5000);
    let outcomes = honest(&entrants, 1, 1000);
    let alone = self_test(&entrants, &outcomes, 1);

    for threads in [0, 2, 3, 8] {
        assert_eq!(self_test(&entrants, &outcomes, threads), alone);
    }
}

#[test]
fn small_categories_become_one_or_join_the_smallest() {
    let ranks = Ranks {
        count: 1000,
        first: 500,
    };
    let of = |each: u64| [each; DECILES as usize];
    let small = |total: u64| {
        let mut row = Row::default();
        row[0] = total;
        row
    };

    // 49 are too few for five in each tenth, 50 are enough.
    let merged = ranks.merge_small([of(60), small(49), of(35), small(1)]);
    assert_eq!(merged, [of(60), of(35), small(50)]);
    let joined = ranks.merge_small([of(60), of(40), small(49)]);
    let mut with_others = of(40);
    with_others[0] += 49;
    assert_eq!(joined, [of(60), with_others]);
    assert_eq!(ranks.merge_small([small(20), small(29)]), [] as [Row; 0]);
}

#[test]
fn the_statistics_are_those_computed_by_hand() {
    let entrant = |i: u32| Entrant {
        covariates: Covariates {
            apply_order: if i < 30 { 10 } else { 80 },
            sex: if i < 50 { 1 } else { 2 },
            age_band: 0,
        },
        ..Entrant::default()
    };
    let entrants: Vec<Entrant> = (0..100).map(entrant).collect();
    let outcome = |rank| Outcome {
        rank,
        verdict: Verdict::NotDrawn,
    };
    let outcomes: Vec<Outcome> = (1..=100).map(outcome).collect();

    let test = self_test(&entrants, &outcomes, 1);

    // Nobody won: the first half against the second, 30 of 50 against none.
    assert_eq!(test.tests[0].statistic, 0.6);
    // Twenty cells of which half hold 10 and half none, where 5 are expected.
    assert_eq!(test.tests[2].statistic, 100.0);
    assert_eq!(test.tests[2].degrees_of_freedom, 9);
    for one_category in [1, 3] {
        assert_eq!(test.tests[one_category].degrees_of_freedom, 0);
        assert_eq!(test.tests[one_category].p_value, 1.0);
    }
    assert!(test.alarm);
}

#[test]
fn few_or_no_entrants_raise_no_alarm() {
    for count in [0, 1, 2, 9, 30] {
        let entrants = entrants(count);
        let test = self_test(&entrants, &honest(&entrants, 0, 1), 2);

        assert!(!test.alarm, "{test:?}");
        assert_eq!(test.tests.len(), 4);
    }
}
