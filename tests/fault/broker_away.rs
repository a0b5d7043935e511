//! The broker is away: services go on answering, and are ready again after a restart when it is back.

use proto::clock::v1::{GetClockRequest, clock_service_client::ClockServiceClient};
use tests::{
    accounts::Caller,
    cluster::{Cluster, Link},
    process::Service,
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
