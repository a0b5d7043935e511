//! Reads a bundle in order, section by section, with bounded memory. It checks form and order; what the
//! sections say is checked in `verify`.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use super::MAGIC;
use crate::{
    Invalid,
    commitment::{COMMITMENT_BYTES_MAX, Commitment, SignedCommitment},
    entrant::{Entrant, HEAD_BYTES, Sequence, TOKEN_BYTES, record_bytes},
    merkle::{BLOCK_LEAVES, Hash},
    outcome::{OUTCOME_BYTES, Outcome},
    randomness::Reveal,
    signature::PublicKey,
};

/// Half of a core's second-level cache: what was read is copied out of it once more.
const BUFFER_BYTES: usize = 256 * 1024;
const RECORD_BYTES_MAX: usize = HEAD_BYTES + TOKEN_BYTES;

/// Reads a bundle from any reader, in large pieces.
#[derive(Debug)]
pub struct BundleReader<R> {
    input: BufReader<R>,
    signed: SignedCommitment,
    sequence: Sequence,
}

/// Whole records of consecutive entrants as they stand in the file.
#[derive(Debug, Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    count: u64,
    /// Where the last one begins.
    last: usize,
    /// Those before the first one.
    sequence: Sequence,
}

// === impl BundleReader ===

impl<R: Read> BundleReader<R> {
    /// Reads the header, without checking the signature.
    ///
    /// # Errors
    /// Refuses files of another kind, and a commitment that is malformed or too long.
    pub fn new(input: R) -> Result<Self, Invalid> {
        let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
        let mut magic = [0; MAGIC.len()];
        match read_exact(&mut input, &mut magic, "magic") {
            Err(Invalid::Truncated { .. }) => return Err(Invalid::NotABundle),
            read => read?,
        }
        if magic != *MAGIC {
            return Err(Invalid::NotABundle);
        }
        let length = u32::from_be_bytes(read_array(&mut input, "commitment")?) as usize;
        if length > COMMITMENT_BYTES_MAX {
            return Err(Invalid::LimitExceeded {
                field: "length of the commitment",
            });
        }
        let mut bytes = vec![0; length];
        read_exact(&mut input, &mut bytes, "commitment")?;
        let signed = SignedCommitment {
            commitment: Commitment::from_bytes(&bytes)?,
            public_key: PublicKey::from_bytes(read_array(&mut input, "signature")?),
            signature: read_array(&mut input, "signature")?,
        };
        let sequence = Sequence::new(signed.commitment.plan.groups().len());
        Ok(Self {
            input,
            signed,
            sequence,
        })
    }

    /// Returns the signed commitment.
    pub fn signed_commitment(&self) -> &SignedCommitment {
        &self.signed
    }

    /// Reads the next entrant, `None` after the last.
    ///
    /// # Errors
    /// Refuses a malformed entrant and one out of order.
    pub fn entrant(&mut self) -> Result<Option<Entrant>, Invalid> {
        if self.entrants_left() == 0 {
            return Ok(None);
        }
        let mut record = [0; RECORD_BYTES_MAX];
        let record = self.record(&mut record)?;
        let (entrant, _) = self.sequence.accept_record(record)?;
        Ok(Some(entrant))
    }

    /// Reads the next block of records, unchecked; it is empty after the last.
    ///
    /// # Errors
    /// Refuses a record that is not whole; then `records` holds those before it.
    pub(crate) fn records(&mut self, records: &mut Records) -> Result<(), Invalid> {
        records.clear();
        records.sequence = self.sequence.clone();
        let mut left = self.entrants_left().min(BLOCK_LEAVES as u64);
        while left > 0 {
            let (count, length) = records.take(self.input.buffer(), left);
            self.input.consume(length);
            left -= count;
            if left > 0 {
                // The next one lies across the end of the buffer, which is filled again on the way.
                let mut record = [0; RECORD_BYTES_MAX];
                records.take(self.record(&mut record)?, 1);
                left -= 1;
            }
        }
        if let Some(last) = records.last_pseudonym() {
            self.sequence.pass_over(records.count, last);
        }
        Ok(())
    }

