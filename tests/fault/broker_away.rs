//! The broker is away: services go on answering, and what happened meanwhile is told when it is back.

use proto::clock::v1::{GetClockRequest, clock_service_client::ClockServiceClient};
use tests::{
    accounts::Caller,
    cluster::{Cluster, Link},
    process::Service,
    programme::outside_of,
    scene::Scene,
};

#[tokio::test]
async fn a_service_answers_while_the_broker_is_away() {
    let cluster = Cluster::builder()
        .services(&[Service::Identity])
        .proxied(Link::Broker(Service::Identity))
        .allow_log("broker")
        .allow_log("lapin::")
        .start()
        .await;

    cluster.proxy(Link::Broker(Service::Identity)).cut();
    let client = cluster.client(Service::Identity, Caller::Stack).await;
    let clock = ClockServiceClient::new(client)
        .get_clock(GetClockRequest {})
        .await;
    cluster.proxy(Link::Broker(Service::Identity)).heal();

    assert!(clock.is_ok(), "{clock:?}");
    cluster.finish().await;
}

#[tokio::test]
async fn winners_are_funded_once_when_the_broker_is_back() {
    let links = [
        Link::Broker(Service::Enrollment),
        Link::Broker(Service::Payout),
    ];
    let cluster = Cluster::builder()
        .proxied(links[0])
        .proxied(links[1])
        .allow_log("broker")
        .allow_log("lapin::")
        .allow_log("the relay starts over")
        .allow_log("the consumer starts over")
        .start()
        .await;
    let scene = Scene::set(&cluster, 4).await;
    let programme = &scene.programme;
    let batch = scene.open_funded_batch("48").await;
    for member in &scene.members {
        programme.apply(&batch, &member.account).await.unwrap();
    }

    for link in links {
        cluster.proxy(link).cut();
    }
    programme.select(&batch).await.unwrap();
    let without_broker = programme.participations(&batch).await.unwrap();
    for link in links {
        cluster.proxy(link).heal();
    }
    let funded = programme.funded_participations(&batch).await;

    assert_eq!(without_broker.len(), 4);
    assert!(without_broker.iter().all(|one| !one.funded));
    assert_eq!(funded.len(), 4);
    let trace = programme.trace_funds(&batch).await.unwrap();
    assert_eq!((trace.funded_count, outside_of(&trace)), (4, 0));
    cluster.finish().await;
}
