//! Rounds of a drand chain of the scheme `bls-unchained-g1-rfc9380`: a beacon that signs the number of each round when
//! its time has come. Until then nobody knows the signature; from then on it is public, unique, and anyone can check it.

use std::{fmt, num::NonZeroU32};

use blst::{
    BLST_ERROR,
    min_sig::{PublicKey, Signature},
};
use sha2::{Digest, Sha256};

use crate::{
    Invalid,
    codec::{Decoder, hex},
};

/// Least seconds from what must be fixed before a round to the round. Wide enough for clocks that differ, and for the
/// commitment to become public first.
pub const LEAD_SECONDS_MIN: u64 = 60;

/// The League of Entropy's chain with a round every three seconds, chain hash
/// `52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971`.
pub const QUICKNET: DrandChain = DrandChain {
    public_key: [
        0x83, 0xcf, 0x0f, 0x28, 0x96, 0xad, 0xee, 0x7e, 0xb8, 0xb5, 0xf0, 0x1f, 0xca, 0xd3, 0x91,
        0x22, 0x12, 0xc4, 0x37, 0xe0, 0x07, 0x3e, 0x91, 0x1f, 0xb9, 0x00, 0x22, 0xd3, 0xe7, 0x60,
        0x18, 0x3c, 0x8c, 0x4b, 0x45, 0x0b, 0x6a, 0x0a, 0x6c, 0x3a, 0xc6, 0xa5, 0x77, 0x6a, 0x2d,
        0x10, 0x64, 0x51, 0x0d, 0x1f, 0xec, 0x75, 0x8c, 0x92, 0x1c, 0xc2, 0x2b, 0x0e, 0x17, 0xe6,
        0x3a, 0xaf, 0x4b, 0xcb, 0x5e, 0xd6, 0x63, 0x04, 0xde, 0x9c, 0xf8, 0x09, 0xbd, 0x27, 0x4c,
        0xa7, 0x3b, 0xab, 0x4a, 0xf5, 0xa6, 0xe9, 0xc7, 0x6a, 0x4b, 0xc0, 0x9e, 0x76, 0xea, 0xe8,
        0x99, 0x1e, 0xf5, 0xec, 0xe4, 0x5a,
    ],
    genesis_time: 1_692_803_367,
    period_seconds: NonZeroU32::new(3).expect("three is not zero"),
};

const SIGNATURE_DOMAIN: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

/// A drand chain: who signs, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrandChain {
    /// Compressed point of G2.
    pub public_key: [u8; 96],
    /// When round 1 comes, in seconds since 1970.
    pub genesis_time: u64,
    /// Seconds from a round to the next.
    pub period_seconds: NonZeroU32,
}

/// One round of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrandRound {
    /// The chain.
    pub chain: DrandChain,
    /// Number of the round, from 1.
    pub round: u64,
}

// === impl DrandChain ===

impl DrandChain {
    /// Returns when a round comes, in seconds since 1970; the greatest number for one beyond it.
    pub fn round_time(&self, round: u64) -> u64 {
        u64::from(self.period_seconds.get())
            .saturating_mul(round.saturating_sub(1))
            .saturating_add(self.genesis_time)
    }

    /// Returns the first round that comes at `time` (in seconds since 1970) or later.
    pub fn round_at(&self, time: u64) -> u64 {
        time.saturating_sub(self.genesis_time)
            .div_ceil(u64::from(self.period_seconds.get()))
            .saturating_add(1)
    }
}

// === impl DrandRound ===

impl DrandRound {
    /// Returns when the round comes, as [`DrandChain::round_time`] does.
    pub fn time(&self) -> u64 {
        self.chain.round_time(self.round)
    }

    /// Checks that `signature` is the chain's for this round.
    ///
    /// # Errors
    /// Refuses every other signature, points outside the group, and a key that is none.
    pub fn verify(&self, signature: &[u8; 48]) -> Result<(), Invalid> {
        let message = Sha256::digest(self.round.to_be_bytes());
        let key = PublicKey::key_validate(&self.chain.public_key);
        let signature = Signature::sig_validate(signature, true);
        let holds = key.is_ok_and(|key| {
            signature.is_ok_and(|signature| {
                // Key and signature were validated just now.
                signature.verify(false, &message, SIGNATURE_DOMAIN, &[], &key, false)
                    == BLST_ERROR::BLST_SUCCESS
            })
        });
        if holds {
            Ok(())
        } else {
            Err(Invalid::BeaconSignatureInvalid { round: self.round })
        }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let malformed = |problem| {
            Err(Invalid::Malformed {
                field: "drand round",
                problem,
            })
        };
        if self.round == 0 {
            return malformed("is round 0");
        }
        if PublicKey::key_validate(&self.chain.public_key).is_err() {
            return malformed("has a public key that is not a point of G2");
        }
        Ok(())
    }

