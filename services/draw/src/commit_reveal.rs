//! Randomness from several trustees: each publishes the hash of a secret before the freeze and the secret after it. As
//! long as one of them keeps his secret until then, nobody knows the outcome beforehand. A trustee who stays away holds
//! the draw up until the deadline at most; README §4 says what he can gain by it.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::{
    Invalid,
    codec::{Decoder, check_text, put_option, put_text},
    drand::DrandRound,
    merkle::Hash,
};

/// Most trustees of a draw.
pub const TRUSTEES_MAX: usize = 32;

const REVEAL_DOMAIN: &[u8] = b"bekal/reveal/1";

/// A trustee and the hash that binds him to his secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trustee {
    /// Name, as the public knows it.
    pub name: String,
    /// Result of [`secret_commitment`].
    pub commitment: Hash,
}

/// The trustees of a draw, and what happens without some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReveal {
    /// The trustees, in the order of their secrets.
    pub trustees: Vec<Trustee>,
    /// Least number of secrets that decide the draw, from 1 to the number of trustees.
    pub quorum: u8,
    /// Until when a secret counts, in seconds since 1970. Who has not revealed by then is absent.
    pub reveal_deadline: u64,
    /// Round of a public beacon that is part of the randomness as well, whoever reveals. It comes after the deadline, so
    /// that nobody who decides whether to reveal knows the outcome.
    pub beacon: Option<DrandRound>,
}

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

