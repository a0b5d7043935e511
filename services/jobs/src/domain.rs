//! Types and rules without I/O: what a row of a file may hold, where a place lies, what is one vacancy, what fits whom.

pub mod import;
pub mod interests;
pub mod place;
pub mod recommendation;
pub mod region;
pub mod vacancy;
