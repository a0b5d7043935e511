//! The two verifiers as the public runs them, and that they agree to the byte.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use draw::self_test;

use crate::draws::{Draw, a_long_draw, a_made_up_draw, a_small_draw, key};

/// What a verifier answered to `--json`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) exit: Option<i32>,
    pub(crate) json: String,
}

impl Answer {
    pub(crate) fn reason(&self) -> &str {
        let after = self
            .json
            .split_once("\"reason\":\"")
            .map_or("", |(_, after)| after);
        after.split('"').next().unwrap_or_default()
    }
}

/// A file that lasts as long as the test that wrote it.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, bytes).expect("the scratch file is written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("the path is UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn rust(arguments: &[&str]) -> Answer {
    answer(
        Command::new(env!("CARGO_BIN_EXE_bekal-verify"))
            .args(arguments)
            .arg("--json")
            .output(),
    )
}

pub(crate) fn python(arguments: &[&str]) -> Answer {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/verify/bekal_verify.py"
    );
    // -B: the source tree stays free of byte code.
    answer(
        Command::new("python3")
            .args(["-B", script])
            .args(arguments)
            .arg("--json")
            .output(),
    )
}

fn answer(output: std::io::Result<Output>) -> Answer {
    let output = output.expect("the verifier starts");
    let json = String::from_utf8(output.stdout).expect("the answer is UTF-8");
    assert!(
        !json.is_empty() || output.status.code() == Some(64),
        "{:?}",
        output.stderr
    );
    Answer {
        exit: output.status.code(),
        json,
    }
}

#[test]
fn both_verifiers_answer_alike_for_any_plan() {
    for seed in 0..24 {
        let bundle = Scratch::new(&format!("made-up-{seed}"), &a_made_up_draw(seed).bundle());

        let answer = rust(&[bundle.path()]);

        assert_eq!(answer.exit, Some(0), "{}", answer.json);
        assert_eq!(answer, python(&[bundle.path()]), "seed {seed}");
    }
}

#[test]
fn both_verifiers_find_the_same_by_the_self_test() {
    let draw = a_long_draw();
    let bundle = Scratch::new("self-test", &draw.bundle());

    let answer = rust(&[bundle.path()]);

    let degrees = r#""degrees_of_freedom":90,"#;
    assert!(answer.json.contains(degrees), "{}", answer.json);
    assert!(answer.json.contains(r#""self_test_alarm":false"#));
    assert_eq!(answer, python(&[bundle.path()]));
}

#[test]
fn an_alarm_of_the_self_test_is_told_and_the_bundle_stays_valid() {
    // Among some hundred honest draws there is one.
    let alarms = |draw: &Draw| self_test(&draw.entrants, &draw.outcomes(), 1).alarm;
    let draw = (0..2000).map(a_made_up_draw).find(alarms).unwrap();
    let bundle = Scratch::new("alarm", &draw.bundle());

    let answer = rust(&[bundle.path()]);

    assert_eq!(answer.exit, Some(0));
    assert!(answer.json.contains(r#""self_test_alarm":true"#));
    assert_eq!(answer, python(&[bundle.path()]));
    let told = text(&bundle);
    assert!(
        told.contains("note: the self-test raises an alarm"),
        "{told}"
    );
}

#[test]
fn the_expected_key_is_asked_for_and_checked() {
    let bundle = Scratch::new("key", &a_small_draw().bundle());
    let right = key().public_key().to_string();
    let other = draw::SigningKey::from_seed(&[1; 32])
        .public_key()
        .to_string();

    for verifier in [rust, python] {
        let answer = verifier(&[bundle.path(), "--public-key", &right]);
        assert!(
            answer.json.contains("\"public_key_expected\":true"),
            "{}",
            answer.json
        );
        assert_eq!(answer.exit, Some(0));
        let answer = verifier(&[bundle.path(), "--public-key", &other]);
        assert_eq!((answer.exit, answer.reason()), (Some(1), "KEY_MISMATCH"));
    }
}

#[test]
fn wrong_use_and_missing_files_are_told_apart() {
    for verifier in [rust, python] {
        assert_eq!(verifier(&[]).exit, Some(64));
        assert_eq!(verifier(&["a", "b"]).exit, Some(64));
        assert_eq!(verifier(&["a", "--public-key", "12"]).exit, Some(64));
        let answer = verifier(&["/nonexistent/bundle"]);
        assert_eq!((answer.exit, answer.reason()), (Some(1), "IO"));
    }
}

#[test]
fn the_text_answer_begins_with_the_verdict() {
    let told = text(&Scratch::new("text", &a_small_draw().bundle()));

    let verdict = "VALID\nbatch                batches/48\n";
    assert!(told.starts_with(verdict), "{told}");
    let findings = "self test            apply_order p ";
    assert!(told.contains(findings) && !told.contains("alarm"), "{told}");
}

pub(crate) fn text(bundle: &Scratch) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bekal-verify"))
        .arg(bundle.path())
        .output()
        .expect("the verifier starts");
    String::from_utf8(output.stdout).expect("the answer is UTF-8")
}
