//! From the redeem code to certificate and review.

use chassis::names;
use enrollment::storage::MIGRATOR;
use prost::Message;
use proto::enrollment::v1 as pb;
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    peers::timestamp,
    world::{World, assert_refused, fields, request_id},
};

fn redemption(purchase: &pb::Purchase) -> pb::RedeemCodeRequest {
    pb::RedeemCodeRequest {
        request_id: request_id(),
        redeem_code: purchase.redeem_code.clone(),
        provider: purchase.provider.clone(),
        course: purchase.course.clone(),
    }
}

async fn redeem(world: &World, request: pb::RedeemCodeRequest) -> Result<pb::Purchase, Status> {
    Ok(world.learning().redeem_code(request).await?.into_inner())
}

async fn run_start(world: &World, purchase: &pb::Purchase) -> OffsetDateTime {
    let id = names::parse_uuid(&purchase.name, "purchases").unwrap();
    sqlx::query_scalar!(
        r#"SELECT run_start_time AS "start!" FROM purchases WHERE purchase_id = $1"#,
        id
    )
    .fetch_one(&world.db)
    .await
    .unwrap()
}

fn evidence(world: &World) -> pb::CompletionEvidence {
    pb::CompletionEvidence {
        attendance_permille: 1000,
        pre_test_score: 52,
        post_test_score: 69,
        practical_assignment_uri: "https://lp.example/works/1".to_owned(),
        trainer_feedback_time: Some(timestamp(world.clock.now())),
    }
}

async fn record(
    world: &World,
    purchase: &pb::Purchase,
    evidence: pb::CompletionEvidence,
) -> Result<pb::Certificate, Status> {
    let request = pb::RecordCompletionRequest {
        request_id: request_id(),
        purchase: purchase.name.clone(),
        evidence: Some(evidence),
    };
    Ok(world
        .learning()
        .record_completion(request)
        .await?
        .into_inner())
}

/// Redeems the code at the run's start and records the completion some days later.
pub(crate) async fn completed(world: &World, purchase: &pb::Purchase) -> pb::Certificate {
    try_complete(world, purchase).await.unwrap()
}

pub(crate) async fn try_complete(
    world: &World,
    purchase: &pb::Purchase,
) -> Result<pb::Certificate, Status> {
    world.wait_until(run_start(world, purchase).await);
    redeem(world, redemption(purchase)).await.unwrap();
    world.clock.advance_by(Duration::days(3));
    record(world, purchase, evidence(world)).await
}

fn review_request(
    certificate: &pb::Certificate,
    stars: i32,
    text: &str,
) -> pb::CreateReviewRequest {
    pb::CreateReviewRequest {
        request_id: request_id(),
        certificate: certificate.name.clone(),
        review: Some(pb::Review {
            stars,
            text: text.to_owned(),
            ..pb::Review::default()
        }),
    }
}

pub(crate) async fn reviewed(world: &World, certificate: &pb::Certificate) -> pb::Review {
    try_review(world, certificate).await.unwrap()
}

pub(crate) async fn try_review(
    world: &World,
    certificate: &pb::Certificate,
) -> Result<pb::Review, Status> {
    let request = review_request(certificate, 5, "Pelatihan yang sangat bermanfaat.");
    Ok(world.learning().create_review(request).await?.into_inner())
}

