//! Holds on training balances: `HELD → CAPTURED | RELEASED`. One function decides, for one call and for a thousand.

use chassis::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    chart::{self, AccountKind},
    ledger::{Code, Leg, Transfer, TransferId},
};

/// The states of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldState {
    /// The amount is kept.
    Held,
    /// The amount is the provider's.
    Captured,
    /// The amount went back, or never left.
    Released,
}

/// What a hold is about. It never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// Its id, chosen by the caller; also that of the pending transfer.
    pub id: Uuid,
    /// Whose balance.
    pub participation_id: Uuid,
    /// Who gets the money.
    pub provider_id: Uuid,
    /// The amount, zero or more.
    pub amount: Money,
}

/// Part of a training balance that is kept for a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What it is about.
    pub terms: HoldTerms,
    /// Its state.
    pub state: HoldState,
    /// When it was made.
    pub create_time: OffsetDateTime,
}

/// What is asked of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldCommand {
    /// Keep the amount.
    Hold(HoldTerms),
    /// Give it to the provider.
    Capture(Uuid),
    /// Give it back.
    Release(HoldTerms),
}

/// What is known of the participation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderFunds {
    /// The batch.
    pub batch: String,
    /// The batch's currency, as an amount of nothing.
    pub zero: Money,
    /// Whether its money went back.
    pub is_returned: bool,
    /// Whether nothing new is held for it.
    pub is_frozen: bool,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefusal {
    /// There is no such hold.
    #[error("there is no such hold")]
    NotFound(Uuid),
    /// The participation is not funded, or its money went back.
    #[error("the participation has no training balance")]
    BalanceNotFound {
        /// The participation.
        participation_id: Uuid,
    },
    /// The participation is frozen.
    #[error("the participation is frozen")]
    ParticipationFrozen {
        /// The participation.
        participation_id: Uuid,
    },
    /// The balance does not reach.
    #[error("the training balance does not reach")]
    BalanceInsufficient {
        /// What it has.
        available: Money,
    },
    /// The hold has ended in another way.
    #[error("the hold has ended")]
    HoldEnded {
        /// The hold.
        id: Uuid,
        /// How it ended.
        state: HoldState,
    },
    /// The amount is in another currency than the batch's.
    #[error("the amount is not in the batch's currency")]
    CurrencyMismatched {
        /// The batch's.
        currency_code: &'static str,
    },
    /// The id was used for a hold of another content.
    #[error("the hold's id was used before for another content")]
    IdReused(Uuid),
}

/// What is to be done about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The hold is in this state, and was before.
    Unchanged,
    /// The hold goes into this state when these lines are booked; they are one chain.
    Change(HoldState, Vec<Transfer>),
    /// Nothing.
    Refuse(HoldRefusal),
}

impl HoldCommand {
    /// Returns the hold's id.
    pub fn id(&self) -> Uuid {
        match self {
            HoldCommand::Hold(terms) | HoldCommand::Release(terms) => terms.id,
            HoldCommand::Capture(id) => *id,
        }
    }

    /// Decides. `known` is the hold as it was before the command, `funds` its participation's.
    pub fn decide(&self, known: Option<&Hold>, funds: Option<&HolderFunds>) -> Decision {
        match (self, known) {
            (HoldCommand::Hold(terms) | HoldCommand::Release(terms), Some(known))
                if known.terms != *terms =>
            {
                Decision::Refuse(HoldRefusal::IdReused(terms.id))
            }
            (HoldCommand::Hold(_), Some(_)) => Decision::Unchanged,
            (HoldCommand::Hold(terms), None) => terms.keep(funds),
            (HoldCommand::Capture(id), None) => Decision::Refuse(HoldRefusal::NotFound(*id)),
            (HoldCommand::Capture(_), Some(known)) => known.end(HoldState::Captured, funds),
            (HoldCommand::Release(_), None) => Decision::Change(HoldState::Released, Vec::new()),
            (HoldCommand::Release(_), Some(known)) => known.end(HoldState::Released, funds),
        }
    }
}

impl HoldTerms {
    fn keep(&self, funds: Option<&HolderFunds>) -> Decision {
        let Some(funds) = funds.filter(|funds| !funds.is_returned) else {
            return Decision::Refuse(HoldRefusal::BalanceNotFound {
                participation_id: self.participation_id,
            });
        };
        if funds.is_frozen {
            return Decision::Refuse(HoldRefusal::ParticipationFrozen {
                participation_id: self.participation_id,
            });
        }
        if self.amount.currency() != funds.zero.currency() {
            let currency_code = funds.zero.currency().code();
            return Decision::Refuse(HoldRefusal::CurrencyMismatched { currency_code });
        }
        let leg = Leg {
            debit: chart::own_id(AccountKind::TrainingBalance, self.participation_id),
            credit: chart::provider_payable(self.provider_id, &funds.batch, self.amount.currency())
                .id,
            amount: self.amount,
        };
        let line = Transfer::hold(TransferId(self.id), Code::Purchase, leg);
        Decision::Change(HoldState::Held, self.unless_free(vec![line]))
    }

