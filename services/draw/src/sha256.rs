//! SHA-256 of messages of one or two blocks. The general hasher's buffering costs more than hashing them.

use sha2::block_api::compress256;

use crate::merkle::Hash;

pub(crate) const BLOCK_BYTES: usize = 64;
/// Ends a message, before the zeros and its length.
const PADDING: u8 = 0x80;

/// FIPS 180-4 §5.3.3.
const INITIAL: State = State([
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
]);

/// The state between two blocks.
#[derive(Clone, Copy)]
pub(crate) struct State([u32; 8]);

impl State {
    pub(crate) fn new() -> Self {
        INITIAL
    }

    /// Takes whole blocks, which the caller has padded.
    pub(crate) fn update(mut self, blocks: &[[u8; BLOCK_BYTES]]) -> Self {
        compress256(&mut self.0, blocks);
        self
    }

    pub(crate) fn to_hash(self) -> Hash {
        let mut hash = Hash::default();
        for (bytes, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            *bytes = word.to_be_bytes();
        }
        hash
    }
}

/// Returns the block that ends a message with `rest`, after some whole blocks.
pub(crate) fn last_block(rest: &[u8], blocks_before: usize) -> [u8; BLOCK_BYTES] {
    let bits = (blocks_before * BLOCK_BYTES + rest.len()) as u64 * 8;
    let mut block = [0; BLOCK_BYTES];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = PADDING;
    block[BLOCK_BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
    block
}
