//! One bundle in hexadecimal digits, kept in the repository: the format can only change on purpose.

use draw::{BundleReader, verify};

use crate::{
    draws::{a_drand_draw, a_small_draw},
    verifiers::{Scratch, python, rust},
};

const GOLDEN: &str = include_str!("golden-bundle.hex");
const RESULT_HASH: &str = "bcf9bdb62e6a0ce9e80d722f60293674cd62a577041a53e01c1cd45780887bd8";
const DRAND_GOLDEN: &str = include_str!("golden-drand-bundle.hex");
const DRAND_RESULT_HASH: &str = "337e258f77da0d76ba35ebaff1f1364d8e7f7d2c3784b13b08c9a887e09964bc";

fn digits(golden: &str) -> String {
    golden
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_small_draws_give_the_bytes_written_down() {
    assert_eq!(hex(&a_small_draw().bundle()), digits(GOLDEN));
    assert_eq!(hex(&a_drand_draw().bundle()), digits(DRAND_GOLDEN));
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
    assert_eq!(reader.reveal(), Ok(draw.reveal.clone()));
    for outcome in draw.outcomes() {
        assert_eq!(reader.outcome(), Ok(outcome));
    }
    assert_eq!(hex(&reader.finish().unwrap()), RESULT_HASH);
}

#[test]
fn both_verifiers_find_the_written_result_in_the_written_bytes() {
    for (golden, result_hash) in [(GOLDEN, RESULT_HASH), (DRAND_GOLDEN, DRAND_RESULT_HASH)] {
        let digits = digits(golden);
        let (pairs, _) = digits.as_bytes().as_chunks::<2>();
        let byte =
            |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = pairs.iter().map(byte).collect();
        let bundle = Scratch::new(&format!("golden-{result_hash}"), &bytes);

        let expected = format!("\"result_hash\":\"{result_hash}\"");
        for verifier in [rust, python] {
            let answer = verifier(&[bundle.path()]);
            assert_eq!(answer.exit, Some(0), "{}", answer.json);
            assert!(answer.json.contains(&expected), "{}", answer.json);
        }
    }
}