    /// A free course moves no money.
    fn unless_free(&self, lines: Vec<Transfer>) -> Vec<Transfer> {
        if self.amount.minor() == 0 {
            Vec::new()
        } else {
            lines
        }
    }
}

impl Hold {
    fn end(&self, wanted: HoldState, funds: Option<&HolderFunds>) -> Decision {
        if self.state == wanted {
            return Decision::Unchanged;
        }
        if self.state != HoldState::Held {
            return Decision::Refuse(HoldRefusal::HoldEnded {
                id: self.terms.id,
                state: self.state,
            });
        }
        let pending_id = TransferId(self.terms.id);
        let id = |step| chart::transfer_id(self.terms.id, step);
        let lines = if wanted == HoldState::Captured {
            vec![Transfer::post_pending(
                id("capture"),
                Code::Purchase,
                pending_id,
            )]
        } else {
            let void = Transfer::void_pending(id("release"), Code::Purchase, pending_id);
            // The participation's money went back while this amount was held: it follows.
            match funds.filter(|funds| funds.is_returned) {
                Some(funds) => vec![void.linked(), self.give_back(funds, id("return"))],
                None => vec![void],
            }
        };
        Decision::Change(wanted, self.terms.unless_free(lines))
    }

    fn give_back(&self, funds: &HolderFunds, id: TransferId) -> Transfer {
        let leg = Leg {
            debit: chart::own_id(AccountKind::TrainingBalance, self.terms.participation_id),
            credit: chart::of_batch(
                AccountKind::Returned,
                &funds.batch,
                self.terms.amount.currency(),
            )
            .id,
            amount: self.terms.amount,
        };
        Transfer::post(id, Code::Return, leg)
    }
}

