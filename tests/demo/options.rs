//! What the demo is told.

use std::{fs, path::PathBuf};

use clap::Parser;
use tests::{
    programme::Source,
    regions::{Regions, code_files},
    stack::checkout,
};

use crate::Fault;

/// Runs a whole training-scholarship programme on this machine: from the scheme to the payment, and unused money into the
/// next batch.
#[derive(Debug, Parser)]
#[command(name = "deploy/local/demo")]
pub(crate) struct Options {
    /// How many people register.
    #[arg(long, default_value_t = 600)]
    pub(crate) people: u64,
    /// How many places are drawn [default: a fifth of the people].
    #[arg(long)]
    places: Option<u64>,
    /// The feed of courses, a JSON list [default: a shipped sample].
    #[arg(long, value_name = "FILE")]
    courses: Option<PathBuf>,
    /// The feed of vacancies, a CSV file [default: a shipped sample].
    #[arg(long, value_name = "FILE")]
    vacancies: Option<PathBuf>,
    /// Recipients per regency, a CSV file: how people are spread, and the share of each province in the places
    /// [default: a shipped sample].
    #[arg(long, value_name = "FILE")]
    regions: Option<PathBuf>,
    /// The programme's rules, a TOML file [default: deploy/schemes/prakerja-2023.toml].
    #[arg(long, value_name = "FILE")]
    scheme: Option<PathBuf>,
    /// Decides who the people are and what they choose. The draw's randomness is its trustees' own, and the bank's lost
    /// answers go by the payments' references.
    #[arg(long, default_value_t = 2023)]
    pub(crate) seed: u64,
    /// Leaves the system running and prints its addresses; `deploy/local/down` ends it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Only checks the options and the files.
    #[arg(long, hide = true)]
    pub(crate) check: bool,
}

/// What the files hold.
pub(crate) struct Input {
    pub(crate) courses: Source,
    pub(crate) regions: Regions,
    pub(crate) region_codes: Vec<Source>,
    pub(crate) vacancies: Source,
}

impl Options {
    /// Opens the files, and tells everything that is wrong with them and with the options.
    pub(crate) fn open(&self) -> Result<Input, Fault> {
        let mut faults = Vec::new();
        if !(1..=5_000_000).contains(&self.people) {
            faults.push("--people: 1 to 5,000,000".to_owned());
        }
        if !(1..=self.people).contains(&self.places()) {
            faults.push("--places: 1 to the number of people".to_owned());
        }
        let scheme = self.scheme();
        if let Err(error) = fs::read_to_string(&scheme) {
            faults.push(format!("--scheme: {}: {error}", scheme.display()));
        }
        let courses = Source::json("skills-week", &self.courses());
        let vacancies = Source::csv("portal", &self.vacancies());
        let regions = Regions::read(&self.regions());
        let codes = code_files(&self.regions());
        let codes: Result<Vec<Source>, String> = codes
            .iter()
            .map(|file| Source::csv("ministry", file))
            .collect();
        let input = match (courses, regions, codes, vacancies) {
            (Ok(courses), Ok(regions), Ok(region_codes), Ok(vacancies)) => Some(Input {
                courses,
                regions,
                region_codes,
                vacancies,
            }),
            (courses, regions, codes, vacancies) => {
                faults.extend(courses.err().map(|reason| format!("--courses: {reason}")));
                faults.extend(regions.err().map(|reason| format!("--regions: {reason}")));
                faults.extend(codes.err().map(|reason| format!("--regions: {reason}")));
                faults.extend(
                    vacancies
                        .err()
                        .map(|reason| format!("--vacancies: {reason}")),
                );
                None
            }
        };
        match input {
            Some(input) if faults.is_empty() => Ok(input),
            _ => Err(faults.join("\n").into()),
        }
    }

    pub(crate) fn places(&self) -> u64 {
        self.places.unwrap_or((self.people / 5).max(1))
    }

    fn courses(&self) -> PathBuf {
        or_shipped(self.courses.as_ref(), "deploy/samples/courses.json")
    }

    fn vacancies(&self) -> PathBuf {
        or_shipped(self.vacancies.as_ref(), "deploy/samples/vacancies.csv")
    }

    fn regions(&self) -> PathBuf {
        let sample = "deploy/samples/recipients-by-regency.csv";
        or_shipped(self.regions.as_ref(), sample)
    }

    pub(crate) fn scheme(&self) -> PathBuf {
        or_shipped(self.scheme.as_ref(), "deploy/schemes/prakerja-2023.toml")
    }
}

fn or_shipped(given: Option<&PathBuf>, shipped: &str) -> PathBuf {
    given.map_or_else(|| checkout().join(shipped), PathBuf::clone)
}
