//! payout from outside: RPC in, RPC out, against a fresh database, a server in this process, a bank and an identity of the
//! test's own.

#![expect(
    clippy::unwrap_used,
    reason = "what a helper of a test cannot unwrap fails the test"
)]

mod access;
mod audit;
mod awards;
mod bank;
mod clawbacks;
mod conservation;
mod disbursements;
mod first_year;
mod freezes;
mod holds;
mod identity;
mod ledger;
mod notices;
mod payees;
mod payment_files;
mod payments;
mod reconciliation;
mod returns;
#[expect(
    unreachable_pub,
    reason = "the generator belongs to the system tests, which payout may not depend on"
)]
#[path = "../../../../tests/src/statements.rs"]
mod statements;
mod traces;
mod transfers;
mod treasury;
mod violations;
mod words;
mod world;
