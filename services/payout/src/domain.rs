//! What payout decides, from values in hand.

pub mod chart;
pub mod ledger;

pub mod fiscal_year;
pub mod trace;
pub mod treasury;

pub mod award;
pub mod clawback;
pub mod hold;

pub mod disbursement;
pub mod payee;
pub mod payment_file;
pub mod rail;

pub mod reconciliation;
pub mod statement;

pub mod event;
