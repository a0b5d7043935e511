//! Draws to test with: one small and fixed, and any number of made-up ones.

use std::num::{NonZeroU8, NonZeroU32};

use blst::min_sig::SecretKey;
use draw::{
    BundleWriter, CommitReveal, Commitment, Covariates, DrandChain, DrandRound, Entrant,
    EntrantsRoot, Group, Outcome, QuotaPlan, Randomness, RandomnessSource, RegionPlaces,
    RegionWeight, Regions, RemainderRule, Reveal, SignedCommitment, SigningKey, Trustee,
    secret_commitment,
};
use sha2::{Digest, Sha256};

pub(crate) const BATCH: &str = "batches/48";
const TRUSTEES: [(&str, [u8; 32]); 2] = [
    ("Mahkamah \"Agung\"", [0x11; 32]),
    ("Ombudsman", [0x22; 32]),
];

pub(crate) struct Draw {
    pub(crate) commitment: Commitment,
    pub(crate) reveal: Reveal,
    pub(crate) entrants: Vec<Entrant>,
}

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[0x42; 32])
}

/// Twelve entrants, two groups, three regions with floors, two trustees, a household limit of two.
pub(crate) fn a_small_draw() -> Draw {
    let entrant = |number: u8| Entrant {
        pseudonym: [number * 16; 16],
        region: u32::from(31 + number % 4),
        groups: u32::from(number.is_multiple_of(5)) | u32::from(number.is_multiple_of(4)) << 1,
        household: (!number.is_multiple_of(3)).then_some([number % 2; 16]),
        household_prior: u8::from(!number.is_multiple_of(3) && number % 2 == 1),
        covariates: Covariates {
            apply_order: number * 8,
            sex: number % 3,
            age_band: number % 7,
        },
    };
    let weight = |region, weight, floor| RegionWeight {
        region,
        weight,
        floor,
    };
    let regions =
        Regions::Proportional(vec![weight(31, 10, 0), weight(32, 50, 0), weight(33, 1, 1)]);
    let plan = QuotaPlan::new(
        7,
        vec![group("disability", 1), group("rural", 2)],
        regions,
        RemainderRule::RegionsThenGeneral,
    )
    .expect("the plan adds up");
    Draw::new(plan, (0..12).map(entrant).collect(), 2)
}

/// A draw that depends on `seed` alone.
pub(crate) fn a_made_up_draw(seed: u64) -> Draw {
    a_made_up_draw_of(Random::new(!seed).below(150), seed)
}

/// A draw of `count` entrants that otherwise depends on `seed` alone.
pub(crate) fn a_made_up_draw_of(count: u32, seed: u64) -> Draw {
    let mut random = Random::new(seed);
    let groups = (0..random.below(4)).map(|i| group(&format!("group-{i}"), random.below(6)));
    let groups: Vec<Group> = groups.collect();
    let rows = 1..=random.below(5);
    let regions = match random.below(3) {
        0 => Regions::None,
        1 => Regions::Fixed(
            rows.map(|region| RegionPlaces {
                region,
                places: random.below(6),
            })
            .collect(),
        ),
        _ => Regions::Proportional(
            rows.map(|region| {
                let (weight, floor) = (random.below(20), random.below(4));
                RegionWeight {
                    region,
                    weight,
                    floor,
                }
            })
            .collect(),
        ),
    };
    let rule = match random.below(3) {
        0 => RemainderRule::General,
        1 => RemainderRule::RegionsThenGeneral,
        _ => RemainderRule::Lapse,
    };
    let places = 40 + random.below(30);
    let group_bits = (1 << groups.len()) - 1;
    let entrants = (0..count).map(|i| {
        let household = random.byte_below(60);
        let in_household = household < 40;
        Entrant {
            pseudonym: (u128::from(i) << 64 | u128::from(random.below(u32::MAX))).to_be_bytes(),
            region: random.below(7),
            groups: random.below(16) & group_bits,
            household: in_household.then_some([household; 16]),
            household_prior: if in_household { household % 3 } else { 0 },
            covariates: Covariates {
                apply_order: random.byte_below(100),
                sex: random.byte_below(3),
                age_band: random.byte_below(16),
            },
        }
    });
    let entrants = entrants.collect();
    let limit = random.byte_below(4);
    Draw::new(
        QuotaPlan::new(places, groups, regions, rule).expect("places suffice"),
        entrants,
        limit,
    )
}

