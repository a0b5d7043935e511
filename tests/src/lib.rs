//! The harness of the system tests: it runs the real binaries, and knows of the services only what the contract says.

#![expect(
    clippy::panic,
    reason = "a harness that cannot go on fails the test that uses it"
)]

pub mod accounts;
pub mod broker;
pub mod chance;
pub mod cluster;
pub mod eventually;
pub mod fakes;
pub mod keys;
pub mod logs;
pub mod payees;
pub mod people;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod programme;
pub mod proxy;
pub mod regions;
pub mod scene;
pub mod stack;
pub mod statements;
