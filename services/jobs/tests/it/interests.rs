//! What an account is looking for.

use proto::jobs::v1 as pb;
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Jobs, reason, violations};

fn update(
    request_id: Uuid,
    account: Uuid,
    keywords: &[&str],
    regions: &[&str],
) -> pb::UpdateInterestsRequest {
    pb::UpdateInterestsRequest {
        request_id: request_id.to_string(),
        account: format!("accounts/{account}"),
        interests: Some(pb::Interests {
            keywords: keywords
                .iter()
                .map(|keyword| (*keyword).to_owned())
                .collect(),
            regions: regions.iter().map(|code| (*code).to_owned()).collect(),
            ..Default::default()
        }),
    }
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn interests_are_set_whole_and_a_repeat_gets_the_first_answer(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    let account = Uuid::now_v7();
    let first = update(
        Uuid::now_v7(),
        account,
        &["  supir  truk", "Supir Truk", "koki"],
        &["32", "32"],
    );

    let answer = jobs
        .account(account)
        .update_interests(first.clone())
        .await
        .unwrap()
        .into_inner();
    let second = update(Uuid::now_v7(), account, &["kasir"], &[]);
    jobs.account(account)
        .update_interests(second)
        .await
        .unwrap();
    let repeat = jobs
        .account(account)
        .update_interests(first)
        .await
        .unwrap()
        .into_inner();

    assert_eq!(answer.name, format!("accounts/{account}/interests"));
    assert_eq!(answer.keywords, ["supir truk", "koki"]);
    assert_eq!(answer.regions, ["32"]);
    assert_eq!(repeat, answer);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_concurrent_repeat_gets_the_same_answer(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let account = Uuid::now_v7();
    let request = update(Uuid::now_v7(), account, &["supir"], &[]);

    let (mut one, mut other) = (jobs.account(account), jobs.account(account));
    let (one, other) = tokio::join!(
        one.update_interests(request.clone()),
        other.update_interests(request)
    );

    assert_eq!(one.unwrap().into_inner(), other.unwrap().into_inner());
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_id_used_for_other_interests_is_refused(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let (account, request_id) = (Uuid::now_v7(), Uuid::now_v7());
    jobs.account(account)
        .update_interests(update(request_id, account, &["supir"], &[]))
        .await
        .unwrap();

    let other = update(request_id, account, &["koki"], &[]);
    let status = jobs
        .account(account)
        .update_interests(other)
        .await
        .unwrap_err();

    assert_eq!(reason(&status), "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn every_fault_is_told(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let long = "x".repeat(61);
    let keywords: Vec<&str> = std::iter::once("a")
        .chain([long.as_str()])
        .chain(["kata"; 19])
        .collect();
    let mut request = update(
        Uuid::nil(),
        Uuid::now_v7(),
        &keywords,
        &["32", "Kota Bandung"],
    );
    request.request_id = "1".to_owned();
    request.account = "accounts/me".to_owned();

    let status = jobs.operator().update_interests(request).await.unwrap_err();

    let fields: Vec<String> = violations(&status)
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    assert_eq!(
        fields,
        [
            "request_id",
            "account",
            "interests.keywords",
            "interests.keywords[0]",
            "interests.keywords[1]",
            "interests.regions[1]"
        ]
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_unknown_region_is_refused_and_leaves_the_id_free(db: PgPool) {
    let jobs = Jobs::start(db).await.with_regions().await;
    let (account, request_id) = (Uuid::now_v7(), Uuid::now_v7());

    let unknown = update(request_id, account, &[], &["32", "99"]);
    let status = jobs
        .account(account)
        .update_interests(unknown)
        .await
        .unwrap_err();
    let known = update(request_id, account, &[], &["32"]);
    let answer = jobs.account(account).update_interests(known).await;

    assert_eq!(reason(&status), "REGION_UNKNOWN");
    assert!(answer.is_ok());
}
