//! Batches: one round of applications and one draw.

use std::{collections::BTreeMap, fmt, str::FromStr};

use draw::DrandChain;
use time::{Duration, OffsetDateTime};

use super::quota::QuotaPlan;

/// The states of a batch, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BatchState {
    /// Being prepared.
    Draft,
    /// Applications are taken.
    Open,
    /// No more applications are taken.
    Closed,
    /// The entrants are fixed and committed to.
    Frozen,
    /// The places are drawn.
    Drawn,
    /// The winners are participants.
    Awarded,
    /// It gives nobody a place.
    Annulled,
}

/// A batch that is to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBatch {
    /// The id in `batches/{batch}`.
    pub id: String,
    /// The id of its scheme.
    pub scheme_id: String,
    /// The places.
    pub quota_plan: QuotaPlan,
    /// Where the randomness comes from.
    pub randomness: RandomnessPlan,
}

/// Where the randomness of a draw comes from, as it is fixed before the freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomnessPlan {
    /// The names of the trustees, as `trustees/{id}`; none with a beacon alone.
    pub trustees: Vec<String>,
    /// The least number of trustees whose secrets decide.
    pub quorum: u8,
    /// For how long after the freeze a secret counts.
    pub reveal_window: Duration,
    /// The public beacon.
    pub beacon: Option<Beacon>,
}

/// A public beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The chain.
    pub chain: DrandChain,
    /// How long after what must be fixed before it the round comes.
    pub lead_time: Duration,
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The id in `batches/{batch}`.
    pub id: String,
    /// The id of its scheme.
    pub scheme_id: String,
    /// The state.
    pub state: BatchState,
    /// The places.
    pub quota_plan: QuotaPlan,
    /// Where the randomness comes from.
    pub randomness: RandomnessPlan,
    /// When it was created.
    pub create_time: OffsetDateTime,
    /// When it opened.
    pub open_time: Option<OffsetDateTime>,
    /// When it closed.
    pub close_time: Option<OffsetDateTime>,
    /// When it was drawn.
    pub draw_time: Option<OffsetDateTime>,
    /// When its winners became participants.
    pub award_time: Option<OffsetDateTime>,
    /// What the freeze fixed.
    pub freeze: Option<Freeze>,
}

/// What a freeze fixes and publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// When.
    pub time: OffsetDateTime,
    /// The number of entrants.
    pub entrant_count: i64,
    /// The root over them.
    pub merkle_root: Vec<u8>,
    /// The rules under which they were admitted.
    pub rule_set_hash: Vec<u8>,
    /// The canonical commitment.
    pub encoded: Vec<u8>,
    /// Its signature.
    pub signature: Vec<u8>,
    /// The key of the signature.
    pub public_key: Vec<u8>,
    /// Until when a secret counts.
    pub reveal_deadline: OffsetDateTime,
    /// The signature of the beacon's round, once recorded.
    pub beacon_signature: Option<[u8; 48]>,
}

/// A trustee's part in the randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrusteeShare {
    /// The trustee's name.
    pub trustee: String,
    /// What binds the trustee to a secret.
    pub commitment: [u8; 32],
    /// The secret, once revealed.
    pub secret: Option<[u8; 32]>,
}

/// The annulment of a batch, by two people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annulment {
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub proposer: String,
    /// When it was proposed.
    pub propose_time: OffsetDateTime,
    /// Who confirmed it, and when.
    pub confirmation: Option<(String, OffsetDateTime)>,
}

/// How many applications had which outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Funnel {
    /// All applications.
    pub applied: i64,
    /// Those that a rule refused, by reason.
    pub refused_by_reason: BTreeMap<String, i64>,
    /// Those that any rule refused.
    pub refused: i64,
    /// Entrants of the draw.
    pub entrants: i64,
    /// Winners.
    pub drawn: i64,
    /// Participations with at least one purchase.
    pub active: i64,
    /// Participations with a certificate.
    pub completed: i64,
    /// Participations that were revoked.
    pub revoked: i64,
}

/// A batch with all that a caller sees of it.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchView {
    /// The batch.
    pub batch: Batch,
    /// The trustees' shares so far, in the order of the trustees.
    pub shares: Vec<TrusteeShare>,
    /// The annulment, once proposed.
    pub annulment: Option<Annulment>,
    /// The funnel, where it was asked for.
    pub funnel: Option<Funnel>,
}

/// Returns the name of a batch.
pub fn batch_name(id: &str) -> String {
    format!("batches/{id}")
}

/// Says whether a caller's id for a batch or campaign is one: lower-case letters, digits and hyphens, 1 to 40.
pub fn is_chosen_id(id: &str) -> bool {
    (1..=40).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl Batch {
    /// Returns the name.
    pub fn name(&self) -> String {
        batch_name(&self.id)
    }

    /// Returns when somebody applied, in hundredths of the time for which the batch was open, as the public list of a draw
    /// shows it.
    pub fn apply_order(&self, apply_time: OffsetDateTime) -> u8 {
        let (Some(open), Some(close)) = (self.open_time, self.close_time) else {
            return 0;
        };
        let length = (close - open).whole_microseconds().max(1);
        let hundredths = (apply_time - open).whole_microseconds() * 100 / length;
        u8::try_from(hundredths.clamp(0, 99)).unwrap_or_default()
    }

    /// Returns the trustees that are missing from a list of shares.
    pub fn missing_trustees(&self, present: impl Fn(&str) -> bool) -> Vec<&str> {
        let names = self.randomness.trustees.iter().map(String::as_str);
        names.filter(|name| !present(name)).collect()
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BatchState::Draft => "DRAFT",
            BatchState::Open => "OPEN",
            BatchState::Closed => "CLOSED",
            BatchState::Frozen => "FROZEN",
            BatchState::Drawn => "DRAWN",
            BatchState::Awarded => "AWARDED",
            BatchState::Annulled => "ANNULLED",
        })
    }
}

/// A stored word that is none of those that the state is written with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state")]
pub struct UnknownState(pub String);

impl FromStr for BatchState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<BatchState, UnknownState> {
        Ok(match word {
            "DRAFT" => BatchState::Draft,
            "OPEN" => BatchState::Open,
            "CLOSED" => BatchState::Closed,
            "FROZEN" => BatchState::Frozen,
            "DRAWN" => BatchState::Drawn,
            "AWARDED" => BatchState::Awarded,
            "ANNULLED" => BatchState::Annulled,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_and_read_alike() {
        for word in [
            "DRAFT", "OPEN", "CLOSED", "FROZEN", "DRAWN", "AWARDED", "ANNULLED",
        ] {
            let state: BatchState = word.parse().unwrap();
            assert_eq!(state.to_string(), word);
        }
        assert!("VOID".parse::<BatchState>().is_err());
        assert!(BatchState::Closed < BatchState::Frozen);
    }

    #[test]
    fn ids_that_callers_choose_are_plain() {
        for (id, expected) in [
            ("48", true),
            ("wave-48", true),
            ("", false),
            ("Wave", false),
            ("a/b", false),
            ("a b", false),
            (&"x".repeat(41), false),
        ] {
            assert_eq!(is_chosen_id(id), expected, "{id}");
        }
    }
}
