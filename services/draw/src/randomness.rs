//! Where the randomness of a draw comes from. With commit–reveal, trustees publish hashes of secrets before
//! the freeze and the secrets after it; as long as one of them keeps his secret until then, nobody knows the
//! outcome beforehand.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::{
    Invalid,
    codec::{Decoder, check_text, put_text},
    merkle::Hash,
};

/// Most trustees of a draw.
pub const TRUSTEES_MAX: usize = 32;

const REVEAL_DOMAIN: &[u8] = b"bekal/reveal/1";
const RANDOMNESS_DOMAIN: &[u8] = b"bekal/randomness/1";
/// Kind byte of commit–reveal; 2 is kept for a drand round (chain hash, round).
pub(crate) const COMMIT_REVEAL: u8 = 1;

/// A trustee and the hash that binds him to his secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trustee {
    /// Name, as the public knows it.
    pub name: String,
    /// Result of [`secret_commitment`].
    pub commitment: Hash,
}

/// The source that a commitment names before the randomness exists.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RandomnessSource {
    /// Secrets of the trustees, in this order.
    CommitReveal(Vec<Trustee>),
}

/// What makes the randomness known afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reveal {
    /// One secret for each trustee, in the order of the source.
    CommitReveal(Vec<[u8; 32]>),
}

/// The 32 bytes that decide a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Randomness(pub(crate) [u8; 32]);

/// Returns what a trustee publishes before the freeze to be bound to `secret` for `batch`.
pub fn secret_commitment(batch: &str, trustee: &str, secret: &[u8; 32]) -> Hash {
    let mut bytes = REVEAL_DOMAIN.to_vec();
    // A name too long for its prefix fails the checks of the commitment; here it must only not panic.
    for text in [batch, trustee] {
        bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(secret);
    Sha256::digest(&bytes).into()
}

// === impl RandomnessSource ===

impl RandomnessSource {
    /// Checks every revealed secret of `batch` and returns the randomness.
    ///
    /// # Errors
    /// Names the first trustee whose secret is not the committed one; refuses lists outside the limits.
    pub fn randomness(&self, batch: &str, reveal: &Reveal) -> Result<Randomness, Invalid> {
        check_text("batch", batch)?;
        self.check()?;
        let (Self::CommitReveal(trustees), Reveal::CommitReveal(secrets)) = (self, reveal);
        if trustees.len() != secrets.len() {
            return Err(Invalid::RevealCount);
        }
        let mut bytes = RANDOMNESS_DOMAIN.to_vec();
        put_text(&mut bytes, batch);
        for (trustee, secret) in trustees.iter().zip(secrets) {
            if secret_commitment(batch, &trustee.name, secret) != trustee.commitment {
                return Err(Invalid::RevealMismatch {
                    trustee: trustee.name.clone(),
                });
            }
            bytes.extend_from_slice(secret);
        }
        Ok(Randomness(Sha256::digest(&bytes).into()))
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let Self::CommitReveal(trustees) = self;
        let malformed = |problem| {
            Err(Invalid::Malformed {
                field: "list of trustees",
                problem,
            })
        };
        if trustees.is_empty() {
            return malformed("is empty");
        }
        if trustees.len() > TRUSTEES_MAX {
            return Err(Invalid::LimitExceeded {
                field: "number of trustees",
            });
        }
        let mut names = HashSet::new();
        for trustee in trustees {
            check_text("list of trustees", &trustee.name)?;
            if !names.insert(&trustee.name) {
                return malformed("names a trustee twice");
            }
        }
        Ok(())
    }

    /// Writes kind, length of the body, body; a reader can so name a kind that it does not know.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self::CommitReveal(trustees) = self;
        let mut body = vec![u8::try_from(trustees.len()).expect("a checked list is within limits")];
        for trustee in trustees {
            put_text(&mut body, &trustee.name);
            body.extend_from_slice(&trustee.commitment);
        }
        write_kind_and_body(COMMIT_REVEAL, &body, out);
    }

    pub(crate) fn read(fields: &mut Decoder<'_>) -> Result<Self, Invalid> {
        let kind = fields.u8()?;
        let length = usize::from(fields.u16()?);
        let mut body = Decoder::new("list of trustees", fields.bytes(length)?);
        if kind != COMMIT_REVEAL {
            return Err(Invalid::UnsupportedSource { kind });
        }
        let mut trustees = Vec::new();
        for _ in 0..body.u8()? {
            trustees.push(Trustee {
                name: body.text()?,
                commitment: body.array()?,
            });
        }
        body.end()?;
        let source = Self::CommitReveal(trustees);
        source.check()?;
        Ok(source)
    }
}

