//! The repository's own rules as tests: they read the working tree, start nothing, and name the line that breaks a rule.

mod contract;
mod crates;
mod deploy;
mod documents;
mod migrations;
mod settings;
mod sources;
mod tree;
