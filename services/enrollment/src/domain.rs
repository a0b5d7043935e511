//! The rules, pure: values in, decisions out. No clock, no database, no network.

pub mod facts;
pub mod rule;

pub mod scheme;
pub mod scheme_file;
pub mod time_zone;
pub mod toml_reader;

pub mod batch;
pub mod quota;

pub mod application;
pub mod award;
pub mod decision;
pub mod draft;

pub mod appeal;
pub mod participation;
pub mod purchase;

pub mod code;
pub mod completion;

pub mod campaign;
