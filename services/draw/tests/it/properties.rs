//! What holds for every draw, whatever its plan and its entrants.

use draw::{draw, self_test, verify};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use crate::draws::{Draw, Random, a_made_up_draw_of};

proptest! {
    // Several blocks of entrants, so that threads have something to share.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_number_of_threads_draws_and_verifies_the_same(
        seed in any::<u64>(),
        count in 0_u32..20_000,
    ) {
        let made = a_made_up_draw_of(count, seed);
        let outcomes = made.outcomes();
        let findings = self_test(&made.entrants, &outcomes, 1);
        let bundle = made.bundle_with(&outcomes);

        for threads in [1, 2, 8] {
            let drawn = draw(&made.commitment, &made.randomness(), &made.entrants, threads);
            prop_assert!(drawn.as_ref() == Ok(&outcomes), "{} threads", threads);
            let verified = verify(&bundle[..], None, threads).unwrap();
            prop_assert!(verified.entrants == made.entrants && verified.outcomes == outcomes);
            prop_assert_eq!(&verified.self_test, &findings);
        }
    }

    #[test]
    fn the_order_in_which_entrants_come_in_changes_no_byte(
        seed in any::<u64>(),
        count in 0_u32..5000,
    ) {
        let made = a_made_up_draw_of(count, seed);
        let mut random = Random::new(seed ^ 1);
        let mut arrived = made.entrants.clone();
        for i in (1..count).rev() {
            arrived.swap(i as usize, random.below(i + 1) as usize);
        }

        arrived.sort_unstable_by_key(|entrant| entrant.pseudonym);
        let limit = made.commitment.household_limit.map_or(0, |limit| limit.get());
        let again = Draw::new(made.commitment.plan.clone(), arrived, limit);

        prop_assert!(again.bundle() == made.bundle());
    }
}
