//! The draw itself: from a commitment, its randomness and the entrants to the outcome of each.

use std::thread;

use crate::{
    Invalid,
    commitment::Commitment,
    entrant::{Entrant, Sequence},
    merkle::{Hash, entrants_root},
    outcome::Outcome,
    places::give_places,
    randomness::Randomness,
    rank::Ranking,
};

/// Draws, and returns the outcomes in the order of `entrants`, which ascend by pseudonym.
/// The number of threads changes the time, never the result.
///
/// # Errors
/// Refuses entrants that are not exactly those of the commitment.
pub fn draw(
    commitment: &Commitment,
    randomness: &Randomness,
    entrants: &[Entrant],
    threads: usize,
) -> Result<Vec<Outcome>, Invalid> {
    let mut sequence = Sequence::new(commitment.plan.groups().len());
    for entrant in entrants {
        sequence.accept(entrant)?;
    }
    if sequence.count() != commitment.entrant_count {
        return Err(Invalid::CountMismatch {
            committed: commitment.entrant_count,
            found: sequence.count(),
        });
    }
    let (outcomes, root) = outcomes_and_root(commitment, randomness, entrants, threads);
    if root == commitment.root {
        Ok(outcomes)
    } else {
        Err(Invalid::RootMismatch)
    }
}

/// Draws among entrants whose order and count were checked, and computes their root side by side.
pub(crate) fn outcomes_and_root(
    commitment: &Commitment,
    randomness: &Randomness,
    entrants: &[Entrant],
    threads: usize,
) -> (Vec<Outcome>, Hash) {
    let mut root = Hash::default();
    let outcomes = thread::scope(|scope| {
        let mut compute_root = || root = entrants_root(entrants, threads);
        if threads < 2 {
            compute_root();
        } else {
            scope.spawn(compute_root);
        }
        // Giving places is one long walk on one thread: the root fills the other meanwhile.
        let ranking = Ranking::new(randomness, &commitment.root, &commitment.batch);
        let order = ranking.order(entrants, threads);
        give_places(
            &commitment.plan,
            commitment.household_limit,
            entrants,
            &order,
        )
    });
    (outcomes, root)
}
