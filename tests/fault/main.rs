//! One named failure each: before, during, after; nothing is lost and nothing happens twice.

mod broker_away;
