//! Types and rules; pure: no database, no gRPC, no clock, no environment.

pub mod account;
pub mod exclusion_list;
pub mod facts;
pub mod holder_name;
pub mod national_id;
pub mod person;
pub mod personal;
pub mod snapshot;
