//! Public money between the state and the batches.

use chassis::money::{Currency, Money};
use time::OffsetDateTime;
use uuid::Uuid;

/// Money that the state sets aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appropriation {
    /// The caller's id.
    pub id: String,
    /// The fiscal year.
    pub fiscal_year: i32,
    /// The amount.
    pub amount: Money,
    /// When it was booked.
    pub create_time: OffsetDateTime,
}

/// An appropriation and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppropriationBalance {
    /// The appropriation.
    pub appropriation: Appropriation,
    /// What is not allotted to batches.
    pub available: Money,
}

/// Money that moves from an appropriation into a batch's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// Its id.
    pub id: Uuid,
    /// From which appropriation.
    pub appropriation_id: String,
    /// Into which batch, by its resource name.
    pub batch: String,
    /// The amount.
    pub amount: Money,
    /// When it was booked.
    pub create_time: OffsetDateTime,
}

/// Returned money that moves into the budget of another batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reallocation {
    /// Its id.
    pub id: Uuid,
    /// Whose participants left it unused.
    pub source_batch: String,
    /// Which batch gets it.
    pub target_batch: String,
    /// The amount.
    pub amount: Money,
    /// When it was booked.
    pub create_time: OffsetDateTime,
}

/// Where a batch's money is, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundTrace {
    /// The batch's currency.
    pub currency: Currency,
    /// What came into the budget.
    pub allotted: i64,
    /// The part of it that came from other batches.
    pub received_from_batches: i64,
    /// Owed or paid to providers, less what persons repaid of it.
    pub spent: i64,
    /// Arrived with persons, less what they repaid.
    pub incentives: i64,
    /// Went back and is still there.
    pub returned: i64,
    /// Went back and then to another batch.
    pub reallocated: i64,
    /// In the budget, in balances, in commitments, on hold, or in flight; counted on those accounts, never as the rest.
    pub outstanding: i64,
    /// Participations that were funded.
    pub funded_count: i64,
    /// Participations whose money went back.
    pub returned_count: i64,
    /// Payments that arrived.
    pub paid_count: i64,
}

/// Why public money does not move.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreasuryRefusal {
    /// The id is taken.
    #[error("the appropriation exists")]
    AppropriationExists {
        /// Its name.
        appropriation: String,
    },
    /// The source holds less.
    #[error("the source holds less than the amount")]
    FundsInsufficient {
        /// What it holds.
        available: Money,
    },
    /// The amount is in another currency than the batch's or the source's.
    #[error("the amount is not in the currency {currency_code}")]
    CurrencyMismatched {
        /// The right currency.
        currency_code: &'static str,
    },
}

/// Checks that an amount is in the currency of what it moves from or to.
///
/// # Errors
/// When it is not.
pub fn check_currency(amount: Money, currency: Currency) -> Result<(), TreasuryRefusal> {
    if amount.currency() == currency {
        Ok(())
    } else {
        Err(TreasuryRefusal::CurrencyMismatched {
            currency_code: currency.code(),
        })
    }
}
