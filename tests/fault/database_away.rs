//! A database is away: its service says so and stays alive, purchases wait, and all goes on when it is back.

use proto::enrollment::v1::purchase::State;
use tests::{
    cluster::{Cluster, Link},
    process::Service,
    programme::{outside_of, reason_of},
    scene::Scene,
};
use tonic::Code;

#[tokio::test]
async fn a_purchase_waits_for_the_ledgers_database() {
    let link = Link::Database(Service::Payout);
    let cluster = Cluster::builder()
        .proxied(link)
        .allow_log("a purchase waits for a peer")
        .allow_log("call failed")
        .allow_log("database")
        .allow_log("the relay starts over")
        .allow_log("the consumer starts over")
        .allow_log("is held until the fault has passed")
        .allow_log("the round failed and is repeated")
        .start()
        .await;
    let scene = Scene::set(&cluster, 1).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 5, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;

    cluster.proxy(link).cut();
    let trace = programme.trace_funds("batches/48").await.unwrap_err();
    let begun = programme
        .begin_purchase(&participations[0].name, &run.name)
        .await
        .unwrap();
    cluster.proxy(link).heal();
    let ended = programme.ended(begun.clone()).await;

    assert_eq!(trace.code(), Code::Unavailable, "{trace:?}");
    assert_eq!(reason_of(&trace).as_deref(), Some("PART_UNAVAILABLE"));
    assert_eq!(begun.state(), State::Pending);
    assert_eq!(ended.state(), State::Completed, "{ended:?}");
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
}
