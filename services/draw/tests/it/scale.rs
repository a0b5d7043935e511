//! The size designed for: `cargo test -p draw --profile load -- --ignored --nocapture five_million`.

use std::time::Instant;

use draw::{
    BundleWriter, Entrant, QuotaPlan, RegionWeight, Regions, RemainderRule, entrants_root, verify,
};

use crate::draws::{Draw, group};

const ENTRANTS: u32 = 5_000_000;
const PLACES: u32 = 800_000;
const REGENCIES: u32 = 514;

/// Spreads numbers over 64 bits, so that attributes do not follow the order of the list.
fn spread(number: u32) -> u64 {
    let mixed = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
}

fn entrant(number: u32) -> Entrant {
    let household = u128::from(spread(number) % 3_500_000);
    Entrant {
        pseudonym: (u128::from(number) << 96 | u128::from(spread(number))).to_be_bytes(),
        region: u32::try_from(1 + spread(number ^ 0x5555) % u64::from(REGENCIES)).expect("small"),
        groups: u32::from(spread(number ^ 0xaaaa).is_multiple_of(20)),
        household: Some(household.to_be_bytes()),
        household_prior: u8::from(household % 10 == 0),
    }
}

#[test]
#[ignore = "some hundred megabytes and some seconds"]
fn five_million_entrants_and_eight_hundred_thousand_places() {
    let weight = |region| RegionWeight {
        region,
        weight: 1000 + region,
        floor: 100,
    };
    let plan = QuotaPlan::new(
        PLACES,
        vec![group("disability", 40_000)],
        Regions::Proportional((1..=REGENCIES).map(weight).collect()),
        RemainderRule::General,
    )
    .unwrap();
    let made = Draw::new(plan, (0..ENTRANTS).map(entrant).collect(), 2);
    for threads in [1, 2] {
        let start = Instant::now();
        let root = entrants_root(&made.entrants, threads);
        println!("root, {threads} threads: {:?}", start.elapsed());
        assert_eq!(root, made.commitment.root);
    }
    let randomness = made.randomness();

    let start = Instant::now();
    let outcomes = draw::draw(&made.commitment, &randomness, &made.entrants, 2).unwrap();
    println!("draw with root, 2 threads: {:?}", start.elapsed());
    let start = Instant::now();
    let alone = draw::draw(&made.commitment, &randomness, &made.entrants, 1).unwrap();
    println!("draw with root, 1 thread: {:?}", start.elapsed());
    assert!(outcomes == alone);
    let winners = outcomes.iter().filter(|outcome| outcome.won()).count();
    assert_eq!(winners, PLACES as usize);

    let start = Instant::now();
    let mut writer = BundleWriter::new(Vec::new(), made.signed()).unwrap();
    for entrant in &made.entrants {
        writer.entrant(entrant).unwrap();
    }
    writer.reveal(&made.reveal).unwrap();
    for outcome in &outcomes {
        writer.outcome(outcome).unwrap();
    }
    let (bundle, _) = writer.finish().unwrap();
    println!("bundle of {} bytes: {:?}", bundle.len(), start.elapsed());
    let start = Instant::now();
    assert!(verify(&bundle[..], None, 2).is_ok());
    println!("verification, 2 threads: {:?}", start.elapsed());
}
