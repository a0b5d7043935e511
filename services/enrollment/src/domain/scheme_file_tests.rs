//! What is read from a scheme file, and what is wrong with one.

use super::*;

const SHIPPED: [(&str, &str); 2] = [
    (
        "prakerja-2020.toml",
        include_str!("../../../../deploy/schemes/prakerja-2020.toml"),
    ),
    (
        "prakerja-2023.toml",
        include_str!("../../../../deploy/schemes/prakerja-2023.toml"),
    ),
];

fn mistakes(content: &str) -> Vec<(usize, String, String)> {
    let mistakes = parse("x.toml", content).unwrap_err().mistakes;
    mistakes
        .into_iter()
        .map(|m| (m.line, m.key, m.text))
        .collect()
}

#[test]
fn the_shipped_schemes_have_the_programmes_amounts() {
    for ((file, content), expected) in SHIPPED.into_iter().zip([
        (
            "prakerja-2020",
            "IDR 1000000.00",
            30,
            [("IDR 600000.00", 4), ("IDR 50000.00", 3)],
        ),
        (
            "prakerja-2023",
            "IDR 3500000.00",
            15,
            [("IDR 600000.00", 1), ("IDR 50000.00", 2)],
        ),
    ]) {
        let scheme = parse(file, content).unwrap_or_else(|m| panic!("{m:?}"));

        let incentives = scheme
            .incentives
            .iter()
            .map(|i| (i.amount.to_string(), i.instalment_count));
        let (id, balance, days, expected_incentives) = expected;
        assert_eq!(scheme.id, id);
        assert_eq!(scheme.programme, "prakerja");
        assert_eq!(scheme.training_balance.to_string(), balance);
        assert_eq!(scheme.first_purchase_days, days);
        assert_eq!(scheme.household_limit, 2);
        assert!(scheme.once_only);
        let expected: Vec<(String, i32)> = expected_incentives
            .into_iter()
            .map(|(amount, count)| (amount.to_owned(), count))
            .collect();
        assert_eq!(incentives.collect::<Vec<_>>(), expected);
        assert!(
            scheme
                .rules
                .rules()
                .iter()
                .all(|rule| rule.texts.contains_key("id") && rule.texts.contains_key("en"))
        );
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let content = SHIPPED[1]
        .1
        .replace("display_name = ", "displayname = ")
        .replace(
            "time_zone = \"Asia/Jakarta\"",
            "time_zone = \"Asia/Batavia\"",
        )
        .replace("first_purchase_days = 15", "first_purchase_days = \"15\"")
        .replace("amount = \"50000\"", "amount = \"50000.005\"")
        .replace(
            "age_years >= 18 && age_years <= 64",
            "age_yaers >= 18 &&\\n age_years <= 64",
        );
    let line_of = |part: &str| {
        content
            .lines()
            .position(|line| line.contains(part))
            .unwrap()
            + 1
    };

    let found = mistakes(&content);

    let expected = [
        (1, "display_name", "is missing"),
        (line_of("displayname"), "displayname", "is not a key"),
        (line_of("Batavia"), "time_zone", "is not a name of the IANA"),
        (
            line_of("first_purchase_days"),
            "first_purchase_days",
            "is not a whole number",
        ),
        (
            line_of("50000.005"),
            "incentives[1].amount",
            "is not an amount",
        ),
        (
            line_of("age_yaers"),
            "rules[0].expression",
            "`age_yaers` is not a fact",
        ),
    ];
    for (line, key, text) in expected {
        let is_told = found
            .iter()
            .any(|(l, k, t)| *l == line && k == key && t.contains(text));
        assert!(is_told, "{line} {key} {text}: {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn mistakes_of_syntax_are_told_with_their_line() {
    let found = mistakes("name = \"x\"\nprogramme = \n[completion\n");

    assert!(found.iter().any(|(line, ..)| *line == 2), "{found:#?}");
    assert!(found.iter().any(|(line, ..)| *line == 3), "{found:#?}");
}

#[test]
fn a_rule_reason_stands_once() {
    let content = SHIPPED[1]
        .1
        .replace("reason = \"DECEASED\"", "reason = \"AGE_OUT_OF_RANGE\"");

    let found = mistakes(&content);

    assert_eq!(found.len(), 1);
    assert!(found[0].2.contains("earlier rule"), "{found:?}");
}

#[test]
fn the_hash_of_the_rules_follows_what_decides() {
    let hash = |content: &str| *parse("x.toml", content).unwrap().rules.hash();
    let original = SHIPPED[1].1;

    let other_text = original.replace("Usia Anda", "Umur Anda");
    let other_rule = original.replace("age_years <= 64", "age_years <= 65");

    assert_ne!(original, other_text);
    assert_eq!(hash(original), hash(&other_text));
    assert_ne!(hash(original), hash(&other_rule));
}

#[test]
fn amounts_are_read_without_floating_point() {
    for (text, minor_per_unit, expected) in [
        ("600000", 100, Some(60_000_000)),
        ("12.5", 100, Some(1_250)),
        ("12.50", 100, Some(1_250)),
        ("12.505", 100, None),
        ("12.", 100, None),
        (".5", 100, None),
        ("-1", 100, None),
        ("+1", 100, None),
        ("600", 1, Some(600)),
        ("600.5", 1, None),
        ("1.005", 1000, Some(1_005)),
        ("99999999999999999999", 1, None),
    ] {
        assert_eq!(minor_units(text, minor_per_unit), expected, "{text}");
    }
}
