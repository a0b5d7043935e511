//! Whole bundles: written, verified by both verifiers, broken in every part.

mod draws;
mod faults;
mod golden;
mod randomness;
mod receipts;
mod verifiers;
