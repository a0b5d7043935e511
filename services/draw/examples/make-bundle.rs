//! Makes up a programme of any size, draws it, writes its bundle and tells how long each step took:
//! `cargo run --release -p draw --example make-bundle -- --entrants 5000000 --places 800000 OUT`.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, BufWriter, Write},
    num::NonZeroU8,
    thread,
    time::Instant,
};

use draw::{
    BundleWriter, CommitReveal, Commitment, Covariates, Entrant, EntrantsRoot, Group, Outcome,
    QuotaPlan, RandomnessSource, RegionWeight, Regions, RemainderRule, Reveal, SigningKey, Trustee,
    draw, entrants_root, secret_commitment, self_test,
};

const BATCH: &str = "batches/48";
const TRUSTEE: &str = "Ombudsman";
const SECRET: [u8; 32] = [0x22; 32];
const REGIONS: u32 = 38;
const USAGE: &str = "usage: make-bundle --entrants N --places N OUT";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ["--entrants", entrants, "--places", places, path] = words[..] else {
        return Err(USAGE.into());
    };
    let (count, places): (u32, u32) = (entrants.parse()?, places.parse()?);
    let threads = thread::available_parallelism()?.get();
    let plan = plan(places)?;
    let entrants: Vec<Entrant> = (0..count).map(|number| entrant(number, count)).collect();

    let root = timed("root, entrant by entrant", || {
        let mut root = EntrantsRoot::new(plan.groups().len());
        entrants
            .iter()
            .try_for_each(|entrant| root.push(entrant))
            .map(|()| root.root())
    })??;
    for threads in [1, threads] {
        let step = format!("root of the list, {threads} threads");
        if timed(&step, || entrants_root(&entrants, threads))? != root {
            return Err("the roots differ".into());
        }
    }
    let commitment = Commitment {
        batch: BATCH.to_owned(),
        entrant_count: u64::from(count),
        root,
        rule_set_hash: [0x33; 32],
        plan,
        household_limit: NonZeroU8::new(2),
        source: RandomnessSource::CommitReveal(CommitReveal {
            trustees: vec![Trustee {
                name: TRUSTEE.to_owned(),
                commitment: secret_commitment(BATCH, TRUSTEE, &SECRET),
            }],
            quorum: 1,
            reveal_deadline: 1_700_003_600,
            beacon: None,
        }),
        commit_time: 1_700_000_000,
    };
    let reveal = Reveal::CommitReveal {
        secrets: vec![Some(SECRET)],
        beacon: None,
    };
    let randomness = commitment.source.randomness(BATCH, &reveal)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for threads in [1, threads] {
        let step = format!("draw with root, {threads} threads");
        outcomes = timed(&step, || draw(&commitment, &randomness, &entrants, threads))??;
    }

    timed("self-test", || self_test(&entrants, &outcomes, threads))?;
    timed("bundle", || -> Result<(), Box<dyn Error>> {
        let signed = commitment.sign(&SigningKey::from_seed(&[0x42; 32]))?;
        let mut bundle = BundleWriter::new(BufWriter::new(File::create(path)?), signed)?;
        for entrant in &entrants {
            bundle.entrant(entrant)?;
        }
        bundle.reveal(&reveal)?;
        for outcome in &outcomes {
            bundle.outcome(outcome)?;
        }
        bundle.finish()?;
        Ok(())
    })?
}

fn plan(places: u32) -> Result<QuotaPlan, draw::Invalid> {
    let group = |name: &str, places| Group {
        name: name.to_owned(),
        places,
    };
    let region = |region| RegionWeight {
        region,
        weight: 1000 + 50 * region,
        floor: places / 100,
    };
    QuotaPlan::new(
        places,
        vec![
            group("disability", places / 20),
            group("rural", places / 10),
        ],
        Regions::Proportional((1..=REGIONS).map(region).collect()),
        RemainderRule::General,
    )
}

/// Attributes depend on the number alone and do not follow the order of the list. Eight in ten have a household.
fn entrant(number: u32, count: u32) -> Entrant {
    let spread = spread(number);
    let part = |bits: u32, bound: u64| (spread >> bits) % bound;
    let byte = |value: u64| u8::try_from(value).unwrap_or_default();
    let household = part(3, u64::from(count) * 4 / 7 + 1);
    Entrant {
        pseudonym: (u128::from(number) << 96 | u128::from(spread)).to_be_bytes(),
        region: u32::try_from(1 + part(7, u64::from(REGIONS))).unwrap_or_default(),
        groups: u32::from(part(11, 20) == 0) | u32::from(part(13, 4) == 0) << 1,
        covariates: Covariates {
            apply_order: byte(part(17, 100)),
            sex: byte(part(19, 3)),
            age_band: byte(part(23, 7)),
        },
        household: (part(29, 5) > 0).then(|| u128::from(household).to_be_bytes()),
        household_prior: byte(u64::from(part(29, 5) > 0 && household % 10 == 0)),
    }
}

fn spread(number: u32) -> u64 {
    let mixed = (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
}

fn timed<T>(step: &str, work: impl FnOnce() -> T) -> io::Result<T> {
    let start = Instant::now();
    let result = work();
    writeln!(
        io::stdout(),
        "{:>8} ms  {step}",
        start.elapsed().as_millis()
    )?;
    Ok(result)
}
