//! What jobs learns from enrollment.

use jobs::events::Events;
use messaging::{
    Event, HandleError,
    consumer::{Taken, take_in},
};
use prost_types::Timestamp;
use proto::enrollment::v1::{CertificateIssued, ReviewCreated};
use sqlx::PgPool;
use uuid::Uuid;

use crate::harness::{Jobs, NOW, recommended_companies};

const QUEUE: &str = "jobs.enrollment-events";

fn issued(account: Uuid) -> CertificateIssued {
    CertificateIssued {
        certificate: format!("certificates/{}", Uuid::now_v7()),
        account: format!("accounts/{account}"),
        course_title: "Kelas Akuntansi".to_owned(),
        course_category: "Keuangan".to_owned(),
        issue_time: Some(Timestamp {
            seconds: NOW.unix_timestamp(),
            nanos: 0,
        }),
        ..Default::default()
    }
}

fn event(issued: &CertificateIssued) -> Event {
    Event::of(&issued.certificate, NOW, issued)
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_certificate_that_comes_twice_is_kept_once(db: PgPool) {
    let adverts = [
        ["Staf Akuntansi", "PT Satu", "", ""],
        ["Koki", "PT Dua", "", ""],
    ];
    let jobs = Jobs::start(db.clone())
        .await
        .with_adverts("karir", &adverts)
        .await;
    let account = Uuid::now_v7();
    let issued = issued(account);
    let event = event(&issued);

    let first = take_in(&db, QUEUE, &event, &Events).await.unwrap();
    let repeat = take_in(&db, QUEUE, &event, &Events).await.unwrap();
    // Told again under another id, such as after a replay by the producer.
    let again = take_in(&db, QUEUE, &self::event(&issued), &Events)
        .await
        .unwrap();

    assert!(matches!(
        (first, repeat, again),
        (Taken::New, Taken::Repeat, Taken::New)
    ));
    let count: i64 = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM certificates"#)
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(recommended_companies(&jobs, account).await, ["PT Satu"]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_certificate_without_an_account_is_rejected(db: PgPool) {
    let nobodys = CertificateIssued {
        account: "accounts/me".to_owned(),
        ..issued(Uuid::now_v7())
    };
    let timeless = CertificateIssued {
        issue_time: None,
        ..issued(Uuid::now_v7())
    };

    for wrong in [nobodys, timeless] {
        let taken = take_in(&db, QUEUE, &event(&wrong), &Events).await;

        assert!(matches!(taken, Err(HandleError::Reject(_))), "{taken:?}");
    }
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_event_of_another_type_waits_for_a_newer_replica(db: PgPool) {
    let event = Event::of("certificates/1", NOW, &ReviewCreated::default());

    let taken = take_in(&db, QUEUE, &event, &Events).await;

    assert!(matches!(taken, Err(HandleError::Missing(_))), "{taken:?}");
}