    /// Refuses a round that comes less than [`LEAD_SECONDS_MIN`] after `time`: its signature could be known by then.
    pub(crate) fn check_comes_after(&self, time: u64) -> Result<(), Invalid> {
        let earliest = time.checked_add(LEAD_SECONDS_MIN);
        if earliest.is_some_and(|earliest| earliest <= self.time()) {
            Ok(())
        } else {
            Err(Invalid::RoundTooEarly { round: self.round })
        }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = self.chain.public_key.to_vec();
        out.extend_from_slice(&self.chain.genesis_time.to_be_bytes());
        out.extend_from_slice(&self.chain.period_seconds.get().to_be_bytes());
        out.extend_from_slice(&self.round.to_be_bytes());
        out
    }

    pub(crate) fn read(fields: &mut Decoder<'_>) -> Result<Self, Invalid> {
        let (public_key, genesis_time) = (fields.array()?, fields.u64()?);
        let period_seconds = NonZeroU32::new(fields.u32()?);
        let chain = DrandChain {
            public_key,
            genesis_time,
            period_seconds: period_seconds
                .ok_or(fields.malformed("has rounds without a period"))?,
        };
        let round = fields.u64()?;
        Ok(Self { chain, round })
    }
}

impl fmt::Display for DrandRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.chain == QUICKNET {
            write!(f, "drand quicknet round {}", self.round)
        } else {
            let key = hex(&self.chain.public_key);
            write!(f, "round {} of the drand chain with key {key}", self.round)
        }
    }
}

