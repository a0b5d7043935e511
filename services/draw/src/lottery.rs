//! The draw itself: from a commitment, its randomness and the entrants to the outcome of each.

use std::{panic::resume_unwind, thread};

use crate::{
    Invalid,
    commitment::Commitment,
    entrant::{Entrant, Sequence},
    merkle::entrants_root,
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
    // Giving places is one long walk on one thread: the root fills the others meanwhile.
    let (outcomes, root) = thread::scope(|scope| {
        let root = scope.spawn(|| entrants_root(entrants, threads));
        let outcomes = draw_checked(commitment, randomness, entrants, threads);
        (outcomes, root.join())
    });
    match root {
        Ok(root) if root == commitment.root => Ok(outcomes),
        Ok(_) => Err(Invalid::RootMismatch),
        Err(panic) => resume_unwind(panic),
    }
}

/// Draws among entrants that were checked to be those of the commitment.
pub(crate) fn draw_checked(
    commitment: &Commitment,
    randomness: &Randomness,
    entrants: &[Entrant],
    threads: usize,
) -> Vec<Outcome> {
    let ranking = Ranking::new(randomness, &commitment.root, &commitment.batch);
    let order = ranking.order(entrants, threads);
    give_places(
        &commitment.plan,
        commitment.household_limit,
        entrants,
        &order,
    )
}
