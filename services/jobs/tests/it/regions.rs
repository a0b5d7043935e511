//! The tree of regions.

use proto::{jobs::v1 as pb, r#type::v1::import_row_result::State};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    feed::{Fields, fields, import_regions, states},
    harness::{Jobs, reason},
};

fn region(code: &str, name: &str) -> Fields {
    fields(&[("code", code), ("name", name)])
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_region_comes_after_the_one_that_it_lies_in(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let rows = [
        region("32.73", "Kota Bandung"),
        region("32", "Jawa Barat"),
        region("32.73", "Kota Bandung"),
        region("3-2", ""),
    ];

    let results = import_regions(&jobs, Uuid::now_v7(), &rows).await.unwrap();

    assert_eq!(
        states(&results),
        [
            State::Refused,
            State::Created,
            State::Created,
            State::Refused
        ]
    );
    assert_eq!(
        results[0].violations[0].description,
        "32, which it lies in, is not known: import it before"
    );
    assert_eq!(results[2].name, "regions/32.73");
    assert_eq!(results[3].violations.len(), 2);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_new_name_is_an_update(db: PgPool) {
    let jobs = Jobs::start(db).await;
    import_regions(&jobs, Uuid::now_v7(), &[region("34", "Yogyakarta")])
        .await
        .unwrap();

    let rows = [
        region("34", "Daerah Istimewa Yogyakarta"),
        region("34", "Daerah Istimewa Yogyakarta"),
    ];
    let results = import_regions(&jobs, Uuid::now_v7(), &rows).await.unwrap();

    assert_eq!(states(&results), [State::Updated, State::Unchanged]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn regions_are_listed_by_code_in_pages_without_a_token(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    let mut client = jobs.regions_as(None);

    let mut codes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListRegionsRequest {
            page_size: 3,
            page_token,
        };
        let page = client.list_regions(request).await.unwrap().into_inner();
        codes.extend(page.regions.into_iter().map(|region| region.code));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    assert_eq!(
        codes,
        ["31", "31.74", "32", "32.04", "32.73", "35", "35.78"]
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_damaged_page_token_is_refused(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request = pb::ListRegionsRequest {
        page_size: 0,
        page_token: "x".to_owned(),
    };

    let status = jobs
        .regions_as(None)
        .list_regions(request)
        .await
        .unwrap_err();

    assert_eq!(reason(&status), "PAGE_TOKEN_INVALID");
}
