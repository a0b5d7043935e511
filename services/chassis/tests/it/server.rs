//! What stands before every handler.

use std::time::Duration;

use chassis::{Clock, auth::KeyStore};
use prost_types::Timestamp;
use proto::{
    clock::v1::{AdvanceClockRequest, GetClockRequest, clock_service_client::ClockServiceClient},
    identity::v1::token_service_client::TokenServiceClient,
};
use time::{Duration as Span, macros::datetime};
use tokio_stream::StreamExt;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::stage::{NOW, Stage, ask, metadata, reason};

async fn get_clock(stage: &Stage, token: &str) -> Result<i64, Status> {
    let mut client = ClockServiceClient::new(stage.as_caller(token));
    let clock = client.get_clock(GetClockRequest {}).await?.into_inner();
    Ok(clock.now.unwrap().seconds)
}

#[tokio::test]
async fn the_holder_of_the_permission_may_call() {
    let stage = Stage::start(&[]).await;

    let exact = stage.tokens.service_account("a", &["clock.clock.get"]);
    let wide = stage.tokens.service_account("b", &["clock.*"]);

    assert_eq!(
        get_clock(&stage, &exact).await.unwrap(),
        NOW.unix_timestamp()
    );
    assert_eq!(
        get_clock(&stage, &wide).await.unwrap(),
        NOW.unix_timestamp()
    );
}

#[tokio::test]
async fn whoever_lacks_the_permission_is_refused() {
    let stage = Stage::start(&[]).await;
    let token = stage
        .tokens
        .service_account("a", &["clock.clock.advance", "payout.*"]);

    let refused = get_clock(&stage, &token).await.unwrap_err();

    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(reason(&refused), "PERMISSION_MISSING");
    assert_eq!(
        metadata(&refused, "permission").as_deref(),
        Some("clock.clock.get")
    );
}

#[tokio::test]
async fn an_account_may_not_call_a_method_that_has_no_owner() {
    let stage = Stage::start(&[]).await;
    let token = stage.tokens.account(Uuid::from_u128(1));

    let refused = get_clock(&stage, &token).await.unwrap_err();

    assert_eq!(reason(&refused), "PERMISSION_MISSING");
}

