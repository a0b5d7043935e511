//! Writes a bundle in order and refuses to write one that its own reader would not take.

use std::{io::Write, mem};

use super::MAGIC;
use crate::{
    Invalid,
    commitment::SignedCommitment,
    entrant::{Entrant, Sequence},
    merkle::Hash,
    outcome::{Outcome, ResultHash},
    randomness::Reveal,
};

/// Streams a bundle to any writer. Call [`Self::entrant`] for each, [`Self::reveal`] once,
/// [`Self::outcome`] for each, then [`Self::finish`]. Wrap files and sockets in a `BufWriter`.
#[derive(Debug)]
pub struct BundleWriter<W> {
    out: W,
    signed: SignedCommitment,
    sequence: Sequence,
    result: Option<ResultHash>,
    outcome_count: u64,
    record: Vec<u8>,
}

impl<W: Write> BundleWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Refuses a commitment whose signature does not hold.
    pub fn new(mut out: W, signed: SignedCommitment) -> Result<Self, Invalid> {
        signed.verify(None)?;
        out.write_all(MAGIC)?;
        out.write_all(&signed.to_bytes()?)?;
        let sequence = Sequence::new(signed.commitment.plan.groups().len());
        Ok(Self {
            out,
            signed,
            sequence,
            result: None,
            outcome_count: 0,
            record: Vec::new(),
        })
    }

    /// Writes the next entrant.
    ///
    /// # Errors
    /// Refuses one out of order, malformed, or beyond the count of the commitment.
    pub fn entrant(&mut self, entrant: &Entrant) -> Result<(), Invalid> {
        self.sequence.accept(entrant)?;
        let (committed, found) = (self.signed.commitment.entrant_count, self.sequence.count());
        if found > committed || self.result.is_some() {
            return Err(Invalid::CountMismatch { committed, found });
        }
        let mut record = mem::take(&mut self.record);
        record.clear();
        entrant.write_record(&mut record);
        self.out.write_all(&record)?;
        self.record = record;
        Ok(())
    }

    /// Writes the reveal, after all entrants.
    ///
    /// # Errors
    /// Refuses what the source of the commitment does not take, and missing entrants.
    pub fn reveal(&mut self, reveal: &Reveal) -> Result<(), Invalid> {
        let commitment = &self.signed.commitment;
        let (committed, found) = (commitment.entrant_count, self.sequence.count());
        if found != committed || self.result.is_some() {
            return Err(Invalid::CountMismatch { committed, found });
        }
        let randomness = commitment.source.randomness(&commitment.batch, reveal)?;
        self.result = Some(ResultHash::new(&commitment.batch, &randomness));
        self.out.write_all(&reveal.to_bytes())?;
        Ok(())
    }

    /// Writes the outcome of the next entrant, after the reveal.
    ///
    /// # Errors
    /// Refuses more outcomes than entrants.
    pub fn outcome(&mut self, outcome: &Outcome) -> Result<(), Invalid> {
        let committed = self.signed.commitment.entrant_count;
        self.outcome_count += 1;
        match &mut self.result {
            Some(result) if self.outcome_count <= committed => result.push(outcome),
            Some(_) | None => {
                return Err(Invalid::CountMismatch {
                    committed,
                    found: self.outcome_count,
                });
            }
        }
        self.out.write_all(&outcome.to_record())?;
        Ok(())
    }

    /// Writes the hash of the result, flushes, and returns the writer and the hash.
    ///
    /// # Errors
    /// Refuses missing outcomes.
    pub fn finish(mut self) -> Result<(W, Hash), Invalid> {
        let (committed, found) = (self.signed.commitment.entrant_count, self.outcome_count);
        let Some(result) = self.result.filter(|_| found == committed) else {
            return Err(Invalid::CountMismatch { committed, found });
        };
        let hash = result.finish();
        self.out.write_all(&hash)?;
        self.out.flush()?;
        Ok((self.out, hash))
    }
}
