//! Appeals: a person contradicts a decision or a freeze, and somebody else than who froze looks again.

use std::{fmt, str::FromStr};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{batch::UnknownState, participation::Hold};

/// The states of an appeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppealState {
    /// Nobody has resolved it yet.
    Open,
    /// The person is right.
    Granted,
    /// The person is not.
    Rejected,
}

/// What a person contradicts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A list has the person wrongly.
    ListWrong,
    /// A fact about the person was never right.
    FactsWrong,
    /// A fact about the person is not right any more.
    FactsChanged,
    /// An operator's doubt has no base.
    Unfounded,
}

/// What an appeal is against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A stored decision.
    Decision {
        /// The application.
        application_id: Uuid,
        /// Which of its decisions.
        stage: i16,
    },
    /// A frozen participation.
    Participation(Uuid),
}

/// An appeal that is to be lodged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAppeal {
    /// What it is against.
    pub target: Target,
    /// The ground.
    pub ground: Ground,
    /// Under which id documents are kept elsewhere.
    pub document_id: Option<Uuid>,
}

/// An appeal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appeal {
    /// The id.
    pub id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// In which programme a granted one counts.
    pub programme: String,
    /// What the person said.
    pub new: NewAppeal,
    /// The reasons that it is against.
    pub reasons: Vec<String>,
    /// The state.
    pub state: AppealState,
    /// When it was lodged.
    pub create_time: OffsetDateTime,
    /// How it was resolved.
    pub resolution: Option<Resolution>,
}

/// How an appeal was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Who did so: the name of an account or service account.
    pub resolved_by: String,
    /// The code of why.
    pub reason: String,
    /// When.
    pub time: OffsetDateTime,
}

/// Why an appeal cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveRefusal {
    /// It has been.
    #[error("the appeal is {state}")]
    Resolved {
        /// How.
        state: AppealState,
    },
    /// The resolver is a party.
    #[error("the resolver placed the hold or lodged the appeal")]
    NotIndependent,
}

impl Appeal {
    /// Says whether this caller may resolve it: neither the person nor who placed one of the holds that it is against.
    ///
    /// # Errors
    /// Returns why not.
    pub fn may_resolve(
        &self,
        resolver: &str,
        account_name: &str,
        standing: &[Hold],
    ) -> Result<(), ResolveRefusal> {
        if self.state != AppealState::Open {
            return Err(ResolveRefusal::Resolved { state: self.state });
        }
        let placed = |hold: &Hold| self.is_against(hold) && hold.placed_by == resolver;
        if resolver == account_name || standing.iter().any(placed) {
            return Err(ResolveRefusal::NotIndependent);
        }
        Ok(())
    }

    /// Says whether a hold is among those that it is against.
    pub fn is_against(&self, hold: &Hold) -> bool {
        self.reasons.contains(&hold.reason)
    }
}

impl fmt::Display for AppealState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AppealState::Open => "OPEN",
            AppealState::Granted => "GRANTED",
            AppealState::Rejected => "REJECTED",
        })
    }
}

impl FromStr for AppealState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<AppealState, UnknownState> {
        Ok(match word {
            "OPEN" => AppealState::Open,
            "GRANTED" => AppealState::Granted,
            "REJECTED" => AppealState::Rejected,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ground::ListWrong => "LIST_WRONG",
            Ground::FactsWrong => "FACTS_WRONG",
            Ground::FactsChanged => "FACTS_CHANGED",
            Ground::Unfounded => "UNFOUNDED",
        })
    }
}

impl FromStr for Ground {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Ground, UnknownState> {
        Ok(match word {
            "LIST_WRONG" => Ground::ListWrong,
            "FACTS_WRONG" => Ground::FactsWrong,
            "FACTS_CHANGED" => Ground::FactsChanged,
            "UNFOUNDED" => Ground::Unfounded,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::participation::HoldKind;

    #[test]
    fn a_party_does_not_resolve_and_nobody_does_twice() {
        let participation_id = Uuid::from_u128(1);
        let hold = |reason: &str, placed_by: &str| Hold {
            participation_id,
            kind: HoldKind::Operator,
            reason: reason.to_owned(),
            placed_by: placed_by.to_owned(),
        };
        let appeal = Appeal {
            id: Uuid::from_u128(2),
            account_id: Uuid::from_u128(3),
            programme: "prakerja".to_owned(),
            new: NewAppeal {
                target: Target::Participation(participation_id),
                ground: Ground::Unfounded,
                document_id: None,
            },
            reasons: vec!["FRAUD".to_owned()],
            state: AppealState::Open,
            create_time: datetime!(2026-12-01 03:00 UTC),
            resolution: None,
        };
        let holds = [hold("FRAUD", "accounts/a"), hold("OTHER", "accounts/b")];
        let resolved = Appeal {
            state: AppealState::Rejected,
            ..appeal.clone()
        };

        let person = "accounts/p";
        let party = Err(ResolveRefusal::NotIndependent);
        assert_eq!(appeal.may_resolve("accounts/a", person, &holds), party);
        assert_eq!(appeal.may_resolve(person, person, &holds), party);
        // This one's hold has another reason, which the appeal is not against.
        assert_eq!(appeal.may_resolve("accounts/b", person, &holds), Ok(()));
        assert_eq!(
            resolved.may_resolve("accounts/b", person, &holds),
            Err(ResolveRefusal::Resolved {
                state: AppealState::Rejected
            })
        );
    }
}
