//! The cluster itself: five services become ready, know each other's keys, move their clocks together and drain.

use std::time::Duration;

use tests::{
    accounts::Caller,
    cluster::{Bearer, Cluster},
    process::Service,
};
use time::OffsetDateTime;
use tonic::Code;

use proto::clock::v1::{GetClockRequest, clock_service_client::ClockServiceClient};

#[tokio::test]
async fn five_services_start_trust_each_others_tokens_and_drain() {
    let mut cluster = Cluster::start().await;
    let before: OffsetDateTime = cluster.now().await;

    cluster
        .advance_clock_by(Duration::from_secs(15 * 86_400))
        .await;
    cluster.crash(Service::Jobs).await;

    for service in Service::ALL {
        let client = cluster.client(service, Caller::Stack).await;
        let clock = ClockServiceClient::new(client)
            .get_clock(GetClockRequest {})
            .await;
        let now = clock.unwrap().into_inner().now.unwrap().seconds;
        assert!(now - before.unix_timestamp() >= 15 * 86_400, "{service:?}");
    }
    cluster.finish().await;
}

#[tokio::test]
async fn a_call_without_a_token_or_without_the_permission_is_refused() {
    let cluster = Cluster::builder()
        .services(&[Service::Identity, Service::Catalog])
        .start()
        .await;

    let anonymous = cluster.client_with(Service::Catalog, Bearer::default());
    let nobody = ClockServiceClient::new(anonymous)
        .get_clock(GetClockRequest {})
        .await;
    let portal = cluster.client(Service::Catalog, Caller::Portal).await;
    let other = ClockServiceClient::new(portal)
        .get_clock(GetClockRequest {})
        .await;

    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(other.unwrap_err().code(), Code::PermissionDenied);
    cluster.finish().await;
}
