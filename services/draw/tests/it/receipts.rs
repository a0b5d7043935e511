//! What a bundle says about the holder of a receipt.

use draw::{Receipt, SigningKey};

use crate::{
    draws::{BATCH, a_small_draw, key},
    verifiers::{Scratch, python, rust},
};

fn receipt(batch: &str, pseudonym: [u8; 16], apply_time: u64, key: &SigningKey) -> Vec<u8> {
    let receipt = Receipt {
        batch: batch.to_owned(),
        pseudonym,
        apply_time,
    };
    receipt
        .sign(key)
        .and_then(|signed| signed.to_bytes())
        .expect("the batch is a name")
}

#[test]
fn every_entrant_proves_rank_and_outcome() {
    let draw = a_small_draw();
    let bundle = Scratch::new("listed", &draw.bundle());
    for (entrant, outcome) in draw.entrants.iter().zip(draw.outcomes()) {
        let bytes = receipt(BATCH, entrant.pseudonym, 1_699_000_000, &key());
        let file = Scratch::new("listed-receipt", &bytes);

        let answer = rust(&[bundle.path(), "--receipt", file.path()]);

        assert_eq!(answer.exit, Some(0), "{}", answer.json);
        let rank = format!("\"listed\":true,\"rank\":{},\"outcome\":\"", outcome.rank);
        assert!(answer.json.contains(&rank), "{}", answer.json);
        assert_eq!(answer.json.contains("\"outcome\":\"won"), outcome.won());
        assert_eq!(answer, python(&[bundle.path(), "--receipt", file.path()]));
    }
}

#[test]
fn an_applicant_who_was_left_out_proves_it() {
    let bundle = Scratch::new("left-out", &a_small_draw().bundle());
    for (apply_time, in_time) in [(1_700_000_000, true), (1_700_000_001, false)] {
        let file = Scratch::new(
            "left-out-receipt",
            &receipt(BATCH, [7; 16], apply_time, &key()),
        );

        let answer = rust(&[bundle.path(), "--receipt", file.path()]);

        let expected = format!("\"listed\":false,\"applied_in_time\":{in_time}}}\n");
        assert!(answer.json.ends_with(&expected), "{}", answer.json);
        assert_eq!(answer.exit, Some(0));
        assert_eq!(answer, python(&[bundle.path(), "--receipt", file.path()]));
    }
}

#[test]
fn a_receipt_of_another_batch_key_or_form_is_named() {
    let bundle = Scratch::new("refused", &a_small_draw().bundle());
    let other_key = SigningKey::from_seed(&[1; 32]);
    let cut = receipt(BATCH, [0; 16], 1, &key())[1..].to_vec();
    let cases = [
        (
            receipt("batches/47", [0; 16], 1, &key()),
            "RECEIPT_OTHER_BATCH",
        ),
        (
            receipt(BATCH, [0; 16], 1, &other_key),
            "RECEIPT_SIGNATURE_INVALID",
        ),
        (cut, "MALFORMED"),
    ];
    for (bytes, reason) in cases {
        let file = Scratch::new("refused-receipt", &bytes);
        for verifier in [rust, python] {
            let answer = verifier(&[bundle.path(), "--receipt", file.path()]);
            assert_eq!(
                (answer.exit, answer.reason()),
                (Some(1), reason),
                "{}",
                answer.json
            );
        }
    }
}

#[test]
fn a_receipt_may_be_signed_with_a_key_of_its_own() {
    let bundle = Scratch::new("own-key", &a_small_draw().bundle());
    let own_key = SigningKey::from_seed(&[1; 32]);
    let file = Scratch::new("own-key-receipt", &receipt(BATCH, [0; 16], 1, &own_key));
    let hex = own_key.public_key().to_string();

    for verifier in [rust, python] {
        let answer = verifier(&[
            bundle.path(),
            "--receipt",
            file.path(),
            "--receipt-key",
            &hex,
        ]);
        assert!(answer.json.contains("\"listed\":true"), "{}", answer.json);
    }
}
