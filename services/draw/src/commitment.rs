//! The commitment: everything that decides a draw, fixed and signed before its randomness exists.

use std::num::NonZeroU8;

use crate::{
    Invalid,
    codec::{Decoder, check_text, put_text},
    merkle::Hash,
    quota::QuotaPlan,
    randomness::RandomnessSource,
    signature::{PublicKey, SigningKey},
};

/// Most entrants of a draw: twenty times the size designed for, and within 32 bits.
pub const ENTRANTS_MAX: u64 = 100_000_000;
/// Longest encoding of a commitment: above the largest plan with the most trustees.
pub const COMMITMENT_BYTES_MAX: usize = 256 * 1024;

const DOMAIN: &[u8] = b"bekal/commitment/1";

/// What a draw is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Resource name of the batch, such as `batches/48`.
    pub batch: String,
    /// Number of entrants.
    pub entrant_count: u64,
    /// Merkle root of the entrants' leaves.
    pub root: Hash,
    /// Hash of the rule set by which the entrants were found eligible.
    pub rule_set_hash: Hash,
    /// Places and for whom they are.
    pub plan: QuotaPlan,
    /// Most recipients of one household over the whole history; `None` for no limit.
    pub household_limit: Option<NonZeroU8>,
    /// Where the randomness will come from.
    pub source: RandomnessSource,
    /// When the commitment was made, in seconds since 1970.
    pub commit_time: u64,
}

/// A commitment with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommitment {
    /// What is signed.
    pub commitment: Commitment,
    /// Key that signed.
    pub public_key: PublicKey,
    /// Ed25519 signature of the canonical encoding.
    pub signature: [u8; 64],
}

// === impl Commitment ===

impl Commitment {
    /// Returns the canonical encoding, which is what gets signed.
    ///
    /// # Errors
    /// Refuses names, counts and trustees outside the limits, and randomness that could be known too early.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Invalid> {
        self.check()?;
        let plan = self.plan.to_bytes();
        let plan_bytes = u32::try_from(plan.len()).expect("a checked plan is within limits");
        let mut out = DOMAIN.to_vec();
        put_text(&mut out, &self.batch);
        out.extend_from_slice(&self.entrant_count.to_be_bytes());
        out.extend_from_slice(&self.root);
        out.extend_from_slice(&self.rule_set_hash);
        out.extend_from_slice(&plan_bytes.to_be_bytes());
        out.extend_from_slice(&plan);
        out.push(self.household_limit.map_or(0, NonZeroU8::get));
        self.source.write(&mut out);
        out.extend_from_slice(&self.commit_time.to_be_bytes());
        Ok(out)
    }

    /// Reads a canonical encoding.
    ///
    /// # Errors
    /// Refuses every byte string that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Decoder::new("commitment", bytes);
        fields.domain(DOMAIN)?;
        let batch = fields.text()?;
        let entrant_count = fields.u64()?;
        let (root, rule_set_hash) = (fields.array()?, fields.array()?);
        let plan_bytes = usize::try_from(fields.u32()?).map_err(|_| Invalid::LimitExceeded {
            field: "length of the quota plan",
        })?;
        let commitment = Self {
            batch,
            entrant_count,
            root,
            rule_set_hash,
            plan: QuotaPlan::from_bytes(fields.bytes(plan_bytes)?)?,
            household_limit: NonZeroU8::new(fields.u8()?),
            source: RandomnessSource::read(&mut fields)?,
            commit_time: fields.u64()?,
        };
        fields.end()?;
        commitment.check()?;
        Ok(commitment)
    }

    /// Signs the commitment.
    ///
    /// # Errors
    /// Refuses what [`Self::to_bytes`] refuses.
    pub fn sign(self, key: &SigningKey) -> Result<SignedCommitment, Invalid> {
        let signature = key.sign(&self.to_bytes()?);
        Ok(SignedCommitment {
            commitment: self,
            public_key: key.public_key(),
            signature,
        })
    }

    fn check(&self) -> Result<(), Invalid> {
        check_text("batch", &self.batch)?;
        if self.entrant_count > ENTRANTS_MAX {
            return Err(Invalid::LimitExceeded {
                field: "number of entrants",
            });
        }
        self.source.check()?;
        self.source.check_times(self.commit_time)
    }
}

// === impl SignedCommitment ===

impl SignedCommitment {
    /// Checks the signature; with `expected`, also that this is the key that signed.
    ///
    /// # Errors
    /// `KeyMismatch` before `SignatureInvalid`.
    pub fn verify(&self, expected: Option<&PublicKey>) -> Result<(), Invalid> {
        if expected.is_some_and(|key| *key != self.public_key) {
            return Err(Invalid::KeyMismatch);
        }
        if self
            .public_key
            .verifies(&self.commitment.to_bytes()?, &self.signature)
        {
            Ok(())
        } else {
            Err(Invalid::SignatureInvalid)
        }
    }

