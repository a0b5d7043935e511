//! The published fairness test: whether ranks depend on what must not matter (README §7). Ranks are uniform over
//! all entrants whatever the quotas, so it looks at ranks alone, never at who won in which stratum.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::{
    entrant::{AGE_BAND_MAX, APPLY_ORDER_MAX, Entrant, SEX_MAX},
    outcome::Outcome,
    parallel,
};

#[expect(
    clippy::float_arithmetic,
    reason = "statistics are told, and decide nothing"
)]
mod distributions;

const DECILES: u32 = 10;
/// Expected count of a cell below which the χ² distribution is no good approximation (Cochran).
const EXPECTED_MIN: u64 = 5;

const PERCENTILES: usize = APPLY_ORDER_MAX as usize + 1;
const SEXES: usize = SEX_MAX as usize + 1;
const AGE_BANDS: usize = AGE_BAND_MAX as usize + 1;

/// What the self-test says of a draw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SelfTest {
    /// One each for order of application, region, sex and age band.
    pub tests: Vec<Finding>,
    /// Whether one of the p-values is below a quarter of 1 %, which happens in at most 1 honest draw in 100. It is
    /// a reason to look, not a proof: a bundle with an alarm is valid.
    pub alarm: bool,
}

/// One of the tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What ranks were compared with: `apply_order`, `region`, `sex` or `age_band`.
    pub name: &'static str,
    /// Kolmogorov–Smirnov D for the order of application, else χ².
    pub statistic: f64,
    /// Degrees of freedom of χ²; 0 for D, and where there is too little to compare.
    pub degrees_of_freedom: u32,
    /// How often an honest draw gives this statistic or a larger one.
    pub p_value: f64,
}

/// Tests the ranks of drawn entrants, whose outcomes come in the same order.
/// The number of threads never changes the findings.
pub fn self_test(entrants: &[Entrant], outcomes: &[Outcome], threads: usize) -> SelfTest {
    let ranks = Ranks::new(outcomes);
    let total = Mutex::new(Tally::new());
    let count = |(entrants, outcomes): (&[Entrant], &[Outcome])| {
        let mut tally = Tally::new();
        for (entrant, outcome) in entrants.iter().zip(outcomes) {
            tally.count(entrant, outcome.rank, ranks);
        }
        total
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(&tally);
    };
    let share = entrants.len().div_ceil(threads.max(1)).max(1);
    let shares = entrants.chunks(share).zip(outcomes.chunks(share));
    parallel::for_each(shares, threads, count, || ());

    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A hash map's order would change the sum's last digits.
    let regions: BTreeMap<u32, Row> = total.regions.into_iter().collect();
    let tests = vec![
        ranks.kolmogorov_smirnov("apply_order", &total.apply_order),
        ranks.chi_squared("region", regions.into_values()),
        ranks.chi_squared("sex", total.sexes),
        ranks.chi_squared("age_band", total.age_bands),
    ];
    let alarm = tests
        .iter()
        .any(|test| test.p_value < distributions::ALARM_BELOW);
    SelfTest { tests, alarm }
}

/// How many entrants of a category have a rank in each tenth of all ranks.
type Row = [u64; DECILES as usize];

struct Tally {
    /// By percentile: how many have one of the first ranks, and how many do not.
    apply_order: [[u64; 2]; PERCENTILES],
    regions: HashMap<u32, Row>,
    sexes: [Row; SEXES],
    age_bands: [Row; AGE_BANDS],
}

/// All ranks, and how many of them are the first ones, which are compared with the others.
#[derive(Clone, Copy)]
struct Ranks {
    count: u64,
    first: u64,
}

// === impl Tally ===

impl Tally {
    fn new() -> Self {
        Self {
            apply_order: [[0; 2]; PERCENTILES],
            regions: HashMap::new(),
            sexes: [Row::default(); SEXES],
            age_bands: [Row::default(); AGE_BANDS],
        }
    }