    fn entrants_left(&self) -> u64 {
        self.signed.commitment.entrant_count - self.sequence.count()
    }

    fn record<'a>(&mut self, record: &'a mut [u8; RECORD_BYTES_MAX]) -> Result<&'a [u8], Invalid> {
        let (head, token) = record.split_at_mut(HEAD_BYTES);
        read_exact(&mut self.input, head, "entrants")?;
        let in_household = head[HEAD_BYTES - 1] != 0;
        if in_household {
            read_exact(&mut self.input, token, "entrants")?;
        }
        Ok(if in_household {
            record
        } else {
            &record[..HEAD_BYTES]
        })
    }

    /// Reads the reveal, after all entrants.
    ///
    /// # Errors
    /// Refuses a kind that this version does not know.
    pub fn reveal(&mut self) -> Result<Reveal, Invalid> {
        let [kind] = read_array(&mut self.input, "reveal")?;
        let length = usize::from(u16::from_be_bytes(read_array(&mut self.input, "reveal")?));
        let mut body = vec![0; length];
        read_exact(&mut self.input, &mut body, "reveal")?;
        Reveal::from_kind_and_body(kind, &body)
    }

    /// Reads the outcome of the next entrant, after the reveal. It is what the file says: `verify` draws again.
    ///
    /// # Errors
    /// Refuses an unknown code.
    pub fn outcome(&mut self) -> Result<Outcome, Invalid> {
        let problem = "has an unknown code";
        Outcome::from_record(read_array(&mut self.input, "result")?).ok_or(Invalid::Malformed {
            field: "result",
            problem,
        })
    }

    /// Reads the bytes of the next `count` outcomes, after the reveal; fewer if the file ends among them.
    pub(crate) fn outcome_records(
        &mut self,
        count: usize,
        records: &mut Vec<u8>,
    ) -> Result<(), Invalid> {
        records.clear();
        let bytes = (count * OUTCOME_BYTES) as u64;
        self.input.by_ref().take(bytes).read_to_end(records)?;
        Ok(())
    }

    /// Reads the hash of the result, after all outcomes, and makes sure that nothing follows.
    ///
    /// # Errors
    /// Refuses trailing bytes.
    pub fn finish(mut self) -> Result<Hash, Invalid> {
        let hash = read_array(&mut self.input, "result hash")?;
        match read_array::<1>(&mut self.input, "end") {
            Err(Invalid::Truncated { .. }) => Ok(hash),
            Err(error) => Err(error),
            Ok(_) => Err(Invalid::TrailingBytes),
        }
    }
}

// === impl Records ===

impl Records {
    /// Copies up to `count_max` whole records from the front of `bytes`; returns their number and length.
    fn take(&mut self, bytes: &[u8], count_max: u64) -> (u64, usize) {
        let (mut count, mut length) = (0, 0);
        while count < count_max
            && let Some(record) = record_bytes(&bytes[length..])
        {
            self.last = self.bytes.len() + length;
            count += 1;
            length += record;
        }
        self.bytes.extend_from_slice(&bytes[..length]);
        self.count += count;
        (count, length)
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sequence that the first record continues.
    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence.clone()
    }

    fn last_pseudonym(&self) -> Option<[u8; 16]> {
        self.bytes.get(self.last..)?.first_chunk().copied()
    }
}

fn read_array<const N: usize>(
    input: &mut impl Read,
    section: &'static str,
) -> Result<[u8; N], Invalid> {
    let mut bytes = [0; N];
    read_exact(input, &mut bytes, section)?;
    Ok(bytes)
}

fn read_exact(
    input: &mut impl Read,
    bytes: &mut [u8],
    section: &'static str,
) -> Result<(), Invalid> {
    input.read_exact(bytes).map_err(|error| {
        if error.kind() == ErrorKind::UnexpectedEof {
            Invalid::Truncated { section }
        } else {
            Invalid::Io(error.kind())
        }
    })
}
