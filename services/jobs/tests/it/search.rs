//! Finding vacancies.

use proto::jobs::v1 as pb;
use sqlx::PgPool;
use time::Duration;
use tonic::Code;
use uuid::Uuid;

use crate::{
    feed::{Fields, fields, import},
    harness::{Jobs, NOW, reason, violations},
};

async fn a_portal(db: PgPool) -> Jobs {
    let adverts = [
        ["Staf Pelatihan", "PT Satu", "Kota Bandung", ""],
        ["Supir", "PT Pelatih Nusantara", "Jakarta Selatan", ""],
        ["Koki", "PT Tiga", "Kabupaten Bandung", ""],
        ["Kasir", "PT Empat", "Jawa Barat", ""],
        ["Penjahit", "PT Lima", "Surabaya", ""],
    ];
    Jobs::start(db)
        .await
        .with_regions()
        .await
        .with_adverts("karir", &adverts)
        .await
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn words_are_found_by_their_stem_and_titles_before_companies(db: PgPool) {
    let jobs = a_portal(db).await;

    assert_eq!(
        jobs.search("latihan", "").await,
        ["Staf Pelatihan", "Supir"]
    );
    assert_eq!(jobs.search("koki", "").await, ["Koki"]);
    assert_eq!(jobs.search("pilot", "").await, Vec::<String>::new());
    assert_eq!(
        jobs.search("  koki \"", "").await,
        ["Koki"],
        "no text is a syntax error"
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn without_words_the_newest_come_first(db: PgPool) {
    let jobs = a_portal(db).await;

    assert_eq!(
        jobs.search("", "").await,
        ["Penjahit", "Kasir", "Koki", "Supir", "Staf Pelatihan"]
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_region_stands_for_all_below_it(db: PgPool) {
    let jobs = a_portal(db).await;

    assert_eq!(
        jobs.search("", "32").await,
        ["Kasir", "Koki", "Staf Pelatihan"]
    );
    assert_eq!(jobs.search("", "32.73").await, ["Staf Pelatihan"]);
    assert_eq!(jobs.search("latihan", "31").await, ["Supir"]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_unknown_region_is_refused(db: PgPool) {
    let jobs = a_portal(db).await;
    let request = pb::SearchVacanciesRequest {
        region: "99".to_owned(),
        ..Default::default()
    };

    let status = jobs.operator().search_vacancies(request).await.unwrap_err();

    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status), "REGION_UNKNOWN");
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn every_fault_of_a_search_is_told(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request = pb::SearchVacanciesRequest {
        query: "x".repeat(201),
        region: "Kota Bandung".to_owned(),
        page_size: -1,
        page_token: String::new(),
    };

    let status = jobs.operator().search_vacancies(request).await.unwrap_err();

    let fields: Vec<String> = violations(&status)
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    assert_eq!(fields, ["query", "region", "page_size"]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_vacancy_that_has_ended_is_hidden_but_can_be_looked_up(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let ending = fields(&[
        ("title", "Supir"),
        ("company", "PT Satu"),
        ("expire_time", "2026-11-25T00:00:00Z"),
    ]);
    let results = import(&jobs, Uuid::now_v7(), "karir", &[ending])
        .await
        .unwrap();
    assert_eq!(jobs.search("supir", "").await, ["Supir"]);

    jobs.clock.advance_to(NOW + Duration::hours(16));

    assert_eq!(jobs.search("supir", "").await, Vec::<String>::new());
    assert_eq!(jobs.search("", "").await, Vec::<String>::new());
    assert_eq!(jobs.get(&results[0].name).await.title, "Supir");
}

async fn page(
    jobs: &Jobs,
    query: &str,
    page_token: String,
) -> Result<pb::SearchVacanciesResponse, tonic::Status> {
    let request = pb::SearchVacanciesRequest {
        query: query.to_owned(),
        page_size: 2,
        page_token,
        ..Default::default()
    };
    Ok(jobs
        .operator()
        .search_vacancies(request)
        .await?
        .into_inner())
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn pages_hold_each_vacancy_once(db: PgPool) {
    let rows: Vec<Fields> = (0..7)
        .map(|i| {
            let company = if i % 2 == 0 { "PT Supir" } else { "PT Lain" };
            fields(&[("title", &format!("Supir {i}")), ("company", company)])
        })
        .collect();
    let jobs = Jobs::start(db).await;
    import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    for query in ["supir", ""] {
        let mut titles = Vec::new();
        let mut token = String::new();
        loop {
            let found = page(&jobs, query, token).await.unwrap();
            titles.extend(found.vacancies.into_iter().map(|vacancy| vacancy.title));
            token = found.next_page_token;
            if token.is_empty() {
                break;
            }
        }

        let best_first = [
            "Supir 6", "Supir 4", "Supir 2", "Supir 0", "Supir 5", "Supir 3", "Supir 1",
        ];
        let newest_first = [
            "Supir 6", "Supir 5", "Supir 4", "Supir 3", "Supir 2", "Supir 1", "Supir 0",
        ];
        assert_eq!(
            titles,
            if query.is_empty() {
                newest_first
            } else {
                best_first
            }
        );
    }
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_page_token_is_bound_to_its_search(db: PgPool) {
    let jobs = a_portal(db).await;
    let token = page(&jobs, "", String::new())
        .await
        .unwrap()
        .next_page_token;

    let status = page(&jobs, "supir", token).await.unwrap_err();

    assert_eq!(reason(&status), "PAGE_TOKEN_INVALID");
}
