//! What becomes of the rows of a portal's feed.

use proto::r#type::v1::import_row_result::State;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    feed::{fields, import, row, states},
    harness::Jobs,
};

const STAF: [&str; 4] = ["Staf Gudang", "PT Contoh", "Kota Bandung", "5000000"];
const SUPIR: [&str; 4] = ["Supir", "PT Contoh", "Kota Bandung", ""];

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_row_becomes_a_vacancy(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;

    let results = import(&jobs, Uuid::now_v7(), "karir", &[row(&STAF)])
        .await
        .unwrap();

    assert_eq!(states(&results), [State::Created]);
    let vacancy = jobs.get(&results[0].name).await;
    assert_eq!(vacancy.portal, "karir");
    assert_eq!(vacancy.title, "Staf Gudang");
    assert_eq!(vacancy.company, "PT Contoh");
    assert_eq!(vacancy.location, "Kota Bandung");
    assert_eq!(vacancy.region, "32.73");
    assert_eq!(vacancy.advert_count, 1);
    assert_eq!(vacancy.expire_time, None);
    let salary = vacancy.monthly_salary.unwrap();
    assert_eq!(
        (salary.currency_code.as_str(), salary.units, salary.nanos),
        ("IDR", 5_000_000, 0)
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn equal_rows_are_folded_into_one_vacancy(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    let rows = [row(&STAF), row(&SUPIR), row(&STAF), row(&STAF)];

    let results = import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    assert_eq!(
        states(&results),
        [
            State::Created,
            State::Created,
            State::Duplicate,
            State::Duplicate
        ]
    );
    assert_eq!(results[2].name, results[0].name);
    assert_eq!(jobs.get(&results[0].name).await.advert_count, 3);
    assert_eq!(jobs.get(&results[1].name).await.advert_count, 1);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn the_same_file_again_changes_nothing(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    let rows = [row(&STAF), row(&STAF)];
    let first = import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    let second = import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    assert_eq!(states(&second), [State::Unchanged, State::Unchanged]);
    assert_eq!(second[0].name, first[0].name);
    assert_eq!(jobs.get(&first[0].name).await.advert_count, 2);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn another_portal_has_vacancies_of_its_own(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    import(&jobs, Uuid::now_v7(), "karir", &[row(&STAF)])
        .await
        .unwrap();

    let results = import(&jobs, Uuid::now_v7(), "lain", &[row(&STAF)])
        .await
        .unwrap();

    assert_eq!(states(&results), [State::Created]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_row_tells_all_that_is_wrong_with_it(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let damaged = fields(&[
        ("title", " "),
        ("location", "Bandung"),
        ("mean_monthly_salary_idr", "5 juta"),
        ("expire_time", "besok"),
    ]);

    let results = import(&jobs, Uuid::now_v7(), "karir", &[damaged, row(&SUPIR)])
        .await
        .unwrap();

    assert_eq!(states(&results), [State::Refused, State::Created]);
    assert_eq!(results[0].name, "");
    let told: Vec<(&str, &str)> = results[0]
        .violations
        .iter()
        .map(|violation| (violation.column.as_str(), violation.description.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("title", "is empty"),
            ("company", "is empty"),
            (
                "mean_monthly_salary_idr",
                "is not a whole amount of rupiah above 0, in up to 12 digits: `5 juta`"
            ),
            (
                "expire_time",
                "is not a time of RFC 3339 such as 2026-12-31T23:59:59+07:00: `besok`"
            ),
        ]
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_unsaid_salary_is_unset(db: PgPool) {
    let jobs = Jobs::start(db).await;

    let results = import(&jobs, Uuid::now_v7(), "karir", &[row(&SUPIR)])
        .await
        .unwrap();

    assert_eq!(jobs.get(&results[0].name).await.monthly_salary, None);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_huge_value_refuses_its_row_alone(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let huge = "x".repeat(2 * 1024 * 1024);
    let rows = [row(&SUPIR), row(&["Staf", &huge, "", ""]), row(&STAF)];

    let results = import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    assert_eq!(
        states(&results),
        [State::Created, State::Refused, State::Created]
    );
    let violation = &results[1].violations[0];
    assert_eq!(violation.column, "company");
    let expected = format!(
        "is 2097152 bytes long; expected are at most 200 characters: `{}…`",
        "x".repeat(60)
    );
    assert_eq!(violation.description, expected);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_location_without_a_region_is_imported_with_a_warning(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    let rows = [
        row(&["Staf", "PT A", "Atlantis", ""]),
        row(&["Staf", "PT A", "Bandung", ""]),
    ];

    let results = import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    assert_eq!(states(&results), [State::Created, State::Created]);
    assert_eq!(results[0].warnings[0].column, "location");
    assert_eq!(
        results[0].warnings[0].description,
        "`Atlantis` is not a known region"
    );
    assert_eq!(
        results[1].warnings[0].description,
        "`Bandung` is the name of several regions; read as 32, which lies above them"
    );
    assert_eq!(jobs.get(&results[0].name).await.region, "");
    assert_eq!(jobs.get(&results[1].name).await.region, "32");
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_number_of_the_portal_is_followed_when_its_advert_changes(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let posting = |title: &str, expire_time: &str| {
        fields(&[
            ("title", title),
            ("company", "PT Contoh"),
            ("external_id", "X-1"),
            ("expire_time", expire_time),
        ])
    };
    let first = import(&jobs, Uuid::now_v7(), "karir", &[posting("Supir", "")])
        .await
        .unwrap();

    let same = import(&jobs, Uuid::now_v7(), "karir", &[posting("Supir", "")])
        .await
        .unwrap();
    let changed = import(&jobs, Uuid::now_v7(), "karir", &[posting("Supir Truk", "")])
        .await
        .unwrap();
    let ending = posting("Supir Truk", "2026-12-31T23:59:59+07:00");
    let ends = import(&jobs, Uuid::now_v7(), "karir", &[ending])
        .await
        .unwrap();

    assert_eq!(states(&same), [State::Unchanged]);
    assert_eq!(states(&changed), [State::Updated]);
    assert_eq!(states(&ends), [State::Updated]);
    assert_eq!(ends[0].name, first[0].name);
    let vacancy = jobs.get(&first[0].name).await;
    assert_eq!(vacancy.title, "Supir Truk");
    assert_eq!(vacancy.expire_time.unwrap().seconds, 1_798_736_399);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn postings_may_exchange_their_contents_in_one_file(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let posting = |external_id: &str, title: &str| {
        fields(&[
            ("title", title),
            ("company", "PT Contoh"),
            ("external_id", external_id),
        ])
    };
    let before = [posting("1", "A"), posting("2", "B")];
    import(&jobs, Uuid::now_v7(), "karir", &before)
        .await
        .unwrap();

    let after = [posting("1", "C"), posting("2", "A"), posting("3", "B")];
    let results = import(&jobs, Uuid::now_v7(), "karir", &after)
        .await
        .unwrap();

    assert_eq!(
        states(&results),
        [State::Updated, State::Updated, State::Created]
    );
    for (result, title) in results.iter().zip(["C", "A", "B"]) {
        assert_eq!(jobs.get(&result.name).await.title, title);
    }
}
