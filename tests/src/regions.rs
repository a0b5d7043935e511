//! Regencies and how many people each gets: the published table of recipients, with the official codes found by name,
//! because the table numbers its regencies in a way of its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::stack::checkout;

/// A regency and its weight among all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The official code, such as `32.04`.
    pub code: String,
    /// The name, as the table writes it.
    pub name: String,
    /// Its share of the people.
    pub weight: u64,
}

/// What was read: the regions, and the rows that could not be used, each with its reason.
#[derive(Debug)]
pub struct Regions {
    /// The regions with a weight.
    pub regions: Vec<Region>,
    /// What was left out.
    pub left_out: Vec<String>,
}

/// Names that changed by decree since the table was published: the old one and today's.
const RENAMED: &[(&str, &str)] = &[
    ("KABUPATENTOBASAMOSIR", "KABUPATENTOBA"),
    ("KABUPATENMAMUJUUTARA", "KABUPATENPASANGKAYU"),
    ("KABUPATENMALUKUTENGGARABARAT", "KABUPATENKEPULAUANTANIMBAR"),
];

#[derive(Deserialize)]
struct CodeRow {
    code: String,
    name: String,
}

impl Regions {
    /// Reads the small sample that the project ships.
    ///
    /// # Errors
    /// When the sample is not where it belongs.
    pub fn sample() -> Result<Regions, String> {
        Regions::read(&checkout().join("deploy/samples/recipients-by-regency.csv"))
    }

    /// Reads a table of recipients (`province_code`, `regency`, `recipients_<year>` …). The codes come from a file beside
    /// it, `regencies.csv` or `regions.csv` (`code`, `name`), or else from the shipped sample.
    ///
    /// # Errors
    /// When a file cannot be read, lacks a column, or gives no region at all.
    pub fn read(table: &Path) -> Result<Regions, String> {
        let codes = Codes::read(&codes_beside(table))?;
        let mut reader = open(table)?;
        let headers = reader.headers().map_err(|error| at(table, &error))?.clone();
        let column = |name: &str| {
            let found = headers.iter().position(|header| header == name);
            found.ok_or_else(|| format!("{}: no column `{name}`", table.display()))
        };
        let (province, regency) = (column("province_code")?, column("regency")?);
        let years: Vec<usize> = (0..headers.len())
            .filter(|index| headers[*index].starts_with("recipients_"))
            .collect();

        let mut regions = Vec::new();
        let mut left_out = Vec::new();
        for (index, row) in reader.records().enumerate() {
            // The header is line 1.
            let line = index + 2;
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    left_out.push(format!("line {line}: {error}"));
                    continue;
                }
            };
            let field = |index: usize| row.get(index).unwrap_or_default().trim();
            let weight: Result<u64, _> = years.iter().map(|year| field(*year).parse::<u64>()).sum();
            match (codes.find(field(province), field(regency)), weight) {
                (_, Err(_)) => left_out.push(format!("line {line}: a count is no number")),
                (None, Ok(_)) => {
                    left_out.push(format!("line {line}: no code for `{}`", field(regency)));
                }
                (Some(_), Ok(0)) => left_out.push(format!("line {line}: no recipients")),
                (Some(code), Ok(weight)) => regions.push(Region {
                    code: code.to_owned(),
                    name: field(regency).to_owned(),
                    weight,
                }),
            }
        }
        if regions.is_empty() {
            return Err(format!("{}: no usable row", table.display()));
        }
        Ok(Regions { regions, left_out })
    }
}

/// Official codes by name.
struct Codes {
    by_province_and_name: BTreeMap<(String, String), String>,
}

impl Codes {
    fn read(path: &Path) -> Result<Codes, String> {
        let mut by_province_and_name = BTreeMap::new();
        for row in open(path)?.deserialize() {
            let row: CodeRow = row.map_err(|error| at(path, &error))?;
            if let Some((province, _)) = row.code.split_once('.') {
                let key = (province.to_owned(), plain(&row.name));
                by_province_and_name.insert(key, row.code);
            }
        }
        Ok(Codes {
            by_province_and_name,
        })
    }

    /// Finds a code: by name in the province; by name anywhere, when only one bears it (provinces have been split); by a
    /// name in the province that differs in one or two letters, when only one does (spellings vary).
    fn find(&self, province: &str, name: &str) -> Option<&str> {
        let mut wanted = plain(name);
        if let Some((_, today)) = RENAMED.iter().find(|(old, _)| *old == wanted) {
            wanted = (*today).to_owned();
        }
        let exact = self
            .by_province_and_name
            .get(&(province.to_owned(), wanted.clone()));
        let anywhere = || only(self.matching(|_, name| name == wanted));
        let alike =
            || only(self.matching(|other, name| other == province && distance(name, &wanted) <= 2));
        exact.map(String::as_str).or_else(anywhere).or_else(alike)
    }

    fn matching(&self, fits: impl Fn(&str, &str) -> bool) -> impl Iterator<Item = &str> {
        self.by_province_and_name
            .iter()
            .filter(move |((province, name), _)| fits(province, name))
            .map(|(_, code)| code.as_str())
    }
}

fn only<'a>(mut codes: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = codes.next()?;
    codes.next().is_none().then_some(first)
}

/// A name without what its spellings differ in: case, blanks, abbreviations, the word "administrative".
fn plain(name: &str) -> String {
    name.to_uppercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .map(|word| match word {
            "KAB" => "KABUPATEN",
            "KEP" => "KEPULAUAN",
            "ADM" | "ADMINISTRASI" | "DAN" => "",
            other => other,
        })
        .collect()
}

/// The edit distance between two names.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}

/// Returns the files with the codes and names of the regions of a table of recipients, provinces first.
pub fn code_files(table: &Path) -> Vec<PathBuf> {
    let codes = codes_beside(table);
    let provinces = codes.with_file_name("provinces.csv");
    let apart = codes.ends_with("regencies.csv") && provinces.is_file();
    apart
        .then_some(provinces)
        .into_iter()
        .chain([codes])
        .collect()
}

fn codes_beside(table: &Path) -> PathBuf {
    ["regencies.csv", "regions.csv"]
        .iter()
        .map(|name| table.with_file_name(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| checkout().join("deploy/samples/regions.csv"))
}

fn open(path: &Path) -> Result<csv::Reader<std::fs::File>, String> {
    csv::Reader::from_path(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &csv::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_a_code_for_every_row() {
        let sample = Regions::sample().unwrap();

        assert_eq!(sample.left_out, Vec::<String>::new());
        assert!(sample.regions.len() > 30);
    }

    #[test]
    fn the_published_table_has_a_code_for_every_row() {
        let table = checkout().join("../shared/data/recipients-by-regency-2020-2024.csv");
        if !table.is_file() {
            eprintln!("skipped: the published table is not beside the checkout");
            return;
        }

        let all = Regions::read(&table).unwrap();

        assert_eq!(all.left_out, Vec::<String>::new());
        assert_eq!(all.regions.len(), 514);
        let codes: std::collections::BTreeSet<_> = all.regions.iter().map(|r| &r.code).collect();
        assert_eq!(codes.len(), 514);
    }

    #[test]
    fn spellings_are_told_from_other_names() {
        assert_eq!(
            plain("Kota Adm. Jakarta Pusat"),
            plain("KOTA JAKARTA PUSAT")
        );
        assert_eq!(distance("PAHUWATO", "POHUWATO"), 1);
        assert!(distance("KABUPATENBANDUNG", "KOTABANDUNG") > 2);
    }
}
