//! What the draw says of each entrant, its five-byte record, and the hash of all records.

use sha2::{Digest, Sha256};

use crate::{codec::put_text, merkle::Hash, randomness::Randomness};

/// Bytes of an outcome's record.
pub const OUTCOME_BYTES: usize = 5;

const RESULT_DOMAIN: &[u8] = b"bekal/result/1";
const NOT_DRAWN: u8 = 0;
const HOUSEHOLD_LIMIT: u8 = 1;
const WON_GENERAL: u8 = 2;
const WON_REGION: u8 = 3;
const WON_GROUP: u8 = 0x80;

/// The part of the places from which a winner got his.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stratum {
    /// A reserved group, by its position in the plan.
    Group(u8),
    /// The winner's region.
    Region,
    /// The general pool.
    General,
}

/// Whether an entrant won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A place was given.
    Won(Stratum),
    /// No place was left at the entrant's rank.
    NotDrawn,
    /// A place was left, but the household had reached its limit.
    HouseholdLimit,
}

/// The outcome of one entrant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Position in the global order, from 1.
    pub rank: u32,
    /// Whether the entrant won.
    pub verdict: Verdict,
}

impl Outcome {
    /// Tells whether a place was given.
    pub fn won(&self) -> bool {
        matches!(self.verdict, Verdict::Won(_))
    }

    /// Returns the record: rank, then the code of the verdict.
    pub fn to_record(self) -> [u8; OUTCOME_BYTES] {
        let code = match self.verdict {
            Verdict::NotDrawn => NOT_DRAWN,
            Verdict::HouseholdLimit => HOUSEHOLD_LIMIT,
            Verdict::Won(Stratum::General) => WON_GENERAL,
            Verdict::Won(Stratum::Region) => WON_REGION,
            Verdict::Won(Stratum::Group(i)) => WON_GROUP | i,
        };
        let [a, b, c, d] = self.rank.to_be_bytes();
        [a, b, c, d, code]
    }

    /// Reads a record; `None` if its code is unknown.
    pub fn from_record([a, b, c, d, code]: [u8; OUTCOME_BYTES]) -> Option<Self> {
        let verdict = match code {
            NOT_DRAWN => Verdict::NotDrawn,
            HOUSEHOLD_LIMIT => Verdict::HouseholdLimit,
            WON_GENERAL => Verdict::Won(Stratum::General),
            WON_REGION => Verdict::Won(Stratum::Region),
            0x80..=0x9f => Verdict::Won(Stratum::Group(code & !WON_GROUP)),
            _ => return None,
        };
        Some(Self {
            rank: u32::from_be_bytes([a, b, c, d]),
            verdict,
        })
    }
}

/// Computes the hash of a result from its outcomes in the entrants' order.
#[derive(Debug, Clone)]
pub(crate) struct ResultHash(Sha256);

impl ResultHash {
    /// Begins the result of a batch.
    pub(crate) fn new(batch: &str, randomness: &Randomness) -> Self {
        let mut start = RESULT_DOMAIN.to_vec();
        put_text(&mut start, batch);
        start.extend_from_slice(randomness.as_bytes());
        Self(Sha256::new().chain_update(start))
    }

    /// Adds the outcome of the next entrant.
    pub(crate) fn push(&mut self, outcome: &Outcome) {
        self.push_records(&outcome.to_record());
    }

    /// Adds the records of the next outcomes.
    pub(crate) fn push_records(&mut self, records: &[u8]) {
        self.0.update(records);
    }

    /// Returns the hash.
    pub(crate) fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_rank_and_code() {
        let record = |verdict| {
            let outcome = Outcome { rank: 258, verdict };
            assert_eq!(Outcome::from_record(outcome.to_record()), Some(outcome));
            outcome.to_record()
        };
        assert_eq!(Outcome::from_record([0, 0, 1, 2, 4]), None);
        assert_eq!(Outcome::from_record([0, 0, 1, 2, 0xa0]), None);

        assert_eq!(record(Verdict::NotDrawn), [0, 0, 1, 2, 0]);
        assert_eq!(record(Verdict::HouseholdLimit), [0, 0, 1, 2, 1]);
        assert_eq!(record(Verdict::Won(Stratum::General)), [0, 0, 1, 2, 2]);
        assert_eq!(record(Verdict::Won(Stratum::Region)), [0, 0, 1, 2, 3]);
        assert_eq!(record(Verdict::Won(Stratum::Group(31))), [0, 0, 1, 2, 0x9f]);
    }
}
