//! Figures beside their yardsticks and aims, one a line.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

/// How much a benchmark does, and how much its aim is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) wanted: u64,
    pub(crate) full: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// So many a second.
    Rate(u64),
    Time(Duration),
    /// In KiB.
    Memory(u64),
    Bytes(u64),
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// At least so many thousandths of the yardstick.
    ShareMin(u64),
    /// At most so many thousandths of the yardstick.
    ShareMax(u64),
    /// At most this.
    Max(Figure),
}

/// A figure with all that it is compared with.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) figure: Figure,
    /// What it is, and its figure in the same run.
    pub(crate) yardstick: Option<(String, Figure)>,
    pub(crate) aim: Aim,
}

impl Size {
    /// Returns the part of a limit that belongs to the size.
    pub(crate) fn share_of(self, limit: Duration) -> Duration {
        let nanoseconds = limit.as_nanos() * u128::from(self.wanted) / u128::from(self.full.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Figure {
    /// Returns the rate of so many in a time.
    pub(crate) fn rate(count: u64, took: Duration) -> Figure {
        let rate = u128::from(count) * 1_000_000_000 / took.as_nanos().max(1);
        Figure::Rate(u64::try_from(rate).unwrap_or(u64::MAX))
    }

    /// Returns the time of one of so many.
    pub(crate) fn each(count: u64, took: Duration) -> Figure {
        let nanoseconds = took.as_nanos() / u128::from(count.max(1));
        Figure::Time(Duration::from_nanos(
            u64::try_from(nanoseconds).unwrap_or(u64::MAX),
        ))
    }

    fn number(self) -> u128 {
        match self {
            Figure::Rate(rate) => u128::from(rate),
            Figure::Time(time) => time.as_nanos(),
            Figure::Memory(kib) => u128::from(kib),
            Figure::Bytes(bytes) => u128::from(bytes),
        }
    }

    /// Returns the figure in thousandths of another one of its kind.
    fn thousandths_of(self, other: Figure) -> u64 {
        u64::try_from(self.number() * 1_000 / other.number().max(1)).unwrap_or(u64::MAX)
    }
}

impl Line {
    /// Returns the figure in thousandths of the yardstick, or of the limit where there is none.
    fn thousandths(&self) -> Option<u64> {
        match (&self.yardstick, self.aim) {
            (Some((_, yardstick)), _) => Some(self.figure.thousandths_of(*yardstick)),
            (None, Aim::Max(_) | Aim::ShareMin(_) | Aim::ShareMax(_)) => None,
        }
    }

    /// Says whether the aim is met; a share of a yardstick that was not measured is not.
    pub(crate) fn is_met(&self) -> bool {
        match self.aim {
            Aim::ShareMin(least) => self.thousandths().is_some_and(|share| share >= least),
            Aim::ShareMax(most) => self.thousandths().is_some_and(|share| share <= most),
            Aim::Max(limit) => self.figure <= limit,
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:<26}{:>12}", self.name, self.figure.to_string())?;
        match &self.yardstick {
            Some((name, figure)) => write!(f, "  {name:<34}{:>12}", figure.to_string())?,
            None => write!(f, "  {:<46}", "")?,
        }
        let ratio = self.thousandths().map(decimal).unwrap_or_default();
        write!(f, "{ratio:>9}  {:<13}", self.aim.to_string())?;
        f.write_str(if self.is_met() { "met" } else { "MISSED" })
    }
}

impl Display for Aim {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Aim::ShareMin(thousandths) => write!(f, ">= {}", decimal(*thousandths)),
            Aim::ShareMax(thousandths) => write!(f, "<= {}", decimal(*thousandths)),
            Aim::Max(limit) => write!(f, "<= {limit}"),
        }
    }
}

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Figure::Rate(rate) => write!(f, "{}/s", grouped(*rate)),
            Figure::Time(time) if time.as_secs() > 0 => {
                write!(f, "{}.{:02} s", time.as_secs(), time.subsec_millis() / 10)
            }
            Figure::Time(time) if time.as_millis() > 0 => {
                let microseconds = time.as_micros();
                write!(
                    f,
                    "{}.{:02} ms",
                    microseconds / 1_000,
                    microseconds % 1_000 / 10
                )
            }
            Figure::Time(time) => write!(f, "{} us", time.as_micros()),
            Figure::Memory(kib) => write!(f, "{} MiB", grouped(kib.div_ceil(1_024))),
            Figure::Bytes(bytes) => write!(f, "{} B", grouped(*bytes)),
        }
    }
}

fn decimal(thousandths: u64) -> String {
    format!("{}.{:02}", thousandths / 1_000, thousandths % 1_000 / 10)
}

/// Writes a number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the middle of some measurements.
pub(crate) fn median<T: Ord + Copy>(mut all: Vec<T>) -> Option<T> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}