// === impl Reveal ===

impl Reveal {
    /// Returns the canonical encoding: kind, length of the body, body.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self::CommitReveal(secrets) = self;
        let mut out = Vec::new();
        write_kind_and_body(COMMIT_REVEAL, secrets.as_flattened(), &mut out);
        out
    }

    pub(crate) fn from_kind_and_body(kind: u8, body: &[u8]) -> Result<Self, Invalid> {
        if kind != COMMIT_REVEAL {
            return Err(Invalid::UnsupportedSource { kind });
        }
        let (secrets, []) = body.as_chunks::<32>() else {
            return Err(Invalid::Malformed {
                field: "reveal",
                problem: "has part of a secret",
            });
        };
        Ok(Self::CommitReveal(secrets.to_vec()))
    }
}

impl Randomness {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn write_kind_and_body(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    let length = u16::try_from(body.len()).expect("32 trustees fit 16 bits of length");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::hex;

    fn source(batch: &str, secrets: &[(&str, [u8; 32])]) -> RandomnessSource {
        let trustee = |&(name, ref secret): &(&str, [u8; 32])| Trustee {
            name: name.to_owned(),
            commitment: secret_commitment(batch, name, secret),
        };
        RandomnessSource::CommitReveal(secrets.iter().map(trustee).collect())
    }

    #[test]
    fn commitment_and_randomness_are_the_documented_hashes() {
        // printf 'bekal/reveal/1\x0abatches/48\x03KPK%s' "$(32 times \x01)" | sha256sum, and so on.
        let source = source("batches/48", &[("KPK", [1; 32]), ("BPK", [2; 32])]);
        let RandomnessSource::CommitReveal(trustees) = &source;

        let randomness = source
            .randomness("batches/48", &Reveal::CommitReveal(vec![[1; 32], [2; 32]]))
            .unwrap();

        assert_eq!(
            hex(&trustees[0].commitment),
            "a7f2c10b0669e848ee6cacb0c152dfa8a12ed613cc7ba6384e65ce86af73fa1a"
        );
        assert_eq!(
            hex(randomness.as_bytes()),
            "e00629490ba680d336b219c62e99f5bc4a2b3eee7d99b2a95367ab5281a6e824"
        );
    }

    #[test]
    fn a_wrong_swapped_missing_or_foreign_secret_is_named() {
        let source = source("batches/48", &[("KPK", [1; 32]), ("BPK", [2; 32])]);
        let refused = |batch: &str, secrets: &[[u8; 32]]| {
            source
                .randomness(batch, &Reveal::CommitReveal(secrets.to_vec()))
                .unwrap_err()
        };
        let mismatch = |name: &str| Invalid::RevealMismatch {
            trustee: name.to_owned(),
        };

        assert_eq!(refused("batches/48", &[[1; 32], [3; 32]]), mismatch("BPK"));
        assert_eq!(refused("batches/48", &[[2; 32], [1; 32]]), mismatch("KPK"));
        assert_eq!(refused("batches/48", &[[1; 32]]), Invalid::RevealCount);
        assert_eq!(refused("batches/49", &[[1; 32], [2; 32]]), mismatch("KPK"));
    }

    #[test]
    fn a_source_is_read_back_and_an_unknown_kind_is_named() {
        let source = source("batches/48", &[("KPK", [1; 32])]);
        let mut bytes = Vec::new();
        source.write(&mut bytes);

        assert_eq!(
            RandomnessSource::read(&mut Decoder::new("source", &bytes)),
            Ok(source)
        );
        bytes[0] = 2;
        assert_eq!(
            RandomnessSource::read(&mut Decoder::new("source", &bytes)),
            Err(Invalid::UnsupportedSource { kind: 2 })
        );
    }

    #[test]
    fn repeated_or_absent_trustees_are_refused() {
        assert!(
            source("b", &[("A", [1; 32]), ("A", [2; 32])])
                .check()
                .is_err()
        );
        assert!(source("b", &[]).check().is_err());
    }
}
