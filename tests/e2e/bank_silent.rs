//! The bank books a payment and does not answer: the payment is unknown, it is asked about, and settled once.

use std::time::Duration;

use proto::payout::v1::disbursement::State;
use tests::{
    chance::Ratio,
    cluster::Cluster,
    eventually::{check, eventually},
    fakes::{BankFault, BankFaults, BankRule},
    programme::{Programme, outside_of},
    scene::{Member, SOON, Scene, units},
};

#[tokio::test]
async fn a_payment_that_the_bank_does_not_answer_is_asked_about_and_settled_once() {
    let mut cluster = Cluster::builder()
        .allow_log("a payment without a clear answer")
        .start()
        .await;
    let scene = Scene::set(&cluster, 1).await;
    let member = &scene.members[0];
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 10, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;
    scene.graduate(&mut cluster, &participations, &run).await;
    let silence = BankRule {
        fault: BankFault::DropReplyClose,
        reference: None,
        account_no: Some(member.person.account_number.clone()),
        times: Some(1),
    };
    // The bank does not tell by itself either.
    let faults = BankFaults {
        rules: vec![silence],
        ratios: vec![(BankFault::LateCallback, Ratio::per_mille(1_000))],
        callback_late_ms: 3_600_000,
        ..BankFaults::default()
    };
    cluster.bank().set_faults(&faults).await;

    scene.approve_payments(1).await;
    let unknown = await_state(programme, member, State::Unknown).await;
    let while_unknown = programme.trace_funds("batches/48").await.unwrap();
    cluster.advance_clock_by(Duration::from_secs(700)).await;
    let settled = await_state(programme, member, State::Settled).await;

    assert_eq!(settled, unknown, "the same order under the same reference");
    assert_eq!(units(while_unknown.incentives.as_ref()), 0);
    assert_eq!(outside_of(&while_unknown), 0);
    let book = cluster.bank().book().await;
    assert_eq!(book.len(), 1, "{book:?}");
    assert_eq!((book[0].credited, book[0].attempts), (1, 1));
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!((trace.paid_count, outside_of(&trace)), (1, 0));
    cluster.finish().await;
}

/// Waits for a state of the member's only payment and returns its reference.
async fn await_state(programme: &Programme, member: &Member, state: State) -> String {
    eventually(SOON, "the payment changes its state", || async {
        let all = programme.disbursements(&member.account).await.unwrap();
        let there = all.len() == 1 && all[0].state() == state;
        check(there, || format!("{all:?}")).map(|()| all[0].reference.clone())
    })
    .await
}