    /// Returns length of the commitment, commitment, public key, signature.
    ///
    /// # Errors
    /// Refuses what [`Commitment::to_bytes`] refuses.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Invalid> {
        let commitment = self.commitment.to_bytes()?;
        let length =
            u32::try_from(commitment.len()).expect("a checked commitment is within limits");
        let mut out = length.to_be_bytes().to_vec();
        out.extend_from_slice(&commitment);
        out.extend_from_slice(self.public_key.as_bytes());
        out.extend_from_slice(&self.signature);
        Ok(out)
    }

    /// Reads what [`Self::to_bytes`] writes, without checking the signature.
    ///
    /// # Errors
    /// Refuses every other byte string.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Decoder::new("signed commitment", bytes);
        let length = usize::try_from(fields.u32()?).map_err(|_| Invalid::LimitExceeded {
            field: "length of the commitment",
        })?;
        let signed = Self {
            commitment: Commitment::from_bytes(fields.bytes(length)?)?,
            public_key: PublicKey::from_bytes(fields.array()?),
            signature: fields.array()?,
        };
        fields.end()?;
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        commit_reveal::{CommitReveal, Trustee},
        drand::{DrandRound, QUICKNET},
        quota::{Regions, RemainderRule},
    };

    fn commitment() -> Commitment {
        Commitment {
            batch: "batches/48".to_owned(),
            entrant_count: 3,
            root: [1; 32],
            rule_set_hash: [2; 32],
            plan: QuotaPlan::new(2, Vec::new(), Regions::None, RemainderRule::General).unwrap(),
            household_limit: NonZeroU8::new(2),
            source: RandomnessSource::CommitReveal(CommitReveal {
                trustees: vec![Trustee {
                    name: "KPK".to_owned(),
                    commitment: [3; 32],
                }],
                quorum: 1,
                reveal_deadline: 1_700_003_600,
                beacon: None,
            }),
            commit_time: 1_700_000_000,
        }
    }

    #[test]
    fn a_commitment_is_laid_out_field_by_field() {
        let expected = [
            &b"bekal/commitment/1\x0abatches/48\0\0\0\0\0\0\0\x03"[..],
            &[1; 32],
            &[2; 32],
            b"\0\0\0\x09\x01\0\0\0\x02\0\0\0\0",
            b"\x02\x01\0\x2f\x01\x03KPK",
            &[3; 32],
            b"\x01\0\0\0\0\x65\x53\xff\x10\0",
            b"\0\0\0\0\x65\x53\xf1\0",
        ]
        .concat();

        assert_eq!(commitment().to_bytes().unwrap(), expected);
        assert_eq!(Commitment::from_bytes(&expected), Ok(commitment()));
    }

    #[test]
    fn every_byte_of_a_signed_commitment_counts() {
        let signed = commitment().sign(&SigningKey::from_seed(&[9; 32])).unwrap();
        let bytes = signed.to_bytes().unwrap();
        assert_eq!(signed.verify(Some(&signed.public_key)), Ok(()));

        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1 << (i % 8);
            let verdict = SignedCommitment::from_bytes(&changed).and_then(|read| read.verify(None));
            assert!(verdict.is_err(), "byte {i}");
        }
    }

    #[test]
    fn another_key_than_expected_is_named() {
        let signed = commitment().sign(&SigningKey::from_seed(&[9; 32])).unwrap();
        let other = SigningKey::from_seed(&[8; 32]).public_key();

        assert_eq!(signed.verify(Some(&other)), Err(Invalid::KeyMismatch));
    }

    #[test]
    fn counts_and_names_outside_the_limits_are_not_signed() {
        let key = SigningKey::from_seed(&[9; 32]);
        let crowded = Commitment {
            entrant_count: ENTRANTS_MAX + 1,
            ..commitment()
        };
        let nameless = Commitment {
            batch: String::new(),
            ..commitment()
        };

        assert!(matches!(
            crowded.sign(&key),
            Err(Invalid::LimitExceeded { .. })
        ));
        assert!(matches!(
            nameless.sign(&key),
            Err(Invalid::Malformed { field: "batch", .. })
        ));
    }

    #[test]
    fn randomness_that_could_be_known_is_not_committed_to() {
        let first = QUICKNET.round_at(commitment().commit_time + 60);
        let drawn_by = |round| Commitment {
            source: RandomnessSource::Drand(DrandRound {
                chain: QUICKNET,
                round,
            }),
            ..commitment()
        };
        let early = Err(Invalid::RoundTooEarly { round: first - 1 });

        let bytes = drawn_by(first).to_bytes().unwrap();
        assert_eq!(Commitment::from_bytes(&bytes), Ok(drawn_by(first)));
        assert_eq!(drawn_by(first - 1).to_bytes(), early);
        let key = SigningKey::from_seed(&[9; 32]);
        assert_eq!(drawn_by(first - 1).sign(&key).map(|_| Vec::new()), early);
        let round = bytes.len() - 16..bytes.len() - 8;
        let mut forged = bytes;
        forged[round].copy_from_slice(&(first - 1).to_be_bytes());
        assert_eq!(Commitment::from_bytes(&forged).map(|_| Vec::new()), early);
        let late = Commitment {
            commit_time: 1_700_003_600,
            ..commitment()
        };
        assert!(matches!(
            late.to_bytes(),
            Err(Invalid::Malformed {
                field: "reveal deadline",
                ..
            })
        ));
    }
}
