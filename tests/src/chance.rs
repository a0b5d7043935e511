//! Chance that repeats: every draw is a function of a seed and a key, so that a run can be had again.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Draws a number from a seed and a key; equal inputs give equal numbers.
pub fn draw(seed: u64, key: &str) -> u64 {
    let mut input = seed.to_be_bytes().to_vec();
    input.extend_from_slice(key.as_bytes());
    let hash = digest(&SHA256, &input);
    let head = hash.as_ref()[..8].try_into();
    u64::from_be_bytes(head.expect("a SHA-256 hash has 32 bytes"))
}

/// Draws a number below `end`.
pub fn below(seed: u64, key: &str, end: u64) -> u64 {
    draw(seed, key) % end
}

/// Draws one of the choices.
pub fn pick<'a, T>(seed: u64, key: &str, choices: &'a [T]) -> &'a T {
    let index = usize::try_from(below(seed, key, choices.len() as u64));
    &choices[index.expect("an index of a slice is a usize")]
}

/// A share of all cases, from 0 to 1, kept in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio {
    millionths: u32,
}

impl Ratio {
    /// Makes a share of so many in a thousand.
    pub const fn per_mille(count: u32) -> Ratio {
        Ratio {
            millionths: count * 1000,
        }
    }

    /// Returns the share in millionths.
    pub const fn millionths(self) -> u32 {
        self.millionths
    }

    /// Says whether the case with this key falls into the share.
    pub fn hits(self, seed: u64, key: &str) -> bool {
        below(seed, key, 1_000_000) < u64::from(self.millionths)
    }
}

impl TryFrom<f64> for Ratio {
    type Error = String;

    #[expect(
        clippy::float_arithmetic,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is no money, and its range is checked before the cast"
    )]
    fn try_from(share: f64) -> Result<Ratio, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Ratio {
                millionths: (share * 1e6).round() as u32,
            })
        } else {
            Err(format!("{share} is not between 0 and 1"))
        }
    }
}

impl From<Ratio> for f64 {
    #[expect(clippy::float_arithmetic, reason = "a share is no money")]
    fn from(ratio: Ratio) -> f64 {
        f64::from(ratio.millionths) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_hit_about_as_often_as_it_says() {
        let hits = |ratio: Ratio| {
            let all = 0..10_000;
            all.filter(|i| ratio.hits(7, &i.to_string())).count()
        };

        assert_eq!(hits(Ratio::default()), 0);
        assert_eq!(hits(Ratio::per_mille(1000)), 10_000);
        assert!((800..1200).contains(&hits(Ratio::per_mille(100))));
    }

    #[test]
    fn a_share_above_one_is_refused() {
        assert!(Ratio::try_from(1.5).is_err());
        assert_eq!(Ratio::try_from(0.25), Ok(Ratio::per_mille(250)));
    }
}
