//! enrollment over its own RPCs: a fresh database a test, an in-process server, fakes of the three peers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it goes wrong"
)]

mod peers;
mod world;

mod schemes;

mod batches;
mod beacons;

mod applications;

mod draws;

mod awards;

mod purchases;

mod sagas;

mod deadlines;
mod decisions;

mod year_ends;

mod races;

mod freezing;

mod appeals;

mod learning;

mod campaigns;

mod events;

mod access;
mod annulments;

mod violations;
