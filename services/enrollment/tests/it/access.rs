//! Who may call what.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::enrollment::v1::{
    self as pb, application_service_client::ApplicationServiceClient,
    batch_service_client::BatchServiceClient, campaign_service_client::CampaignServiceClient,
    learning_service_client::LearningServiceClient,
    participation_service_client::ParticipationServiceClient,
};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    learning::{completed, reviewed},
    peers::person,
    world::{World, application_request, assert_refused, purchase_request, request_id},
};

#[sqlx::test(migrator = "MIGRATOR")]
async fn callers_without_token_or_permission_are_refused(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let request = pb::CloseBatchRequest {
        request_id: request_id(),
        name: batch.clone(),
    };

    let anonymous = BatchServiceClient::new(world.anonymous())
        .close_batch(request.clone())
        .await;
    let powerless = BatchServiceClient::new(world.powerless())
        .close_batch(request.clone())
        .await;
    let account = BatchServiceClient::new(world.account(Uuid::now_v7()))
        .close_batch(request)
        .await;
    let public = pb::GetBatchRequest { name: batch };
    let public = BatchServiceClient::new(world.anonymous())
        .get_batch(public)
        .await;

    assert_refused(anonymous, Code::Unauthenticated, "TOKEN_INVALID");
    assert_refused(powerless, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_refused(account, Code::PermissionDenied, "PERMISSION_MISSING");
    assert!(public.is_ok());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_account_applies_and_reads_for_itself_alone(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let (own, other) = (Uuid::now_v7(), Uuid::now_v7());
    world.peers.add_person(own, person());
    world.peers.add_person(other, person());
    let mut client = ApplicationServiceClient::new(world.account(own));
    let list = |batch: &str, account: Option<Uuid>| pb::ListApplicationsRequest {
        batch: batch.to_owned(),
        account: account
            .map(|id| names::format("accounts", id))
            .unwrap_or_default(),
        ..pb::ListApplicationsRequest::default()
    };

    let application = client
        .create_application(application_request(&batch, own))
        .await
        .unwrap()
        .into_inner();
    let foreign = client
        .create_application(application_request(&batch, other))
        .await;
    let read = pb::GetApplicationRequest {
        name: application.name,
    };
    let stranger = ApplicationServiceClient::new(world.account(other))
        .get_application(read.clone())
        .await;

    assert_refused(foreign, Code::PermissionDenied, "NOT_OWNER");
    assert_refused(stranger, Code::PermissionDenied, "NOT_OWNER");
    assert!(client.get_application(read).await.is_ok());
    assert!(client.list_applications(list("", Some(own))).await.is_ok());
    assert_refused(
        client.list_applications(list("", Some(other))).await,
        Code::PermissionDenied,
        "NOT_OWNER",
    );
    assert_refused(
        client.list_applications(list(&batch, None)).await,
        Code::PermissionDenied,
        "NOT_OWNER",
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_participant_buys_and_reads_for_itself_alone(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    let (own, other) = (participants[0], participants[1]);
    let run = world.run(5, 1_000);
    let mut client = ParticipationServiceClient::new(world.account(own.account));
    let mut stranger = ParticipationServiceClient::new(world.account(other.account));

    let purchase = client
        .create_purchase(purchase_request(own.id, run))
        .await
        .unwrap()
        .into_inner();
    let foreign = stranger
        .create_purchase(purchase_request(own.id, run))
        .await;
    assert_refused(foreign, Code::PermissionDenied, "NOT_OWNER");
    let read = pb::GetParticipationRequest {
        name: names::format("participations", own.id),
    };
    assert_refused(
        stranger.get_participation(read.clone()).await,
        Code::PermissionDenied,
        "NOT_OWNER",
    );
    assert!(client.get_participation(read).await.is_ok());
    let read = pb::GetPurchaseRequest {
        name: purchase.name.clone(),
    };
    assert_refused(
        stranger.get_purchase(read.clone()).await,
        Code::PermissionDenied,
        "NOT_OWNER",
    );
    assert!(client.get_purchase(read).await.is_ok());
    let list = pb::ListPurchasesRequest {
        participation: names::format("participations", own.id),
        ..pb::ListPurchasesRequest::default()
    };
    assert_refused(
        stranger.list_purchases(list.clone()).await,
        Code::PermissionDenied,
        "NOT_OWNER",
    );
    assert!(client.list_purchases(list).await.is_ok());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_certificate_is_reviewed_by_its_holder_and_read_by_everyone(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    let (own, other) = (participants[0], participants[1]);
    let purchase = world.buy(own.id, world.run(5, 1_000)).await.unwrap();
    let certificate = completed(&world, &purchase).await;
    let request = pb::CreateReviewRequest {
        request_id: request_id(),
        certificate: certificate.name.clone(),
        review: Some(pb::Review {
            stars: 1,
            text: "I never was in this course.".to_owned(),
            ..pb::Review::default()
        }),
    };

    let foreign = LearningServiceClient::new(world.account(other.account))
        .create_review(request)
        .await;
    reviewed(&world, &certificate).await;
    let read = pb::GetCertificateRequest {
        name: certificate.name,
    };
    let public = LearningServiceClient::new(world.anonymous())
        .get_certificate(read)
        .await;

    assert_refused(foreign, Code::PermissionDenied, "NOT_OWNER");
    assert!(public.is_ok());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_voucher_is_claimed_for_oneself_alone(db: PgPool) {
    let world = World::start(db).await;
    let (own, other) = (Uuid::now_v7(), Uuid::now_v7());
    let request = pb::ClaimVoucherRequest {
        request_id: request_id(),
        campaign: "campaigns/isw".to_owned(),
        account: names::format("accounts", other),
        run: names::format("runs", Uuid::now_v7()),
    };

    let foreign = CampaignServiceClient::new(world.account(own))
        .claim_voucher(request)
        .await;

    assert_refused(foreign, Code::PermissionDenied, "NOT_OWNER");
}
