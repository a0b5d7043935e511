//! A person wins and never buys: the place is revoked, the money goes back, and pays for somebody in the next batch.

use proto::enrollment::v1::participation;
use tests::{
    cluster::{Cluster, to_time},
    eventually::{check, eventually},
    programme::{outside_of, reason_of, rupiah},
    scene::{SOON, Scene, units},
};

#[tokio::test]
async fn unused_money_goes_back_and_pays_for_the_next_batch() {
    let mut cluster = Cluster::start().await;
    let mut scene = Scene::set(&cluster, 3).await;
    let later = scene.members.split_off(2);
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 10, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;
    let programme = &scene.programme;
    let (buyer, idler) = (&participations[0], &participations[1]);
    let deadline = to_time(idler.first_purchase_deadline.unwrap());
    programme.buy(&buyer.name, &run.name).await.unwrap();

    cluster
        .advance_clock(deadline + time::Duration::seconds(2))
        .await;
    eventually(SOON, "the idle participation is revoked", || async {
        let now = programme.participation(&idler.name).await.unwrap();
        let revoked = now.state() == participation::State::Revoked;
        check(revoked, || format!("{now:?}"))
    })
    .await;
    let back = eventually(SOON, "the money is back", || async {
        let trace = programme.trace_funds("batches/48").await.unwrap();
        check(trace.returned_count == 1, || format!("{trace:?}")).map(|()| trace)
    })
    .await;
    let too_late = programme.buy(&idler.name, &run.name).await.unwrap_err();
    let too_much = programme
        .reallocate("batches/48", "batches/49", rupiah(4_200_001))
        .await
        .unwrap_err();
    let batch = scene.open_batch("49", 1).await;
    programme
        .reallocate("batches/48", &batch, rupiah(4_200_000))
        .await
        .unwrap();
    programme.apply(&batch, &later[0].account).await.unwrap();
    programme.select(&batch).await.unwrap();
    let next = programme.funded_participations(&batch).await;

    assert_eq!(units(back.returned.as_ref()), 4_200_000);
    assert_eq!(outside_of(&back), 0, "{back:?}");
    assert_eq!(
        reason_of(&too_late).as_deref(),
        Some("PARTICIPATION_REVOKED")
    );
    assert_eq!(reason_of(&too_much).as_deref(), Some("FUNDS_INSUFFICIENT"));
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].account, later[0].account);
    let (first, second) = (
        programme.trace_funds("batches/48").await.unwrap(),
        programme.trace_funds("batches/49").await.unwrap(),
    );
    assert_eq!(units(first.returned.as_ref()), 0);
    assert_eq!(units(first.reallocated.as_ref()), 4_200_000);
    assert_eq!(units(second.received_from_batches.as_ref()), 4_200_000);
    assert_eq!(units(second.outstanding.as_ref()), 4_200_000);
    assert_eq!((outside_of(&first), outside_of(&second)), (0, 0));
    cluster.finish().await;
}

/// Whoever was revoked cannot join a later batch.
#[tokio::test]
async fn a_revoked_person_cannot_win_again() {
    let mut cluster = Cluster::start().await;
    let scene = Scene::set(&cluster, 1).await;
    let programme = &scene.programme;
    let participations = scene.awarded_batch("48").await;
    let deadline = to_time(participations[0].first_purchase_deadline.unwrap());
    cluster
        .advance_clock(deadline + time::Duration::seconds(2))
        .await;
    eventually(SOON, "the participation is revoked", || async {
        let now = programme.participation(&participations[0].name).await;
        let revoked = now.unwrap().state() == participation::State::Revoked;
        check(revoked, || "not revoked")
    })
    .await;

    let batch = scene.open_batch("49", 1).await;
    let again = programme.apply(&batch, &scene.members[0].account).await;

    let decision = again.unwrap().decision.unwrap();
    let reasons: Vec<_> = decision.refusals.iter().map(|one| &one.reason).collect();
    assert_eq!(reasons, ["ALREADY_RECIPIENT"]);
    cluster.finish().await;
}
