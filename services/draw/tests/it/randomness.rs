//! Every source of randomness, right and broken, before both verifiers.

use std::{path::Path, process::Command};

use draw::{DrandRound, QUICKNET, RandomnessSource, Reveal};

use crate::{
    draws::{Draw, a_drand_draw, a_small_draw, beacon_round, beacon_signature, secrets, trustees},
    faults::{all_name, layout},
    verifiers::{Scratch, python, rust, text},
};

/// Round 1000 of quicknet as its relays serve it.
const QUICKNET_SIGNATURE: &str = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125\
                                  e342b73a8dd2bacbe47e4b6b63ed5e39";
/// The same plus a point of order 3, which leaves the pairing's equation true.
const OUTSIDE_G1: &str = "abbaa2cd356c8b543308abe2c07d92facb092294f841b0c295786b635167aba1\
                          48d4e2e86fedf3cf2c04c43b68a5aaee";
/// The key of quicknet plus a point of order 13.
const OUTSIDE_G2: &str = "97743aa1d8abe897813c58b2c5cfec7203ec4f5572355ff9686d049c9bbd67bb\
                          e58693ee596ae4892e551e72ef889adc052d3078b4b71bebf82ead55e827e274\
                          7933882380b40b6a452ddb58dbb4f6b87e3d046c706b02a7c9039339368e7120";
/// Bytes of a drand round: key, genesis time, period, round.
const ROUND_BYTES: usize = 96 + 8 + 4 + 8;
const DRAND: u8 = 2;

fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    std::array::from_fn(|i| {
        u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("digits are hexadecimal")
    })
}

/// The small draw, decided by a real round.
fn a_quicknet_draw() -> Draw {
    let chain = QUICKNET;
    let round = DrandRound { chain, round: 1000 };
    let mut draw = a_small_draw();
    draw.commitment.commit_time = round.time() - 60;
    draw.commitment.source = RandomnessSource::Drand(round);
    draw.reveal = Reveal::Drand {
        signature: bytes(QUICKNET_SIGNATURE),
    };
    draw
}

/// The small draw of which the marked trustees are absent, with or without a beacon's round.
fn a_draw_without(absent: [bool; 2], with_beacon: bool) -> Draw {
    let mut source = trustees();
    let round = beacon_round(source.reveal_deadline + 60);
    source.quorum = 1;
    source.beacon = with_beacon.then_some(round);
    let mut secrets = secrets();
    for (secret, absent) in secrets.iter_mut().zip(absent) {
        *secret = secret.filter(|_| !absent);
    }
    let beacon = source.beacon.map(|round| beacon_signature(round.round));
    let mut draw = a_small_draw();
    draw.commitment.source = RandomnessSource::CommitReveal(source);
    draw.reveal = Reveal::CommitReveal { secrets, beacon };
    draw
}

/// The draw's bundle with another reveal in place of its own.
fn with_reveal(draw: &Draw, kind: u8, body: &[u8]) -> Vec<u8> {
    let (mut bundle, at) = (draw.bundle(), layout(draw).reveal);
    let length = u16::from_be_bytes([bundle[at + 1], bundle[at + 2]]);
    let [high, low] = u16::try_from(body.len())
        .expect("a reveal is short")
        .to_be_bytes();
    let reveal = [&[kind, high, low], body].concat();
    bundle.splice(at..at + 3 + usize::from(length), reveal);
    bundle
}

/// The draw's bundle with other bytes in the commitment, `offset` bytes before the commit time.
fn with_source(draw: &Draw, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let (mut bundle, commit_time) = (draw.bundle(), layout(draw).signature - 32 - 8);
    let start = commit_time - offset;
    bundle[start..start + bytes.len()].copy_from_slice(bytes);
    bundle
}

fn both_tell(name: &str, draw: &Draw, told: &str) {
    let bundle = Scratch::new(&format!("source-{name}"), &draw.bundle());

    let answer = rust(&[bundle.path()]);

    assert_eq!(answer.exit, Some(0), "{}", answer.json);
    assert!(answer.json.contains(told), "{}", answer.json);
    assert_eq!(answer, python(&[bundle.path()]));
}

#[test]
fn both_verifiers_tell_where_the_randomness_came_from() {
    let quicknet = r#""source":"drand quicknet round 1000","randomness""#;
    both_tell("quicknet", &a_quicknet_draw(), quicknet);
    let drand = r#""source":"round 3333337 of the drand chain with key "#;
    both_tell("drand", &a_drand_draw(), drand);
    let all = r#""source":"2 of 2 trustees","absent":[],"#;
    both_tell("all", &a_small_draw(), all);
}

