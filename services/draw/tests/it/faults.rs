//! Every part of a bundle broken in turn: each fault has its reason, and both verifiers name it.

use draw::{Commitment, Invalid, Outcome, QuotaPlan, Regions, RemainderRule, Verdict, verify};

use crate::{
    draws::{Draw, a_long_draw, a_small_draw, reveal},
    verifiers::{Scratch, python, rust},
};

const ENTRANT_BYTES: usize = 27;
const TOKEN_BYTES: usize = 16;
/// Kind, length, number of trustees, two secrets with their marks, the beacon's mark.
const REVEAL_BYTES: usize = 1 + 2 + 1 + 2 * SECRET_BYTES + 1;
const SECRET_BYTES: usize = 1 + 32;

/// Offsets of the small draw's sections.
pub(crate) struct Layout {
    pub(crate) signature: usize,
    entrants: usize,
    pub(crate) reveal: usize,
    result: usize,
    hash: usize,
    end: usize,
}

pub(crate) fn layout(draw: &Draw) -> Layout {
    let entrants = 16
        + draw
            .signed()
            .to_bytes()
            .expect("the commitment is within limits")
            .len();
    let tokens = draw
        .entrants
        .iter()
        .filter(|entrant| entrant.household.is_some())
        .count();
    let reveal = entrants + draw.entrants.len() * ENTRANT_BYTES + tokens * TOKEN_BYTES;
    let result = reveal + REVEAL_BYTES;
    let hash = result + 5 * draw.entrants.len();
    Layout {
        signature: entrants - 64,
        entrants,
        reveal,
        result,
        hash,
        end: hash + 32,
    }
}

/// The command, the library on several numbers of threads, and the other verifier.
pub(crate) fn all_name(fault: &str, bundle: &[u8], reason: &str) {
    let file = Scratch::new(&format!("fault-{}", fault.replace(' ', "-")), bundle);
    for verifier in [rust, python] {
        let answer = verifier(&[file.path()]);
        assert_eq!(
            (answer.exit, answer.reason()),
            (Some(1), reason),
            "{fault}: {}",
            answer.json
        );
    }
    for threads in [1, 2, 8] {
        let refused = verify(bundle, None, threads).map_err(|invalid| invalid.reason());
        assert_eq!(refused.err(), Some(reason), "{fault}: {threads} threads");
    }
}

/// Flips a bit of the byte at `offset`.
fn flipped(bundle: &[u8], offset: usize) -> Vec<u8> {
    let mut bytes = bundle.to_vec();
    bytes[offset] ^= 1;
    bytes
}

#[test]
fn a_changed_byte_is_named_by_its_part() {
    let draw = a_small_draw();
    let at = layout(&draw);
    let bundle = draw.bundle();
    assert_eq!(bundle.len(), at.end);
    let batch = 16 + 4 + 18 + 1;
    let root = batch + 10 + 8;
    let plan = root + 64 + 4;
    let cases = [
        ("magic", 0, "NOT_A_BUNDLE"),
        ("commitment length", 16, "LIMIT_EXCEEDED"),
        ("commitment kind", 20, "MALFORMED"),
        ("batch", batch, "SIGNATURE_INVALID"),
        ("entrant count", root - 1, "SIGNATURE_INVALID"),
        ("root", root, "SIGNATURE_INVALID"),
        ("rule set", root + 32, "SIGNATURE_INVALID"),
        ("places", plan + 4, "SIGNATURE_INVALID"),
        ("plan version", plan, "MALFORMED"),
        ("group places", plan + 18, "MALFORMED"),
        ("commit time", at.signature - 32 - 1, "SIGNATURE_INVALID"),
        ("public key", at.signature - 1, "SIGNATURE_INVALID"),
        ("signature", at.signature, "SIGNATURE_INVALID"),
        ("pseudonym", at.entrants + 15, "ROOT_MISMATCH"),
        ("region", at.entrants + 19, "ROOT_MISMATCH"),
        ("groups", at.entrants + 23, "ROOT_MISMATCH"),
        ("unknown group", at.entrants + 20, "ENTRANT_MALFORMED"),
        ("order of application", at.entrants + 24, "ROOT_MISMATCH"),
        ("age band", at.entrants + 25, "ROOT_MISMATCH"),
        (
            "household prior",
            at.entrants + ENTRANT_BYTES + 26,
            "ROOT_MISMATCH",
        ),
        (
            "household token",
            at.entrants + 2 * ENTRANT_BYTES,
            "ROOT_MISMATCH",
        ),
        ("reveal kind", at.reveal, "UNSUPPORTED_SOURCE"),
        ("reveal length", at.reveal + 2, "MALFORMED"),
        ("trustee count", at.reveal + 3, "MALFORMED"),
        ("secret mark", at.reveal + 4, "MALFORMED"),
        ("secret", at.reveal + 5, "REVEAL_MISMATCH"),
        ("beacon mark", at.result - 1, "MALFORMED"),
        ("rank", at.result + 3, "RESULT_MISMATCH"),
        ("outcome", at.result + 4, "RESULT_MISMATCH"),
        ("last outcome", at.hash - 1, "RESULT_MISMATCH"),
        ("result hash", at.hash, "RESULT_HASH_MISMATCH"),
    ];
    for (fault, offset, reason) in cases {
        all_name(fault, &flipped(&bundle, offset), reason);
    }
}