    fn count(&mut self, entrant: &Entrant, rank: u32, ranks: Ranks) {
        let decile = ranks.decile(rank);
        let is_other = usize::from(u64::from(rank) > ranks.first);
        let covariates = entrant.covariates;
        self.apply_order[usize::from(covariates.apply_order)][is_other] += 1;
        self.regions.entry(entrant.region).or_default()[decile] += 1;
        self.sexes[usize::from(covariates.sex)][decile] += 1;
        self.age_bands[usize::from(covariates.age_band)][decile] += 1;
    }

    fn add(&mut self, other: &Self) {
        add_all(
            self.apply_order.as_flattened_mut(),
            other.apply_order.as_flattened(),
        );
        for (region, row) in &other.regions {
            add_all(self.regions.entry(*region).or_default(), row);
        }
        add_all(self.sexes.as_flattened_mut(), other.sexes.as_flattened());
        add_all(
            self.age_bands.as_flattened_mut(),
            other.age_bands.as_flattened(),
        );
    }
}

fn add_all(sums: &mut [u64], counts: &[u64]) {
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

// === impl Ranks ===

impl Ranks {
    fn new(outcomes: &[Outcome]) -> Self {
        let count = outcomes.len() as u64;
        let won = outcomes.iter().filter(|outcome| outcome.won()).count() as u64;
        let first = if won == 0 || won == count {
            count / 2
        } else {
            won
        };
        Self { count, first }
    }

    fn decile(self, rank: u32) -> usize {
        let decile = u64::from(rank - 1) * u64::from(DECILES) / self.count;
        usize::try_from(decile).expect("a decile is below ten")
    }

    /// Returns how many ranks each decile has.
    fn decile_sizes(self) -> Row {
        std::array::from_fn(|i| {
            let begin = |decile: u64| (decile * self.count).div_ceil(u64::from(DECILES));
            begin(i as u64 + 1) - begin(i as u64)
        })
    }

    fn kolmogorov_smirnov(
        self,
        name: &'static str,
        by_percentile: &[[u64; 2]; PERCENTILES],
    ) -> Finding {
        let others = self.count - self.first;
        let (mut first_so_far, mut others_so_far, mut gap) = (0, 0, 0);
        for [first_here, others_here] in by_percentile {
            first_so_far += first_here;
            others_so_far += others_here;
            // Both sides of F₁ − F₂ over their common denominator stay whole numbers.
            gap = gap.max((first_so_far * others).abs_diff(others_so_far * self.first));
        }
        let (statistic, p_value) = distributions::kolmogorov_smirnov(gap, self.first, others);
        Finding {
            name,
            statistic,
            degrees_of_freedom: 0,
            p_value,
        }
    }

    fn chi_squared(self, name: &'static str, rows: impl IntoIterator<Item = Row>) -> Finding {
        let rows = self.merge_small(rows);
        let categories = u32::try_from(rows.len()).expect("there are fewer rows than entrants");
        let degrees_of_freedom = categories.saturating_sub(1) * (DECILES - 1);
        let (statistic, p_value) =
            distributions::chi_squared(&rows, &self.decile_sizes(), degrees_of_freedom);
        Finding {
            name,
            statistic,
            degrees_of_freedom,
            p_value,
        }
    }

    /// Puts all categories that are too small into one, at the end; if that is too small as well, it joins the
    /// smallest of the others, the first of equal ones.
    fn merge_small(self, rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
        let size = |row: &Row| row.iter().sum::<u64>();
        let decile_size = self.count / u64::from(DECILES);
        let is_small = |row: &Row| size(row) * decile_size < EXPECTED_MIN * self.count;
        let (small, mut rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_small);
        let mut other = Row::default();
        small.iter().for_each(|row| add_all(&mut other, row));
        if !is_small(&other) {
            rows.push(other);
        } else if let Some(smallest) = rows.iter_mut().min_by_key(|row| size(row)) {
            add_all(smallest, &other);
        }
        rows
    }
}

#[cfg(test)]
mod tests;
