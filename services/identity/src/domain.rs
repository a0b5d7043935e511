//! Types and rules; pure: no database, no gRPC, no clock, no environment.

pub mod account;
pub mod facts;
pub mod holder_name;
pub mod national_id;
pub mod person;
pub mod personal;