#[cfg(test)]
mod tests {
    use blst::min_sig::SecretKey;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Rounds of quicknet as its relays serve them: number, signature, randomness (the signature's SHA-256).
    const PUBLISHED: [(u64, &str, &str); 3] = [
        (
            123,
            "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482\
             e26cd02df835d3546d23c4b13e0dfc92",
            "fb8f7bc29bf24db51871ec8c79f3a1e4bd0557bc0dfcee9ed1d924e69d1c60dc",
        ),
        (
            1000,
            "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125\
             e342b73a8dd2bacbe47e4b6b63ed5e39",
            "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",
        ),
        (
            12_040_883,
            "929906c959032ab363c9f26570d215d66f5c06cb0c44fe508c12bb5839f04ec8\
             95bb6868e5b9ff13ab289bdb5266b394",
            "173df1f57805453a8d2015268205d68147de12cafc2f451f7bc6adadca3571b3",
        ),
    ];
    /// The signature of round 1000 plus the point (0, 2) of order 3. Both sides of the pairing's equation stay equal.
    const OUTSIDE_G1: &str = "abbaa2cd356c8b543308abe2c07d92facb092294f841b0c295786b635167aba1\
                              48d4e2e86fedf3cf2c04c43b68a5aaee";
    /// The key of quicknet plus a point of order 13.
    const OUTSIDE_G2: &str = "97743aa1d8abe897813c58b2c5cfec7203ec4f5572355ff9686d049c9bbd67bb\
                              e58693ee596ae4892e551e72ef889adc052d3078b4b71bebf82ead55e827e274\
                              7933882380b40b6a452ddb58dbb4f6b87e3d046c706b02a7c9039339368e7120";

    fn bytes<const N: usize>(digits: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
    }

    fn quicknet(round: u64) -> DrandRound {
        let chain = QUICKNET;
        DrandRound { chain, round }
    }

    fn refused(round: u64) -> Result<(), Invalid> {
        Err(Invalid::BeaconSignatureInvalid { round })
    }

    #[test]
    fn quicknet_has_the_published_chain_hash() {
        const GROUP_HASH: &str = "f477d5c89f21a17c863a7f937c6a6d15859414d2be09cd448d4279af331c5d3e";
        let hash = Sha256::new()
            .chain_update(QUICKNET.period_seconds.get().to_be_bytes())
            .chain_update(QUICKNET.genesis_time.to_be_bytes())
            .chain_update(QUICKNET.public_key)
            .chain_update(bytes::<32>(GROUP_HASH))
            .chain_update("quicknet")
            .finalize();

        assert_eq!(
            hex(&hash),
            "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"
        );
    }

    #[test]
    fn published_rounds_verify() {
        for (round, signature, randomness) in PUBLISHED {
            let signature = bytes(signature);

            assert_eq!(quicknet(round).verify(&signature), Ok(()), "{round}");
            assert_eq!(hex(&Sha256::digest(signature)), randomness);
        }
    }

    #[test]
    fn another_round_key_or_signature_does_not_verify() {
        let (round, signature, _) = PUBLISHED[1];
        let signature: [u8; 48] = bytes(signature);
        assert_eq!(quicknet(999).verify(&signature), refused(999));
        assert_eq!(quicknet(0).verify(&signature), refused(0));
        let other = SecretKey::key_gen(&[1; 32], &[]).unwrap().sk_to_pk();
        let public_key = other.compress();
        let chain = DrandChain {
            public_key,
            ..QUICKNET
        };
        assert_eq!(DrandRound { chain, round }.check(), Ok(()));
        assert_eq!(
            DrandRound { chain, round }.verify(&signature),
            refused(round)
        );

        for bit in 0..8 * signature.len() {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(quicknet(round).verify(&changed), refused(round), "{bit}");
        }
    }

    #[test]
    fn points_at_infinity_and_outside_the_groups_are_refused() {
        let (round, signature, _) = PUBLISHED[1];
        let mut infinity = [0; 96];
        infinity[0] = 0xc0;
        assert_eq!(
            quicknet(round).verify(infinity[..48].try_into().unwrap()),
            refused(round)
        );
        assert_eq!(quicknet(round).verify(&bytes(OUTSIDE_G1)), refused(round));
        assert!(Signature::uncompress(&bytes::<48>(OUTSIDE_G1)).is_ok());

        assert!(PublicKey::uncompress(&bytes::<96>(OUTSIDE_G2)).is_ok());
        for public_key in [infinity, bytes(OUTSIDE_G2), [0xff; 96], [0; 96]] {
            let chain = DrandChain {
                public_key,
                ..QUICKNET
            };
            let round = DrandRound { chain, round };
            let malformed = matches!(round.check(), Err(Invalid::Malformed { .. }));
            assert!(malformed, "{public_key:?}");
            assert_eq!(round.verify(&bytes(signature)), refused(1000));
        }
    }

    #[test]
    fn rounds_come_at_their_time() {
        assert_eq!(QUICKNET.round_time(1), 1_692_803_367);
        assert_eq!(QUICKNET.round_time(1000), 1_692_806_364);
        assert_eq!(QUICKNET.round_time(u64::MAX), u64::MAX);
        assert_eq!(QUICKNET.round_at(0), 1);
        assert_eq!(QUICKNET.round_at(1_692_803_367), 1);
        assert_eq!(QUICKNET.round_at(1_692_803_368), 2);
        assert_eq!(QUICKNET.round_at(1_692_806_364), 1000);
    }

    #[test]
    fn a_round_less_than_a_minute_away_is_too_early() {
        let round = quicknet(1000);
        let too_early = Err(Invalid::RoundTooEarly { round: 1000 });

        assert_eq!(round.check_comes_after(round.time() - 60), Ok(()));
        assert_eq!(round.check_comes_after(round.time() - 59), too_early);
        assert_eq!(round.check_comes_after(round.time() + 1), too_early);
        assert_eq!(round.check_comes_after(u64::MAX), too_early);
        assert!(quicknet(u64::MAX).check_comes_after(u64::MAX - 60).is_ok());
    }

    #[test]
    fn a_round_names_its_chain() {
        assert_eq!(quicknet(7).to_string(), "drand quicknet round 7");
        let chain = DrandChain {
            genesis_time: 0,
            ..QUICKNET
        };
        let other = DrandRound { chain, round: 7 }.to_string();
        assert!(
            other.starts_with("round 7 of the drand chain with key 83cf0f28"),
            "{other}"
        );
    }

    proptest! {
        #[test]
        fn the_round_at_a_time_is_the_first_that_is_not_before(
            genesis_time in 0_u64..1 << 40,
            period_seconds in 1_u32..,
            time in 0_u64..1 << 50,
        ) {
            let period_seconds = NonZeroU32::new(period_seconds).unwrap();
            let chain = DrandChain { genesis_time, period_seconds, ..QUICKNET };
            let round = chain.round_at(time);

            prop_assert!(chain.round_time(round) >= time);
            prop_assert!(round == 1 || chain.round_time(round - 1) < time);
        }

        #[test]
        fn no_time_and_no_round_overflows(
            genesis_time in any::<u64>(),
            period_seconds in 1_u32..,
            number in any::<u64>(),
        ) {
            let period_seconds = NonZeroU32::new(period_seconds).unwrap();
            let chain = DrandChain { genesis_time, period_seconds, ..QUICKNET };

            prop_assert!(chain.round_time(number) >= genesis_time);
            prop_assert!(chain.round_at(number) >= 1);
        }

        #[test]
        fn a_round_is_read_back(genesis_time in any::<u64>(), period_seconds in 1_u32.., round in any::<u64>()) {
            let period_seconds = NonZeroU32::new(period_seconds).unwrap();
            let chain = DrandChain { genesis_time, period_seconds, ..QUICKNET };
            let round = DrandRound { chain, round };

            prop_assert_eq!(DrandRound::read(&mut Decoder::new("source", &round.to_bytes())), Ok(round));
        }
    }
}
