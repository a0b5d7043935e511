//! A list names a recipient: the money stands still wherever it is, and goes on when the list lets go.

use proto::{
    enrollment::v1::{Participation, participation},
    payout::v1::disbursement,
};
use tests::{
    cluster::Cluster,
    eventually::{check, eventually},
    programme::{Programme, outside_of, reason_of},
    scene::{SOON, Scene, units},
};

#[tokio::test]
async fn a_hit_stops_purchase_and_payment_and_lifting_resumes_both() {
    let mut cluster = Cluster::start().await;
    let scene = Scene::set(&cluster, 2).await;
    let programme = &scene.programme;
    let list = programme
        .create_exclusion_list(&cluster, "students")
        .await
        .unwrap();
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 10, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;
    let hit = &participations[0];
    let person = &scene.member_of(hit).person;

    // Between award and purchase.
    let listed = list.import(cluster.now().await, &[person]).await.unwrap();
    assert_eq!(listed.listed_account_count, 1);
    is_in(programme, hit, participation::State::Frozen).await;
    let refused = programme.buy(&hit.name, &run.name).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("PARTICIPATION_FROZEN"));
    list.import(cluster.now().await, &[]).await.unwrap();
    is_in(programme, hit, participation::State::Awarded).await;

    // Between purchase and payment.
    scene.graduate(&mut cluster, &participations, &run).await;
    list.import(cluster.now().await, &[person]).await.unwrap();
    is_in(programme, hit, participation::State::Frozen).await;
    // payout has to know it before it makes a batch.
    cluster.settle().await;
    scene.approve_payments(1).await;
    let other = &participations[1].account;
    is_paid(programme, other).await;
    let held = programme.disbursements(&hit.account).await.unwrap();
    assert!(
        held.iter()
            .all(|line| line.state() == disbursement::State::Ready),
        "{held:?}"
    );
    list.import(cluster.now().await, &[]).await.unwrap();
    is_in(programme, hit, participation::State::Completed).await;
    scene.approve_payments(1).await;
    is_paid(programme, &hit.account).await;

    let book = cluster.bank().book().await;
    let credited: Vec<u32> = book.iter().map(|entry| entry.credited).collect();
    assert_eq!(credited, [1, 1]);
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(units(trace.incentives.as_ref()), 2 * 600_000);
    assert_eq!(outside_of(&trace), 0, "{trace:?}");
    let audit = programme.audit_ledger().await.unwrap();
    assert_eq!(audit.differing_accounts, Vec::<String>::new());
    cluster.finish().await;
}

async fn is_in(programme: &Programme, of: &Participation, state: participation::State) {
    eventually(SOON, "the participation follows the list", || async {
        let now = programme.participation(&of.name).await.unwrap();
        check(now.state() == state, || format!("{now:?}"))
    })
    .await;
}

async fn is_paid(programme: &Programme, account: &str) {
    eventually(SOON, "the incentive is paid", || async {
        let all = programme.disbursements(account).await.unwrap();
        let settled = all.len() == 1 && all[0].state() == disbursement::State::Settled;
        check(settled, || format!("{all:?}"))
    })
    .await;
}
