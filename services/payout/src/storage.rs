//! SQL, by table. Functions take a connection or a transaction of the caller. Rows are locked in the order of their ids;
//! across tables in this order: statements (one import at a time), payment initiations, the making of batches (one at a
//! time), holds, payee accounts, who shares one (`hold_shared_account`, one at a time for each first byte of the number's
//! hash), participations' funds, clawbacks, disbursements, their batches, ledger accounts.

use chassis::money::{Currency, Money};

pub mod clawbacks;
pub mod disbursement_batches;
pub mod disbursements;
pub mod fiscal_years;
pub mod funds_holds;
pub mod ledger;
pub mod participation_funds;
pub mod payee_accounts;
pub mod payment_files;
pub mod statements;
pub mod traces;
pub mod treasury;

/// The migrations of this build.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Reads a stored currency.
fn currency(code: &str) -> Result<Currency, sqlx::Error> {
    known(Currency::from_code(code), code)
}

/// Reads a stored amount.
fn money(minor: i64, code: &str) -> Result<Money, sqlx::Error> {
    Ok(Money::new(minor, currency(code)?))
}

/// Reads a stored name of a state or kind.
fn known<T>(parsed: Option<T>, text: &str) -> Result<T, sqlx::Error> {
    parsed.ok_or_else(|| sqlx::Error::Decode(format!("`{text}` is none of ours").into()))
}
