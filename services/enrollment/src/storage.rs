//! SQL, by table. Functions take a connection or a transaction of the caller, and return rows as the domain knows them.

use std::error::Error;

pub mod annulments;
pub mod batches;
pub mod schemes;
pub mod shares;

pub mod applications;
pub mod decisions;

pub mod draws;
pub mod locks;

pub mod holds;
pub mod participations;
pub mod purchases;
pub mod rechecks;

pub mod appeals;
pub mod exemptions;

pub mod certificates;
pub mod reviews;

pub mod campaigns;
pub mod vouchers;

/// The migrations of this build.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// A stored value that this build cannot read.
pub(crate) fn undecodable(error: impl Into<Box<dyn Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// Reads bytes of a fixed length, which a check constraint keeps.
pub(crate) fn fixed<const N: usize>(bytes: Vec<u8>) -> Result<[u8; N], sqlx::Error> {
    <[u8; N]>::try_from(bytes)
        .map_err(|bytes| undecodable(format!("{} bytes instead of {N}", bytes.len())))
}
