//! Where the randomness of a draw comes from: a source that the commitment names, and a reveal that makes it known
//! afterwards. Each kind brings its own checks; encoding and hash are the same for all.

use sha2::{Digest, Sha256};

use crate::{
    Invalid,
    codec::{Decoder, check_text, put_option, put_text},
    commit_reveal::CommitReveal,
    drand::DrandRound,
};

const RANDOMNESS_DOMAIN: &[u8] = b"bekal/randomness/1";
/// Kind byte of commit–reveal.
const COMMIT_REVEAL: u8 = 1;
/// Kind byte of a drand round.
const DRAND: u8 = 2;

/// The source that a commitment names before the randomness exists.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RandomnessSource {
    /// Secrets of several trustees.
    CommitReveal(CommitReveal),
    /// A round of a public beacon.
    Drand(DrandRound),
}

/// What makes the randomness known afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reveal {
    /// What the trustees revealed by the deadline.
    CommitReveal {
        /// The secret of each trustee in the order of the source, `None` for one who is absent.
        secrets: Vec<Option<[u8; 32]>>,
        /// Signature of the beacon's round, exactly if the source names one.
        beacon: Option<[u8; 48]>,
    },
    /// The beacon's round.
    Drand {
        /// The round's signature, a compressed point of G1.
        signature: [u8; 48],
    },
}

/// The 32 bytes that decide a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Randomness(pub(crate) [u8; 32]);

// === impl RandomnessSource ===

impl RandomnessSource {
    /// Checks the reveal of `batch` and returns the randomness.
    ///
    /// # Errors
    /// Names the first trustee whose secret is not the committed one, then a missed quorum, then a missing or
    /// unexpected signature of the beacon; refuses a signature that does not hold, a reveal of another kind, and lists
    /// outside the limits.
    pub fn randomness(&self, batch: &str, reveal: &Reveal) -> Result<Randomness, Invalid> {
        check_text("batch", batch)?;
        self.check()?;
        match (self, reveal) {
            (Self::CommitReveal(source), Reveal::CommitReveal { secrets, beacon }) => {
                source.check_reveal(batch, secrets, beacon.as_ref())
            }
            (Self::Drand(round), Reveal::Drand { signature }) => round.verify(signature),
            (Self::CommitReveal(_) | Self::Drand(_), _) => Err(Invalid::Malformed {
                field: "reveal",
                problem: "is of another kind than the source",
            }),
        }?;
        let mut bytes = RANDOMNESS_DOMAIN.to_vec();
        put_text(&mut bytes, batch);
        bytes.extend_from_slice(&reveal.to_bytes());
        Ok(Randomness(Sha256::digest(&bytes).into()))
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::CommitReveal(source) => source.check(),
            Self::Drand(round) => round.check(),
        }
    }

    /// Checks that nobody can know the randomness at the time of the commitment.
    pub(crate) fn check_times(&self, commit_time: u64) -> Result<(), Invalid> {
        match self {
            Self::CommitReveal(source) => source.check_times(commit_time),
            Self::Drand(round) => round.check_comes_after(commit_time),
        }
    }

    /// Writes kind, length of the body, body; a reader can so name a kind that it does not know.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::CommitReveal(source) => {
                write_kind_and_body(COMMIT_REVEAL, &source.to_bytes(), out)
            }
            Self::Drand(round) => write_kind_and_body(DRAND, &round.to_bytes(), out),
        }
    }

    pub(crate) fn read(fields: &mut Decoder<'_>) -> Result<Self, Invalid> {
        let kind = fields.u8()?;
        let length = usize::from(fields.u16()?);
        let mut body = Decoder::new("source of randomness", fields.bytes(length)?);
        let source = match kind {
            COMMIT_REVEAL => Self::CommitReveal(CommitReveal::read(&mut body)?),
            DRAND => Self::Drand(DrandRound::read(&mut body)?),
            _ => return Err(Invalid::UnsupportedSource { kind }),
        };
        body.end()?;
        source.check()?;
        Ok(source)
    }
}

// === impl Reveal ===

