//! Why something is not valid. Every variant has a reason word that both verifiers print alike.

use std::{error, fmt, io};

use crate::codec::hex;

/// A refusal: the input is not a valid part of a draw.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// The file cannot be read or written.
    Io(io::ErrorKind),
    /// The file does not begin as a bundle of this version does.
    NotABundle,
    /// The file ends inside the named section.
    Truncated {
        /// Section of the bundle in which the bytes ran out.
        section: &'static str,
    },
    /// Bytes follow after the end of the bundle.
    TrailingBytes,
    /// A part does not follow its encoding, or contradicts itself.
    Malformed {
        /// The part concerned.
        field: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        problem: &'static str,
    },
    /// A count or a length is above what this version accepts.
    LimitExceeded {
        /// The count or length concerned.
        field: &'static str,
    },
    /// The randomness comes from a kind of source that this version does not know.
    UnsupportedSource {
        /// Kind byte found.
        kind: u8,
    },
    /// The bundle is signed with another key than the expected one.
    KeyMismatch,
    /// The signature of the commitment does not hold.
    SignatureInvalid,
    /// An entrant does not follow the encoding or names a group that the plan lacks.
    EntrantMalformed {
        /// Position in the list, from 0.
        index: u64,
    },
    /// An entrant does not come strictly after the one before.
    EntrantOrder {
        /// Position in the list, from 0.
        index: u64,
    },
    /// There are not as many entrants, or outcomes, as committed to.
    CountMismatch {
        /// Count in the commitment.
        committed: u64,
        /// Count found.
        found: u64,
    },
    /// The entrants are not those that the commitment covers.
    RootMismatch,
    /// A drand round comes less than `LEAD_SECONDS_MIN` after what must be fixed before it.
    RoundTooEarly {
        /// Number of the round.
        round: u64,
    },
    /// The reveal has not a place for each trustee's secret.
    RevealCount,
    /// A secret is not the one that its trustee committed to.
    RevealMismatch {
        /// The trustee's name.
        trustee: String,
    },
    /// Too few trustees have revealed.
    QuorumMissed {
        /// Number of secrets.
        revealed: usize,
        /// Least number that the commitment asks for.
        quorum: u8,
    },
    /// The signature of the beacon's round that is part of the randomness is missing.
    BeaconMissing,
    /// There is the signature of a beacon's round though the source names none.
    BeaconUnexpected,
    /// A drand signature is not the chain's for the round.
    BeaconSignatureInvalid {
        /// Number of the round.
        round: u64,
    },
    /// The published outcome of an entrant is not the one that the draw gives.
    ResultMismatch {
        /// The entrant concerned.
        pseudonym: [u8; 16],
    },
    /// The published hash of the result is not that of the result.
    ResultHashMismatch,
    /// The signature of the receipt does not hold.
    ReceiptSignatureInvalid,
    /// The receipt is for another batch.
    ReceiptOtherBatch,
    /// A key is not a point of the curve.
    KeyInvalid,
}

impl Invalid {
    /// Returns the stable reason word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io(_) => "IO",
            Self::NotABundle => "NOT_A_BUNDLE",
            Self::Truncated { .. } => "TRUNCATED",
            Self::TrailingBytes => "TRAILING_BYTES",
            Self::Malformed { .. } => "MALFORMED",
            Self::LimitExceeded { .. } => "LIMIT_EXCEEDED",
            Self::UnsupportedSource { .. } => "UNSUPPORTED_SOURCE",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::EntrantMalformed { .. } => "ENTRANT_MALFORMED",
            Self::EntrantOrder { .. } => "ENTRANT_ORDER",
            Self::CountMismatch { .. } => "COUNT_MISMATCH",
            Self::RootMismatch => "ROOT_MISMATCH",
            Self::RoundTooEarly { .. } => "ROUND_TOO_EARLY",
            Self::RevealCount => "REVEAL_COUNT",
            Self::RevealMismatch { .. } => "REVEAL_MISMATCH",
            Self::QuorumMissed { .. } => "QUORUM_MISSED",
            Self::BeaconMissing => "BEACON_MISSING",
            Self::BeaconUnexpected => "BEACON_UNEXPECTED",
            Self::BeaconSignatureInvalid { .. } => "BEACON_SIGNATURE_INVALID",
            Self::ResultMismatch { .. } => "RESULT_MISMATCH",
            Self::ResultHashMismatch => "RESULT_HASH_MISMATCH",
            Self::ReceiptSignatureInvalid => "RECEIPT_SIGNATURE_INVALID",
            Self::ReceiptOtherBatch => "RECEIPT_OTHER_BATCH",
            Self::KeyInvalid => "KEY_INVALID",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the file cannot be read or written: {kind}"),
            Self::NotABundle => f.write_str("the file is not a draw bundle of version 1"),
            Self::Truncated { section } => write!(f, "the bundle ends inside its {section}"),
            Self::TrailingBytes => f.write_str("bytes follow after the end of the bundle"),
            Self::Malformed { field, problem } => write!(f, "the {field} {problem}"),
            Self::LimitExceeded { field } => write!(f, "the {field} is above the limit"),
            Self::UnsupportedSource { kind } => {
                write!(f, "randomness of kind {kind} is not known to this version")
            }
            Self::KeyMismatch => f.write_str("the bundle is signed with another key than given"),
            Self::SignatureInvalid => f.write_str("the commitment's signature does not hold"),
            Self::EntrantMalformed { index } => write!(f, "entrant {index} is malformed"),
            Self::EntrantOrder { index } => {
                write!(f, "entrant {index} does not come after the one before")
            }
            Self::CountMismatch { committed, found } => {
                write!(
                    f,
                    "{committed} entrants are committed to, {found} were found"
                )
            }
            Self::RootMismatch => f.write_str("the entrants are not those committed to"),
            Self::RoundTooEarly { round } => {
                write!(
                    f,
                    "drand round {round} could be known before it was committed to"
                )
            }
            Self::RevealCount => f.write_str("the reveal is for another number of trustees"),
            Self::RevealMismatch { trustee } => {
                write!(f, "the secret of {trustee} is not the one committed to")
            }
            Self::QuorumMissed { revealed, quorum } => {
                write!(f, "{revealed} trustees revealed, {quorum} are needed")
            }
            Self::BeaconMissing => f.write_str("the signature of the beacon's round is missing"),
            Self::BeaconUnexpected => {
                f.write_str("there is a beacon's signature though the source names no round")
            }
            Self::BeaconSignatureInvalid { round } => {
                write!(f, "the signature of drand round {round} does not hold")
            }
            Self::ResultMismatch { pseudonym } => {
                write!(
                    f,
                    "the outcome of entrant {} is not the drawn one",
                    hex(pseudonym)
                )
            }
            Self::ResultHashMismatch => f.write_str("the hash of the result is wrong"),
            Self::ReceiptSignatureInvalid => f.write_str("the receipt's signature does not hold"),
            Self::ReceiptOtherBatch => f.write_str("the receipt is for another batch"),
            Self::KeyInvalid => f.write_str("the key is not an Ed25519 public key"),
        }
    }
}

impl error::Error for Invalid {}

impl From<io::Error> for Invalid {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
