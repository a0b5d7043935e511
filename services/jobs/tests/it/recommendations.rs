//! Vacancies that fit an account, and why.

use jobs::{
    app::certificates, domain::recommendation::Certificate, storage::certificates::NewCertificate,
};
use proto::jobs::v1::{self as pb, recommendation_reason::Kind};
use sqlx::PgPool;
use time::{Duration, macros::datetime};
use uuid::Uuid;

use crate::{
    feed::{fields, import},
    harness::{Jobs, NOW},
};

async fn a_portal(db: PgPool) -> Jobs {
    let adverts = [
        ["Pengembang Web", "PT Satu", "Surabaya", ""],
        ["Pengembang Web", "PT Dua", "Kota Bandung", ""],
        ["Staf Akuntansi", "PT Akuntansi Web", "Kota Bandung", ""],
        ["Supir Truk", "PT Empat", "Kota Bandung", ""],
        ["Koki", "PT Lima", "Kabupaten Bandung", ""],
    ];
    Jobs::start(db)
        .await
        .with_regions()
        .await
        .with_adverts("karir", &adverts)
        .await
}

async fn a_certificate(db: &PgPool, account: Uuid, course_title: &str, course_category: &str) {
    let issued = NewCertificate {
        account_id: account,
        certificate_id: Uuid::now_v7(),
        certificate: Certificate {
            course_title: course_title.to_owned(),
            course_category: course_category.to_owned(),
        },
        issue_time: NOW,
    };
    let mut connection = db.acquire().await.unwrap();
    certificates::on_certificates_issued(&mut connection, &[issued])
        .await
        .unwrap();
}

async fn interests(jobs: &Jobs, account: Uuid, keywords: &[&str], regions: &[&str]) {
    let request = pb::UpdateInterestsRequest {
        request_id: Uuid::now_v7().to_string(),
        account: format!("accounts/{account}"),
        interests: Some(pb::Interests {
            keywords: keywords
                .iter()
                .map(|keyword| (*keyword).to_owned())
                .collect(),
            regions: regions.iter().map(|code| (*code).to_owned()).collect(),
            ..Default::default()
        }),
    };
    jobs.account(account)
        .update_interests(request)
        .await
        .unwrap();
}

async fn recommend(jobs: &Jobs, account: Uuid, page_size: i32) -> Vec<pb::Recommendation> {
    let request = pb::RecommendVacanciesRequest {
        account: format!("accounts/{account}"),
        page_size,
    };
    jobs.account(account)
        .recommend_vacancies(request)
        .await
        .unwrap()
        .into_inner()
        .recommendations
}

/// Company, score, and the reasons as (kind, what matched, course, weight).
type Told = (String, i32, Vec<(Kind, String, String, i32)>);

fn told(recommendations: Vec<pb::Recommendation>) -> Vec<Told> {
    let reason = |reason: pb::RecommendationReason| {
        (
            reason.kind(),
            reason.matched,
            reason.course_title,
            reason.weight,
        )
    };
    recommendations
        .into_iter()
        .map(|fit| {
            let reasons = fit.reasons.into_iter().map(reason).collect();
            (fit.vacancy.unwrap().company, fit.score, reasons)
        })
        .collect()
}

fn because(
    kind: Kind,
    matched: &str,
    course_title: &str,
    weight: i32,
) -> (Kind, String, String, i32) {
    (kind, matched.to_owned(), course_title.to_owned(), weight)
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn recommendations_come_best_first_with_every_reason(db: PgPool) {
    let jobs = a_portal(db.clone()).await;
    let account = Uuid::now_v7();
    a_certificate(&db, account, "Kelas Dasar Pengembangan Web", "Teknologi").await;
    interests(&jobs, account, &["web", "supir truk"], &["32"]).await;

    let recommendations = told(recommend(&jobs, account, 0).await);

    let course = "Kelas Dasar Pengembangan Web";
    assert_eq!(
        recommendations,
        [
            (
                "PT Dua".to_owned(),
                33,
                vec![
                    because(Kind::Certificate, "pengembangan, web", course, 20),
                    because(Kind::Keyword, "web", "", 8),
                    because(Kind::Region, "32", "", 5),
                ]
            ),
            (
                "PT Satu".to_owned(),
                28,
                vec![
                    because(Kind::Certificate, "pengembangan, web", course, 20),
                    because(Kind::Keyword, "web", "", 8),
                ]
            ),
            (
                "PT Empat".to_owned(),
                13,
                vec![
                    because(Kind::Keyword, "supir truk", "", 8),
                    because(Kind::Region, "32", "", 5),
                ]
            ),
        ]
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_account_without_certificates_and_interests_gets_none(db: PgPool) {
    let jobs = a_portal(db).await;

    assert_eq!(recommend(&jobs, Uuid::now_v7(), 0).await, []);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_region_alone_recommends_nothing(db: PgPool) {
    let jobs = a_portal(db).await;
    let account = Uuid::now_v7();
    interests(&jobs, account, &[], &["32"]).await;

    assert_eq!(recommend(&jobs, account, 0).await, []);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn small_and_general_words_recommend_nothing(db: PgPool) {
    let jobs = a_portal(db.clone()).await;
    let account = Uuid::now_v7();
    a_certificate(&db, account, "Menjadi Staf untuk Pemula", "Umum").await;
    interests(&jobs, account, &["yang"], &[]).await;

    assert_eq!(recommend(&jobs, account, 0).await, []);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn another_accounts_certificate_counts_for_nobody_else(db: PgPool) {
    let jobs = a_portal(db.clone()).await;
    a_certificate(&db, Uuid::now_v7(), "Pengembangan Web", "Teknologi").await;

    assert_eq!(recommend(&jobs, Uuid::now_v7(), 0).await, []);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn equals_come_newest_first_and_no_more_than_asked(db: PgPool) {
    let jobs = a_portal(db.clone()).await;
    let account = Uuid::now_v7();
    interests(&jobs, account, &["pengembang"], &[]).await;

    let all = told(recommend(&jobs, account, 0).await);
    let one = told(recommend(&jobs, account, 1).await);

    let companies: Vec<&str> = all.iter().map(|(company, _, _)| company.as_str()).collect();
    assert_eq!(companies, ["PT Dua", "PT Satu"]);
    assert_eq!(one, all[..1]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn what_has_ended_is_not_recommended(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let ending = fields(&[
        ("title", "Supir"),
        ("company", "PT Satu"),
        ("expire_time", "2026-11-25T00:00:00Z"),
    ]);
    import(&jobs, Uuid::now_v7(), "karir", &[ending])
        .await
        .unwrap();
    let account = Uuid::now_v7();
    interests(&jobs, account, &["supir"], &[]).await;
    assert_eq!(recommend(&jobs, account, 0).await.len(), 1);

    jobs.clock
        .advance_to(datetime!(2026-11-25 00:00 UTC) + Duration::SECOND);

    assert_eq!(recommend(&jobs, account, 0).await, []);
}
