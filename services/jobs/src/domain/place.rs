//! Where a location lies: free text of a portal (`Kab. Bandung, Jawa Barat`) read against the tree of regions.
//!
//! 1. Letters, punctuation and blanks do not count: `Pangkalpinang` is `Pangkal Pinang`.
//! 2. A text with commas goes from the wide to the narrow, from right to left; each part narrows the one before.
//! 3. A part is looked up as a regency first, then as a province, then as a district that is called after its city.
//! 4. A name that several regions have (`Bandung` is a city and a regency) is read as the region above them.
//!
//! What is not certain is said in a warning; nothing is guessed from the middle of a name.

use std::collections::HashMap;

use super::region::{Region, RegionCode};

/// What stands before the proper name of a regency, and says which of two of the same name is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    City,
    Regency,
}

/// How a location was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The region, as fine as it could be told.
    pub region: Option<RegionCode>,
    /// What was unclear, and how it was read.
    pub warning: Option<String>,
}

/// The names of the tree, ready to be looked up.
#[derive(Debug, Default)]
pub struct Gazetteer {
    regencies: HashMap<String, Vec<(Option<Kind>, RegionCode)>>,
    provinces: HashMap<String, RegionCode>,
}

/// What one part of a location names.
enum Match {
    /// One region.
    One(RegionCode),
    /// Several of the same name; what lies above them all, if anything does.
    Several(Option<RegionCode>),
    /// No region, but it is called after this one and its quarter.
    Quarter(RegionCode),
    Nothing,
}

impl Gazetteer {
    /// Prepares the names of a tree.
    pub fn new(regions: &[Region]) -> Gazetteer {
        let mut gazetteer = Gazetteer::default();
        for region in regions {
            let words = words_of(&region.display_name);
            if region.code.depth() == 1 {
                gazetteer.add_province(&words, &region.code);
            } else {
                let (kind, proper) = split_kind(&words);
                let entry = gazetteer.regencies.entry(proper.concat()).or_default();
                entry.push((kind, region.code.clone()));
            }
        }
        gazetteer
    }

    fn add_province(&mut self, words: &[String], code: &RegionCode) {
        let proper = province_words(words);
        self.provinces.insert(proper.concat(), code.clone());
        // `Bangka Belitung` is as common as the whole name. Of `Kepulauan Riau` the rest is another province's name.
        if let [first, rest @ ..] = proper
            && first == "kepulauan"
            && rest.len() > 1
        {
            self.provinces.insert(rest.concat(), code.clone());
        }
    }

    /// Reads a location.
    pub fn read(&self, location: &str) -> Reading {
        let mut region: Option<RegionCode> = None;
        let mut warning = None;
        for part in location.rsplit([',', ';', '/', '(', ')', '|']) {
            let words = words_of(part);
            if words.is_empty() {
                continue;
            }
            let (found, doubt) = match self.look_up(&words, region.as_ref()) {
                Match::One(code) => (Some(code), None),
                Match::Several(Some(above)) => {
                    let doubt = format!(
                        "`{}` is the name of several regions; read as {above}, which lies above them",
                        part.trim()
                    );
                    (Some(above), Some(doubt))
                }
                Match::Several(None) => {
                    let doubt = format!(
                        "`{}` is the name of regions in several provinces",
                        part.trim()
                    );
                    (None, Some(doubt))
                }
                Match::Quarter(code) => {
                    let doubt = format!("`{}` is no region; read as a part of {code}", part.trim());
                    (Some(code), Some(doubt))
                }
                Match::Nothing => (None, None),
            };
            // A finer name settles what a wider one left open; one that says no more keeps what is known.
            if found.is_some() && (found != region || doubt.is_some()) {
                region = found;
                warning = doubt;
            } else if region.is_none() && doubt.is_some() {
                warning = doubt;
            }
        }
        if region.is_none() && warning.is_none() && !location.trim().is_empty() {
            warning = Some(format!("`{}` is not a known region", location.trim()));
        }
        Reading { region, warning }
    }

    fn look_up(&self, words: &[String], within: Option<&RegionCode>) -> Match {
        match self.named(words, within) {
            Match::Nothing => self.quarter(words, within),
            found @ (Match::One(_) | Match::Several(_) | Match::Quarter(_)) => found,
        }
    }

