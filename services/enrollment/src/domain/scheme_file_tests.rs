//! What is read from a scheme file, and what is wrong with one.

use super::*;
use crate::domain::{
    facts::{FactValue, PersonFacts},
    scheme::YearEnd,
    time_zone::Day,
};

const SHIPPED: [(&str, &str); 3] = [
    (
        "prakerja-2020.toml",
        include_str!("../../../../deploy/schemes/prakerja-2020.toml"),
    ),
    (
        "prakerja-2023.toml",
        include_str!("../../../../deploy/schemes/prakerja-2023.toml"),
    ),
    (
        "skills-voucher-2027.toml",
        include_str!("../../../../deploy/schemes/skills-voucher-2027.toml"),
    ),
];

fn shipped(index: usize) -> Scheme {
    let (file, content) = SHIPPED[index];
    parse(file, content).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn mistakes(content: &str) -> Vec<(usize, String, String)> {
    let mistakes = parse("x.toml", content).unwrap_err().mistakes;
    mistakes
        .into_iter()
        .map(|m| (m.line, m.key, m.text))
        .collect()
}

#[test]
fn the_shipped_schemes_have_their_amounts_and_limits() {
    for (scheme, languages, balance, days, household_limit, incentives) in [
        (
            shipped(0),
            ["id", "en"],
            "IDR 1000000.00",
            (30, None),
            2,
            [("IDR 600000.00", 4), ("IDR 50000.00", 3)],
        ),
        (
            shipped(1),
            ["id", "en"],
            "IDR 3500000.00",
            (15, Some(15)),
            2,
            [("IDR 600000.00", 1), ("IDR 50000.00", 2)],
        ),
        (
            shipped(2),
            ["pt", "en"],
            "EUR 750.00",
            (20, Some(30)),
            0,
            [("EUR 87.45", 2), ("EUR 12.50", 1)],
        ),
    ] {
        let found = scheme
            .incentives
            .iter()
            .map(|i| (i.amount.to_string(), i.instalment_count));
        let expected = incentives.map(|(amount, count)| (amount.to_owned(), count));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(scheme.training_balance.to_string(), balance);
        assert_eq!(
            (scheme.first_purchase_days, scheme.next_purchase_days),
            days
        );
        assert_eq!(scheme.household_limit, household_limit);
        assert_eq!(scheme.languages, languages);
        for rule in scheme.rules.rules() {
            let tags: Vec<&str> = rule.texts.keys().map(String::as_str).collect();
            assert_eq!(tags.len(), 2, "{}", rule.reason);
            assert!(languages.iter().all(|tag| tags.contains(tag)));
        }
    }
}

#[test]
fn the_total_of_a_participation_is_the_published_one() {
    for (scheme, total) in [
        (shipped(0), "IDR 3550000.00"),
        (shipped(1), "IDR 4200000.00"),
    ] {
        let mut sum = scheme.training_balance;
        for incentive in &scheme.incentives {
            let amount = incentive
                .amount
                .checked_mul(incentive.instalment_count.into());
            sum = sum.checked_add(amount.unwrap()).unwrap();
        }

        assert_eq!(sum.to_string(), total);
    }
}

#[test]
fn only_the_scheme_of_2020_refuses_recipients_of_other_aid() {
    let mut person = PersonFacts {
        verified: true,
        region: "32.73".to_owned(),
        ..PersonFacts::unknown()
    };
    for (name, value) in [
        ("age_years", FactValue::Int(30)),
        ("citizenship", FactValue::Text("ID".to_owned())),
        ("occupation", FactValue::Text("FARMER".to_owned())),
        ("deceased", FactValue::Bool(false)),
    ] {
        person.facts.insert(name, value);
    }
    let refusals = |scheme: &Scheme, person: &PersonFacts| {
        let facts = person.for_rules(&scheme.fact_kinds, &scheme.fact_defaults, false);
        scheme.rules.broken_by(&facts)
    };

    // Who is on no list has no fact of it.
    assert!(refusals(&shipped(0), &person).is_empty());
    assert!(refusals(&shipped(1), &person).is_empty());
    person
        .facts
        .insert("listed_other_aid", FactValue::Bool(true));
    assert_eq!(refusals(&shipped(0), &person), ["OTHER_AID"]);
    assert!(refusals(&shipped(1), &person).is_empty());

    for (list, reason) in [
        ("listed_students", "STUDENT"),
        ("listed_civil_servants", "CIVIL_SERVANT"),
        ("listed_military_police", "MILITARY_OR_POLICE"),
        ("listed_village_officials", "VILLAGE_OFFICIAL"),
        ("listed_state_enterprise_directors", "SOE_DIRECTOR"),
    ] {
        let mut listed = person.clone();
        listed
            .facts
            .insert("listed_other_aid", FactValue::Bool(false));
        listed.facts.insert(list, FactValue::Bool(true));
        assert_eq!(refusals(&shipped(0), &listed), [reason]);
        assert_eq!(refusals(&shipped(1), &listed), [reason]);
    }
}

#[test]
fn the_last_days_of_a_year_are_those_announced() {
    let day = |year, month, day| Some(Day { year, month, day });
    let (semi_bansos, normal) = (shipped(0), shipped(1));

    assert_eq!(semi_bansos.year_ends[&2020].survey, day(2020, 12, 15));
    assert_eq!(semi_bansos.year_ends[&2021].purchase, day(2021, 11, 30));
    assert_eq!(semi_bansos.year_ends[&2021].completion, None);
    assert_eq!(semi_bansos.year_ends[&2022].payee, day(2022, 12, 10));
    let expected = YearEnd {
        purchase: day(2023, 10, 31),
        completion: day(2023, 11, 12),
        review: day(2023, 12, 3),
        payee: None,
        survey: None,
    };
    assert_eq!(normal.year_ends[&2023], expected);
    assert_eq!(normal.year_ends.len(), 1);
}

#[test]
fn a_day_ends_where_the_person_lives() {
    let scheme = shipped(2);

    for (region, zone) in [
        ("", "Europe/Lisbon"),
        ("11.06", "Europe/Lisbon"),
        ("31.03", "Europe/Lisbon"),
        ("42", "Atlantic/Azores"),
        ("42.03", "Atlantic/Azores"),
        ("42.03.01", "Atlantic/Azores"),
        ("4.42", "Europe/Lisbon"),
        ("420", "Europe/Lisbon"),
    ] {
        assert_eq!(scheme.time_zone_of(region).name(), zone, "{region}");
    }
}

#[test]
fn a_text_that_lacks_a_language_is_refused_and_one_in_another_as_well() {
    let content = SHIPPED[1]
        .1
        .replace("id = \"Anda masih", "in = \"Anda masih")
        .replace("en = \"You have been a recipient", "# \"");

    let found = mistakes(&content);

    let expected = [
        ("built_in_texts.ALREADY_RECIPIENT.en", "is missing"),
        ("rules[3].texts.id", "is missing"),
        ("rules[3].texts.in", "is not a key of a scheme"),
    ];
    let told: Vec<(&str, &str)> = found
        .iter()
        .map(|(_, k, t)| (k.as_str(), t.as_str()))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn mistakes_in_declarations_are_told() {
    let content = SHIPPED[2]
        .1
        .replace(
            "languages = [\"pt\", \"en\"]",
            "languages = [\"pt\", \"e n\"]",
        )
        .replace(
            "\"49\" = \"Atlantic/Azores\"",
            "\"4 9\" = \"Atlantic/Porto\"",
        )
        .replace("purchase = 2027-11-30", "purchase = 2027-12-11")
        .replace("payee = 2027-12-17", "payee = 2028-01-17")
        .replace(
            "survey = 2027-12-17",
            "survey = 2027-12-17T00:00:00\nsurvye = 2027-12-17",
        )
        .replace(
            "disability = \"bool\"",
            "int = \"bool\"\nregion = \"string\"",
        )
        .replace("default = false }", "default = 0, defualt = true }");

    let found = mistakes(&content);

    for (key, text) in [
        ("languages", "has what is not a language tag"),
        ("region_time_zones.4 9", "is not a dotted path"),
        ("region_time_zones.4 9", "is not a name of the IANA"),
        ("year_ends.2027.completion", "is before the last purchase"),
        ("year_ends.2027.payee", "is not in 2027"),
        ("year_ends.2027.survey", "is not a date such as"),
        ("year_ends.2027.survye", "is not a key"),
        ("facts.int", "is a word of the rules' language"),
        ("facts.region", "is a fact that every scheme has"),
        (
            "facts.listed_other_training_grants.default",
            "is not true or false",
        ),
        ("facts.listed_other_training_grants.defualt", "is not a key"),
    ] {
        let is_told = found.iter().any(|(_, k, t)| k == key && t.contains(text));
        assert!(is_told, "{key} {text}: {found:#?}");
    }
    assert_eq!(found.len(), 11, "{found:#?}");
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
            "age_yaers >= 18 &&\\n age_years <= '64' || matches(age_years)",
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
        (
            line_of("age_yaers"),
            "rules[0].expression",
            "puts int together with string",
        ),
        (
            line_of("age_yaers"),
            "rules[0].expression",
            "`matches` is not allowed",
        ),
    ];
    for (line, key, text) in expected {
        let is_told = found
            .iter()
            .any(|(l, k, t)| *l == line && k == key && t.contains(text));
        assert!(is_told, "{line} {key} {text}: {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");

    let places: Vec<usize> = parse("x.toml", &content)
        .unwrap_err()
        .mistakes
        .iter()
        .filter(|m| m.key == "rules[0].expression")
        .map(|m| m.column)
        .collect();
    let line = content.lines().nth(line_of("age_yaers") - 1).unwrap();
    let column_of = |part: &str| line.find(part).unwrap() + 1;
    assert_eq!(
        places,
        [
            column_of("age_yaers"),
            column_of("<= '64'"),
            column_of("(age_years)")
        ]
    );
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

    // A default decides, and so does the type without which a fact counts as missing.
    let other_default = original.replacen("default = false", "default = true", 1);
    let no_default = original.replacen("{ kind = \"bool\", default = false }", "\"bool\"", 1);
    let other_kind = original.replace("rural = \"bool\"", "rural = \"int\"");
    let hashes = [original, &other_default, &no_default, &other_kind].map(hash);
    let distinct: std::collections::BTreeSet<_> = hashes.into_iter().collect();
    assert_eq!(distinct.len(), 4);
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
