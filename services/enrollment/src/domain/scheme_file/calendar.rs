//! Where days end, and the last days of years.

use std::collections::BTreeMap;

use crate::domain::{
    scheme::{Period, YearEnd},
    time_zone::{Day, TimeZone},
    toml_reader::Table,
};

/// Reads a zone.
pub(super) fn time_zone(table: &Table<'_, '_>, key: &str) -> Option<TimeZone> {
    let name = table.text(key, 1..=100)?;
    table.require(
        TimeZone::find(&name),
        key,
        "is not a name of the IANA time zone database",
    )
}

/// Reads the days on which batches of the scheme open.
pub(super) fn period(root: &Table<'_, '_>, zone: Option<&TimeZone>) -> Option<Period> {
    let day = |key: &str| root.has(key).then(|| root.day(key)).flatten();
    let (first, last) = (day("valid_from"), day("valid_until"));
    root.require(
        Period::of_days(zone?, first, last),
        "valid_until",
        "is before valid_from",
    )
}

/// Reads the zones of regions where days end at another time.
pub(super) fn region_time_zones(root: &Table<'_, '_>) -> BTreeMap<String, TimeZone> {
    let mut zones = BTreeMap::new();
    let Some(table) = optional_table(root, "region_time_zones") else {
        return zones;
    };
    for region in table.keys() {
        let is_code =
            |code: &str| !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
        let is_path = region.split('.').all(is_code);
        table.check(is_path, &region, "is not a dotted path of a region's codes");
        if let Some(zone) = time_zone(&table, &region) {
            zones.insert(region, zone);
        }
    }
    zones
}

/// Reads the last days of budget years, `[year_ends.2026]` and so on.
pub(super) fn year_ends(root: &Table<'_, '_>) -> BTreeMap<i32, YearEnd> {
    let mut year_ends = BTreeMap::new();
    let Some(years) = optional_table(root, "year_ends") else {
        return year_ends;
    };
    for key in years.keys() {
        let year = key.parse().ok().filter(|year| (2000..=9999).contains(year));
        let year = years.require(year, &key, "is not a year");
        if let Some((year, table)) = year.zip(years.table(&key)) {
            year_ends.insert(year, year_end(&table, year));
        }
    }
    year_ends
}

fn year_end(table: &Table<'_, '_>, year: i32) -> YearEnd {
    let day = |key: &str| -> Option<Day> {
        let day = table.has(key).then(|| table.day(key))??;
        let text = format!("is not in {year}");
        table.require(Some(day).filter(|day| day.year == year), key, &text)
    };
    let read = YearEnd {
        purchase: day("purchase"),
        completion: day("completion"),
        review: day("review"),
        payee: day("payee"),
        survey: day("survey"),
    };
    for (key, later, earlier, text) in [
        (
            "completion",
            read.completion,
            read.purchase,
            "is before the last purchase",
        ),
        (
            "review",
            read.review,
            read.completion,
            "is before the last completion",
        ),
    ] {
        let is_ordered = later
            .zip(earlier)
            .is_none_or(|(later, earlier)| earlier <= later);
        table.check(is_ordered, key, text);
    }
    table.refuse_unknown();
    read
}

fn optional_table<'d, 'i>(root: &Table<'d, 'i>, key: &str) -> Option<Table<'d, 'i>> {
    root.has(key).then(|| root.table(key)).flatten()
}