impl HoldState {
    /// Returns its name in the database and in metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            HoldState::Held => "HELD",
            HoldState::Captured => "CAPTURED",
            HoldState::Released => "RELEASED",
        }
    }

    /// Finds a state by its name.
    pub fn parse(name: &str) -> Option<HoldState> {
        [HoldState::Held, HoldState::Captured, HoldState::Released]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn terms(minor: i64) -> HoldTerms {
        HoldTerms {
            id: Uuid::from_u128(7),
            participation_id: Uuid::from_u128(8),
            provider_id: Uuid::from_u128(9),
            amount: Money::from_stored(minor, "IDR").unwrap(),
        }
    }

    fn known(minor: i64, state: HoldState) -> Hold {
        Hold {
            terms: terms(minor),
            state,
            create_time: datetime!(2026-01-01 00:00 UTC),
        }
    }

    fn funds(is_returned: bool) -> HolderFunds {
        HolderFunds {
            batch: "batches/1".to_owned(),
            zero: Money::from_stored(0, "IDR").unwrap(),
            is_returned,
            is_frozen: false,
        }
    }

    fn state_and_lines(decision: Decision) -> (HoldState, usize) {
        match decision {
            Decision::Change(state, lines) => (state, lines.len()),
            Decision::Unchanged | Decision::Refuse(_) => panic!("{decision:?}"),
        }
    }

    #[test]
    fn a_hold_is_kept_then_captured_or_released() {
        let open = funds(false);
        let held = known(5, HoldState::Held);

        let kept = HoldCommand::Hold(terms(5)).decide(None, Some(&open));
        let captured = HoldCommand::Capture(held.terms.id).decide(Some(&held), Some(&open));
        let released = HoldCommand::Release(terms(5)).decide(Some(&held), Some(&open));

        assert_eq!(state_and_lines(kept), (HoldState::Held, 1));
        assert_eq!(state_and_lines(captured), (HoldState::Captured, 1));
        assert_eq!(state_and_lines(released), (HoldState::Released, 1));
    }

    #[test]
    fn a_free_course_moves_no_money() {
        let held = known(0, HoldState::Held);

        let kept = HoldCommand::Hold(terms(0)).decide(None, Some(&funds(false)));
        let captured = HoldCommand::Capture(held.terms.id).decide(Some(&held), Some(&funds(true)));

        assert_eq!(state_and_lines(kept), (HoldState::Held, 0));
        assert_eq!(state_and_lines(captured), (HoldState::Captured, 0));
    }

    #[test]
    fn what_is_released_after_the_return_goes_back_as_well() {
        let held = known(5, HoldState::Held);

        let released = HoldCommand::Release(terms(5)).decide(Some(&held), Some(&funds(true)));

        let Decision::Change(HoldState::Released, lines) = released else {
            panic!("{released:?}")
        };
        assert!(lines[0].linked);
        assert_eq!(
            lines.iter().map(|line| line.code).collect::<Vec<_>>(),
            [Code::Purchase, Code::Return]
        );
    }

    #[test]
    fn repeats_change_nothing_and_other_ends_are_refused() {
        let open = funds(false);
        for (command, state, expected) in [
            (
                HoldCommand::Hold(terms(5)),
                HoldState::Held,
                Decision::Unchanged,
            ),
            (
                HoldCommand::Hold(terms(5)),
                HoldState::Released,
                Decision::Unchanged,
            ),
            (
                HoldCommand::Capture(terms(5).id),
                HoldState::Captured,
                Decision::Unchanged,
            ),
            (
                HoldCommand::Release(terms(5)),
                HoldState::Released,
                Decision::Unchanged,
            ),
            (
                HoldCommand::Capture(terms(5).id),
                HoldState::Released,
                Decision::Refuse(HoldRefusal::HoldEnded {
                    id: terms(5).id,
                    state: HoldState::Released,
                }),
            ),
            (
                HoldCommand::Release(terms(5)),
                HoldState::Captured,
                Decision::Refuse(HoldRefusal::HoldEnded {
                    id: terms(5).id,
                    state: HoldState::Captured,
                }),
            ),
            (
                HoldCommand::Hold(terms(6)),
                HoldState::Held,
                Decision::Refuse(HoldRefusal::IdReused(terms(5).id)),
            ),
            (
                HoldCommand::Release(terms(6)),
                HoldState::Held,
                Decision::Refuse(HoldRefusal::IdReused(terms(5).id)),
            ),
        ] {
            assert_eq!(
                command.decide(Some(&known(5, state)), Some(&open)),
                expected,
                "{command:?} {state:?}"
            );
        }
    }

    #[test]
    fn a_hold_needs_a_funded_participation_in_the_same_currency() {
        let nobody = Decision::Refuse(HoldRefusal::BalanceNotFound {
            participation_id: terms(5).participation_id,
        });
        let dollars = HoldTerms {
            amount: Money::from_stored(5, "USD").unwrap(),
            ..terms(5)
        };

        assert_eq!(HoldCommand::Hold(terms(5)).decide(None, None), nobody);
        assert_eq!(
            HoldCommand::Hold(terms(0)).decide(None, Some(&funds(true))),
            nobody
        );
        assert_eq!(
            HoldCommand::Hold(dollars).decide(None, Some(&funds(false))),
            Decision::Refuse(HoldRefusal::CurrencyMismatched {
                currency_code: "IDR"
            })
        );
        assert_eq!(
            HoldCommand::Capture(terms(5).id).decide(None, None),
            Decision::Refuse(HoldRefusal::NotFound(terms(5).id))
        );
    }

    #[test]
    fn a_frozen_participation_gets_no_hold_and_ends_what_it_has() {
        let frozen = HolderFunds {
            is_frozen: true,
            ..funds(false)
        };
        let held = known(5, HoldState::Held);
        let refused = Decision::Refuse(HoldRefusal::ParticipationFrozen {
            participation_id: terms(5).participation_id,
        });

        for amount in [0, 5] {
            assert_eq!(
                HoldCommand::Hold(terms(amount)).decide(None, Some(&frozen)),
                refused
            );
        }
        assert_eq!(
            HoldCommand::Hold(terms(5)).decide(Some(&held), Some(&frozen)),
            Decision::Unchanged
        );
        let captured = HoldCommand::Capture(held.terms.id).decide(Some(&held), Some(&frozen));
        let released = HoldCommand::Release(terms(5)).decide(Some(&held), Some(&frozen));
        assert_eq!(state_and_lines(captured), (HoldState::Captured, 1));
        assert_eq!(state_and_lines(released), (HoldState::Released, 1));
    }

    #[test]
    fn a_release_before_its_hold_leaves_a_tombstone() {
        let released = HoldCommand::Release(terms(5)).decide(None, None);

        assert_eq!(state_and_lines(released), (HoldState::Released, 0));
        assert_eq!(
            HoldCommand::Hold(terms(5))
                .decide(Some(&known(5, HoldState::Released)), Some(&funds(false))),
            Decision::Unchanged
        );
    }
}
