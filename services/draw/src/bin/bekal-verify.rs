//! Verifies the public bundle of a draw without network or database. Exit code 0: valid; 1: not valid, the
//! reason is named; 64: wrong use.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    process::ExitCode,
    thread,
};

use draw::{
    Finding, Invalid, PublicKey, RandomnessSource, Reveal, SelfTest, SignedReceipt, Standing,
    Stratum, Verdict, VerifiedDraw, verify,
};

const USAGE: &str = "\
usage: bekal-verify BUNDLE [--public-key HEX] [--receipt FILE] [--receipt-key HEX] [--json]
  --public-key HEX   key that must have signed the commitment (else the one in the bundle is shown)
  --receipt FILE     also tell what the draw says about the holder of this receipt
  --receipt-key HEX  key that signed the receipt, if it is not the commitment's
  --json             answer in JSON
";
/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

#[derive(Default)]
struct Arguments {
    bundle: String,
    public_key: Option<PublicKey>,
    receipt: Option<String>,
    receipt_key: Option<PublicKey>,
    json: bool,
}

/// Printed fields in order; `json` holds the value as JSON writes it.
struct Field {
    name: &'static str,
    text: String,
    json: String,
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(env::args().skip(1)) else {
        return print(&mut io::stderr().lock(), USAGE, ExitCode::from(EXIT_USAGE));
    };
    let (fields, code) = match verdict(&arguments) {
        Ok(fields) => (fields, ExitCode::SUCCESS),
        Err(invalid) => (invalid_fields(&invalid), ExitCode::FAILURE),
    };
    let answer = if arguments.json {
        as_json(&fields)
    } else {
        as_text(&fields)
    };
    print(&mut io::stdout().lock(), &answer, code)
}

/// An answer that nobody can read is no verdict.
fn print(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn verdict(arguments: &Arguments) -> Result<Vec<Field>, Invalid> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let draw = verify(
        File::open(&arguments.bundle)?,
        arguments.public_key.as_ref(),
        threads,
    )?;
    let mut fields = valid_fields(&draw, arguments.public_key.is_some());
    if let Some(path) = &arguments.receipt {
        let receipt = SignedReceipt::from_bytes(&fs::read(path)?)?;
        let key = arguments.receipt_key.unwrap_or(draw.signed.public_key);
        fields.extend(standing_fields(&draw.standing(&receipt, &key)?));
    }
    Ok(fields)
}

fn valid_fields(draw: &VerifiedDraw, key_given: bool) -> Vec<Field> {
    let commitment = &draw.signed.commitment;
    let mut fields = vec![
        flag("valid", true),
        string("batch", &commitment.batch),
        number("entrants", draw.entrants.len()),
        number("places", commitment.plan.places()),
        number("winners", draw.winner_count()),
        number("household_limited", draw.household_limit_count()),
        string("root", &hex(&commitment.root)),
        string("rule_set", &hex(&commitment.rule_set_hash)),
    ];
    fields.extend(source_fields(&commitment.source, &draw.reveal));
    fields.extend([
        string("randomness", &hex(draw.randomness.as_bytes())),
        string("result_hash", &hex(&draw.result_hash)),
        number("commit_time", commitment.commit_time),
        string("public_key", &draw.signed.public_key.to_string()),
        string("public_key_id", &draw.signed.public_key.id()),
        flag("public_key_expected", key_given),
        self_test_field(&draw.self_test),
        flag("self_test_alarm", draw.self_test.alarm),
    ]);
    fields
}

/// Tells where the randomness came from, and who of the trustees was absent.
fn source_fields(source: &RandomnessSource, reveal: &Reveal) -> Vec<Field> {
    match (source, reveal) {
        (RandomnessSource::Drand(round), _) => vec![string("source", &round.to_string())],
        (RandomnessSource::CommitReveal(source), Reveal::CommitReveal { secrets, .. }) => {
            let (absent, count) = (source.absent(secrets), source.trustees.len());
            let revealed = format!("{} of {count} trustees", count - absent.len());
            let round = source.beacon.map(|round| format!(" and {round}"));
            vec![
                string("source", &(revealed + &round.unwrap_or_default())),
                strings("absent", &absent),
            ]
        }
        _ => Vec::new(),
    }
}

fn self_test_field(self_test: &SelfTest) -> Field {
    let text = |test: &Finding| format!("{} p {:.2e}", test.name, test.p_value);
    let json = |test: &Finding| {
        format!(
            r#"{{"name":"{}","statistic":"{:.2e}","degrees_of_freedom":{},"p_value":"{:.2e}"}}"#,
            test.name, test.statistic, test.degrees_of_freedom, test.p_value
        )
    };
    let joined = |each: &dyn Fn(&Finding) -> String, separator| {
        let tests: Vec<String> = self_test.tests.iter().map(each).collect();
        tests.join(separator)
    };
    Field {
        name: "self_test",
        text: joined(&text, ", "),
        json: format!("[{}]", joined(&json, ",")),
    }
}