impl CommitReveal {
    /// Names the trustees without a secret, in the order of the source.
    pub fn absent<'a>(&'a self, secrets: &[Option<[u8; 32]>]) -> Vec<&'a str> {
        self.trustees
            .iter()
            .zip(secrets)
            .filter(|(_, secret)| secret.is_none())
            .map(|(trustee, _)| trustee.name.as_str())
            .collect()
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let malformed = |problem| {
            Err(Invalid::Malformed {
                field: "list of trustees",
                problem,
            })
        };
        if self.trustees.is_empty() {
            return malformed("is empty");
        }
        if self.trustees.len() > TRUSTEES_MAX {
            return Err(Invalid::LimitExceeded {
                field: "number of trustees",
            });
        }
        let mut names = HashSet::new();
        for trustee in &self.trustees {
            check_text("list of trustees", &trustee.name)?;
            if !names.insert(&trustee.name) {
                return malformed("names a trustee twice");
            }
        }
        if !(1..=self.trustees.len()).contains(&usize::from(self.quorum)) {
            return malformed("has a quorum that is not 1 to its length");
        }
        self.beacon.as_ref().map_or(Ok(()), DrandRound::check)
    }

    /// Checks that the commitment comes before the deadline, and the deadline before the beacon's round.
    pub(crate) fn check_times(&self, commit_time: u64) -> Result<(), Invalid> {
        if self.reveal_deadline <= commit_time {
            return Err(Invalid::Malformed {
                field: "reveal deadline",
                problem: "is not after the commit time",
            });
        }
        self.beacon.map_or(Ok(()), |round| {
            round.check_comes_after(self.reveal_deadline)
        })
    }

    /// Checks the secrets of `batch`, then whether they are enough, then the beacon's signature.
    pub(crate) fn check_reveal(
        &self,
        batch: &str,
        secrets: &[Option<[u8; 32]>],
        beacon: Option<&[u8; 48]>,
    ) -> Result<(), Invalid> {
        if self.trustees.len() != secrets.len() {
            return Err(Invalid::RevealCount);
        }
        for (trustee, secret) in self.trustees.iter().zip(secrets) {
            let other =
                |secret| secret_commitment(batch, &trustee.name, secret) != trustee.commitment;
            if secret.as_ref().is_some_and(other) {
                return Err(Invalid::RevealMismatch {
                    trustee: trustee.name.clone(),
                });
            }
        }
        let revealed = secrets.iter().flatten().count();
        if revealed < usize::from(self.quorum) {
            return Err(Invalid::QuorumMissed {
                revealed,
                quorum: self.quorum,
            });
        }
        match (self.beacon, beacon) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(Invalid::BeaconUnexpected),
            (Some(_), None) => Err(Invalid::BeaconMissing),
            (Some(round), Some(signature)) => round.verify(signature),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let count = u8::try_from(self.trustees.len());
        let mut out = vec![count.expect("a checked list is within limits")];
        for trustee in &self.trustees {
            put_text(&mut out, &trustee.name);
            out.extend_from_slice(&trustee.commitment);
        }
        out.push(self.quorum);
        out.extend_from_slice(&self.reveal_deadline.to_be_bytes());
        put_option(&mut out, self.beacon.map(DrandRound::to_bytes).as_deref());
        out
    }

    pub(crate) fn read(fields: &mut Decoder<'_>) -> Result<Self, Invalid> {
        let mut trustees = Vec::new();
        for _ in 0..fields.u8()? {
            trustees.push(Trustee {
                name: fields.text()?,
                commitment: fields.array()?,
            });
        }
        Ok(Self {
            trustees,
            quorum: fields.u8()?,
            reveal_deadline: fields.u64()?,
            beacon: fields.option(DrandRound::read)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use blst::min_sig::SecretKey;
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };

    use super::*;
    use crate::{
        codec::hex,
        drand::{DrandChain, QUICKNET},
        randomness::{Randomness, RandomnessSource, Reveal},
    };

    const BATCH: &str = "batches/48";
    const SECRETS: [(&str, [u8; 32]); 3] = [("KPK", [1; 32]), ("BPK", [2; 32]), ("ORI", [3; 32])];

    fn source(quorum: u8, beacon: Option<DrandRound>) -> CommitReveal {
        let trustee = |(name, secret): (&str, [u8; 32])| Trustee {
            name: name.to_owned(),
            commitment: secret_commitment(BATCH, name, &secret),
        };
        CommitReveal {
            trustees: SECRETS.map(trustee).to_vec(),
            quorum,
            reveal_deadline: 1_700_003_600,
            beacon,
        }
    }

    /// A round of a chain of its own, and its signature.
    fn beacon() -> (DrandRound, [u8; 48]) {
        let key = SecretKey::key_gen(&[7; 32], &[]).unwrap();
        let chain = DrandChain {
            public_key: key.sk_to_pk().compress(),
            ..QUICKNET
        };
        let round = QUICKNET.round_at(1_700_003_660);
        let message = Sha256::digest(round.to_be_bytes());
        let domain = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
        let signature = key.sign(&message, domain, &[]).compress();
        (DrandRound { chain, round }, signature)
    }

    /// The secrets of the trustees whose bit is set.
    fn secrets(present: u8) -> Vec<Option<[u8; 32]>> {
        let bits = (0..8).map(|i| present >> i & 1 == 1);
        let secret = |(is_present, (_, secret)): (bool, (&str, _))| is_present.then_some(secret);
        bits.zip(SECRETS).map(secret).collect()
    }

    fn randomness(
        source: &CommitReveal,
        secrets: Vec<Option<[u8; 32]>>,
        beacon: Option<[u8; 48]>,
    ) -> Result<Randomness, Invalid> {
        let reveal = Reveal::CommitReveal { secrets, beacon };
        RandomnessSource::CommitReveal(source.clone()).randomness(BATCH, &reveal)
    }

    #[test]
    fn commitment_and_randomness_are_the_documented_hashes() {
        // printf 'bekal/reveal/1\x0abatches/48\x03KPK%s' "$(32 times \x01)" | sha256sum, and so on.
        let source = source(2, None);
        let all = randomness(&source, secrets(0b111), None).unwrap();
        let two = randomness(&source, secrets(0b101), None).unwrap();

        assert_eq!(
            hex(&source.trustees[0].commitment),
            "a7f2c10b0669e848ee6cacb0c152dfa8a12ed613cc7ba6384e65ce86af73fa1a"
        );
        assert_eq!(
            hex(all.as_bytes()),
            "7a7db65060dd0277b7f04ee4e68c4a92543b4f21db06143fcddf57a117f38a2e"
        );
        assert_eq!(
            hex(two.as_bytes()),
            "3f20e0cca50b376e6cf872fba514950af50437ea03135286d41d1ef4e0144ce0"
        );
    }

    #[test]
    fn a_wrong_swapped_missing_or_foreign_secret_is_named() {
        let source = source(2, None);
        let mismatch = |name: &str| {
            Err(Invalid::RevealMismatch {
                trustee: name.to_owned(),
            })
        };
        let mut wrong = secrets(0b111);
        wrong[1] = Some([9; 32]);
        let mut swapped = secrets(0b111);
        swapped.swap(0, 2);
        let reveal = Reveal::CommitReveal {
            secrets: secrets(0b111),
            beacon: None,
        };
        let foreign = RandomnessSource::CommitReveal(source.clone()).randomness("b/49", &reveal);

        assert_eq!(randomness(&source, wrong, None), mismatch("BPK"));
        assert_eq!(randomness(&source, swapped, None), mismatch("KPK"));
        assert_eq!(foreign, mismatch("KPK"));
        assert_eq!(
            randomness(&source, secrets(0b111)[1..].to_vec(), None),
            Err(Invalid::RevealCount)
        );
        let none = randomness(&source, Vec::new(), None);
        assert_eq!(none, Err(Invalid::RevealCount));
        let many = randomness(&source, vec![None; 300], None);
        assert_eq!(many, Err(Invalid::RevealCount));
    }

    #[test]
    fn the_quorum_decides_without_the_absent() {
        let source = source(2, None);

        assert!(randomness(&source, secrets(0b110), None).is_ok());
        assert_eq!(source.absent(&secrets(0b110)), ["KPK"]);
        assert_eq!(
            randomness(&source, secrets(0b100), None),
            Err(Invalid::QuorumMissed {
                revealed: 1,
                quorum: 2
            })
        );
        let mut strict = source;
        strict.quorum = 3;
        assert!(randomness(&strict, secrets(0b111), None).is_ok());
        assert!(randomness(&strict, secrets(0b110), None).is_err());
    }

    #[test]
    fn the_beacon_counts_whoever_reveals() {
        let (round, signature) = beacon();
        let with = source(1, Some(round));
        let without = source(1, None);
        let mut other = signature;
        other[47] ^= 1;
        let refused = Err(Invalid::BeaconSignatureInvalid { round: round.round });

        for present in [0b111, 0b011] {
            let of = |source, signature| randomness(source, secrets(present), signature);
            let (beaconed, plain) = (of(&with, Some(signature)), of(&without, None));

            assert!(beaconed.is_ok() && plain.is_ok() && beaconed != plain);
            assert_eq!(of(&with, None), Err(Invalid::BeaconMissing));
            assert_eq!(of(&with, Some(other)), refused);
            assert_eq!(
                of(&without, Some(signature)),
                Err(Invalid::BeaconUnexpected)
            );
        }
    }

    #[test]
    fn the_first_of_several_faults_is_named() {
        let (round, _) = beacon();
        let source = source(3, Some(round));
        let mut wrong = secrets(0b001);
        wrong[2] = Some([9; 32]);

        assert!(matches!(
            randomness(&source, wrong, None),
            Err(Invalid::RevealMismatch { .. })
        ));
        assert!(matches!(
            randomness(&source, secrets(0b001), None),
            Err(Invalid::QuorumMissed { .. })
        ));
    }

    #[test]
    fn repeated_or_no_trustees_and_a_quorum_that_cannot_be_met_are_refused() {
        let with = |change: fn(&mut CommitReveal)| {
            let mut changed = source(2, None);
            change(&mut changed);
            changed.check()
        };

        assert_eq!(with(|_| ()), Ok(()));
        assert!(with(|source| source.trustees.clear()).is_err());
        assert!(with(|source| source.trustees[2].name = "KPK".to_owned()).is_err());
        assert!(with(|source| source.trustees[2].name.clear()).is_err());
        assert!(with(|source| source.quorum = 0).is_err());
        assert!(with(|source| source.quorum = 4).is_err());
        let crowded = with(|source| {
            let trustee = |i| Trustee {
                name: format!("trustee-{i}"),
                commitment: [0; 32],
            };
            source.trustees = (0..=TRUSTEES_MAX).map(trustee).collect();
        });
        assert!(matches!(crowded, Err(Invalid::LimitExceeded { .. })));
        let (mut round, _) = beacon();
        round.round = 0;
        assert!(source(2, Some(round)).check().is_err());
    }

    #[test]
    fn deadline_and_beacon_come_after_what_they_wait_for() {
        let (round, _) = beacon();
        let mut source = source(2, Some(round));
        let deadline = source.reveal_deadline;

        assert_eq!(source.check_times(deadline - 1), Ok(()));
        assert!(matches!(
            source.check_times(deadline),
            Err(Invalid::Malformed { .. })
        ));
        source.reveal_deadline = round.time() - 59;
        assert_eq!(
            source.check_times(0),
            Err(Invalid::RoundTooEarly { round: round.round })
        );
    }

    proptest! {
        #[test]
        fn every_choice_of_absent_trustees_has_its_own_randomness(a in 0_u8..8, b in 0_u8..8) {
            let source = source(1, None);
            let (of_a, of_b) = (randomness(&source, secrets(a), None), randomness(&source, secrets(b), None));

            prop_assert_eq!(of_a.is_ok(), a != 0);
            prop_assert_eq!(of_a == of_b, a == b);
        }

        #[test]
        fn a_source_is_read_back(
            names in vec("[ -~]{1,200}", 1..32),
            quorum in any::<u8>(),
            reveal_deadline in any::<u64>(),
            with_beacon in any::<bool>(),
        ) {
            let trustee = |name| Trustee { name, commitment: [5; 32] };
            let source = CommitReveal {
                trustees: names.into_iter().map(trustee).collect(),
                quorum,
                reveal_deadline,
                beacon: with_beacon.then(|| beacon().0),
            };
            let bytes = source.to_bytes();
            let mut fields = Decoder::new("source", &bytes);

            prop_assert_eq!(CommitReveal::read(&mut fields), Ok(source));
            prop_assert!(fields.end().is_ok());
        }
    }
}
