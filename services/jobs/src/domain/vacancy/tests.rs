//! What is read from a row of a feed.

use std::collections::HashMap;

use time::macros::datetime;

use super::*;
use crate::domain::import::RowState;

const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
const SOON: OffsetDateTime = datetime!(2026-12-01 00:00 UTC);
const LATER: OffsetDateTime = datetime!(2026-12-31 00:00 UTC);

fn advert(title: &str) -> Advert {
    Advert {
        content: Content {
            title: title.to_owned(),
            company: "PT Contoh".to_owned(),
            location: String::new(),
            salary_minor: None,
        },
        external_id: None,
        expire_time: None,
        region: None,
        warnings: Vec::new(),
    }
}

fn posting(external_id: &str, title: &str) -> Advert {
    Advert {
        external_id: Some(external_id.to_owned()),
        ..advert(title)
    }
}

fn until(expire_time: OffsetDateTime, advert: Advert) -> Advert {
    Advert {
        expire_time: Some(expire_time),
        ..advert
    }
}

/// Takes the adverts of one import and returns the states and the ids, `Uuid` by the order of rows over all imports.
fn take(book: &mut Book, adverts: &[Advert]) -> Vec<(RowState, u128)> {
    adverts
        .iter()
        .map(|advert| {
            let new_id = Uuid::from_u128(u128::try_from(book.vacancies.len()).unwrap() + 1);
            let (state, id) = book.take(advert, new_id);
            (state, id.as_u128())
        })
        .collect()
}

fn empty_book() -> Book {
    Book::new("portal", NOW, Vec::new(), HashMap::new(), HashMap::new())
}

/// The same portal under another import.
fn next_import(book: Book) -> Book {
    let vacancies = book.vacancies.into_values().collect();
    Book::new("portal", NOW, vacancies, book.postings, HashMap::new())
}

fn vacancy(book: &Book, id: u128) -> &Vacancy {
    book.vacancy(Uuid::from_u128(id)).unwrap()
}

#[test]
fn equal_rows_are_one_vacancy_and_the_same_file_again_changes_nothing() {
    let rows = [advert("A"), advert("B"), advert("A"), advert("A")];
    let mut book = empty_book();

    let first = take(&mut book, &rows);
    let mut book = next_import(book);
    let second = take(&mut book, &rows);

    assert_eq!(
        first,
        [
            (RowState::Created, 1),
            (RowState::Created, 2),
            (RowState::Duplicate, 1),
            (RowState::Duplicate, 1)
        ]
    );
    assert!(
        second
            .iter()
            .all(|(state, _)| *state == RowState::Unchanged)
    );
    assert_eq!(vacancy(&book, 1).advert_count(), 3);
    assert!(book.changes().updated.is_empty());
}

#[test]
fn a_later_file_with_one_more_advert_counts_that_one() {
    let mut book = empty_book();
    take(&mut book, &[advert("A"), advert("A")]);
    let mut book = next_import(book);

    let states = take(&mut book, &[advert("A"), advert("A"), advert("A")]);

    let states: Vec<RowState> = states.into_iter().map(|(state, _)| state).collect();
    assert_eq!(
        states,
        [
            RowState::Unchanged,
            RowState::Unchanged,
            RowState::Duplicate
        ]
    );
    assert_eq!(vacancy(&book, 1).advert_count(), 3);
}

#[test]
fn a_number_of_the_portal_is_one_advert_however_often_it_comes() {
    let mut book = empty_book();

    let states = take(
        &mut book,
        &[
            posting("1", "A"),
            posting("1", "A"),
            posting("2", "A"),
            posting("2", "A"),
        ],
    );

    assert_eq!(
        states,
        [
            (RowState::Created, 1),
            (RowState::Unchanged, 1),
            (RowState::Duplicate, 1),
            (RowState::Unchanged, 1)
        ]
    );
    assert_eq!(vacancy(&book, 1).advert_count(), 2);
}

#[test]
fn a_single_posting_changes_its_vacancy_in_place() {
    let mut book = empty_book();
    take(&mut book, &[posting("1", "A")]);
    let mut book = next_import(book);

    let states = take(&mut book, &[posting("1", "A2"), posting("2", "A")]);

    assert_eq!(states, [(RowState::Updated, 1), (RowState::Created, 2)]);
    assert_eq!(vacancy(&book, 1).content.title, "A2");
    assert_eq!(vacancy(&book, 2).content.title, "A");
}

