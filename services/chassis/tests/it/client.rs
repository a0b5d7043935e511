//! Calls to another service.

use std::time::Duration;

use chassis::{
    client::{Peer, TokenSource, channel},
    config::Secret,
    deadline,
};
use proto::{
    clock::v1::{GetClockRequest, clock_service_client::ClockServiceClient},
    identity::v1::token_service_client::TokenServiceClient,
};
use time::Duration as Span;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::stage::{Stage, ask, metadata, reason};

fn peer(stage: &Stage) -> Peer {
    let secret = Secret::new("jobs.*");
    let token = TokenSource::new(stage.channel.clone(), "stage", secret, stage.clock.clone());
    Peer::new(stage.channel.clone(), token)
}

async fn get_clock(peer: &Peer) -> Result<(), Status> {
    let mut client = ClockServiceClient::new(peer.clone());
    client.get_clock(GetClockRequest {}).await.map(|_| ())
}

#[tokio::test]
async fn a_peer_is_called_with_the_service_s_own_token() {
    let mut stage = Stage::start(&[]).await;
    let peer = peer(&stage);

    get_clock(&peer).await.unwrap();
    get_clock(&peer).await.unwrap();

    // One token was asked for, not two.
    assert!(stage.calls.try_recv().is_ok());
    assert!(stage.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_token_that_has_ended_is_replaced() {
    let mut stage = Stage::start(&[]).await;
    let peer = peer(&stage);
    get_clock(&peer).await.unwrap();

    stage.clock.advance_by(Span::days(15));
    get_clock(&peer).await.unwrap();

    assert!(stage.calls.try_recv().is_ok());
    assert!(stage.calls.try_recv().is_ok());
}

#[tokio::test]
async fn a_token_that_a_peer_refuses_is_replaced_once() {
    let stage = Stage::start(&[]).await;
    let secret = Secret::new("jobs.*");
    // A caller whose clock stands while the peer's has moved on believes in its token.
    let behind = chassis::Clock::fixed_at(stage.clock.now());
    let token = TokenSource::new(stage.channel.clone(), "stage", secret, behind);
    let peer = Peer::new(stage.channel.clone(), token);
    get_clock(&peer).await.unwrap();

    stage.clock.advance_by(Span::hours(2));

    assert!(get_clock(&peer).await.is_ok());
}

#[tokio::test]
async fn unavailable_is_tried_again_and_nothing_else() {
    let mut stage = Stage::start(&[]).await;
    let mut client = TokenServiceClient::new(peer(&stage));
    stage.gate.add_permits(1);

    let answer = client.issue_token(ask("away once")).await.unwrap();
    assert_eq!(answer.into_inner().access_token, "away once");
    let mut calls = 0;
    while stage.calls.try_recv().is_ok() {
        calls += 1;
    }
    // The token, the first try and the second.
    assert_eq!(calls, 3);

    let failed = client.issue_token(ask("fault")).await.unwrap_err();
    assert_eq!(failed.code(), Code::Internal);
    assert!(stage.calls.try_recv().is_ok());
    assert!(stage.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_peer_that_stays_away_is_given_up_and_keeps_its_reason() {
    let stage = Stage::start(&[]).await;
    let mut client = TokenServiceClient::new(peer(&stage));

    let failed = client.issue_token(ask("away")).await.unwrap_err();

    assert_eq!(failed.code(), Code::Unavailable);
    assert_eq!(metadata(&failed, "part").as_deref(), Some("database"));
}

#[tokio::test]
async fn retries_end_when_the_budget_is_spent() {
    let mut stage = Stage::start(&[]).await;
    let client = TokenServiceClient::new(peer(&stage));

    let calls = (0..150).map(|_| {
        let mut client = client.clone();
        async move { client.issue_token(ask("away")).await }
    });
    futures::future::join_all(calls).await;

    let mut seen = 0;
    while stage.calls.try_recv().is_ok() {
        seen += 1;
    }
    // 150 calls, a start of some retries, and one for every ten calls: far from the 450 of three tries each.
    assert!((150..300).contains(&seen), "{seen}");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let stage = Stage::start(&[]).await;
    let secret = Secret::new("jobs.*");
    let token = TokenSource::new(stage.channel.clone(), "stage", secret, stage.clock.clone());
    let peer = Peer::new(channel("http://127.0.0.1:1").unwrap(), token);

    let failed = get_clock(&peer).await.unwrap_err();

    assert_eq!(failed.code(), Code::Unavailable);
    assert_eq!(reason(&failed), "PART_UNAVAILABLE");
}

#[tokio::test]
async fn the_time_that_is_left_is_forwarded() {
    let mut stage = Stage::start(&[]).await;
    let mut client = TokenServiceClient::new(peer(&stage));

    let until = Instant::now() + Duration::from_secs(2);
    deadline::scope(until, client.issue_token(ask("hello")))
        .await
        .unwrap();
    let late = Instant::now() + Duration::from_millis(300);
    let failed = deadline::scope(late, client.issue_token(ask("wait")))
        .await
        .unwrap_err();

    let token_call = stage.calls.recv().await.unwrap();
    let call = stage.calls.recv().await.unwrap();
    assert!(call.remaining.unwrap() < Duration::from_secs(2));
    assert!(token_call.metadata.get("authorization").is_none());
    assert!(call.metadata.get("authorization").is_some());
    assert_eq!(failed.code(), Code::DeadlineExceeded);
}
