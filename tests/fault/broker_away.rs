//! The broker is away: services go on answering, and what happened meanwhile is told when it is back.

use proto::identity::v1::{
    Account, CreateAccountRequest, account_service_client::AccountServiceClient,
};
use tests::{
    accounts::Caller,
    cluster::{Cluster, Link},
    eventually::{check, eventually},
    people::Population,
    process::Service,
    programme::outside_of,
    regions::Regions,
    scene::{SOON, Scene},
};

#[tokio::test]
async fn a_service_answers_while_the_broker_is_away() {
    let cluster = Cluster::builder()
        .services(&[Service::Identity])
        .proxied(Link::Broker(Service::Identity))
        .allow_log("broker")
        .allow_log("the relay starts over")
        .start()
        .await;

    let today = cluster.now().await.date();
    let people = Population::new(7, today, Regions::sample().unwrap().regions);
    let identity = cluster.client(Service::Identity, Caller::Frontend).await;
    cluster.proxy(Link::Broker(Service::Identity)).cut();
    let request = CreateAccountRequest {
        request_id: "6f0a1c3e-0000-4000-8000-000000000001".to_owned(),
        account: Some(Account {
            email: people.person(0).email,
            ..Account::default()
        }),
        ..CreateAccountRequest::default()
    };
    let created = AccountServiceClient::new(identity)
        .create_account(request)
        .await;
    let waiting = cluster.databases().outbox_count(Service::Identity).await;
    cluster.proxy(Link::Broker(Service::Identity)).heal();

    assert!(created.is_ok(), "{created:?}");
    assert_eq!(waiting.unwrap(), 1, "the event waits for the broker");
    eventually(SOON, "the event is told", || async {
        let waiting = cluster.databases().outbox_count(Service::Identity).await;
        check(waiting.as_ref().is_ok_and(|count| *count == 0), || {
            format!("{waiting:?}")
        })
    })
    .await;
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
