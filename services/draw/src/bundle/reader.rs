//! Reads a bundle in order, section by section, with bounded memory. It checks form and order; what the
//! sections say is checked in `verify`.

use std::io::{ErrorKind, Read};

use super::MAGIC;
use crate::{
    Invalid,
    commitment::{COMMITMENT_BYTES_MAX, Commitment, SignedCommitment},
    entrant::{Entrant, HEAD_BYTES, Sequence, TOKEN_BYTES},
    merkle::Hash,
    outcome::{OUTCOME_BYTES, Outcome},
    randomness::Reveal,
    signature::PublicKey,
};

/// Reads a bundle from any reader; wrap files in a `BufReader`.
#[derive(Debug)]
pub struct BundleReader<R> {
    input: R,
    signed: SignedCommitment,
    sequence: Sequence,
}

impl<R: Read> BundleReader<R> {
    /// Reads the header, without checking the signature.
    ///
    /// # Errors
    /// Refuses files of another kind, and a commitment that is malformed or too long.
    pub fn new(mut input: R) -> Result<Self, Invalid> {
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
        let index = self.sequence.count();
        if index == self.signed.commitment.entrant_count {
            return Ok(None);
        }
        let head: [u8; HEAD_BYTES] = read_array(&mut self.input, "entrants")?;
        let (mut entrant, in_household) =
            Entrant::from_head(&head).ok_or(Invalid::EntrantMalformed { index })?;
        if in_household {
            let token: [u8; TOKEN_BYTES] = read_array(&mut self.input, "entrants")?;
            entrant.household = Some(token);
        }
        self.sequence.accept(&entrant)?;
        Ok(Some(entrant))
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
        Outcome::from_record(self.outcome_record()?).ok_or(Invalid::Malformed {
            field: "result",
            problem,
        })
    }

    /// Reads the bytes of the next outcome, after the reveal.
    pub(crate) fn outcome_record(&mut self) -> Result<[u8; OUTCOME_BYTES], Invalid> {
        read_array(&mut self.input, "result")
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
