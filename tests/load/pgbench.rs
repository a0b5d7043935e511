//! pgbench, the yardstick of commands: the same rows, by PostgreSQL's own client.

use std::{fs, path::PathBuf, time::Duration};

use tokio::process::Command;

use crate::{Fault, report::Figure};

/// Where Debian keeps the programs of a PostgreSQL that are not for everybody's path.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";

/// pgbench with a script.
pub(crate) struct Pgbench {
    program: PathBuf,
    script: PathBuf,
    database_url: String,
}

/// What pgbench says of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) rate: Figure,
    pub(crate) average_latency: Figure,
}

impl Pgbench {
    /// Takes a script, which is written to a file.
    pub(crate) fn new(script: PathBuf, text: &str, database_url: String) -> Result<Pgbench, Fault> {
        fs::write(&script, text)?;
        let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN_FOLDER)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin/pgbench"))
            .filter(|path| path.is_file())
            .collect();
        versions.sort();
        Ok(Pgbench {
            // Elsewhere it is in the path.
            program: versions.pop().unwrap_or_else(|| "pgbench".into()),
            script,
            database_url,
        })
    }

    /// Runs the script so many times, shared among clients.
    pub(crate) async fn run(&self, clients: u64, times: u64) -> Result<Outcome, Fault> {
        let each = (times / clients).max(1).to_string();
        let output = Command::new(&self.program)
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .args(["--client", &clients.to_string(), "--transactions", &each])
            .arg("--file")
            .arg(&self.script)
            .arg(&self.database_url)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = micros_after(&text, "tps = ");
        let latency = micros_after(&text, "latency average = ");
        match (output.status.success(), rate, latency) {
            (true, Some(rate), Some(latency)) => Ok(Outcome {
                rate: Figure::Rate(rate / 1_000_000),
                // It is told in milliseconds.
                average_latency: Figure::Time(Duration::from_nanos(latency)),
            }),
            (_, _, _) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                Err(format!("pgbench: {}\n{text}{errors}", output.status).into())
            }
        }
    }
}

/// Reads the decimal number after a word, in millionths.
fn micros_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let number = rest.split_whitespace().next()?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = fraction.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_a_millionth() {
        let text =
            "latency average = 7.5 ms\ntps = 8412.123456789 (without initial connection time)\n";

        assert_eq!(micros_after(text, "latency average = "), Some(7_500_000));
        assert_eq!(micros_after(text, "tps = "), Some(8_412_123_456));
        assert_eq!(micros_after(text, "tps == "), None);
    }
}
