//! Who may call what.

use proto::jobs::v1 as pb;
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    feed::header,
    harness::{Jobs, reason},
};

fn recommend(account: Uuid) -> pb::RecommendVacanciesRequest {
    pb::RecommendVacanciesRequest {
        account: format!("accounts/{account}"),
        page_size: 0,
    }
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn nobody_searches_without_a_token(db: PgPool) {
    let jobs = Jobs::start(db).await;

    let request = pb::SearchVacanciesRequest::default();
    let status = jobs
        .vacancies(None)
        .search_vacancies(request)
        .await
        .unwrap_err();

    assert_eq!(status.code(), Code::Unauthenticated);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn any_account_searches_and_looks_up(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let mut account = jobs.account(Uuid::now_v7());

    let found = account
        .search_vacancies(pb::SearchVacanciesRequest::default())
        .await;
    let name = format!("vacancies/{}", Uuid::now_v7());
    let absent = account
        .get_vacancy(pb::GetVacancyRequest { name })
        .await
        .unwrap_err();

    assert!(found.is_ok());
    assert_eq!(absent.code(), Code::NotFound);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_name_that_is_none_is_a_violation(db: PgPool) {
    let jobs = Jobs::start(db).await;

    let request = pb::GetVacancyRequest {
        name: "vacancies/1".to_owned(),
    };
    let status = jobs.operator().get_vacancy(request).await.unwrap_err();

    assert_eq!(reason(&status), "INVALID_REQUEST");
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_account_acts_for_itself_alone(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let (own, other) = (Uuid::now_v7(), Uuid::now_v7());
    let update = pb::UpdateInterestsRequest {
        request_id: Uuid::now_v7().to_string(),
        account: format!("accounts/{other}"),
        interests: Some(pb::Interests::default()),
    };

    let recommended = jobs
        .account(own)
        .recommend_vacancies(recommend(other))
        .await
        .unwrap_err();
    let updated = jobs
        .account(own)
        .update_interests(update)
        .await
        .unwrap_err();

    assert_eq!(reason(&recommended), "NOT_OWNER");
    assert_eq!(reason(&updated), "NOT_OWNER");
    assert!(
        jobs.account(own)
            .recommend_vacancies(recommend(own))
            .await
            .is_ok()
    );
    assert!(
        jobs.operator()
            .recommend_vacancies(recommend(other))
            .await
            .is_ok(),
        "with the permission, for anyone"
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn imports_need_their_permission(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let header = header(Uuid::now_v7(), "karir", &["title"]);
    let vacancies = pb::ImportVacanciesRequest {
        part: Some(pb::import_vacancies_request::Part::Header(header.clone())),
    };
    let regions = pb::ImportRegionsRequest {
        part: Some(pb::import_regions_request::Part::Header(header)),
    };
    let token = jobs.tokens.account(Uuid::now_v7());

    let mut client = jobs.vacancies(Some(token.clone()));
    let vacancies = client
        .import_vacancies(tokio_stream::iter([vacancies]))
        .await
        .unwrap_err();
    let regions = jobs
        .regions_as(Some(token))
        .import_regions(tokio_stream::iter([regions]))
        .await
        .unwrap_err();

    assert_eq!(reason(&vacancies), "PERMISSION_MISSING");
    assert_eq!(reason(&regions), "PERMISSION_MISSING");
}
