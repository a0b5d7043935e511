//! Runs: the holdings of courses.

use std::ops::RangeInclusive;

use chassis::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

/// How many seats a run may have.
pub const SEAT_COUNT: RangeInclusive<i64> = 1..=10_000_000;

/// A run that is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Its course.
    pub course_id: Uuid,
    /// How many may take part.
    pub seat_count: i64,
    /// When the first session begins.
    pub start_time: OffsetDateTime,
    /// When the last session ends.
    pub end_time: OffsetDateTime,
}

/// A run, with what a buyer of a seat needs to know of its course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `runs/{id}`.
    pub id: Uuid,
    /// Its course.
    pub course_id: Uuid,
    /// The course's provider.
    pub provider_id: Uuid,
    /// The course's title.
    pub course_title: String,
    /// The course's category.
    pub course_category: String,
    /// How many may take part.
    pub seat_count: i64,
    /// Seats that are held or confirmed.
    pub taken_seat_count: i64,
    /// When the first session begins.
    pub start_time: OffsetDateTime,
    /// When the last session ends.
    pub end_time: OffsetDateTime,
    /// What a seat costs.
    pub price: Money,
    /// When it was created.
    pub create_time: OffsetDateTime,
}