impl Reveal {
    /// Returns the canonical encoding: kind, length of the body, body.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::CommitReveal { secrets, beacon } => {
                let count = u8::try_from(secrets.len());
                let mut body = vec![count.expect("a checked reveal has one place per trustee")];
                for secret in secrets {
                    put_option(&mut body, secret.as_ref().map(|bytes| &bytes[..]));
                }
                put_option(&mut body, beacon.as_ref().map(|bytes| &bytes[..]));
                write_kind_and_body(COMMIT_REVEAL, &body, &mut out);
            }
            Self::Drand { signature } => write_kind_and_body(DRAND, signature, &mut out),
        }
        out
    }

    pub(crate) fn from_kind_and_body(kind: u8, body: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Decoder::new("reveal", body);
        let reveal = match kind {
            COMMIT_REVEAL => {
                let mut secrets = Vec::new();
                for _ in 0..fields.u8()? {
                    secrets.push(fields.option(Decoder::array)?);
                }
                let beacon = fields.option(Decoder::array)?;
                Self::CommitReveal { secrets, beacon }
            }
            DRAND => Self::Drand {
                signature: fields.array()?,
            },
            _ => return Err(Invalid::UnsupportedSource { kind }),
        };
        fields.end()?;
        Ok(reveal)
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
    use proptest::{
        array::uniform32,
        collection::vec,
        option,
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };

    use super::*;
    use crate::{
        codec::hex,
        commit_reveal::{Trustee, secret_commitment},
        drand::QUICKNET,
    };

    const ROUND: DrandRound = DrandRound {
        chain: QUICKNET,
        round: 1000,
    };
    /// The published signature of the round.
    const SIGNATURE: [u8; 48] = [
        0xb4, 0x46, 0x79, 0xb9, 0xa5, 0x9a, 0xf2, 0xec, 0x87, 0x6b, 0x1a, 0x6b, 0x1a, 0xd5, 0x2e,
        0xa9, 0xb1, 0x61, 0x5f, 0xc3, 0x98, 0x2b, 0x19, 0x57, 0x63, 0x50, 0xf9, 0x34, 0x47, 0xcb,
        0x11, 0x25, 0xe3, 0x42, 0xb7, 0x3a, 0x8d, 0xd2, 0xba, 0xcb, 0xe4, 0x7e, 0x4b, 0x6b, 0x63,
        0xed, 0x5e, 0x39,
    ];

    fn trustees() -> RandomnessSource {
        RandomnessSource::CommitReveal(CommitReveal {
            trustees: vec![Trustee {
                name: "KPK".to_owned(),
                commitment: secret_commitment("batches/48", "KPK", &[1; 32]),
            }],
            quorum: 1,
            reveal_deadline: 1_700_003_600,
            beacon: None,
        })
    }

    fn encoded(source: &RandomnessSource) -> Vec<u8> {
        let mut bytes = Vec::new();
        source.write(&mut bytes);
        bytes
    }

    #[test]
    fn a_drand_round_gives_the_documented_hash() {
        // printf 'bekal/randomness/1\x0abatches/48\x02\x00\x30%s' "$(signature)" | sha256sum
        let reveal = Reveal::Drand {
            signature: SIGNATURE,
        };
        let randomness = RandomnessSource::Drand(ROUND).randomness("batches/48", &reveal);

        assert_eq!(
            hex(randomness.unwrap().as_bytes()),
            "c4698eac1f5fffa6cbb7c6996b8b294cd2f5b75c405f4465e8f803259f9cb333"
        );
    }

    #[test]
    fn a_reveal_of_another_kind_or_round_is_refused() {
        let drand = Reveal::Drand {
            signature: SIGNATURE,
        };
        let secret = Reveal::CommitReveal {
            secrets: vec![Some([1; 32])],
            beacon: None,
        };
        let round = RandomnessSource::Drand(ROUND);
        let next = RandomnessSource::Drand(DrandRound {
            round: 1001,
            ..ROUND
        });

        for (source, reveal) in [(trustees(), &drand), (round, &secret)] {
            assert!(matches!(
                source.randomness("batches/48", reveal),
                Err(Invalid::Malformed {
                    field: "reveal",
                    ..
                })
            ));
        }
        assert_eq!(
            next.randomness("batches/48", &drand),
            Err(Invalid::BeaconSignatureInvalid { round: 1001 })
        );
    }

    #[test]
    fn a_source_is_read_back_and_an_unknown_kind_is_named() {
        for source in [trustees(), RandomnessSource::Drand(ROUND)] {
            let mut bytes = encoded(&source);
            assert_eq!(
                RandomnessSource::read(&mut Decoder::new("source", &bytes)),
                Ok(source)
            );
            bytes[0] = 3;
            assert_eq!(
                RandomnessSource::read(&mut Decoder::new("source", &bytes)),
                Err(Invalid::UnsupportedSource { kind: 3 })
            );
        }
    }

    #[test]
    fn a_source_in_other_bytes_than_its_own_is_refused() {
        for source in [trustees(), RandomnessSource::Drand(ROUND)] {
            let bytes = encoded(&source);
            let padded = [&bytes[..1], &[0, bytes[2] + 1], &bytes[3..], &[0]].concat();
            for wrong in [&padded[..], &bytes[..bytes.len() - 1]] {
                let read = RandomnessSource::read(&mut Decoder::new("source", wrong));
                assert!(matches!(read, Err(Invalid::Malformed { .. })), "{read:?}");
            }
        }
        let mut without_period = encoded(&RandomnessSource::Drand(ROUND));
        without_period[3 + 96 + 8 + 3] = 0;
        assert!(RandomnessSource::read(&mut Decoder::new("source", &without_period)).is_err());
    }

    proptest! {
        #[test]
        fn a_reveal_is_read_back(
            secrets in vec(option::of(uniform32(any::<u8>())), 0..=32),
            with_beacon in any::<bool>(),
        ) {
            let beacon = with_beacon.then_some(SIGNATURE);
            let reveal = Reveal::CommitReveal { secrets, beacon };
            let bytes = reveal.to_bytes();

            prop_assert_eq!(Reveal::from_kind_and_body(bytes[0], &bytes[3..]), Ok(reveal));
        }

        #[test]
        fn what_reads_as_a_reveal_is_written_alike(kind in 0_u8..4, body in vec(0_u8..3, 0..60)) {
            if let Ok(reveal) = Reveal::from_kind_and_body(kind, &body) {
                prop_assert!(reveal.to_bytes().ends_with(&body));
                prop_assert_eq!(reveal.to_bytes()[0], kind);
            }
        }
    }
}