#[test]
fn both_verifiers_draw_without_absent_trustees_and_name_them() {
    for (absent, names) in [
        ([false, false], r"[]"),
        ([false, true], r#"["Ombudsman"]"#),
        ([true, false], r#"["Mahkamah \"Agung\""]"#),
    ] {
        for with_beacon in [false, true] {
            let revealed = absent.iter().filter(|absent| !**absent).count();
            let round = if with_beacon {
                " and round 3333457 of the drand chain with key "
            } else {
                "\""
            };
            let draw = a_draw_without(absent, with_beacon);
            let name = format!("{absent:?}-{with_beacon}");
            let told = format!("\"source\":\"{revealed} of 2 trustees{round}");
            both_tell(&name, &draw, &told);
            both_tell(&name, &draw, &format!("\"absent\":{names},"));
        }
    }
}

#[test]
fn the_text_answer_names_the_absent() {
    let bundle = Scratch::new("absent", &a_draw_without([false, true], false).bundle());

    let told = text(&bundle);

    let lines = "source               1 of 2 trustees\nabsent               Ombudsman\n";
    assert!(told.contains(lines), "{told}");
}

#[test]
fn a_signature_that_is_not_the_rounds_is_named() {
    let draw = a_quicknet_draw();
    let mut altered: [u8; 48] = bytes(QUICKNET_SIGNATURE);
    altered[47] ^= 1;
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    for (fault, signature) in [
        ("altered", altered),
        ("another key", beacon_signature(1000)),
        ("infinity", infinity),
        ("outside the group", bytes(OUTSIDE_G1)),
        ("no point", [0xff; 48]),
        ("not compressed", [0; 48]),
    ] {
        let forged = with_reveal(&draw, DRAND, &signature);
        all_name(fault, &forged, "BEACON_SIGNATURE_INVALID");
    }
    let draw = a_drand_draw();
    let another = with_reveal(&draw, DRAND, &beacon_signature(3_333_336));
    all_name("another round", &another, "BEACON_SIGNATURE_INVALID");
}

#[test]
fn a_reveal_of_another_form_than_the_source_is_named() {
    let drand = a_drand_draw();
    let small = a_small_draw();
    let secret = with_reveal(&drand, 1, &[1, 0, 0]);
    all_name("secret for a beacon", &secret, "MALFORMED");
    let signature = with_reveal(&small, DRAND, &[0; 48]);
    all_name("beacon for secrets", &signature, "MALFORMED");
    let unknown = with_reveal(&drand, 3, &[0; 48]);
    all_name("unknown kind", &unknown, "UNSUPPORTED_SOURCE");
    let long = with_reveal(&drand, DRAND, &[0; 49]);
    all_name("long signature", &long, "MALFORMED");
    let short = with_reveal(&small, 1, &[2, 0]);
    all_name("short reveal", &short, "MALFORMED");
}

#[test]
fn a_missed_quorum_and_a_beacon_out_of_place_are_named() {
    let signature = beacon_signature(beacon_round(1_700_003_660).round);
    let (first, second, none) = (
        [&[1][..], &[0x11; 32]],
        [&[1][..], &[0x22; 32]],
        [&[0][..], &[]],
    );
    let body = |a: [&[u8]; 2], b: [&[u8]; 2], beacon: [&[u8]; 2]| {
        [&[2][..], &a.concat(), &b.concat(), &beacon.concat()].concat()
    };
    let beacon = [&[1][..], &signature];
    let strict = a_small_draw();
    let without = a_draw_without([false, true], false);
    let with = a_draw_without([false, true], true);
    for (fault, draw, body, reason) in [
        ("quorum", &strict, body(first, none, none), "QUORUM_MISSED"),
        ("nobody", &with, body(none, none, beacon), "QUORUM_MISSED"),
        (
            "no beacon and one absent",
            &with,
            body(none, second, none),
            "BEACON_MISSING",
        ),
        (
            "no beacon though all",
            &with,
            body(first, second, none),
            "BEACON_MISSING",
        ),
        (
            "beacon of none",
            &without,
            body(first, none, beacon),
            "BEACON_UNEXPECTED",
        ),
        (
            "other beacon",
            &with,
            body(first, none, [&[1], &beacon_signature(7)]),
            "BEACON_SIGNATURE_INVALID",
        ),
        (
            "wrong before quorum",
            &strict,
            body(second, none, none),
            "REVEAL_MISMATCH",
        ),
        (
            "too many",
            &strict,
            [&[3][..], &[0; 4]].concat(),
            "REVEAL_COUNT",
        ),
    ] {
        all_name(fault, &with_reveal(draw, 1, &body), reason);
    }
}

#[test]
fn a_source_that_could_be_known_or_cannot_be_is_named() {
    let drand = a_drand_draw();
    let with = a_draw_without([true, false], true);
    let mut infinity = [0; 96];
    infinity[0] = 0xc0;
    let early = 3_333_336_u64.to_be_bytes();
    let early_beacon = 3_333_456_u64.to_be_bytes();
    let deadline = 1_700_000_000_u64.to_be_bytes();
    // Beside the commit time is the round; before a trustees' round are its mark, the deadline and the quorum.
    let cases: [(&str, &Draw, usize, &[u8], &str); 12] = [
        ("early round", &drand, 8, &early, "ROUND_TOO_EARLY"),
        (
            "first round",
            &drand,
            8,
            &1_u64.to_be_bytes(),
            "ROUND_TOO_EARLY",
        ),
        ("round nought", &drand, 8, &[0; 8], "MALFORMED"),
        ("no period", &drand, 12, &[0; 4], "MALFORMED"),
        (
            "key at infinity",
            &drand,
            ROUND_BYTES,
            &infinity,
            "MALFORMED",
        ),
        (
            "key outside",
            &drand,
            ROUND_BYTES,
            &bytes::<96>(OUTSIDE_G2),
            "MALFORMED",
        ),
        ("late genesis", &drand, 20, &[0xff; 8], "SIGNATURE_INVALID"),
        ("early beacon", &with, 8, &early_beacon, "ROUND_TOO_EARLY"),
        ("beacon nought", &with, 8, &[0; 8], "MALFORMED"),
        (
            "deadline past",
            &with,
            ROUND_BYTES + 9,
            &deadline,
            "MALFORMED",
        ),
        ("quorum nought", &with, ROUND_BYTES + 10, &[0], "MALFORMED"),
        (
            "quorum of three",
            &with,
            ROUND_BYTES + 10,
            &[3],
            "MALFORMED",
        ),
    ];
    for (fault, draw, offset, bytes, reason) in cases {
        all_name(fault, &with_source(draw, offset, bytes), reason);
    }
}

#[test]
fn the_second_verifiers_curve_passes_the_published_vectors() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verify/bls12_381_test.py");

    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .output()
        .unwrap();

    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
