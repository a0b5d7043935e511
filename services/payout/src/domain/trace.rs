//! Where money is, by region and by participation; and which regions are withheld from the public.

use chassis::money::Currency;
use uuid::Uuid;

use super::chart::AccountKind;

/// The fewest that a published count may say, but for none at all.
const PUBLISHED_MIN: i64 = 10;
/// The fewest regions that may be withheld together: one alone would follow from the totals.
const WITHHELD_MIN: usize = 2;
/// How many counts of people a region has.
const COUNTS: usize = 8;

/// Where money is, in minor units. Always: allotted = spent + incentives + returned + outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSums {
    /// What was given.
    pub allotted: i64,
    /// Owed or paid to providers, less what was repaid of it.
    pub spent: i64,
    /// Arrived with persons, less what was repaid of it.
    pub incentives: i64,
    /// Went back to the treasury.
    pub returned: i64,
    /// In balances, in commitments, on hold, or in flight.
    pub outstanding: i64,
}

/// Where the money of a batch's participations of a region is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionTrace {
    /// The region's code.
    pub region: String,
    /// The sums.
    pub sums: TraceSums,
    /// Participations that were funded.
    pub funded_count: i64,
    /// Participations whose money went back.
    pub returned_count: i64,
    /// Payments that arrived.
    pub paid_count: i64,
    /// Participations that have bought something; not published.
    pub buyers: i64,
    /// Participations that a payment arrived for; not published.
    pub payees: i64,
    /// Participations whose persons have repaid something; not published.
    pub repayers: i64,
    /// Participations that a payment of was refunded while the rest was theirs; not published.
    pub refunded: i64,
    /// Participations whose money went back but for some that is on hold or on its way; not published.
    pub returning: i64,
}

/// The regions of a batch, by their codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionTraces {
    /// The batch's currency.
    pub currency: Currency,
    /// Each region, and whether it is withheld.
    pub regions: Vec<(RegionTrace, bool)>,
}

impl RegionTrace {
    /// The counts of people that a published region tells, or lets others work out.
    fn counts(&self) -> [i64; COUNTS] {
        [
            self.funded_count,
            self.returned_count,
            self.funded_count - self.returned_count,
            self.buyers,
            self.payees,
            self.repayers,
            self.refunded,
            self.returning,
        ]
    }
}

/// Decides which regions are withheld: those that tell of a few people, and, while the totals without the published regions
/// would tell of one region or of a few people, the smallest of the others.
pub fn withhold(regions: &[RegionTrace]) -> Vec<bool> {
    let mut withheld: Vec<bool> = regions
        .iter()
        .map(|region| region.counts().into_iter().any(is_few))
        .collect();
    let mut others: Vec<usize> = (0..regions.len()).filter(|i| !withheld[*i]).collect();
    others.sort_by_key(|i| (regions[*i].funded_count, &regions[*i].region));
    for next in others {
        if is_safe(regions, &withheld) {
            break;
        }
        withheld[next] = true;
    }
    withheld
}

fn is_few(count: i64) -> bool {
    (1..PUBLISHED_MIN).contains(&count)
}

/// Says whether what is withheld cannot be told apart by taking the published regions off the totals. Of a few people in the
/// whole batch the totals tell by themselves, and whichever regions are withheld, theirs are among them.
fn is_safe(regions: &[RegionTrace], withheld: &[bool]) -> bool {
    let group: Vec<&RegionTrace> = regions
        .iter()
        .zip(withheld)
        .filter_map(|(region, withheld)| withheld.then_some(region))
        .collect();
    if group.is_empty() {
        return true;
    }
    let (left, whole) = (add_up(group.iter().copied()), add_up(regions));
    let tells_of_few = |(left, whole)| is_few(left) && !is_few(whole);
    group.len() >= WITHHELD_MIN && !left.into_iter().zip(whole).any(tells_of_few)
}

fn add_up<'a>(regions: impl IntoIterator<Item = &'a RegionTrace>) -> [i64; COUNTS] {
    let mut sums = [0; COUNTS];
    for region in regions {
        for (sum, count) in sums.iter_mut().zip(region.counts()) {
            *sum += count;
        }
    }
    sums
}

/// A participation's money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipationTrace {
    /// The participation.
    pub participation_id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The batch.
    pub batch: String,
    /// The batch's currency.
    pub currency: Currency,
    /// The sums of all its transfers.
    pub sums: TraceSums,
}