async fn bought(world: &World) -> pb::Purchase {
    let participant = world.participants(1).await[0];
    world
        .buy(participant.id, world.run(5, 1_000_000))
        .await
        .unwrap()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_code_is_redeemed_within_an_hour_around_the_start_and_once(db: PgPool) {
    let world = World::start(db).await;
    let purchase = bought(&world).await;
    let start = run_start(&world, &purchase).await;

    world.wait_until(start - Duration::hours(1) - Duration::SECOND);
    let early = redeem(&world, redemption(&purchase)).await;
    let metadata = assert_refused(early, Code::FailedPrecondition, "REDEEM_WINDOW_CLOSED");
    assert_eq!(metadata["window_start"], "2026-12-01T01:00:00Z");
    assert_eq!(metadata["window_end"], "2026-12-01T03:00:00Z");

    world.wait_until(start - Duration::hours(1));
    let request = pb::RedeemCodeRequest {
        // As a person types it.
        redeem_code: purchase.redeem_code.to_lowercase(),
        ..redemption(&purchase)
    };
    let redeemed = redeem(&world, request.clone()).await.unwrap();
    let repeated = redeem(&world, request).await.unwrap();
    assert_eq!(
        redeemed.redeem_time,
        Some(timestamp(start - Duration::hours(1)))
    );
    assert_eq!(redeemed.encode_to_vec(), repeated.encode_to_vec());
    let metadata = assert_refused(
        redeem(&world, redemption(&purchase)).await,
        Code::FailedPrecondition,
        "REDEEM_CODE_USED",
    );
    assert_eq!(metadata["redeem_time"], "2026-12-01T01:00:00Z");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_code_that_is_not_for_this_door_is_refused_with_its_reason(db: PgPool) {
    let world = World::start(db).await;
    let purchase = bought(&world).await;
    world.wait_until(run_start(&world, &purchase).await);
    let good = redemption(&purchase);

    let unknown = pb::RedeemCodeRequest {
        redeem_code: "0000000000000000".to_owned(),
        ..good.clone()
    };
    let provider = pb::RedeemCodeRequest {
        provider: names::format("providers", Uuid::now_v7()),
        ..good.clone()
    };
    let course = pb::RedeemCodeRequest {
        course: names::format("courses", Uuid::now_v7()),
        ..good.clone()
    };
    assert_refused(
        redeem(&world, unknown).await,
        Code::NotFound,
        "REDEEM_CODE_NOT_FOUND",
    );
    assert_refused(
        redeem(&world, provider).await,
        Code::FailedPrecondition,
        "REDEEM_CODE_OTHER_PROVIDER",
    );
    assert_refused(
        redeem(&world, course).await,
        Code::FailedPrecondition,
        "REDEEM_CODE_OTHER_COURSE",
    );
    let malformed = fields(redeem(&world, pb::RedeemCodeRequest::default()).await);
    assert_eq!(
        malformed,
        ["request_id", "redeem_code", "provider", "course"]
    );

    world.clock.advance_by(Duration::hours(1));
    assert!(redeem(&world, good.clone()).await.is_ok());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_code_is_refused_after_the_window(db: PgPool) {
    let world = World::start(db).await;
    let purchase = bought(&world).await;
    world.wait_until(run_start(&world, &purchase).await + Duration::hours(1) + Duration::SECOND);

    let late = redeem(&world, redemption(&purchase)).await;

    assert_refused(late, Code::FailedPrecondition, "REDEEM_WINDOW_CLOSED");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn codes_redeemed_at_once_are_redeemed_once(db: PgPool) {
    let world = World::start(db).await;
    let purchase = bought(&world).await;
    world.wait_until(run_start(&world, &purchase).await);

    let answers =
        futures::future::join_all((0..8).map(|_| redeem(&world, redemption(&purchase)))).await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_refused(refused, Code::FailedPrecondition, "REDEEM_CODE_USED");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_certificate_needs_redemption_and_all_the_evidence(db: PgPool) {
    let world = World::start(db).await;
    let purchase = bought(&world).await;

    let unredeemed = record(&world, &purchase, evidence(&world)).await;
    let metadata = assert_refused(unredeemed, Code::FailedPrecondition, "CODE_NOT_REDEEMED");
    assert_eq!(metadata["purchase"], purchase.name);
    world.wait_until(run_start(&world, &purchase).await);
    redeem(&world, redemption(&purchase)).await.unwrap();

    let poor = pb::CompletionEvidence {
        attendance_permille: 999,
        post_test_score: 59,
        trainer_feedback_time: Some(timestamp(world.clock.now() + Duration::HOUR)),
        ..evidence(&world)
    };
    let answer = record(&world, &purchase, poor.clone()).await;
    assert_refused(answer, Code::FailedPrecondition, "EVIDENCE_INSUFFICIENT");
    let missing = fields(record(&world, &purchase, poor).await);
    let expected = [
        "evidence.attendance_permille",
        "evidence.post_test_score",
        "evidence.trainer_feedback_time",
    ];
    assert_eq!(missing, expected);
    let malformed = pb::CompletionEvidence {
        attendance_permille: 1001,
        pre_test_score: -1,
        practical_assignment_uri: "http://lp.example".to_owned(),
        trainer_feedback_time: None,
        ..evidence(&world)
    };
    let malformed = fields(record(&world, &purchase, malformed).await);
    assert_eq!(
        malformed,
        [
            "evidence.attendance_permille",
            "evidence.pre_test_score",
            "evidence.practical_assignment_uri",
            "evidence.trainer_feedback_time"
        ]
    );

    let certificate = record(&world, &purchase, evidence(&world)).await.unwrap();
    let again = record(&world, &purchase, evidence(&world)).await.unwrap();
    assert_eq!(certificate, again);
    assert!(certificate.number.starts_with("BK-"));
    let other = pb::CompletionEvidence {
        post_test_score: 70,
        ..evidence(&world)
    };
    let metadata = assert_refused(
        record(&world, &purchase, other).await,
        Code::AlreadyExists,
        "CERTIFICATE_EXISTS",
    );
    assert_eq!(metadata["certificate"], certificate.name);

    let events = world.told::<pb::CertificateIssued>().await;
    assert_eq!(events.len(), 1);
    assert!(events[0].first);
    assert_eq!(
        (
            events[0].course_title.as_str(),
            events[0].course_category.as_str()
        ),
        ("Barista", "Kuliner")
    );
    let request = pb::GetCertificateRequest {
        name: certificate.name.clone(),
    };
    let read = world
        .learning()
        .get_certificate(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read, certificate);
    let participation = names::parse_uuid(&certificate.participation, "participations").unwrap();
    let participation = world.get_participation(participation).await;
    assert_eq!(participation.state(), pb::participation::State::Completed);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_review_is_given_once(db: PgPool) {
    let world = World::start(db).await;
    let purchase = bought(&world).await;
    let certificate = completed(&world, &purchase).await;

    let malformed = review_request(&certificate, 6, "  short ");
    let malformed = fields(world.learning().create_review(malformed).await);
    assert_eq!(malformed, ["review.stars", "review.text"]);
    let review = reviewed(&world, &certificate).await;
    let again = review_request(&certificate, 1, "I have changed my mind about it.");
    let again = world.learning().create_review(again).await;

    assert_eq!(review.name, format!("{}/review", certificate.name));
    let metadata = assert_refused(again, Code::AlreadyExists, "REVIEW_EXISTS");
    assert_eq!(metadata["review"], review.name);
    let events = world.told::<pb::ReviewCreated>().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].stars, events[0].first), (5, true));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_second_certificate_is_not_the_first(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let first = world
        .buy(participant.id, world.run(5, 1_000_000))
        .await
        .unwrap();
    let certificate = completed(&world, &first).await;
    reviewed(&world, &certificate).await;

    let second = world
        .buy(participant.id, world.run(5, 1_000_000))
        .await
        .unwrap();
    let second = completed(&world, &second).await;
    reviewed(&world, &second).await;

    let firsts: Vec<bool> = world
        .told::<pb::CertificateIssued>()
        .await
        .iter()
        .map(|event| event.first)
        .collect();
    assert_eq!(firsts, [true, false]);
    let firsts: Vec<bool> = world
        .told::<pb::ReviewCreated>()
        .await
        .iter()
        .map(|event| event.first)
        .collect();
    assert_eq!(firsts, [true, false]);
    let request = pb::ListCertificatesRequest {
        account: names::format("accounts", participant.account),
        ..pb::ListCertificatesRequest::default()
    };
    let listed = world
        .learning()
        .list_certificates(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.certificates, [certificate, second]);
}
