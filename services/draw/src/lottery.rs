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
    let mut root = Hash::default();
    let outcomes = thread::scope(|scope| {
        // Ranking and giving places do not keep all threads busy all the time.
        scope.spawn(|| root = entrants_root(entrants, threads));
        draw_checked(commitment, randomness, entrants, threads)
    });
    if root == commitment.root {
        Ok(outcomes)
    } else {
        Err(Invalid::RootMismatch)
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
    let mut ranks = vec![0; entrants.len()];
    let verdicts = thread::scope(|scope| {
        scope.spawn(|| {
            for (&position, rank) in order.iter().zip(1..) {
                ranks[position as usize] = rank;
            }
        });
        let limit = commitment.household_limit;
        give_places(&commitment.plan, limit, entrants, &order)
    });
    let outcome = |(rank, verdict)| Outcome { rank, verdict };
    ranks.into_iter().zip(verdicts).map(outcome).collect()
}