impl TraceSums {
    /// Adds posted transfers of a participation's money between accounts of two kinds. What is outstanding is counted by
    /// itself and never as the rest.
    pub fn add(&mut self, source: AccountKind, target: AccountKind, minor: i64) {
        use AccountKind as Kind;
        if source == Kind::BatchBudget {
            self.allotted += minor;
        }
        if is_outstanding(source) {
            self.outstanding -= minor;
        }
        if is_outstanding(target) {
            self.outstanding += minor;
        }
        if target == Kind::ProviderPayable {
            self.spent += minor;
        }
        if target == Kind::Paid {
            self.incentives += minor;
        }
        if source == Kind::Paid {
            self.incentives -= minor;
        }
        if target == Kind::Returned {
            self.returned += minor;
            if source == Kind::TrainingReceivable {
                self.spent -= minor;
            }
            if source == Kind::IncentiveReceivable {
                self.incentives -= minor;
            }
        }
        // What was repaid of an incentive that then came back counts for courses.
        if source == Kind::TrainingReceivable && target == Kind::IncentiveClaim {
            self.spent -= minor;
            self.incentives += minor;
        }
    }
}

fn is_outstanding(kind: AccountKind) -> bool {
    matches!(
        kind,
        AccountKind::TrainingBalance | AccountKind::IncentiveCommitment | AccountKind::RailInFlight
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(code: &str, funded: i64, returned: i64, buyers: i64) -> RegionTrace {
        RegionTrace {
            region: code.to_owned(),
            sums: TraceSums::default(),
            funded_count: funded,
            returned_count: returned,
            paid_count: 0,
            buyers,
            payees: 0,
            repayers: 0,
            refunded: 0,
            returning: 0,
        }
    }

    #[test]
    fn large_regions_are_published() {
        let regions = [region("31", 10, 0, 0), region("32", 900, 900, 10)];

        assert_eq!(withhold(&regions), [false, false]);
    }

    #[test]
    fn one_small_region_takes_the_smallest_other_with_it() {
        let regions = [
            region("31", 9, 0, 0),
            region("32", 40, 0, 0),
            region("33", 30, 0, 0),
            region("34", 30, 0, 0),
        ];

        assert_eq!(withhold(&regions), [true, false, true, false]);
    }

    #[test]
    fn two_small_regions_stay_alone_once_they_are_ten() {
        let few = [
            region("31", 4, 0, 0),
            region("32", 5, 0, 0),
            region("33", 30, 0, 0),
        ];
        let enough = [
            region("31", 4, 0, 0),
            region("32", 6, 0, 0),
            region("33", 30, 0, 0),
        ];

        assert_eq!(withhold(&few), [true, true, true]);
        assert_eq!(withhold(&enough), [true, true, false]);
    }

    #[test]
    fn a_few_returns_purchases_or_stayers_withhold_a_large_region() {
        let others = [region("50", 99, 20, 20), region("51", 98, 20, 20)];
        for small in [
            region("31", 100, 3, 20),
            region("31", 100, 97, 20),
            region("31", 100, 20, 3),
        ] {
            let regions = [small, others[0].clone(), others[1].clone()];
            assert_eq!(withhold(&regions), [true, false, true]);
        }
    }

    #[test]
    fn a_few_refunds_or_late_returns_withhold_a_large_region() {
        let large = [region("50", 99, 20, 20), region("51", 98, 20, 20)];
        let refunded = RegionTrace {
            refunded: 1,
            ..region("31", 100, 0, 20)
        };
        let returning = RegionTrace {
            returning: 2,
            ..region("31", 100, 100, 20)
        };
        for small in [refunded, returning] {
            let regions = [small, large[0].clone(), large[1].clone()];
            assert_eq!(withhold(&regions), [true, false, true]);
        }
    }

    #[test]
    fn one_repayer_in_the_whole_batch_withholds_two_regions() {
        let mut regions: Vec<RegionTrace> = (0..38)
            .map(|i| region(&format!("{i:02}"), 1_000 + i, 100, 100))
            .collect();
        regions[20].repayers = 1;

        let withheld = withhold(&regions);

        let codes: Vec<usize> = (0..38).filter(|i| withheld[*i]).collect();
        assert_eq!(codes, [0, 20]);
    }

    #[test]
    fn a_batch_of_one_small_region_publishes_nothing() {
        assert_eq!(withhold(&[region("31", 3, 0, 0)]), [true]);
        assert!(withhold(&[]).is_empty());
    }

    fn a_region() -> impl Strategy<Value = RegionTrace> {
        let count = prop_oneof![3 => 1..12_i64, 1 => 10..2_000_i64];
        count.prop_flat_map(|funded| {
            let returned = prop_oneof![2 => Just(0), 1 => Just(funded), 2 => 0..=funded];
            let repayers = prop_oneof![9 => Just(0), 1 => 0..=funded.min(3)];
            let buyers = prop_oneof![Just(0), 0..=funded];
            (returned, buyers, repayers).prop_map(move |(returned, buyers, repayers)| RegionTrace {
                repayers,
                ..region("", funded, returned, buyers)
            })
        })
    }

    proptest! {
        /// Taking the published regions off the batch's totals leaves no region alone, and no count of 1 to 9 but where the
        /// totals are as small themselves; only a batch that publishes no region at all may be smaller.
        #[test]
        fn no_few_people_follow_from_what_is_published(cells in prop::collection::vec(a_region(), 0..40)) {
            let mut regions = cells;
            for (i, region) in regions.iter_mut().enumerate() {
                region.region = format!("{i:02}");
            }

            let withheld = withhold(&regions);

            for (region, withheld) in regions.iter().zip(&withheld) {
                prop_assert!(*withheld || !region.counts().into_iter().any(is_few));
            }
            let hidden = withheld.iter().filter(|it| **it).count();
            if hidden > 0 && hidden < regions.len() {
                prop_assert!(hidden >= 2);
                for count in 0..COUNTS {
                    let total: i64 = regions.iter().map(|region| region.counts()[count]).sum();
                    let published: i64 = regions
                        .iter()
                        .zip(&withheld)
                        .filter(|(_, withheld)| !**withheld)
                        .map(|(region, _)| region.counts()[count])
                        .sum();
                    prop_assert!(!is_few(total - published) || is_few(total));
                }
            }
            prop_assert_eq!(withhold(&regions), withheld);
        }

        /// Few people in the whole batch withhold the regions that they are in and one other at most, and never all.
        #[test]
        fn the_few_of_a_whole_batch_withhold_few_regions(
            funded in prop::collection::vec(20..2_000_i64, 3..40),
            repayers in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        ) {
            let mut regions: Vec<RegionTrace> = funded
                .iter()
                .enumerate()
                .map(|(i, funded)| region(&format!("{i:02}"), *funded, 0, 0))
                .collect();
            for one in &repayers {
                regions[one.index(funded.len())].repayers += 1;
            }
            let own = regions.iter().filter(|region| region.repayers > 0).count();

            let withheld = withhold(&regions).into_iter().filter(|it| *it).count();

            prop_assert_eq!(withheld, own.max(WITHHELD_MIN));
        }
    }

    #[test]
    fn a_participation_s_movements_add_up() {
        use AccountKind as Kind;
        let mut sums = TraceSums::default();
        for (source, target, minor) in [
            (Kind::BatchBudget, Kind::TrainingBalance, 350),
            (Kind::BatchBudget, Kind::IncentiveCommitment, 70),
            (Kind::TrainingBalance, Kind::ProviderPayable, 100),
            (Kind::IncentiveCommitment, Kind::RailInFlight, 60),
            (Kind::RailInFlight, Kind::Paid, 60),
            (Kind::Paid, Kind::IncentiveCommitment, 60),
            (Kind::TrainingBalance, Kind::Returned, 200),
            (Kind::TrainingClaim, Kind::TrainingReceivable, 100),
            (Kind::TrainingReceivable, Kind::Returned, 30),
            (Kind::TrainingReceivable, Kind::TrainingClaim, 50),
            (Kind::IncentiveReceivable, Kind::IncentiveClaim, 40),
            (Kind::TrainingReceivable, Kind::IncentiveClaim, 20),
        ] {
            sums.add(source, target, minor);
        }

        assert_eq!(
            sums,
            TraceSums {
                allotted: 420,
                spent: 50,
                incentives: 20,
                returned: 230,
                outstanding: 120,
            }
        );
    }
}
