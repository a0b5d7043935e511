//! The global order of a draw: ascending by HMAC-SHA-256(randomness ‖ root ‖ batch, pseudonym), ties by
//! pseudonym. Sorting uses 96 bits of the key; the rare equal ones are settled by the whole definition.

use std::thread;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{entrant::Entrant, merkle::Hash, randomness::Randomness};

/// The low 32 bits of a sorted item hold the entrant's position, the rest is the front of his key.
const KEY_MASK: u128 = !0xffff_ffff;

/// Computes the rank keys of one draw.
#[derive(Clone)]
pub struct Ranking {
    mac: Hmac<Sha256>,
}

impl Ranking {
    /// Returns the ranking of a draw.
    pub fn new(randomness: &Randomness, root: &Hash, batch: &str) -> Self {
        let key = [randomness.as_bytes(), &root[..], batch.as_bytes()].concat();
        Self {
            mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
        }
    }

    /// Returns the rank key of an entrant.
    pub fn key(&self, pseudonym: &[u8; 16]) -> Hash {
        self.mac
            .clone()
            .chain_update(pseudonym)
            .finalize()
            .into_bytes()
            .into()
    }

    /// Returns the positions of the entrants in rank order. The number of threads never changes the order.
    pub(crate) fn order(&self, entrants: &[Entrant], threads: usize) -> Vec<u32> {
        self.order_by_masked_key(entrants, threads, KEY_MASK)
    }

    fn order_by_masked_key(&self, entrants: &[Entrant], threads: usize, mask: u128) -> Vec<u32> {
        let threads = threads.max(1);
        let share = entrants.len().div_ceil(threads).max(1);
        let mut items = vec![0_u128; entrants.len()];
        thread::scope(|scope| {
            let shares = items.chunks_mut(share).zip(entrants.chunks(share)).zip(0..);
            for ((items, entrants), nth) in shares {
                scope.spawn(move || {
                    for ((item, entrant), position) in
                        items.iter_mut().zip(entrants).zip(nth * share..)
                    {
                        let position = u128::try_from(position).unwrap_or(u128::MAX);
                        *item = self.front(entrant) & mask | position;
                    }
                });
            }
        });
        sort(&mut items, threads);
        self.settle_ties(&mut items, entrants);
        items.into_iter().map(position).collect()
    }

    fn front(&self, entrant: &Entrant) -> u128 {
        let key = self.key(&entrant.pseudonym);
        let mut front = [0; 16];
        front.copy_from_slice(&key[..16]);
        u128::from_be_bytes(front)
    }

    fn settle_ties(&self, items: &mut [u128], entrants: &[Entrant]) {
        for run in items.chunk_by_mut(|a, b| a & KEY_MASK == b & KEY_MASK) {
            if run.len() > 1 {
                run.sort_by_cached_key(|item| {
                    let pseudonym = entrants[position(*item) as usize].pseudonym;
                    (self.key(&pseudonym), pseudonym)
                });
            }
        }
    }
}

impl std::fmt::Debug for Ranking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ranking")
    }
}

fn position(item: u128) -> u32 {
    let [.., a, b, c, d] = item.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn sort(items: &mut [u128], threads: usize) {
    if threads < 2 || items.len() < 2 {
        items.sort_unstable();
        return;
    }
    let middle = items.len() / 2;
    items.select_nth_unstable(middle);
    let (low, high) = items.split_at_mut(middle);
    thread::scope(|scope| {
        scope.spawn(|| sort(low, threads / 2));
        sort(high, threads - threads / 2);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;

    fn ranking() -> Ranking {
        Ranking::new(&Randomness([1; 32]), &[2; 32], "batches/48")
    }

    fn entrants(count: u32) -> Vec<Entrant> {
        let entrant = |i: u32| Entrant {
            pseudonym: u128::from(i).to_be_bytes(),
            region: 0,
            groups: 0,
            household: None,
            household_prior: 0,
        };
        (0..count).map(entrant).collect()
    }

    #[test]
    fn a_key_is_the_documented_hmac() {
        assert_eq!(
            hex(&ranking().key(b"0123456789abcdef")),
            "4f759a4610ac8fe65769b29bbbc2dc8797fbb5bc6383e6730b43b8bc05528086"
        );
    }

    #[test]
    fn the_order_is_that_of_the_definition_whatever_the_threads_and_the_ties() {
        let entrants = entrants(3000);
        let mut expected: Vec<u32> = (0..3000).collect();
        expected.sort_by_key(|&i| {
            let pseudonym = entrants[i as usize].pseudonym;
            (ranking().key(&pseudonym), pseudonym)
        });

        // Masks that leave 8 bits or none of the key make nearly everything a tie.
        for mask in [KEY_MASK, 0xff << 120, 0] {
            for threads in [0, 1, 2, 3, 7] {
                assert_eq!(
                    ranking().order_by_masked_key(&entrants, threads, mask),
                    expected
                );
            }
        }
    }

    #[test]
    fn no_entrants_have_no_order() {
        assert!(ranking().order(&[], 2).is_empty());
    }
}