    fn named(&self, words: &[String], within: Option<&RegionCode>) -> Match {
        let (kind, proper) = split_kind(words);
        let candidates = self.regencies_named(proper, kind, within);
        // `Kota Baru` may also be a name as a whole.
        let candidates = match (candidates.is_empty(), kind) {
            (true, Some(_)) => self.regencies_named(words, None, within),
            (_, _) => candidates,
        };
        match candidates.as_slice() {
            [] => {}
            [one] => return Match::One((*one).clone()),
            several => return Match::Several(above(several)),
        }
        let province = self.provinces.get(&province_words(words).concat());
        match province.filter(|code| is_within(code, within)) {
            Some(code) => Match::One(code.clone()),
            None => Match::Nothing,
        }
    }

    fn regencies_named(
        &self,
        proper: &[String],
        kind: Option<Kind>,
        within: Option<&RegionCode>,
    ) -> Vec<&RegionCode> {
        let Some(named) = self.regencies.get(&proper.concat()) else {
            return Vec::new();
        };
        named
            .iter()
            .filter(|(named_kind, _)| kind.is_none() || named_kind.is_none() || *named_kind == kind)
            .map(|(_, code)| code)
            .filter(|code| is_within(code, within))
            .collect()
    }

    /// Districts of many cities are called after the city and a quarter: `Denpasar Selatan`, `Medan Kota`.
    fn quarter(&self, words: &[String], within: Option<&RegionCode>) -> Match {
        let base = match words {
            [first, base @ ..] if ["kecamatan", "kec"].contains(&first.as_str()) => base,
            [base @ .., last] if QUARTERS.contains(&last.as_str()) => base,
            _ => return Match::Nothing,
        };
        if base.is_empty() {
            return Match::Nothing;
        }
        match self.named(base, within) {
            Match::One(code) | Match::Several(Some(code)) => Match::Quarter(code),
            Match::Several(None) | Match::Quarter(_) | Match::Nothing => Match::Nothing,
        }
    }
}

const QUARTERS: [&str; 6] = ["utara", "selatan", "timur", "barat", "tengah", "kota"];

fn is_within(code: &RegionCode, within: Option<&RegionCode>) -> bool {
    within.is_none_or(|outer| code.is_within(outer))
}

fn above(codes: &[&RegionCode]) -> Option<RegionCode> {
    let mut above = codes.first().and_then(|code| code.parent());
    while let Some(outer) = above {
        if codes.iter().all(|code| code.is_within(&outer)) {
            return Some(outer);
        }
        above = outer.parent();
    }
    None
}

/// Cuts a text into words of small letters and digits, abbreviations written out.
fn words_of(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| match word {
            "kep" => "kepulauan".to_owned(),
            "kab" => "kabupaten".to_owned(),
            "adm" => "administrasi".to_owned(),
            "prov" => "provinsi".to_owned(),
            other => other.to_owned(),
        })
        .collect()
}

/// Parts `Kota Administrasi Jakarta Selatan` into the kind and the proper name.
fn split_kind(words: &[String]) -> (Option<Kind>, &[String]) {
    let (kind, rest) = match words {
        [first, rest @ ..] if first == "kota" && !rest.is_empty() => (Kind::City, rest),
        [first, rest @ ..] if first == "kabupaten" && !rest.is_empty() => (Kind::Regency, rest),
        _ => return (None, words),
    };
    match rest {
        [first, rest @ ..] if first == "administrasi" && !rest.is_empty() => (Some(kind), rest),
        _ => (Some(kind), rest),
    }
}

