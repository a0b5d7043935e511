//! What the demo is told.

use std::path::PathBuf;

use clap::Parser;
use tests::stack::checkout;

use crate::Fault;

/// Runs a whole training-scholarship programme on this machine: from the scheme to the payment, and unused money into the
/// next batch.
#[derive(Debug, Parser)]
#[command(name = "deploy/local/demo")]
pub(crate) struct Options {
    /// How many people register.
    #[arg(long, default_value_t = 600)]
    pub(crate) people: u64,
    /// How many places are drawn.
    #[arg(long, default_value_t = 120)]
    pub(crate) places: u64,
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
    /// Decides everything that chance decides: people, faults, choices. The draw's randomness is its trustees' own.
    #[arg(long, default_value_t = 2023)]
    pub(crate) seed: u64,
    /// Leaves the system running and prints its addresses; `deploy/local/down` ends it.
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Options {
    /// Tells everything that is wrong with the options before anything is started.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let mut faults = Vec::new();
        if !(1..=5_000_000).contains(&self.people) {
            faults.push("--people: 1 to 5,000,000".to_owned());
        }
        if !(1..=self.people).contains(&self.places) {
            faults.push("--places: 1 to the number of people".to_owned());
        }
        for (option, file) in [
            ("--courses", self.courses()),
            ("--vacancies", self.vacancies()),
            ("--regions", self.regions()),
            ("--scheme", self.scheme()),
        ] {
            if !file.is_file() {
                faults.push(format!("{option}: no file {}", file.display()));
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("\n").into())
        }
    }

    pub(crate) fn courses(&self) -> PathBuf {
        or_shipped(self.courses.as_ref(), "deploy/samples/courses.json")
    }

    pub(crate) fn vacancies(&self) -> PathBuf {
        or_shipped(self.vacancies.as_ref(), "deploy/samples/vacancies.csv")
    }

    pub(crate) fn regions(&self) -> PathBuf {
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
