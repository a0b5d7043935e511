//! The global order of a draw: ascending by HMAC-SHA-256(randomness ‖ root ‖ batch, pseudonym), ties by
//! pseudonym. Sorting uses 96 bits of the key; the rare equal ones are settled by the whole definition.

use std::thread;

use sha2::{Digest, Sha256};

use crate::{
    entrant::Entrant,
    merkle::{BLOCK_LEAVES, Hash},
    parallel,
    randomness::Randomness,
    sha256::{BLOCK_BYTES, State, last_block},
};

/// The low 32 bits of a sorted item hold the entrant's position, the rest is the front of his key.
const KEY_MASK: u128 = !0xffff_ffff;
const INNER_PAD: u8 = 0x36;
const OUTER_PAD: u8 = 0x5c;

/// Computes the rank keys of one draw.
#[derive(Clone)]
pub struct Ranking {
    // Invariant: HMAC's two hashers (RFC 2104), each after the block that holds the key.
    inner: State,
    outer: State,
}

impl Ranking {
    /// Returns the ranking of a draw.
    pub fn new(randomness: &Randomness, root: &Hash, batch: &str) -> Self {
        let key = [randomness.as_bytes(), &root[..], batch.as_bytes()].concat();
        let mut block = [0; BLOCK_BYTES];
        // The key is longer than a block, since a batch has a name: HMAC takes its hash.
        block[..32].copy_from_slice(&Sha256::digest(key));
        let keyed = |pad| State::new().update(&[block.map(|byte| byte ^ pad)]);
        Self {
            inner: keyed(INNER_PAD),
            outer: keyed(OUTER_PAD),
        }
    }

    /// Returns the rank key of an entrant.
    pub fn key(&self, pseudonym: &[u8; 16]) -> Hash {
        let inner = self.inner.update(&[last_block(pseudonym, 1)]).to_hash();
        self.outer.update(&[last_block(&inner, 1)]).to_hash()
    }

    /// Returns the positions of the entrants in rank order. The number of threads never changes the order.
    pub(crate) fn order(&self, entrants: &[Entrant], threads: usize) -> Vec<u32> {
        self.order_by_masked_key(entrants, threads, KEY_MASK)
    }

    fn order_by_masked_key(&self, entrants: &[Entrant], threads: usize, mask: u128) -> Vec<u32> {
        let mut items = vec![0_u128; entrants.len()];
        let blocks = items
            .chunks_mut(BLOCK_LEAVES)
            .zip(entrants.chunks(BLOCK_LEAVES))
            .zip((0_u128..).step_by(BLOCK_LEAVES));
        let fill = |((items, entrants), first): ((&mut [u128], &[Entrant]), u128)| {
            for ((item, entrant), position) in items.iter_mut().zip(entrants).zip(first..) {
                *item = self.front(entrant) & mask | position;
            }
        };
        parallel::for_each(blocks, threads, fill, || ());
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
    use hmac::{Hmac, KeyInit, Mac};

    use super::*;
    use crate::codec::hex;

    fn ranking() -> Ranking {
        Ranking::new(&Randomness([1; 32]), &[2; 32], "batches/48")
    }

    fn entrants(count: u32) -> Vec<Entrant> {
        let entrant = |i: u32| Entrant {
            pseudonym: u128::from(i).to_be_bytes(),
            ..Entrant::default()
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
    fn a_key_is_the_hmac_of_any_implementation_for_names_of_any_length() {
        for length in [1, 10, 63, 64, 65, 200] {
            let batch = "b".repeat(length);
            let ranking = Ranking::new(&Randomness([1; 32]), &[2; 32], &batch);
            let key = [&[1; 32][..], &[2; 32], batch.as_bytes()].concat();
            let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();

            let expected = mac.chain_update(b"0123456789abcdef").finalize();

            assert_eq!(
                ranking.key(b"0123456789abcdef")[..],
                expected.into_bytes()[..]
            );
        }
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