/// More entrants than are read at a time, without households, so that records have one length.
pub(crate) fn a_long_draw() -> Draw {
    let entrant = |number: u32| Entrant {
        pseudonym: (u128::from(number) << 96).to_be_bytes(),
        region: 1 + number % 11,
        covariates: Covariates {
            apply_order: u8::try_from(number % 100).expect("below 100"),
            sex: u8::try_from(number % 3).expect("below 3"),
            age_band: u8::try_from(number % 7).expect("below 7"),
        },
        ..Entrant::default()
    };
    let plan = QuotaPlan::new(7000, Vec::new(), Regions::None, RemainderRule::General)
        .expect("the plan adds up");
    Draw::new(plan, (0..70_000).map(entrant).collect(), 0)
}

pub(crate) fn group(name: &str, places: u32) -> Group {
    Group {
        name: name.to_owned(),
        places,
    }
}

/// The small draw with a beacon's round instead of trustees.
pub(crate) fn a_drand_draw() -> Draw {
    let mut draw = a_small_draw();
    let round = beacon_round(draw.commitment.commit_time + 60);
    draw.commitment.source = RandomnessSource::Drand(round);
    draw.reveal = Reveal::Drand {
        signature: beacon_signature(round.round),
    };
    draw
}

/// The first round at a time, or later, of a chain whose key is known here.
pub(crate) fn beacon_round(time: u64) -> DrandRound {
    let chain = DrandChain {
        public_key: beacon_key().sk_to_pk().compress(),
        genesis_time: 1_600_000_000,
        period_seconds: NonZeroU32::new(30).expect("thirty is not zero"),
    };
    DrandRound {
        chain,
        round: chain.round_at(time),
    }
}

pub(crate) fn beacon_signature(round: u64) -> [u8; 48] {
    let domain = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    let message = Sha256::digest(round.to_be_bytes());
    beacon_key().sign(&message, domain, &[]).compress()
}

fn beacon_key() -> SecretKey {
    SecretKey::key_gen(&[0x42; 32], &[]).expect("the seed is long enough")
}

pub(crate) fn trustees() -> CommitReveal {
    let trustee = |(name, secret): (&str, [u8; 32])| Trustee {
        name: name.to_owned(),
        commitment: secret_commitment(BATCH, name, &secret),
    };
    CommitReveal {
        trustees: TRUSTEES.map(trustee).to_vec(),
        quorum: 2,
        reveal_deadline: 1_700_003_600,
        beacon: None,
    }
}

pub(crate) fn secrets() -> Vec<Option<[u8; 32]>> {
    TRUSTEES.iter().map(|trustee| Some(trustee.1)).collect()
}

pub(crate) fn reveal() -> Reveal {
    Reveal::CommitReveal {
        secrets: secrets(),
        beacon: None,
    }
}

impl Draw {
    pub(crate) fn new(plan: QuotaPlan, entrants: Vec<Entrant>, household_limit: u8) -> Self {
        let mut tree = EntrantsRoot::new(plan.groups().len());
        for entrant in &entrants {
            tree.push(entrant).expect("entrants ascend");
        }
        let commitment = Commitment {
            batch: BATCH.to_owned(),
            entrant_count: tree.count(),
            root: tree.root(),
            rule_set_hash: [0x33; 32],
            plan,
            household_limit: NonZeroU8::new(household_limit),
            source: RandomnessSource::CommitReveal(trustees()),
            commit_time: 1_700_000_000,
        };
        Self {
            commitment,
            reveal: reveal(),
            entrants,
        }
    }

    pub(crate) fn signed(&self) -> SignedCommitment {
        self.commitment
            .clone()
            .sign(&key())
            .expect("the commitment is within limits")
    }

    pub(crate) fn randomness(&self) -> Randomness {
        self.commitment
            .source
            .randomness(BATCH, &self.reveal)
            .expect("the reveal is the right one")
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        draw::draw(&self.commitment, &self.randomness(), &self.entrants, 2)
            .expect("all is in order")
    }

    pub(crate) fn bundle(&self) -> Vec<u8> {
        self.bundle_with(&self.outcomes())
    }

    /// Writes a bundle with these outcomes, be they right or wrong.
    pub(crate) fn bundle_with(&self, outcomes: &[Outcome]) -> Vec<u8> {
        let mut writer = BundleWriter::new(Vec::new(), self.signed()).expect("the signature holds");
        for entrant in &self.entrants {
            writer.entrant(entrant).expect("entrants ascend");
        }
        writer
            .reveal(&self.reveal)
            .expect("the reveal is the right one");
        for outcome in outcomes {
            writer
                .outcome(outcome)
                .expect("there are as many as entrants");
        }
        writer.finish().expect("all is written").0
    }
}

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn byte_below(&mut self, bound: u32) -> u8 {
        u8::try_from(self.below(bound)).expect("below an 8-bit bound")
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 11) % u64::from(bound)).expect("below a 32-bit bound")
    }
}
