//! Whole bundles: written, verified by both verifiers, broken in every part.

mod draws;
mod faults;
mod golden;
mod properties;
mod randomness;
mod receipts;
mod verifiers;
