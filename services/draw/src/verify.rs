//! Verifies a bundle from its first byte to its last, by drawing again. The checks run in the order of the
//! bundle, so that every verifier names the same first fault.

use std::io::Read;

use crate::{
    Invalid,
    bundle::{BundleReader, Records},
    commitment::SignedCommitment,
    entrant::{Entrant, Sequence},
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
    check_outcomes(&mut bundle, &entrants, &outcomes, &mut result)?;
    let result_hash = result.finish();
    if bundle.finish()? != result_hash {
        return Err(Invalid::ResultHashMismatch);
    }
    let self_test = self_test(&entrants, &outcomes, threads);
    Ok(VerifiedDraw {
        signed,
        reveal,
        randomness,
        entrants,
        outcomes,
        result_hash,
        self_test,
    })
}

/// Reads all entrants, checks each, and returns them with their root. Of several faults the first in the list counts.
fn read_entrants(
    bundle: &mut BundleReader<impl Read>,
    threads: usize,
) -> Result<(Vec<Entrant>, Hash), Invalid> {
    let group_count = bundle.signed_commitment().commitment.plan.groups().len();
    let mut entrants = Vec::new();
    let mut tree = RootBuilder::new();
    let mut last = None;
    let mut round: [Records; ROUND_BLOCKS] = Default::default();
    let mut next_round: [Records; ROUND_BLOCKS] = Default::default();
    let mut read = read_round(bundle, &mut round);
    loop {
        let mut first = entrants.len();
        // A round at a time: a forged count must not claim memory.
        entrants.resize(
            first + round.iter().map(Records::count).sum::<usize>(),
            Entrant::default(),
        );
        let mut roots: [Result<Hash, Invalid>; ROUND_BLOCKS] =
            [const { Ok([0; 32]) }; ROUND_BLOCKS];
        let blocks = round
            .iter()
            .zip(entrants[first..].chunks_mut(BLOCK_LEAVES))
            .zip(&mut roots)
            .map(|((records, entrants), root)| {
                let sequence = Sequence::after(last, first as u64, group_count);
                last = records.last_pseudonym();
                first += records.count();
                (records, entrants, sequence, root)
            });
        let check = |(records, entrants, sequence, root): (&Records, &mut [Entrant], _, &mut _)| {
            *root = check_block(records, entrants, sequence);
        };
        let next_read = parallel::for_each(blocks, threads, check, || {
            read_round(bundle, &mut next_round)
        });
        for (records, root) in round.iter().zip(roots) {
            if records.count() > 0 {
                tree.push(root?);
            }
        }
        read?;
        if round[0].count() == 0 {
            return Ok((entrants, tree.root()));
        }
        (read, round, next_round) = (next_read, next_round, round);
    }
}

fn read_round(bundle: &mut BundleReader<impl Read>, round: &mut [Records]) -> Result<(), Invalid> {
    round.iter_mut().for_each(Records::clear);
    round
        .iter_mut()
        .try_for_each(|records| bundle.records(records))
}

/// Decodes a block of records into its slots, and returns the root of the block's subtree.
fn check_block(
    records: &Records,
    entrants: &mut [Entrant],
    mut sequence: Sequence,
) -> Result<Hash, Invalid> {
    let mut rest = records.bytes();
    let mut leaves = Vec::with_capacity(BLOCK_LEAVES);
    for slot in entrants {
        let (entrant, after) = sequence.accept_record(rest)?;
        leaves.push(record_hash(&rest[..rest.len() - after.len()]));
        (*slot, rest) = (entrant, after);
    }
    Ok(subtree_root(&mut leaves))
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
