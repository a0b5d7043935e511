//! A Skills Week: anyone of age with a verified identity takes a course at once, also whom a batch refuses; no money
//! moves, and the right to a batch stays untouched.

use std::time::Duration;

use proto::enrollment::v1::voucher::State;
use tests::{
    cluster::Cluster,
    people::Population,
    programme::reason_of,
    scene::{DAY, Scene},
};

#[tokio::test]
async fn a_voucher_is_given_at_once_also_to_whom_a_batch_refuses() {
    let mut cluster = Cluster::start().await;
    let scene = Scene::set(&cluster, 1).await;
    let programme = &scene.programme;
    let today = cluster.now().await.date();
    let population = Population::new(7, today, scene.regions.clone()).without_flaws();
    let of_age = |birth: time::Date| (today - birth).whole_days() / 366 >= 19;
    let student = (1_000..)
        .map(|index| population.person(index))
        .find(|person| person.occupation == "STUDENT" && of_age(person.birth_date))
        .unwrap();
    let minor = (2_000..)
        .map(|index| population.person(index))
        .find(|person| (today - person.birth_date).whole_days() < 17 * 365)
        .unwrap();
    let registered = [student.registered(), minor.registered()];
    cluster.registry().add_people(registered).await;
    let student = programme.register(&student).await;
    let minor = programme.register(&minor).await;
    let member = &scene.members[0].account;
    let course = scene.priced_course().await;
    let now = cluster.now().await;
    let run = scene.run_of(&course, 2, now).await;
    let week = programme
        .create_campaign("isw-2026", now + DAY, now + 8 * DAY)
        .await
        .unwrap();

    let early = programme.claim_voucher(&week, &student, &run.name).await;
    cluster
        .advance_clock_by(DAY + Duration::from_secs(60))
        .await;
    let batch = scene.open_funded_batch("48").await;
    let before = programme.audit_ledger().await.unwrap();
    let refused = programme.apply(&batch, &student).await.unwrap();
    let voucher = programme
        .claim_voucher(&week, &student, &run.name)
        .await
        .unwrap();
    let again = programme.claim_voucher(&week, &student, &run.name).await;
    let young = programme.claim_voucher(&week, &minor, &run.name).await;
    let other = programme
        .claim_voucher(&week, member, &run.name)
        .await
        .unwrap();
    let application = programme.apply(&batch, member).await.unwrap();

    let reason = |answer: Result<_, tonic::Status>| reason_of(&answer.err().unwrap());
    assert_eq!(
        reason(early.map(drop)).as_deref(),
        Some("CAMPAIGN_NOT_RUNNING")
    );
    assert!(!refused.decision.unwrap().eligible);
    assert_eq!(voucher.state(), State::Issued);
    assert!(!voucher.voucher_code.is_empty());
    assert_eq!(reason(again.map(drop)).as_deref(), Some("VOUCHER_EXISTS"));
    assert_eq!(
        reason(young.map(drop)).as_deref(),
        Some("AGE_BELOW_MINIMUM")
    );
    assert_eq!(other.state(), State::Issued);
    assert!(application.decision.unwrap().eligible);
    let taken = programme.run(&run.name).await.unwrap().taken_seat_count;
    assert_eq!(taken, 2);
    let after = programme.audit_ledger().await.unwrap();
    assert_eq!(
        after.transfer_count, before.transfer_count,
        "no money moves"
    );
    cluster.finish().await;
}
