//! A person wins, buys a course, finishes it, says what they think of it, and is paid.

use proto::{
    enrollment::v1::{participation, purchase},
    payout::v1::disbursement,
};
use tests::{
    accounts::Caller,
    cluster::{Cluster, to_time},
    eventually::{check, eventually},
    programme::{evidence, outside_of, reason_of},
    scene::{SOON, Scene, units},
};

#[tokio::test]
async fn a_winner_buys_a_course_finishes_it_and_is_paid() {
    let mut cluster = Cluster::start().await;
    let scene = Scene::set(&cluster, 2).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 10, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;
    let winner = &participations[0];
    let member = scene.member_of(winner);
    let allotted = programme.trace_funds("batches/48").await.unwrap();

    let bought = programme.buy(&winner.name, &run.name).await.unwrap();
    assert_eq!(bought.state(), purchase::State::Completed, "{bought:?}");
    let balance = programme.balance(&winner.name).await.unwrap();
    let second = programme.buy(&winner.name, &run.name).await.unwrap_err();
    cluster
        .advance_clock(to_time(run.start_time.unwrap()))
        .await;
    programme.redeem(&bought).await.unwrap();
    cluster.advance_clock(to_time(run.end_time.unwrap())).await;
    let proof = evidence(to_time(run.start_time.unwrap()));
    let certificate = programme.complete(&bought.name, proof).await.unwrap();
    programme.review(&certificate.name, 5).await.unwrap();
    programme
        .link_payee(&member.account, &member.person)
        .await
        .unwrap();
    let due = eventually(SOON, "the incentive is due", || async {
        let batch = programme.batch_due("IDR").await.unwrap();
        batch.ok_or("nothing is due")
    })
    .await;
    let alone = programme
        .approve_as(Caller::Operator1, &due)
        .await
        .unwrap_err();
    programme.approve(&due).await.unwrap();
    let paid = eventually(SOON, "the incentive is paid", || async {
        let all = programme.disbursements(&member.account).await.unwrap();
        let settled = all.len() == 1 && all[0].state() == disbursement::State::Settled;
        check(settled, || format!("{all:?}")).map(|()| all[0].clone())
    })
    .await;

    assert_eq!(units(allotted.allotted.as_ref()), 2 * 4_200_000);
    let price = units(course.price.as_ref());
    assert_eq!(
        units(balance.training_available.as_ref()),
        3_500_000 - price
    );
    assert_eq!(
        reason_of(&second).as_deref(),
        Some("EARLIER_COURSE_UNFINISHED")
    );
    assert_eq!(reason_of(&alone).as_deref(), Some("APPROVER_IS_MAKER"));
    assert_eq!(units(paid.amount.as_ref()), 600_000);
    let book = cluster.bank().book().await;
    assert_eq!(book.len(), 1);
    assert_eq!(book[0].account_no, member.person.account_number);
    assert_eq!(
        (book[0].amount.as_str(), book[0].credited),
        ("600000.00", 1)
    );
    let now = programme.participation(&winner.name).await.unwrap();
    assert_eq!(now.state(), participation::State::Completed);
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(units(trace.spent.as_ref()), price);
    assert_eq!(units(trace.incentives.as_ref()), 600_000);
    assert_eq!(
        units(trace.outstanding.as_ref()),
        2 * 4_200_000 - price - 600_000
    );
    assert_eq!(outside_of(&trace), 0, "{trace:?}");
    eventually(SOON, "the rating counts", || async {
        let course = programme.course(&course.name).await.unwrap();
        let counted = (course.rating_count, course.rating_sum) == (1, 5);
        check(counted, || format!("{course:?}"))
    })
    .await;
    let audit = programme.audit_ledger().await.unwrap();
    assert_eq!(audit.differing_accounts, Vec::<String>::new());
    cluster.finish().await;
}