#[test]
fn a_posting_of_several_moves_alone() {
    let mut book = empty_book();
    take(
        &mut book,
        &[posting("1", "A"), posting("2", "A"), posting("3", "B")],
    );
    let mut book = next_import(book);

    let states = take(&mut book, &[posting("1", "C"), posting("3", "A")]);

    assert_eq!(states, [(RowState::Created, 3), (RowState::Duplicate, 1)]);
    assert_eq!(vacancy(&book, 1).advert_count(), 2);
    assert_eq!(vacancy(&book, 2).advert_count(), 0);
    assert_eq!(
        vacancy(&book, 2).expire_time,
        Some(NOW),
        "no advert is left"
    );
}

#[test]
fn a_vacancy_without_adverts_comes_back_with_the_next_one() {
    let mut book = empty_book();
    take(&mut book, &[posting("1", "A"), posting("2", "B")]);
    take(&mut book, &[posting("1", "B")]);
    let mut book = next_import(book);

    let states = take(&mut book, &[posting("3", "A")]);

    assert_eq!(states, [(RowState::Updated, 1)]);
    assert_eq!(vacancy(&book, 1).expire_time, None);
}

#[test]
fn one_advert_ends_its_vacancy_and_of_several_the_latest() {
    let mut book = empty_book();

    take(&mut book, &[until(LATER, posting("1", "A"))]);
    let shortened = take(&mut book, &[until(SOON, posting("1", "A"))]);
    let widened = take(&mut book, &[until(LATER, posting("2", "A"))]);
    let known = take(
        &mut book,
        &[
            until(SOON, posting("1", "A")),
            until(LATER, posting("2", "A")),
        ],
    );

    assert_eq!(shortened, [(RowState::Updated, 1)]);
    assert_eq!(widened, [(RowState::Duplicate, 1)]);
    assert_eq!(vacancy(&book, 1).expire_time, Some(LATER));
    assert!(known.iter().all(|(state, _)| *state == RowState::Unchanged));
}

#[test]
fn a_region_that_is_known_meanwhile_is_an_update() {
    let mut book = empty_book();
    take(&mut book, &[advert("A")]);
    let mut book = next_import(book);
    let found = Advert {
        region: RegionCode::parse("32"),
        ..advert("A")
    };

    assert_eq!(
        take(&mut book, std::slice::from_ref(&found)),
        [(RowState::Updated, 1)]
    );
    assert_eq!(next_import_states(book, &found), RowState::Unchanged);
}

fn next_import_states(book: Book, advert: &Advert) -> RowState {
    let mut book = next_import(book);
    book.take(advert, Uuid::nil()).0
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_row_is_read_whole() {
    let fields = fields(&[
        ("title", "Staf  Gudang"),
        ("company", "PT Contoh"),
        ("location", "Atlantis"),
        ("mean_monthly_salary_idr", "5000000"),
        ("external_id", "X-1"),
        ("expire_time", "2026-12-31T23:59:59+07:00"),
    ]);

    let advert = read_row(&fields, &Gazetteer::default()).unwrap();

    assert_eq!(advert.content.title, "Staf Gudang");
    assert_eq!(advert.content.salary_minor, Some(500_000_000));
    assert_eq!(advert.external_id.as_deref(), Some("X-1"));
    assert_eq!(advert.expire_time, Some(datetime!(2026-12-31 16:59:59 UTC)));
    assert_eq!(advert.warnings.len(), 1);
}

#[test]
fn an_unsaid_salary_is_none_and_a_damaged_one_refused() {
    assert_eq!(salary("5000000"), Ok(500_000_000));
    for text in ["0", "-5", "5.000.000", "5jt", "5e6", "1000000000000", "٣"] {
        assert!(salary(text).is_err(), "{text}");
    }

    let unsaid = fields(&[
        ("title", "A"),
        ("company", "B"),
        ("mean_monthly_salary_idr", " "),
    ]);
    let advert = read_row(&unsaid, &Gazetteer::default()).unwrap();
    assert_eq!(advert.content.salary_minor, None);

    let damaged = fields(&[("mean_monthly_salary_idr", "5jt"), ("expire_time", "soon")]);
    let findings = read_row(&damaged, &Gazetteer::default()).unwrap_err();
    let columns: Vec<&str> = findings.iter().map(|finding| finding.column).collect();
    assert_eq!(
        columns,
        ["title", "company", "mean_monthly_salary_idr", "expire_time"]
    );
}

#[test]
fn contents_that_differ_in_one_part_have_other_keys() {
    let content = advert("A").content;
    let moved = Content {
        title: "AP".to_owned(),
        company: "T Contoh".to_owned(),
        ..content.clone()
    };
    let paid = Content {
        salary_minor: Some(1),
        ..content.clone()
    };

    assert_ne!(content.key(), moved.key());
    assert_ne!(content.key(), paid.key());
    assert_eq!(content.key(), content.clone().key());
}
