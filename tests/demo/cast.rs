//! Who takes part, and what each of them does: people and their choices, all of it by the seed.

use std::collections::HashMap;

use tests::{
    chance::{Ratio, below},
    people::{Person, Population},
};

/// Participants who never buy a course. The first nine batches of the real programme had 3.46 %; here some more, so
/// that a small run has some as well.
const IDLE: Ratio = Ratio::per_mille(60);
/// Buyers who do not finish.
const DROPS_OUT: Ratio = Ratio::per_mille(60);
/// Graduates who say nothing of the course, and so are not paid.
const SILENT: Ratio = Ratio::per_mille(30);
/// Graduates who link no account.
const UNLINKED: Ratio = Ratio::per_mille(20);

/// Everybody.
#[derive(Debug)]
pub(crate) struct Cast {
    seed: u64,
    population: Population,
    index_by_account: HashMap<String, u64>,
}

impl Cast {
    pub(crate) fn new(seed: u64, population: Population) -> Cast {
        Cast {
            seed,
            population,
            index_by_account: HashMap::new(),
        }
    }

    pub(crate) fn person(&self, index: u64) -> Person {
        self.population.person(index)
    }

    /// Remembers whose accounts these are.
    pub(crate) fn know(&mut self, members: &[(u64, String)]) {
        let accounts = members
            .iter()
            .map(|(index, account)| (account.clone(), *index));
        self.index_by_account.extend(accounts);
    }

    /// Returns whose account it is.
    pub(crate) fn person_of(&self, account: &str) -> Person {
        let index = self.index_by_account.get(account);
        self.person(*index.expect("only members take part"))
    }

    pub(crate) fn is_idle(&self, account: &str) -> bool {
        self.hits(IDLE, "idle", account)
    }

    pub(crate) fn drops_out(&self, account: &str) -> bool {
        self.hits(DROPS_OUT, "drops-out", account)
    }

    pub(crate) fn is_silent(&self, account: &str) -> bool {
        self.hits(SILENT, "silent", account)
    }

    pub(crate) fn stays_unlinked(&self, account: &str) -> bool {
        self.hits(UNLINKED, "unlinked", account)
    }

    /// Returns the runs in the order in which somebody wants them. The first of all runs are wanted by more people than
    /// they have seats for.
    pub(crate) fn wishes<'a, T>(
        &self,
        account: &str,
        runs: &'a [T],
    ) -> impl Iterator<Item = &'a T> {
        let (seed, index) = (self.seed, self.person_of(account).index);
        let count = runs.len() as u64;
        let end = 1 + below(seed, &format!("taste/{index}"), count);
        let favourite = below(seed, &format!("favourite/{index}"), end);
        let others =
            (0..20 * count).map(move |turn| below(seed, &format!("wish/{index}/{turn}"), count));
        std::iter::once(favourite)
            .chain(others)
            .filter_map(|place| runs.get(usize::try_from(place).ok()?))
    }

    /// Returns how many stars somebody gives, 3 to 5.
    pub(crate) fn stars(&self, account: &str) -> i32 {
        let index = self.person_of(account).index;
        let stars = 3 + below(self.seed, &format!("stars/{index}"), 3);
        i32::try_from(stars).unwrap_or(5)
    }

    fn hits(&self, ratio: Ratio, what: &str, account: &str) -> bool {
        let index = self.person_of(account).index;
        ratio.hits(self.seed, &format!("{what}/{index}"))
    }
}
