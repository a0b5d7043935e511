//! Journeys across the services, through the public API alone.

#![expect(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

mod award_and_pay;
mod award_and_return;
mod bank_silent;
mod exclusion_hit;
mod seat_race;
mod skills_week;
mod stack;
