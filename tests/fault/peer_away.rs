//! A peer is away in the middle of a purchase: it waits, decides nothing, and goes on by itself.

use proto::enrollment::v1::purchase::State;
use tests::{
    cluster::{Cluster, Link},
    eventually::{check, eventually},
    process::Service,
    programme::{outside_of, reason_of},
    scene::{SOON, Scene, units},
};

#[tokio::test]
async fn a_purchase_waits_for_the_seats_and_goes_on() {
    let seats_taken = purchase_without(Service::Catalog).await;

    assert_eq!(seats_taken, 0, "no seat was held while catalog was away");
}

#[tokio::test]
async fn a_purchase_waits_for_the_money_and_goes_on() {
    let seats_taken = purchase_without(Service::Payout).await;

    assert_eq!(seats_taken, 1, "the seat was held while payout was away");
}

/// Buys while a peer is away, and returns how many seats were taken meanwhile.
async fn purchase_without(peer: Service) -> i64 {
    let link = Link::Peer {
        from: Service::Enrollment,
        to: peer,
    };
    let cluster = Cluster::builder()
        .proxied(link)
        .allow_log("a purchase waits for a peer")
        .start()
        .await;
    let scene = Scene::set(&cluster, 1).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 5, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;

    cluster.proxy(link).cut();
    let begun = programme
        .begin_purchase(&participations[0].name, &run.name)
        .await
        .unwrap();
    let meanwhile = programme.run(&run.name).await.unwrap().taken_seat_count;
    let again = programme
        .begin_purchase(&participations[0].name, &run.name)
        .await;
    cluster.proxy(link).heal();
    let ended = programme.ended(begun.clone()).await;

    assert_eq!(begun.state(), State::Pending);
    let refusal = reason_of(&again.unwrap_err());
    assert_eq!(refusal.as_deref(), Some("PURCHASE_PENDING"));
    assert_eq!(ended.state(), State::Completed, "{ended:?}");
    eventually(SOON, "one seat is taken", || async {
        let taken = programme.run(&run.name).await.unwrap().taken_seat_count;
        check(taken == 1, || taken)
    })
    .await;
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(units(trace.spent.as_ref()), units(course.price.as_ref()));
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
    meanwhile
}
