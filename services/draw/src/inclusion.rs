//! Proofs that a leaf is in a tree (RFC 6962 §2.1.1), built from one pass over the leaves in O(log n) memory.

use crate::merkle::{Hash, RootBuilder, node_hash};

/// The siblings on the way from a leaf to the root, the deepest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Number of leaves in the tree.
    pub size: u64,
    /// Roots of the neighbouring subtrees, the deepest first.
    pub siblings: Vec<Hash>,
}

impl InclusionProof {
    /// Tells whether the proof leads from `leaf` to `root`.
    pub fn verify(&self, leaf: &Hash, root: &Hash) -> bool {
        if self.index >= self.size {
            return false;
        }
        let mut position = self.index;
        let mut last = self.size - 1;
        let mut node = *leaf;
        for sibling in &self.siblings {
            if last == 0 {
                return false;
            }
            if position & 1 == 1 || position == last {
                node = node_hash(sibling, &node);
                // A last node without a right neighbour rises unhashed until it has a left one.
                while position & 1 == 0 && position != 0 {
                    position >>= 1;
                    last >>= 1;
                }
            } else {
                node = node_hash(&node, sibling);
            }
            position >>= 1;
            last >>= 1;
        }
        last == 0 && node == *root
    }
}

/// Builds a proof from all leaves of a tree in order.
#[derive(Debug, Clone)]
pub struct ProofBuilder {
    index: u64,
    size: u64,
    pushed: u64,
    // Invariant: the outermost subtree first.
    siblings: Vec<Sibling>,
}

#[derive(Debug, Clone)]
struct Sibling {
    start: u64,
    end: u64,
    tree: RootBuilder,
}

impl ProofBuilder {
    /// Returns the builder of the proof for leaf `index` of `size`; `None` if there is no such leaf.
    pub fn new(index: u64, size: u64) -> Option<Self> {
        if index >= size {
            return None;
        }
        let mut siblings = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + largest_power_of_two_below(end - start);
            let sibling = if index < middle {
                (middle, end)
            } else {
                (start, middle)
            };
            (start, end) = if index < middle {
                (start, middle)
            } else {
                (middle, end)
            };
            siblings.push(Sibling {
                start: sibling.0,
                end: sibling.1,
                tree: RootBuilder::new(),
            });
        }
        Some(Self {
            index,
            size,
            pushed: 0,
            siblings,
        })
    }

    /// Adds the next leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let position = self.pushed;
        self.pushed += 1;
        if let Some(sibling) = self
            .siblings
            .iter_mut()
            .find(|s| (s.start..s.end).contains(&position))
        {
            sibling.tree.push(leaf);
        }
    }

    /// Returns the proof once every leaf was added, `None` otherwise.
    pub fn finish(self) -> Option<InclusionProof> {
        let siblings = self
            .siblings
            .iter()
            .rev()
            .map(|sibling| sibling.tree.root())
            .collect();
        (self.pushed == self.size).then_some(InclusionProof {
            index: self.index,
            size: self.size,
            siblings,
        })
    }
}

fn largest_power_of_two_below(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::hex,
        merkle::{leaf_hash, tests::CT_LEAVES},
    };

    fn proof(index: u64, leaves: &[Hash]) -> InclusionProof {
        let mut builder = ProofBuilder::new(index, leaves.len() as u64).unwrap();
        for leaf in leaves {
            builder.push(*leaf);
        }
        builder.finish().unwrap()
    }

    #[test]
    fn the_path_of_the_sixth_of_eight_leaves_is_the_published_one() {
        let leaves: Vec<Hash> = CT_LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect();

        let siblings: Vec<String> = proof(5, &leaves)
            .siblings
            .iter()
            .map(|hash| hex(hash))
            .collect();

        assert_eq!(
            siblings,
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other_leaf_is() {
        for size in 1..=33_u8 {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf_hash(&[i])).collect();
            let mut tree = RootBuilder::new();
            leaves.iter().for_each(|leaf| tree.push(*leaf));
            for index in 0..size {
                let proof = proof(u64::from(index), &leaves);

                assert!(proof.verify(&leaves[usize::from(index)], &tree.root()));
                assert!(!proof.verify(&leaf_hash(b"other"), &tree.root()));
                let elsewhere = InclusionProof {
                    index: u64::from((index + 1) % size),
                    ..proof.clone()
                };
                assert!(size == 1 || !elsewhere.verify(&leaves[usize::from(index)], &tree.root()));
                let mut longer = proof.clone();
                longer.siblings.push(tree.root());
                assert!(!longer.verify(&leaves[usize::from(index)], &tree.root()));
            }
        }
    }

    #[test]
    fn an_unfinished_pass_or_an_index_outside_gives_no_proof() {
        assert!(ProofBuilder::new(3, 3).is_none());
        assert!(ProofBuilder::new(0, 2).unwrap().finish().is_none());
    }
}