#[tokio::test]
async fn without_a_token_that_counts_nobody_may_call() {
    let stage = Stage::start(&[]).await;
    let stranger = chassis::testing::TestTokens::new(stage.clock.clone());
    let mut other_audience = stage.tokens.claims("serviceAccounts/a".to_owned());
    other_audience.aud = "somebody else".to_owned();
    let mut expired = stage.tokens.claims("serviceAccounts/a".to_owned());
    expired.exp = NOW.unix_timestamp();

    let missing = ClockServiceClient::new(stage.channel.clone())
        .get_clock(GetClockRequest {})
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    for token in [
        String::new(),
        "no token".to_owned(),
        stranger.service_account("a", &["clock.*"]),
        stage.tokens.sign(&other_audience),
        stage.tokens.sign(&expired),
    ] {
        let refused = get_clock(&stage, &token).await.unwrap_err();

        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
        assert_eq!(reason(&refused), "TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_token_from_a_clock_ahead_of_ours_counts_until_its_end() {
    let stage = Stage::start(&[]).await;
    let mut ahead = stage.tokens.claims("serviceAccounts/a".to_owned());
    ahead.permissions = vec!["clock.*".to_owned()];
    ahead.iat = NOW.unix_timestamp() + 3600;
    ahead.exp = NOW.unix_timestamp() + 7200;
    let token = stage.tokens.sign(&ahead);

    get_clock(&stage, &token).await.unwrap();
    stage.clock.advance_by(Span::hours(2));
    let refused = get_clock(&stage, &token).await.unwrap_err();

    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_token_that_was_accepted_ends_all_the_same() {
    let stage = Stage::start(&[]).await;
    let token = stage.tokens.service_account("a", &["clock.*"]);
    get_clock(&stage, &token).await.unwrap();

    stage.clock.advance_by(Span::hours(2));
    let refused = get_clock(&stage, &token).await.unwrap_err();

    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn keys_are_fetched_when_the_first_token_is_shown() {
    let clock = Clock::fixed_at(NOW);
    let tokens = std::sync::Arc::new(chassis::testing::TestTokens::new(clock.clone()));
    let fetched = |identity: Channel| KeyStore::fetched(identity, Clock::fixed_at(NOW));
    let stage = Stage::with_keys(&[], clock, tokens, fetched).await;
    let token = stage.tokens.service_account("a", &["clock.*"]);

    assert!(get_clock(&stage, &token).await.is_ok());
}

#[tokio::test]
async fn an_identity_that_is_away_is_not_a_bad_token() {
    let clock = Clock::fixed_at(NOW);
    let tokens = std::sync::Arc::new(chassis::testing::TestTokens::new(clock.clone()));
    let nowhere = |_| {
        let identity = chassis::client::channel("http://127.0.0.1:1").unwrap();
        KeyStore::fetched(identity, Clock::fixed_at(NOW))
    };
    let stage = Stage::with_keys(&[], clock, tokens, nowhere).await;
    let token = stage.tokens.service_account("a", &["clock.*"]);

    let refused = get_clock(&stage, &token).await.unwrap_err();

    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(metadata(&refused, "part").as_deref(), Some("identity"));
}

#[tokio::test]
async fn everyone_may_call_a_public_method() {
    let mut stage = Stage::start(&[]).await;

    let answer = TokenServiceClient::new(stage.as_caller("no token"))
        .issue_token(ask("hello"))
        .await
        .unwrap();

    assert_eq!(answer.into_inner().access_token, "hello");
    assert_eq!(stage.calls.recv().await.unwrap().subject, "");
}

#[tokio::test]
async fn what_the_contract_does_not_know_is_not_implemented() {
    let stage = Stage::start(&[]).await;
    let mut client = tonic::client::Grpc::new(stage.channel.clone());
    client.ready().await.unwrap();

    let codec = tonic_prost::ProstCodec::<GetClockRequest, GetClockRequest>::default();
    let path = http::uri::PathAndQuery::from_static("/bekal.clock.v1.ClockService/StopClock");
    let refused = client
        .unary(Request::new(GetClockRequest {}), path, codec)
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_call_that_takes_too_long_exceeds_the_deadline_of_the_process() {
    let stage = Stage::start(&[("STAGE_REQUEST_TIMEOUT_SECONDS", "1")]).await;

    let refused = TokenServiceClient::new(stage.channel.clone())
        .issue_token(ask("wait"))
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::DeadlineExceeded);
    assert_eq!(reason(&refused), "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn a_caller_s_deadline_is_answered_and_not_cancelled() {
    let mut stage = Stage::start(&[]).await;
    let mut request = Request::new(ask("wait"));
    request.set_timeout(Duration::from_millis(600));

    let refused = TokenServiceClient::new(stage.channel.clone())
        .issue_token(request)
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::DeadlineExceeded);
    let remaining = stage.calls.recv().await.unwrap().remaining.unwrap();
    assert!(remaining < Duration::from_millis(600), "{remaining:?}");
}

#[tokio::test]
async fn more_calls_than_the_process_carries_are_refused_at_once() {
    let mut stage = Stage::start(&[("STAGE_CONCURRENCY_MAX", "1")]).await;
    let mut client = TokenServiceClient::new(stage.channel.clone());
    let mut waiting = client.clone();
    let first = chassis::task::spawn(
        "first",
        async move { waiting.issue_token(ask("wait")).await },
    );
    stage.calls.recv().await.unwrap();

    let refused = client.issue_token(ask("hello")).await.unwrap_err();
    let health = check(&stage.channel, "").await;
    stage.gate.add_permits(1);
    let first = first.await.unwrap();

    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "OVERLOADED");
    assert!(refused.get_details_retry_info().is_some());
    assert_eq!(health, ServingStatus::Serving);
    assert!(first.is_ok());
    assert!(client.issue_token(ask("hello")).await.is_ok());
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_process_lives_on() {
    let stage = Stage::start(&[]).await;
    let mut client = TokenServiceClient::new(stage.channel.clone());

    for wish in ["panic", "fault"] {
        let failed = client.issue_token(ask(wish)).await.unwrap_err();

        assert_eq!(failed.code(), Code::Internal);
        assert_eq!(failed.message(), "internal error");
        assert_eq!(reason(&failed), "INTERNAL");
        assert!(!String::from_utf8_lossy(failed.details()).contains("canary"));
    }
    assert!(client.issue_token(ask("hello")).await.is_ok());
}

async fn check(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel.clone()).check(request).await;
    answer.unwrap().into_inner().status()
}

#[tokio::test]
async fn health_follows_the_life_of_the_process() {
    let stage = Stage::start(&[("STAGE_DRAIN_DELAY_SECONDS", "1")]).await;
    let latch = stage.readiness.latch("database");
    let request = HealthCheckRequest::default();
    let mut seen = HealthClient::new(stage.channel.clone())
        .watch(request)
        .await
        .unwrap()
        .into_inner()
        .map(|answer| answer.unwrap().status());

    // The latch may be told before or after the watch has begun.
    while seen.next().await.unwrap() != ServingStatus::NotServing {}
    assert_eq!(
        check(&stage.channel, "liveness").await,
        ServingStatus::Serving
    );

    latch.release();
    assert_eq!(seen.next().await, Some(ServingStatus::Serving));

    stage.shutdown.cancel();
    assert_eq!(seen.next().await, Some(ServingStatus::NotServing));
    // Still served, for those who were sent here before.
    let mut client = TokenServiceClient::new(stage.channel.clone());
    assert!(client.issue_token(ask("late")).await.is_ok());
    assert_eq!(seen.next().await, None);
    assert!(stage.served.await.unwrap().is_ok());
}

#[tokio::test]
async fn calls_in_work_are_finished_before_the_end() {
    let mut stage = Stage::start(&[]).await;
    let mut client = TokenServiceClient::new(stage.channel.clone());
    let call = chassis::task::spawn("call", async move { client.issue_token(ask("wait")).await });
    stage.calls.recv().await.unwrap();

    stage.shutdown.cancel();
    stage.gate.add_permits(1);

    assert!(call.await.unwrap().is_ok());
    assert!(stage.served.await.unwrap().is_ok());
}

#[tokio::test]
async fn calls_that_do_not_end_are_left_when_the_grace_is_over() {
    let mut stage = Stage::start(&[("STAGE_GRACE_SECONDS", "1")]).await;
    let mut client = TokenServiceClient::new(stage.channel.clone());
    let _call = chassis::task::spawn("call", async move { client.issue_token(ask("wait")).await });
    stage.calls.recv().await.unwrap();

    stage.shutdown.cancel();

    assert!(stage.served.await.unwrap().is_err());
}

#[tokio::test]
async fn a_movable_clock_is_moved_by_call_and_never_back() {
    let stage = Stage::start(&[]).await;
    let token = stage.tokens.service_account("demo", &["clock.*"]);
    let mut client = ClockServiceClient::new(stage.as_caller(&token));
    let to = |time: time::OffsetDateTime| AdvanceClockRequest {
        to: Some(Timestamp {
            seconds: time.unix_timestamp(),
            nanos: 0,
        }),
    };

    let moved = client
        .advance_clock(to(NOW + Span::minutes(30)))
        .await
        .unwrap();
    assert_eq!(
        moved.into_inner().now.unwrap().seconds,
        NOW.unix_timestamp() + 1800
    );

    let stood = client
        .advance_clock(to(datetime!(2020-01-01 00:00 UTC)))
        .await
        .unwrap();
    assert_eq!(
        stood.into_inner().now.unwrap().seconds,
        NOW.unix_timestamp() + 1800
    );

    let refused = client.advance_clock(AdvanceClockRequest { to: None }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_clock_of_a_real_process_is_not_served() {
    let stage = Stage::with_clock(&[], Clock::system()).await;
    let token = stage.tokens.service_account("demo", &["clock.*"]);

    let refused = get_clock(&stage, &token).await.unwrap_err();

    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let stage = Stage::start(&[]).await;

    let v1 = {
        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answers = ServerReflectionClient::new(stage.channel.clone())
            .server_reflection_info(tokio_stream::iter([request]))
            .await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        match answer.message_response {
            Some(MessageResponse::ListServicesResponse(list)) => list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let v1alpha = {
        use tonic_reflection::pb::v1alpha::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol(
                "bekal.identity.v1.TokenService".to_owned(),
            )),
        };
        let answers = ServerReflectionClient::new(stage.channel.clone())
            .server_reflection_info(tokio_stream::iter([request]))
            .await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        answer
            .message_response
            .map(|response| matches!(response, MessageResponse::FileDescriptorResponse(_)))
    };

    assert!(v1.contains(&"bekal.identity.v1.TokenService".to_owned()));
    assert!(v1.contains(&"grpc.health.v1.Health".to_owned()));
    // Only what is served is listed, not the whole contract.
    assert!(!v1.contains(&"bekal.jobs.v1.VacancyService".to_owned()));
    assert_eq!(v1alpha, Some(true));
}
