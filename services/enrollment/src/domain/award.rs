//! The award: which winners become participants. The draw has kept the limits already; this keeps them also when another
//! batch of the programme was awarded between this one's freeze and now.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// The reason of a winner who takes part already.
pub const ALREADY_RECIPIENT: &str = "ALREADY_RECIPIENT";
/// The reason of a winner whose household has its recipients already.
pub const HOUSEHOLD_LIMIT: &str = "HOUSEHOLD_LIMIT";

/// What awards of other batches did since the freeze. Whom they do not concern, the draw has decided on.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Who became a recipient; empty where a person may take part again.
    pub recipients: HashSet<Uuid>,
    /// Of the households in which somebody became a recipient, all recipients so far; empty where there is no limit.
    pub by_household: HashMap<[u8; 16], i64>,
}

impl History {
    /// Says whether a winner may be refused.
    pub fn concerns(&self, account_id: Uuid, household: Option<[u8; 16]>) -> bool {
        self.recipients.contains(&account_id)
            || household.is_some_and(|household| self.by_household.contains_key(&household))
    }

    /// Admits the next winner, in the order of the ranks, or says why not.
    ///
    /// # Errors
    /// Returns the reason.
    pub fn admit(
        &mut self,
        account_id: Uuid,
        household: Option<[u8; 16]>,
        household_limit: u8,
    ) -> Result<(), &'static str> {
        if self.recipients.contains(&account_id) {
            return Err(ALREADY_RECIPIENT);
        }
        let recipients = household.and_then(|household| self.by_household.get_mut(&household));
        if let Some(recipients) = recipients {
            if *recipients >= i64::from(household_limit) {
                return Err(HOUSEHOLD_LIMIT);
            }
            *recipients += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_gets_no_more_than_its_limit_over_all_batches() {
        let mut history = History::default();
        history.by_household.insert([7; 16], 1);
        assert!(history.concerns(Uuid::from_u128(1), Some([7; 16])));
        assert!(!history.concerns(Uuid::from_u128(1), Some([8; 16])));
        let mut admit = |id: u128, household| history.admit(Uuid::from_u128(id), household, 2);

        assert_eq!(admit(1, Some([7; 16])), Ok(()));
        assert_eq!(admit(2, Some([7; 16])), Err(HOUSEHOLD_LIMIT));
        assert_eq!(admit(3, Some([8; 16])), Ok(()));
        assert_eq!(admit(4, None), Ok(()));
    }

    #[test]
    fn a_recipient_is_not_admitted_again() {
        let mut history = History::default();
        history.recipients.insert(Uuid::from_u128(1));

        assert!(history.concerns(Uuid::from_u128(1), None));
        let mut admit = |id: u128| history.admit(Uuid::from_u128(id), None, 0);
        assert_eq!(admit(1), Err(ALREADY_RECIPIENT));
        assert_eq!(admit(2), Ok(()));
    }
}
