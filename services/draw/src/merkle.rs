//! The RFC 6962 Merkle tree over SHA-256: a streaming root in O(log n) memory, and the root of a list on
//! several threads. Leaves and inner nodes have different prefixes, so that neither passes for the other.

use sha2::{Digest, Sha256};

use crate::{
    Invalid,
    entrant::{Entrant, HEAD_BYTES, LEAF_DOMAIN, Sequence, TOKEN_BYTES},
    parallel,
    sha256::{BLOCK_BYTES, State, last_block},
};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// Leaves per unit of work; a power of two, so that every full block is a subtree of its own.
pub(crate) const BLOCK_LEAVES: usize = 4096;

const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;
/// Bytes of an entrant's leaf with its prefix, before the record.
const RECORD_AT: usize = 1 + LEAF_DOMAIN.len();

/// Returns the hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([LEAF_PREFIX])
        .chain_update(leaf)
        .finalize()
        .into()
}

/// Returns the hash of the leaf that holds an entrant's record.
pub(crate) fn record_hash(record: &[u8]) -> Hash {
    const _: () = assert!(RECORD_AT + HEAD_BYTES + TOKEN_BYTES < BLOCK_BYTES - 8);
    let mut message = [LEAF_PREFIX; RECORD_AT + HEAD_BYTES + TOKEN_BYTES];
    message[1..RECORD_AT].copy_from_slice(LEAF_DOMAIN);
    message[RECORD_AT..][..record.len()].copy_from_slice(record);
    let length = RECORD_AT + record.len();
    State::new()
        .update(&[last_block(&message[..length], 0)])
        .to_hash()
}

/// Returns the hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut first = [NODE_PREFIX; BLOCK_BYTES];
    first[1..33].copy_from_slice(left);
    first[33..].copy_from_slice(&right[..31]);
    State::new()
        .update(&[first, last_block(&right[31..], 1)])
        .to_hash()
}

/// Returns the root of a tree by its leaf hashes, which it overwrites; pairing level by level gives the same tree
/// as splitting at powers of two.
pub(crate) fn subtree_root(nodes: &mut [Hash]) -> Hash {
    let mut size = nodes.len();
    while size > 1 {
        for i in 0..size / 2 {
            nodes[i] = node_hash(&nodes[2 * i], &nodes[2 * i + 1]);
        }
        if size % 2 == 1 {
            nodes[size / 2] = nodes[size - 1];
        }
        size = size.div_ceil(2);
    }
    nodes.first().copied().unwrap_or_else(empty_root)
}

fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Computes the root of leaves that arrive one by one.
#[derive(Debug, Clone, Default)]
pub struct RootBuilder {
    // Invariant: one root per set bit of `size`, the largest subtree first.
    peaks: Vec<Hash>,
    size: u64,
}

impl RootBuilder {
    /// Returns the builder of an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        let mut size = self.size;
        while size & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            node = node_hash(&left, &node);
            size >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Returns the number of leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root; that of an empty tree is the hash of the empty string.
    pub fn root(&self) -> Hash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }
}

/// Computes the root of entrants that arrive in ascending order of their pseudonyms, as at a freeze.
#[derive(Debug, Clone)]
pub struct EntrantsRoot {
    sequence: Sequence,
    tree: RootBuilder,
    record: Vec<u8>,
}

impl EntrantsRoot {
    /// Returns the builder for a quota plan with `group_count` reserved groups.
    pub fn new(group_count: usize) -> Self {
        Self {
            sequence: Sequence::new(group_count),
            tree: RootBuilder::new(),
            record: Vec::new(),
        }
    }

    /// Adds the next entrant.
    ///
    /// # Errors
    /// Refuses a malformed entrant, and one that does not come strictly after the one before.
    pub fn push(&mut self, entrant: &Entrant) -> Result<(), Invalid> {
        self.sequence.accept(entrant)?;
        self.record.clear();
        entrant.write_record(&mut self.record);
        self.tree.push(record_hash(&self.record));
        Ok(())
    }

    /// Returns the number of entrants so far.
    pub fn count(&self) -> u64 {
        self.tree.size()
    }

    /// Returns the root.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }
}

/// Computes the root of a whole list on up to `threads` threads; their number never changes the root.
pub fn entrants_root(entrants: &[Entrant], threads: usize) -> Hash {
    let blocks = entrants.chunks(BLOCK_LEAVES);
    let mut block_roots = vec![Hash::default(); blocks.len()];
    let block_root = |(block, root): (&[Entrant], &mut Hash)| {
        let mut record = Vec::with_capacity(HEAD_BYTES + TOKEN_BYTES);
        let record_hash_of = |entrant: &Entrant| {
            record.clear();
            entrant.write_record(&mut record);
            record_hash(&record)
        };
        let mut leaves: Vec<Hash> = block.iter().map(record_hash_of).collect();
        *root = subtree_root(&mut leaves);
    };
    parallel::for_each(blocks.zip(&mut block_roots), threads, block_root, || ());
    root_of_blocks(block_roots)
}

/// Returns the root of a tree by the roots of its blocks: the split point of a larger tree is a multiple of the block
/// size, so that blocks join like leaves.
pub(crate) fn root_of_blocks(block_roots: impl IntoIterator<Item = Hash>) -> Hash {
    let mut tree = RootBuilder::new();
    for root in block_roots {
        tree.push(root);
    }
    tree.root()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::codec::hex;

    /// The eight inputs that the Certificate Transparency log implementations test with.
    pub(crate) const CT_LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const CT_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn roots_are_those_of_the_certificate_transparency_vectors() {
        let mut tree = RootBuilder::new();
        assert_eq!(hex(&tree.root()), CT_ROOTS[0]);

        for (i, leaf) in CT_LEAVES.iter().enumerate() {
            tree.push(leaf_hash(leaf));
            assert_eq!(hex(&tree.root()), CT_ROOTS[i + 1], "{} leaves", i + 1);
        }
    }

    #[test]
    fn the_root_is_the_same_streamed_and_on_any_number_of_threads() {
        let blocks = BLOCK_LEAVES;
        for count in [
            0,
            1,
            blocks - 1,
            blocks,
            blocks + 1,
            3 * blocks + 5,
            5 * blocks,
        ] {
            let entrants: Vec<Entrant> = (0..u128::try_from(count).unwrap())
                .map(|i| Entrant {
                    pseudonym: i.to_be_bytes(),
                    ..Entrant::default()
                })
                .collect();
            let mut streamed = EntrantsRoot::new(0);
            for entrant in &entrants {
                streamed.push(entrant).unwrap();
            }

            for threads in [0, 1, 2, 3, 8] {
                assert_eq!(
                    entrants_root(&entrants, threads),
                    streamed.root(),
                    "{count} {threads}"
                );
            }
        }
    }
}
