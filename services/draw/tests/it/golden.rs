//! One bundle in hexadecimal digits, kept in the repository: the format can only change on purpose.

use draw::{BundleReader, Reveal, verify};

use crate::{
    draws::{a_small_draw, secrets},
    verifiers::{Scratch, python, rust},
};

const GOLDEN: &str = include_str!("golden-bundle.hex");
const RESULT_HASH: &str = "103f5427167fb4e32c8d1e58988ef7ff8bc5eadd073299f1e040567a94cab77f";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_small_draw_gives_the_bytes_written_down() {
    let digits: String = GOLDEN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();

    assert_eq!(hex(&a_small_draw().bundle()), digits);
}

#[test]
fn any_number_of_threads_verifies_the_same_result() {
    let bundle = a_small_draw().bundle();
    for threads in [0, 1, 2, 5, 64] {
        let verified = verify(&bundle[..], None, threads).unwrap();
        assert_eq!(hex(&verified.result_hash), RESULT_HASH);
    }
}

#[test]
fn a_reader_streams_what_was_written() {
    let draw = a_small_draw();
    let bundle = draw.bundle();
    let mut reader = BundleReader::new(&bundle[..]).unwrap();

    assert_eq!(reader.signed_commitment(), &draw.signed());
    for entrant in &draw.entrants {
        assert_eq!(reader.entrant(), Ok(Some(*entrant)));
    }
    assert_eq!(reader.entrant(), Ok(None));
    assert_eq!(reader.reveal(), Ok(Reveal::CommitReveal(secrets())));
    for outcome in draw.outcomes() {
        assert_eq!(reader.outcome(), Ok(outcome));
    }
    assert_eq!(hex(&reader.finish().unwrap()), RESULT_HASH);
}

#[test]
fn both_verifiers_find_the_written_result_in_the_written_bytes() {
    let digits: String = GOLDEN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let bundle = Scratch::new("golden", &pairs.iter().map(byte).collect::<Vec<u8>>());

    let expected = format!("\"result_hash\":\"{RESULT_HASH}\"");
    for verifier in [rust, python] {
        let answer = verifier(&[bundle.path()]);
        assert_eq!(answer.exit, Some(0), "{}", answer.json);
        assert!(answer.json.contains(&expected), "{}", answer.json);
    }
}