/// Drops what stands around the proper name of a province: `DKI`, `D.I.`, `Daerah Istimewa`, `Raya`.
fn province_words(words: &[String]) -> &[String] {
    const BEFORE: [&[&str]; 7] = [
        &["provinsi"],
        &["daerah", "khusus", "ibukota"],
        &["daerah", "khusus"],
        &["daerah", "istimewa"],
        &["dki"],
        &["d", "i"],
        &["di"],
    ];
    let mut proper = words;
    for title in BEFORE {
        if proper.len() > title.len() && proper.iter().zip(title).all(|(word, part)| word == part) {
            proper = &proper[title.len()..];
        }
    }
    match proper {
        [name, last] if name == "jakarta" && last == "raya" => &proper[..1],
        _ => proper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gazetteer() -> Gazetteer {
        let region = |(code, name): &(&str, &str)| Region {
            code: RegionCode::parse(code).unwrap(),
            display_name: (*name).to_owned(),
        };
        let regions: Vec<Region> = [
            ("19", "Kepulauan Bangka Belitung"),
            ("19.71", "Kota Pangkal Pinang"),
            ("14", "RIAU"),
            ("21", "KEPULAUAN RIAU"),
            ("31", "DKI Jakarta"),
            ("31.01", "KABUPATEN ADM. KEPULAUAN SERIBU"),
            ("31.74", "Kota Administrasi Jakarta Selatan"),
            ("32", "Jawa Barat"),
            ("32.04", "Kabupaten Bandung"),
            ("32.17", "Kabupaten Bandung Barat"),
            ("32.73", "Kota Bandung"),
            ("34", "Daerah Istimewa Yogyakarta"),
            ("34.71", "Kota Yogyakarta"),
            ("51", "Bali"),
            ("51.71", "Kota Denpasar"),
            ("63", "Kalimantan Selatan"),
            ("63.02", "Kabupaten Kotabaru"),
            ("75", "Gorontalo"),
            ("75.01", "Kabupaten Gorontalo"),
            ("75.71", "Kota Gorontalo"),
            ("91", "Papua"),
            ("91.01", "Kabupaten Twin"),
            ("92", "Papua Barat"),
            ("92.01", "Kota Twin"),
        ]
        .iter()
        .map(region)
        .collect();
        Gazetteer::new(&regions)
    }

    fn read(location: &str) -> (String, bool) {
        let reading = gazetteer().read(location);
        let region = reading
            .region
            .map(|code| code.to_string())
            .unwrap_or_default();
        (region, reading.warning.is_some())
    }

    #[test]
    fn a_certain_location_is_read_without_a_warning() {
        for (location, region) in [
            ("Jakarta Selatan", "31.74"),
            ("KOTA ADM. JAKARTA SELATAN", "31.74"),
            ("Jakarta Raya", "31"),
            ("DKI Jakarta", "31"),
            ("Daerah Khusus Ibukota Jakarta", "31"),
            ("jakarta", "31"),
            ("DI Yogyakarta", "34"),
            ("D.I. Yogyakarta", "34"),
            ("Yogyakarta", "34.71"),
            ("Kota Bandung", "32.73"),
            ("Kab. Bandung", "32.04"),
            ("Kabupaten Bandung", "32.04"),
            ("Bandung Barat", "32.17"),
            ("Pangkalpinang", "19.71"),
            ("Bangka Belitung", "19"),
            ("Kep. Riau", "21"),
            ("Riau", "14"),
            ("Kepulauan Seribu", "31.01"),
            ("Kota Baru", "63.02"),
            ("Prov. Bali", "51"),
            ("Kebayoran Lama, Jakarta Selatan", "31.74"),
            ("Kota Bandung, Jawa Barat", "32.73"),
            ("Jakarta Selatan, DKI Jakarta, Indonesia", "31.74"),
            ("Jakarta Selatan (DKI Jakarta)", "31.74"),
            ("Atlantis, Bali", "51"),
            ("", ""),
        ] {
            assert_eq!(read(location), (region.to_owned(), false), "{location}");
        }
    }

    #[test]
    fn an_unclear_location_is_read_as_far_as_it_is_clear() {
        for (location, region) in [
            ("Bandung", "32"),
            ("Bandung, Jawa Barat", "32"),
            ("Gorontalo", "75"),
            ("Denpasar Selatan", "51.71"),
            ("Kecamatan Bandung", "32"),
            ("Twin", ""),
            ("Indonesia", ""),
            ("Atlantis", ""),
            ("Kota", ""),
        ] {
            assert_eq!(read(location), (region.to_owned(), true), "{location}");
        }
    }

    #[test]
    fn a_finer_name_settles_what_a_wider_one_left_open() {
        assert_eq!(read("Bandung Barat, Bandung"), ("32.17".to_owned(), false));
        assert_eq!(read("Kota Twin, Papua Barat"), ("92.01".to_owned(), false));
    }
}
