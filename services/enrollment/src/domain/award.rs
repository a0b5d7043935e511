//! The award: which winners become participants. The draw has kept the limits already; this keeps them also when another
//! batch of the programme was awarded between this one's freeze and now.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// The reason of a winner who takes part already.
pub const ALREADY_RECIPIENT: &str = "ALREADY_RECIPIENT";
/// The reason of a winner whose household has its recipients already.
pub const HOUSEHOLD_LIMIT: &str = "HOUSEHOLD_LIMIT";

/// What the programme's history says of the winners of a chunk.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Who of them takes or took part; empty where a person may take part again.
    pub recipients: HashSet<Uuid>,
    /// The recipients of their households.
    pub by_household: HashMap<Vec<u8>, i64>,
}

impl History {
    /// Admits the next winner, in the order of the ranks, or says why not.
    ///
    /// # Errors
    /// Returns the reason.
    pub fn admit(
        &mut self,
        account_id: Uuid,
        household: Option<&[u8]>,
        household_limit: u8,
    ) -> Result<(), &'static str> {
        if self.recipients.contains(&account_id) {
            return Err(ALREADY_RECIPIENT);
        }
        if let Some(household) = household.filter(|_| household_limit > 0) {
            let recipients = self.by_household.entry(household.to_vec()).or_default();
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
        history.by_household.insert(vec![7], 1);
        let mut admit =
            |id: u128, household: Option<&[u8]>| history.admit(Uuid::from_u128(id), household, 2);

        assert_eq!(admit(1, Some(&[7])), Ok(()));
        assert_eq!(admit(2, Some(&[7])), Err(HOUSEHOLD_LIMIT));
        assert_eq!(admit(3, Some(&[8])), Ok(()));
        assert_eq!(admit(4, None), Ok(()));
    }

    #[test]
    fn a_recipient_is_not_admitted_again_and_no_limit_is_no_limit() {
        let mut history = History::default();
        history.recipients.insert(Uuid::from_u128(1));

        assert_eq!(
            history.admit(Uuid::from_u128(1), None, 0),
            Err(ALREADY_RECIPIENT)
        );
        for id in 2..9 {
            assert_eq!(history.admit(Uuid::from_u128(id), Some(&[7]), 0), Ok(()));
        }
    }
}
