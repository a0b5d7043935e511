//! Days end at different moments around the world. The zone data is compiled in, so that every replica has the same.

use std::fmt;

use jiff::{Timestamp, ToSpan, civil, tz};
use time::OffsetDateTime;

/// A time zone of the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeZone(tz::TimeZone);

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// The year.
    pub year: i32,
    /// The month, from 1.
    pub month: i32,
    /// The day of the month, from 1.
    pub day: i32,
}

impl TimeZone {
    /// Finds a zone by its IANA name, such as `Asia/Jakarta`.
    pub fn find(name: &str) -> Option<TimeZone> {
        // The system's own zone files are not asked: the answer must not depend on where a replica runs.
        let zone = tz::TimeZoneDatabase::bundled().get(name).ok()?;
        (zone.iana_name() == Some(name)).then_some(TimeZone(zone))
    }

    /// Returns the IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Returns the day in this zone.
    pub fn day_of(&self, time: OffsetDateTime) -> Day {
        let date = self.date_of(time);
        Day {
            year: i32::from(date.year()),
            month: i32::from(date.month()),
            day: i32::from(date.day()),
        }
    }

    /// Returns the first moment of a day in this zone. `None` for a day that the calendar does not have.
    pub fn start_of_day(&self, day: Day) -> Option<OffsetDateTime> {
        let start = self.0.to_timestamp(date(day)?.at(0, 0, 0, 0)).ok()?;
        OffsetDateTime::from_unix_timestamp(start.as_second()).ok()
    }

    /// Returns the last second, 23:59:59 in this zone, of the day that comes `days` after the day of `time`.
    /// `None` beyond the calendar's end.
    pub fn end_of_day_after(&self, time: OffsetDateTime, days: u32) -> Option<OffsetDateTime> {
        let date = self.date_of(time).checked_add(i64::from(days).days());
        self.end_of_date(date.ok()?)
    }

    /// Returns the last second, 23:59:59 in this zone, of a day. `None` for a day that the calendar does not have.
    pub fn end_of_day(&self, day: Day) -> Option<OffsetDateTime> {
        self.end_of_date(date(day)?)
    }

    fn end_of_date(&self, date: civil::Date) -> Option<OffsetDateTime> {
        let end = self.0.to_timestamp(date.at(23, 59, 59, 0)).ok()?;
        OffsetDateTime::from_unix_timestamp(end.as_second()).ok()
    }

    fn date_of(&self, time: OffsetDateTime) -> civil::Date {
        let seconds = time.unix_timestamp();
        let timestamp = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        self.0.to_datetime(timestamp).date()
    }
}

fn date(day: Day) -> Option<civil::Date> {
    let year = i16::try_from(day.year).ok()?;
    let (month, day) = (i8::try_from(day.month).ok()?, i8::try_from(day.day).ok()?);
    civil::Date::new(year, month, day).ok()
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_deadline_ends_with_the_day_in_the_programmes_zone() {
        let jakarta = TimeZone::find("Asia/Jakarta").unwrap();

        // 18:00 UTC is already the next day in Jakarta.
        assert_eq!(
            jakarta.end_of_day_after(datetime!(2026-11-24 18:00 UTC), 15),
            Some(datetime!(2026-12-10 16:59:59 UTC))
        );
        assert_eq!(
            jakarta.end_of_day_after(datetime!(2026-11-24 16:59:59 UTC), 15),
            Some(datetime!(2026-12-09 16:59:59 UTC))
        );
    }

    #[test]
    fn the_zones_of_one_country_differ() {
        let noon = datetime!(2026-03-01 12:00 UTC);

        for (name, expected) in [
            ("Asia/Jakarta", datetime!(2026-03-31 16:59:59 UTC)),
            ("Asia/Makassar", datetime!(2026-03-31 15:59:59 UTC)),
            ("Asia/Jayapura", datetime!(2026-03-31 14:59:59 UTC)),
            // Summer time began in between.
            ("Europe/Berlin", datetime!(2026-03-31 21:59:59 UTC)),
        ] {
            let zone = TimeZone::find(name).unwrap();
            assert_eq!(zone.end_of_day_after(noon, 30), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_date_ends_later_in_the_west_of_a_country() {
        let day = |month, day| Day {
            year: 2026,
            month,
            day,
        };
        let end = |name, day| TimeZone::find(name).unwrap().end_of_day(day);

        let (lisbon, azores) = ("Europe/Lisbon", "Atlantic/Azores");
        assert_eq!(
            end(lisbon, day(12, 15)),
            Some(datetime!(2026-12-15 23:59:59 UTC))
        );
        assert_eq!(
            end(azores, day(12, 15)),
            Some(datetime!(2026-12-16 00:59:59 UTC))
        );
        // In summer time, an hour earlier.
        assert_eq!(
            end(azores, day(7, 15)),
            Some(datetime!(2026-07-15 23:59:59 UTC))
        );
        assert_eq!(end(lisbon, day(2, 29)), None);
    }

    #[test]
    fn only_names_of_the_database_are_zones() {
        for name in ["", "WIB", "+07:00", "Asia/Nowhere", "asia/jakarta"] {
            assert!(TimeZone::find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_day_is_that_of_the_zone() {
        let jakarta = TimeZone::find("Asia/Jakarta").unwrap();
        let day = jakarta.day_of(datetime!(2026-12-31 17:00 UTC));

        assert_eq!((day.year, day.month, day.day), (2027, 1, 1));
    }
}