#[test]
fn entrants_out_of_order_repeated_or_swapped_are_named() {
    let draw = a_small_draw();
    let at = layout(&draw);
    let bundle = draw.bundle();

    let mut disordered = bundle.clone();
    disordered[at.entrants] = 0xff;
    all_name("order", &disordered, "ENTRANT_ORDER");
    let mut repeated = bundle.clone();
    let second = at.entrants + ENTRANT_BYTES;
    repeated.copy_within(at.entrants..at.entrants + 16, second);
    all_name("repeat", &repeated, "ENTRANT_ORDER");
}

#[test]
fn covariates_outside_their_ranges_are_named() {
    let draw = a_small_draw();
    let at = layout(&draw);
    let cases = [
        ("percentile 99", 24, 99, "ROOT_MISMATCH"),
        ("percentile 100", 24, 100, "ENTRANT_MALFORMED"),
        ("male of the last age band", 25, 0x2f, "ROOT_MISMATCH"),
        ("sex 3", 25, 0x30, "ENTRANT_MALFORMED"),
    ];
    for (fault, offset, value, reason) in cases {
        let mut bundle = draw.bundle();
        bundle[at.entrants + offset] = value;
        all_name(fault, &bundle, reason);
    }
}

#[test]
fn a_household_added_or_dropped_shifts_what_follows() {
    let draw = a_small_draw();
    let at = layout(&draw);

    let mut added = draw.bundle();
    added[at.entrants + 26] = 1;
    all_name("household added", &added, "ENTRANT_MALFORMED");
    let mut dropped = draw.bundle();
    dropped[at.entrants + ENTRANT_BYTES + 26] = 0;
    all_name("household dropped", &dropped, "ENTRANT_MALFORMED");
}

#[test]
fn the_first_fault_of_a_long_list_is_named_whoever_finds_it() {
    let draw = a_long_draw();
    let at = layout(&draw);
    let bundle = draw.bundle();
    // Without households records have one length. The list is read in rounds of 65,536 entrants, by blocks of 4,096.
    let record = |index: usize| at.entrants + index * ENTRANT_BYTES;
    let disordered = |index| (record(index), 0xff);
    let malformed = |index| (record(index) + 24, 100);
    let cases = [
        (
            "one block",
            [disordered(5000), malformed(6000)],
            "ENTRANT_ORDER",
            5001,
        ),
        (
            "two blocks",
            [malformed(20_000), disordered(3000)],
            "ENTRANT_ORDER",
            3001,
        ),
        (
            "block borders",
            [disordered(4095), malformed(4097)],
            "ENTRANT_ORDER",
            4096,
        ),
        (
            "two rounds",
            [malformed(65_535), malformed(65_536)],
            "ENTRANT_MALFORMED",
            65_535,
        ),
        (
            "round borders",
            [disordered(65_535), malformed(65_537)],
            "ENTRANT_ORDER",
            65_536,
        ),
    ];
    for (faults, changes, reason, index) in cases {
        let mut changed = bundle.clone();
        for (offset, value) in changes {
            changed[offset] = value;
        }
        // The end is cut off as well: that fault comes later.
        changed.truncate(record(66_000) + 1);

        for threads in [1, 2, 8] {
            let detail = verify(&changed[..], None, threads).unwrap_err();
            assert_eq!(detail.reason(), reason, "{faults}");
            assert!(
                detail.to_string().contains(&format!("entrant {index} ")),
                "{faults}: {detail}"
            );
        }
        all_name(faults, &changed, reason);
    }
    all_name("long list cut", &bundle[..record(66_000) + 1], "TRUNCATED");
    let mut root = bundle.clone();
    root[record(66_000) + 25] ^= 1;
    all_name("long list changed", &root, "ROOT_MISMATCH");
    let mut outcome = bundle;
    outcome[at.hash - 1] = 1;
    outcome.truncate(at.hash);
    all_name("long result changed", &outcome, "RESULT_MISMATCH");
    all_name("long result cut", &outcome[..at.hash - 1], "TRUNCATED");
}

