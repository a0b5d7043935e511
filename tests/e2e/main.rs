//! Journeys across the services, through the public API alone.

mod stack;
