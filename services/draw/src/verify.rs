//! Verifies a bundle from its first byte to its last, by drawing again. The checks run in the order of the
//! bundle, so that every verifier names the same first fault.

use std::{io::Read, thread};

use crate::{
    Invalid,
    bundle::{BundleReader, Records},
    commitment::SignedCommitment,
    entrant::Entrant,
    inclusion::{InclusionProof, ProofBuilder},
    lottery::draw_checked,
    merkle::{BLOCK_LEAVES, Hash, RootBuilder, leaf_hash, record_hash, subtree_root},
    outcome::{OUTCOME_BYTES, Outcome, ResultHash, Verdict},
    parallel,
    randomness::{Randomness, Reveal},
    receipt::SignedReceipt,
    self_test::{SelfTest, self_test},
    signature::PublicKey,
};

/// Blocks that are read while as many before them are checked: some megabytes.
const ROUND_BLOCKS: usize = 16;

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
    /// Whether ranks depend on what must not matter. It makes no bundle invalid.
    pub self_test: SelfTest,
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

    let (entrants, root) = read_entrants(&mut bundle, threads)?;
    if root != commitment.root {
        return Err(Invalid::RootMismatch);
    }
    let reveal = bundle.reveal()?;
    let randomness = commitment.source.randomness(&commitment.batch, &reveal)?;
    let outcomes = draw_checked(commitment, &randomness, &entrants, threads);
    let mut result = ResultHash::new(&commitment.batch, &randomness);
    let mut findings = SelfTest::default();
    thread::scope(|scope| {
        scope.spawn(|| findings = self_test(&entrants, &outcomes, threads));
        check_outcomes(&mut bundle, &entrants, &outcomes, &mut result)
    })?;
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
        self_test: findings,
    })
}

/// Consecutive entrants: a subtree of the whole tree.
#[derive(Default)]
struct Block {
    records: Records,
    entrants: Vec<Entrant>,
    root: Hash,
    fault: Option<Invalid>,
}

/// Reads all entrants, checks each, and returns them with their root. Of several faults the first in the list counts.
fn read_entrants(
    bundle: &mut BundleReader<impl Read>,
    threads: usize,
) -> Result<(Vec<Entrant>, Hash), Invalid> {
    let mut entrants = Vec::new();
    let mut tree = RootBuilder::new();
    let mut round: [Block; ROUND_BLOCKS] = Default::default();
    let mut other_round: [Block; ROUND_BLOCKS] = Default::default();
    let mut read = read_round(bundle, &mut round);
    loop {
        let next_read = parallel::for_each(round.iter_mut(), threads, check_block, || {
            // A forged count claims no memory: the list grows by what was there.
            for block in &mut other_round {
                entrants.append(&mut block.entrants);
            }
            read_round(bundle, &mut other_round)
        });
        for block in round.iter_mut().filter(|block| block.records.count() > 0) {
            block.fault.take().map_or(Ok(()), Err)?;
            tree.push(block.root);
        }
        read?;
        if round[0].records.count() == 0 {
            return Ok((entrants, tree.root()));
        }
        (read, round, other_round) = (next_read, other_round, round);
    }
}

fn read_round(bundle: &mut BundleReader<impl Read>, round: &mut [Block]) -> Result<(), Invalid> {
    for block in &mut *round {
        block.records.clear();
    }
    round
        .iter_mut()
        .try_for_each(|block| bundle.records(&mut block.records))
}

/// Decodes a block, up to its first fault, and computes the root of its subtree.
fn check_block(block: &mut Block) {
    let mut sequence = block.records.sequence();
    let mut rest = block.records.bytes();
    let mut leaves = Vec::with_capacity(BLOCK_LEAVES);
    while !rest.is_empty() {
        let (entrant, after) = match sequence.accept_record(rest) {
            Ok(accepted) => accepted,
            Err(fault) => {
                block.fault = Some(fault);
                return;
            }
        };
        leaves.push(record_hash(&rest[..rest.len() - after.len()]));
        block.entrants.push(entrant);
        rest = after;
    }
    block.root = subtree_root(&mut leaves);
}

/// Compares the published outcomes with the drawn ones and hashes them.
fn check_outcomes(
    bundle: &mut BundleReader<impl Read>,
    entrants: &[Entrant],
    outcomes: &[Outcome],
    result: &mut ResultHash,
) -> Result<(), Invalid> {
    let mut published = Vec::new();
    for (entrants, outcomes) in entrants
        .chunks(BLOCK_LEAVES)
        .zip(outcomes.chunks(BLOCK_LEAVES))
    {
        bundle.outcome_records(outcomes.len(), &mut published)?;
        let (published, _) = published.as_chunks::<OUTCOME_BYTES>();
        for ((entrant, outcome), published) in entrants.iter().zip(outcomes).zip(published) {
            if outcome.to_record() != *published {
                return Err(Invalid::ResultMismatch {
                    pseudonym: entrant.pseudonym,
                });
            }
        }
        if published.len() < outcomes.len() {
            return Err(Invalid::Truncated { section: "result" });
        }
        result.push_records(published.as_flattened());
    }
    Ok(())
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