#[test]
fn secrets_missing_or_swapped_are_named() {
    let draw = a_small_draw();
    let at = layout(&draw);
    let bundle = draw.bundle();

    let mut swapped = bundle.clone();
    let secrets = at.reveal + 4;
    swapped[secrets..secrets + 2 * SECRET_BYTES].rotate_left(SECRET_BYTES);
    all_name("swapped secrets", &swapped, "REVEAL_MISMATCH");
    let mut missing = bundle.clone();
    missing.drain(secrets..secrets + SECRET_BYTES);
    missing[at.reveal + 2] = 1 + 33 + 1;
    missing[at.reveal + 3] = 1;
    all_name("missing secret", &missing, "REVEAL_COUNT");
}

#[test]
fn cuts_and_additions_are_named() {
    let draw = a_small_draw();
    let at = layout(&draw);
    let bundle = draw.bundle();

    all_name("empty", &[], "NOT_A_BUNDLE");
    let cuts = [
        ("commitment", 30),
        ("signature", at.signature + 1),
        ("entrants", at.entrants + 5),
        ("reveal", at.reveal + 1),
        ("result", at.result + 7),
        ("hash", at.end - 1),
    ];
    for (section, length) in cuts {
        all_name(&format!("cut {section}"), &bundle[..length], "TRUNCATED");
    }
    all_name("addition", &[&bundle[..], b"\n"].concat(), "TRAILING_BYTES");
}

#[test]
fn a_signed_commitment_to_something_else_is_named() {
    let small = a_small_draw();
    let with = |commitment: Commitment| Draw {
        commitment,
        reveal: reveal(),
        entrants: small.entrants.clone(),
    };
    let outcomes = small.outcomes();

    let other_root = with(Commitment {
        root: [0; 32],
        ..small.commitment.clone()
    });
    all_name(
        "signed root",
        &other_root.bundle_with(&outcomes),
        "ROOT_MISMATCH",
    );
    let plan = QuotaPlan::new(7, Vec::new(), Regions::None, RemainderRule::General).unwrap();
    let other_plan = with(Commitment {
        plan,
        ..small.commitment.clone()
    });
    let without_groups = Draw {
        entrants: small
            .entrants
            .iter()
            .map(|e| draw::Entrant { groups: 0, ..*e })
            .collect(),
        ..other_plan
    };
    all_name(
        "signed plan",
        &without_groups.bundle_with(&outcomes),
        "ROOT_MISMATCH",
    );
    let unlimited = with(Commitment {
        household_limit: None,
        ..small.commitment.clone()
    });
    all_name(
        "signed limit",
        &unlimited.bundle_with(&outcomes),
        "RESULT_MISMATCH",
    );
}

#[test]
fn a_forged_win_is_named() {
    let draw = a_small_draw();
    let mut outcomes = draw.outcomes();
    let loser = outcomes.iter().position(|outcome| !outcome.won()).unwrap();
    outcomes[loser].verdict = Verdict::Won(draw::Stratum::General);

    all_name(
        "forged win",
        &draw.bundle_with(&outcomes),
        "RESULT_MISMATCH",
    );
}

#[test]
fn no_byte_can_be_changed_and_no_end_cut_off() {
    let bundle = a_small_draw().bundle();
    assert!(verify(&bundle[..], None, 2).is_ok());

    for offset in 0..bundle.len() {
        assert!(
            verify(&flipped(&bundle, offset)[..], None, 1).is_err(),
            "byte {offset}"
        );
    }
    for length in (0..bundle.len()).step_by(5) {
        assert!(
            verify(&bundle[..length], None, 1).is_err(),
            "length {length}"
        );
    }
}

#[test]
fn a_draw_among_others_than_the_committed_entrants_is_refused() {
    let small = a_small_draw();
    let drawn = |entrants: &[draw::Entrant]| {
        draw::draw(&small.commitment, &small.randomness(), entrants, 2)
    };

    let mut changed = small.entrants.clone();
    changed[3].region += 1;
    assert_eq!(drawn(&changed), Err(Invalid::RootMismatch));
    changed.swap(3, 4);
    assert_eq!(drawn(&changed), Err(Invalid::EntrantOrder { index: 4 }));
    let count = Invalid::CountMismatch {
        committed: 12,
        found: 11,
    };
    assert_eq!(drawn(&small.entrants[1..]), Err(count));
}

#[test]
fn a_writer_out_of_step_is_refused() {
    let draw = a_small_draw();
    let mut writer = draw::BundleWriter::new(Vec::new(), draw.signed()).unwrap();
    let some_outcome: Outcome = draw.outcomes()[0];

    assert!(writer.outcome(&some_outcome).is_err());
    assert!(writer.reveal(&draw.reveal).is_err());
    assert!(writer.finish().is_err());
    let mut forged = draw.signed();
    forged.commitment.root = [0; 32];
    let refused = draw::BundleWriter::new(Vec::new(), forged);
    assert!(matches!(refused, Err(Invalid::SignatureInvalid)));
}
