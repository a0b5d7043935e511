//! The arithmetic of the lottery: canonical encodings, the tree over the entrants, the signed commitment,
//! ranks, places, the public bundle and its verification. Pure: no clock, no files, no database.
//! `README.md` states every byte and rule, so that others can write their own verifier.

mod codec;
mod error;
mod parallel;
mod sha256;

mod entrant;
mod inclusion;
mod merkle;

mod apportion;
mod commit_reveal;
mod commitment;
mod drand;
mod quota;
mod randomness;
mod receipt;
mod signature;

mod lottery;
mod outcome;
mod places;
mod rank;

mod bundle;
mod self_test;
mod verify;

pub use self::{
    bundle::{BundleReader, BundleWriter},
    codec::TEXT_BYTES_MAX,
    commit_reveal::{CommitReveal, TRUSTEES_MAX, Trustee, secret_commitment},
    commitment::{COMMITMENT_BYTES_MAX, Commitment, ENTRANTS_MAX, SignedCommitment},
    drand::{DrandChain, DrandRound, LEAD_SECONDS_MIN, QUICKNET},
    entrant::{Covariates, Entrant},
    error::Invalid,
    inclusion::{InclusionProof, ProofBuilder},
    lottery::draw,
    merkle::{EntrantsRoot, Hash, RootBuilder, entrants_root, leaf_hash, node_hash},
    outcome::{OUTCOME_BYTES, Outcome, Stratum, Verdict},
    quota::{
        GROUPS_MAX, Group, QuotaPlan, REGIONS_MAX, RegionPlaces, RegionWeight, Regions,
        RemainderRule,
    },
    randomness::{Randomness, RandomnessSource, Reveal},
    rank::Ranking,
    receipt::{Receipt, SignedReceipt},
    self_test::{Finding, SelfTest, self_test},
    signature::{PublicKey, SigningKey},
    verify::{Standing, VerifiedDraw, verify},
};
