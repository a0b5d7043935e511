//! Verifies a bundle from its first byte to its last, by drawing again. The checks run in the order of the
//! bundle, so that every verifier names the same first fault.

use std::io::Read;

use crate::{
    Invalid,
    bundle::BundleReader,
    commitment::SignedCommitment,
    entrant::Entrant,
    inclusion::{InclusionProof, ProofBuilder},
    lottery::outcomes_and_root,
    merkle::{Hash, entrants_root, leaf_hash},
    outcome::{Outcome, ResultHash, Verdict},
    randomness::{Randomness, Reveal},
    receipt::SignedReceipt,
    signature::PublicKey,
};

/// Room reserved before the first entrant is seen: a forged count must not claim memory.
const ENTRANTS_RESERVED: usize = 1 << 16;

/// A bundle whose every part was checked.
#[derive(Debug, Clone)]
pub struct VerifiedDraw {
    /// The commitment.
    pub signed: SignedCommitment,
    /// What made the randomness known.
    pub reveal: Reveal,
    /// The randomness that the reveal gives.
    pub randomness: Randomness,
    /// The entrants, ascending by pseudonym.
    pub entrants: Vec<Entrant>,
    /// The outcome of each entrant, in the same order.
    pub outcomes: Vec<Outcome>,
    /// The hash of the result.
    pub result_hash: Hash,
}

/// What a bundle says about the holder of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The holder was in the list.
    Listed {
        /// The outcome.
        outcome: Outcome,
        /// Proof that the entrant's leaf is under the committed root.
        proof: InclusionProof,
    },
    /// The holder applied and was not in the list.
    LeftOut {
        /// Whether the receipt is from before the commitment, as it should be.
        applied_in_time: bool,
    },
}

/// Verifies a bundle; with `expected`, also that this key signed it.
///
/// # Errors
/// Returns the first fault, in the order of the bundle.
pub fn verify(
    input: impl Read,
    expected: Option<&PublicKey>,
    threads: usize,
) -> Result<VerifiedDraw, Invalid> {
    let mut bundle = BundleReader::new(input)?;
    let signed = bundle.signed_commitment().clone();
    signed.verify(expected)?;
    let commitment = &signed.commitment;

    let mut entrants = Vec::with_capacity(ENTRANTS_RESERVED);
    while let Some(entrant) = bundle.entrant()? {
        entrants.push(entrant);
    }

    let revealed = bundle.reveal().and_then(|reveal| {
        let randomness = commitment.source.randomness(&commitment.batch, &reveal)?;
        Ok((reveal, randomness))
    });
    let (reveal, randomness) = match revealed {
        Ok(revealed) => revealed,
        // A fault in the list comes before one in the reveal.
        Err(_) if entrants_root(&entrants, threads) != commitment.root => {
            return Err(Invalid::RootMismatch);
        }
        Err(invalid) => return Err(invalid),
    };
    let (outcomes, root) = outcomes_and_root(commitment, &randomness, &entrants, threads);
    if root != commitment.root {
        return Err(Invalid::RootMismatch);
    }

    let mut result = ResultHash::new(&commitment.batch, &randomness);
    for (entrant, outcome) in entrants.iter().zip(&outcomes) {
        if bundle.outcome_record()? != outcome.to_record() {
            return Err(Invalid::ResultMismatch {
                pseudonym: entrant.pseudonym,
            });
        }
        result.push(outcome);
    }
    let result_hash = result.finish();
    if bundle.finish()? != result_hash {
        return Err(Invalid::ResultHashMismatch);
    }
    Ok(VerifiedDraw {
        signed,
        reveal,
        randomness,
        entrants,
        outcomes,
        result_hash,
    })
}

impl VerifiedDraw {
    /// Returns the number of winners.
    pub fn winner_count(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.won()).count()
    }

    /// Returns how many a household's limit kept from a place.
    pub fn household_limit_count(&self) -> usize {
        let limited = |outcome: &&Outcome| outcome.verdict == Verdict::HouseholdLimit;
        self.outcomes.iter().filter(limited).count()
    }

    /// Tells what the draw says about the holder of a receipt, which `key` must have signed.
    ///
    /// # Errors
    /// Refuses a receipt of another batch or with another signature.
    pub fn standing(&self, receipt: &SignedReceipt, key: &PublicKey) -> Result<Standing, Invalid> {
        receipt.verify(key)?;
        let commitment = &self.signed.commitment;
        if receipt.receipt.batch != commitment.batch {
            return Err(Invalid::ReceiptOtherBatch);
        }
        let found = self
            .entrants
            .binary_search_by_key(&receipt.receipt.pseudonym, |e| e.pseudonym);
        let Ok(index) = found else {
            let applied_in_time = receipt.receipt.apply_time <= commitment.commit_time;
            return Ok(Standing::LeftOut { applied_in_time });
        };
        let proof = self.inclusion_proof(index).ok_or(Invalid::RootMismatch)?;
        if proof.verify(&leaf_hash(&self.entrants[index].leaf()), &commitment.root) {
            Ok(Standing::Listed {
                outcome: self.outcomes[index],
                proof,
            })
        } else {
            Err(Invalid::RootMismatch)
        }
    }

    /// Returns the proof that the entrant at this position is under the root; `None` if there is none.
    pub fn inclusion_proof(&self, index: usize) -> Option<InclusionProof> {
        let size = u64::try_from(self.entrants.len()).ok()?;
        let mut builder = ProofBuilder::new(u64::try_from(index).ok()?, size)?;
        for entrant in &self.entrants {
            builder.push(leaf_hash(&entrant.leaf()));
        }
        builder.finish()
    }
}
