//! The statistics in floating point, and how often chance alone gives them or larger ones.

use std::f64::consts::PI;

use super::Row;

/// Of honest draws at most 1 % raise an alarm; the four tests share it evenly (Bonferroni).
pub(super) const ALARM_BELOW: f64 = 0.01 / 4.0;

/// Terms of Kolmogorov's series; the fifth is below 10⁻³⁰ on either side of the switch.
const KOLMOGOROV_TERMS: u32 = 4;
/// Where both series of Kolmogorov's distribution converge equally fast.
const KOLMOGOROV_SWITCH: f64 = 1.18;
/// Bounds the loops of the incomplete gamma function, far above what the largest plan needs.
const GAMMA_STEPS: u32 = 1_000_000;
const TINY: f64 = 1e-300;

/// Returns D and its p-value for samples of `first` and `others` entrants whose distributions are at most
/// `gap` / (`first` × `others`) apart. With ties, as here, the p-value is too high rather than too low.
pub(super) fn kolmogorov_smirnov(gap: u64, first: u64, others: u64) -> (f64, f64) {
    if first == 0 || others == 0 {
        return (0.0, 1.0);
    }
    let product = (first * others) as f64;
    let statistic = gap as f64 / product;
    let lambda = statistic * (product / (first + others) as f64).sqrt();
    (statistic, kolmogorov_tail(lambda))
}

/// Returns the asymptotic probability of D × √(n₁n₂ / (n₁ + n₂)) above `lambda`.
fn kolmogorov_tail(lambda: f64) -> f64 {
    let terms = (1..=KOLMOGOROV_TERMS).map(f64::from);
    let tail = if lambda <= 0.0 {
        1.0
    } else if lambda < KOLMOGOROV_SWITCH {
        let term = |i: f64| (-((2.0 * i - 1.0) * PI / lambda).powi(2) / 8.0).exp();
        1.0 - (2.0 * PI).sqrt() / lambda * terms.map(term).sum::<f64>()
    } else {
        let term = |i: f64| (PI * (i - 1.0)).cos() * (-2.0 * (i * lambda).powi(2)).exp();
        2.0 * terms.map(term).sum::<f64>()
    };
    tail.clamp(0.0, 1.0)
}

/// Returns χ² and its p-value for categories of ranks against columns of known sizes.
pub(super) fn chi_squared(rows: &[Row], sizes: &Row, degrees_of_freedom: u32) -> (f64, f64) {
    if degrees_of_freedom == 0 {
        return (0.0, 1.0);
    }
    let all = sizes.iter().sum::<u64>() as f64;
    let mut statistic = 0.0;
    for row in rows {
        let of_category = row.iter().sum::<u64>() as f64;
        for (&observed, &size) in row.iter().zip(sizes) {
            let expected = of_category * size as f64 / all;
            statistic += (observed as f64 - expected).powi(2) / expected;
        }
    }
    (statistic, chi_squared_tail(statistic, degrees_of_freedom))
}

/// Returns Q(k / 2, x / 2), the upper regularized incomplete gamma function: by its series below the mean, by
/// Lentz's continued fraction above.
fn chi_squared_tail(statistic: f64, degrees_of_freedom: u32) -> f64 {
    let (a, x) = (f64::from(degrees_of_freedom) / 2.0, statistic / 2.0);
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma_of_half(degrees_of_freedom)).exp();
    let steps = (1..=GAMMA_STEPS).map(f64::from);
    if x < a + 1.0 {
        let mut term = 1.0 / a;
        let mut sum = term;
        for i in steps {
            term *= x / (a + i);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        1.0 - scale * sum
    } else {
        let mut denominator = x + 1.0 - a;
        let mut c = 1.0 / TINY;
        let mut d = 1.0 / denominator;
        let mut fraction = d;
        for i in steps {
            let numerator = i * (a - i);
            denominator += 2.0;
            d = 1.0 / away_from_zero(numerator * d + denominator);
            c = away_from_zero(denominator + numerator / c);
            fraction *= c * d;
            if (c * d - 1.0).abs() < f64::EPSILON {
                break;
            }
        }
        scale * fraction
    }
}

fn away_from_zero(value: f64) -> f64 {
    if value.abs() < TINY { TINY } else { value }
}

/// Returns ln Γ(k / 2) by Γ(a + 1) = a Γ(a).
fn ln_gamma_of_half(k: u32) -> f64 {
    let is_odd = k % 2 == 1;
    let (start, ln_gamma_of_start) = if is_odd {
        (0.5, PI.ln() / 2.0)
    } else {
        (1.0, 0.0)
    };
    let steps = (k - 1) / 2;
    let logarithms = (0..steps).map(|i| (start + f64::from(i)).ln());
    ln_gamma_of_start + logarithms.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!(
            (found / expected - 1.0).abs() < 1e-4,
            "{found}, not {expected}"
        );
    }

    #[test]
    fn chi_squared_tails_are_those_of_the_tables() {
        for (degrees_of_freedom, statistic, p_value) in [
            (1, 3.841_459, 0.05),
            (2, 9.210_340, 0.01),
            (9, 4.168_159, 0.9),
            (9, 16.918_978, 0.05),
            (9, 27.877_165, 0.001),
            (27, 18.113_896, 0.9),
            (100, 149.449_25, 0.001),
        ] {
            assert_near(chi_squared_tail(statistic, degrees_of_freedom), p_value);
        }
    }

    #[test]
    fn chi_squared_tails_are_the_closed_forms_far_out_and_for_many_categories() {
        for half in [0.001, 0.5, 2.0, 3.0, 20.0, 300.0_f64] {
            assert_near(chi_squared_tail(2.0 * half, 2), (-half).exp());
            let four = (1.0 + half) * (-half).exp();
            assert_near(chi_squared_tail(2.0 * half, 4), four);
        }
        // Ten thousand regions: the median is close to the mean − 2/3.
        assert!((chi_squared_tail(90_000.0 - 2.0 / 3.0, 90_000) - 0.5).abs() < 1e-4);
    }

    #[test]
    fn kolmogorov_tails_are_those_of_the_tables() {
        for (lambda, p_value) in [
            (0.5, 0.963_945),
            (0.8276, 0.5),
            (1.17, 0.129_386),
            (1.19, 0.117_770),
            (1.3581, 0.05),
            (1.6276, 0.01),
            (1.9495, 0.001),
        ] {
            let found = kolmogorov_tail(lambda);
            assert!((found / p_value - 1.0).abs() < 1e-3, "{lambda}: {found}");
        }
        assert_eq!(kolmogorov_tail(0.0), 1.0);
        assert_eq!(kolmogorov_tail(1e-9), 1.0);
        assert_eq!(kolmogorov_tail(100.0), 0.0);
    }

    #[test]
    fn nothing_to_compare_is_no_finding() {
        assert_eq!(kolmogorov_smirnov(0, 0, 1), (0.0, 1.0));
        assert_eq!(chi_squared(&[], &Row::default(), 0), (0.0, 1.0));
    }
}