fn standing_fields(standing: &Standing) -> Vec<Field> {
    match standing {
        Standing::Listed { outcome, proof } => vec![
            flag("listed", true),
            number("rank", outcome.rank),
            string("outcome", &outcome_text(outcome.verdict)),
            number("leaf", proof.index),
            string(
                "proof",
                &proof
                    .siblings
                    .iter()
                    .map(|node| hex(node))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        ],
        Standing::LeftOut { applied_in_time } => {
            vec![
                flag("listed", false),
                flag("applied_in_time", *applied_in_time),
            ]
        }
    }
}

fn outcome_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::Won(Stratum::Group(i)) => format!("won in group {i}"),
        Verdict::Won(Stratum::Region) => "won in region".to_owned(),
        Verdict::Won(Stratum::General) => "won in general pool".to_owned(),
        Verdict::NotDrawn => "not drawn".to_owned(),
        Verdict::HouseholdLimit => "household limit".to_owned(),
    }
}

fn invalid_fields(invalid: &Invalid) -> Vec<Field> {
    vec![
        flag("valid", false),
        string("reason", invalid.reason()),
        string("detail", &invalid.to_string()),
    ]
}

fn as_text(fields: &[Field]) -> String {
    let line = |field: &Field| match (field.name, field.text.as_str()) {
        ("valid", "true") => "VALID\n".to_owned(),
        ("valid", _) => "NOT VALID\n".to_owned(),
        ("public_key_expected", "false") => {
            "note: no --public-key given; compare the key with the published one\n".to_owned()
        }
        ("self_test_alarm", "false") => String::new(),
        ("self_test_alarm", _) => {
            "note: the self-test raises an alarm, as at most 1 honest draw in 100 does\n".to_owned()
        }
        (name, text) => format!("{:<20} {text}\n", name.replace('_', " ")),
    };
    fields.iter().map(line).collect()
}

fn as_json(fields: &[Field]) -> String {
    let member = |field: &Field| format!("\"{}\":{}", field.name, field.json);
    format!(
        "{{{}}}\n",
        fields.iter().map(member).collect::<Vec<_>>().join(",")
    )
}

fn flag(name: &'static str, value: bool) -> Field {
    Field {
        name,
        text: value.to_string(),
        json: value.to_string(),
    }
}

fn number(name: &'static str, value: impl ToString) -> Field {
    Field {
        name,
        text: value.to_string(),
        json: value.to_string(),
    }
}

fn string(name: &'static str, text: &str) -> Field {
    // Texts of a checked bundle hold no control characters; the other two are escaped.
    let json = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    Field {
        name,
        text: text.to_owned(),
        json,
    }
}

fn strings(name: &'static str, texts: &[&str]) -> Field {
    let members = texts.iter().map(|text| string(name, text).json);
    Field {
        name,
        text: if texts.is_empty() {
            "none".to_owned()
        } else {
            texts.join(", ")
        },
        json: format!("[{}]", members.collect::<Vec<_>>().join(",")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Arguments {
    /// Returns `None` when the command line does not follow the usage.
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = Self::default();
        let mut bundles = Vec::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => arguments.json = true,
                "--public-key" => {
                    arguments.public_key = Some(PublicKey::from_hex(&words.next()?).ok()?);
                }
                "--receipt-key" => {
                    arguments.receipt_key = Some(PublicKey::from_hex(&words.next()?).ok()?);
                }
                "--receipt" => arguments.receipt = Some(words.next()?),
                option if option.starts_with("--") => return None,
                _ => bundles.push(word),
            }
        }
        let [bundle] = <[String; 1]>::try_from(bundles).ok()?;
        Some(Self {
            bundle,
            ..arguments
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_command_line_names_one_bundle_and_known_options() {
        let arguments = parse("48.bundle --json --receipt mine").unwrap();

        assert_eq!(arguments.bundle, "48.bundle");
        assert_eq!(arguments.receipt.as_deref(), Some("mine"));
        assert!(arguments.json);
        for wrong in [
            "",
            "a b",
            "a --public-key",
            "a --public-key 12",
            "a --force",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_in_json() {
        assert_eq!(
            as_json(&[string("batch", r#"a"\b"#)]),
            "{\"batch\":\"a\\\"\\\\b\"}\n"
        );
    }
}
