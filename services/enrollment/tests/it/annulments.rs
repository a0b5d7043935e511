//! Annulling a batch, which takes two people.

use enrollment::storage::MIGRATOR;
use proto::enrollment::v1::{self as pb, batch_service_client::BatchServiceClient};
use sqlx::PgPool;
use tonic::{Code, Status};

use crate::world::{World, assert_refused, request_id};

async fn propose(world: &World, who: &str, batch: &str) -> Result<pb::Batch, Status> {
    let request = pb::ProposeAnnulmentRequest {
        request_id: request_id(),
        name: batch.to_owned(),
        reason: "The list of regions was the one of last year".to_owned(),
    };
    let mut batches = BatchServiceClient::new(world.service_account(who));
    Ok(batches.propose_annulment(request).await?.into_inner())
}

async fn confirm(world: &World, who: &str, batch: &str) -> Result<pb::Batch, Status> {
    let request = pb::ConfirmAnnulmentRequest {
        request_id: request_id(),
        name: batch.to_owned(),
    };
    let mut batches = BatchServiceClient::new(world.service_account(who));
    Ok(batches.confirm_annulment(request).await?.into_inner())
}

async fn bundle(world: &World, batch: &str) -> Vec<u8> {
    let request = pb::DownloadDrawBundleRequest {
        name: batch.to_owned(),
    };
    let answer = world.batches().download_draw_bundle(request).await.unwrap();
    let (mut pieces, mut bundle) = (answer.into_inner(), Vec::new());
    while let Some(piece) = pieces.message().await.unwrap() {
        bundle.extend(piece.content);
    }
    bundle
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn two_people_annul_a_batch_and_its_result_is_kept(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2).await;
    world.applicants(&batch, 5).await;
    let drawn = world.drawn(&batch).await;
    let published = bundle(&world, &batch).await;

    let without = confirm(&world, "auditor", &batch).await;
    assert_refused(without, Code::FailedPrecondition, "ANNULMENT_NOT_PROPOSED");
    let proposed = propose(&world, "operator", &batch).await.unwrap();
    assert_eq!(proposed.state(), pb::batch::State::Drawn);
    let again = propose(&world, "auditor", &batch).await;
    assert_refused(again, Code::AlreadyExists, "ANNULMENT_PROPOSED");
    let alone = confirm(&world, "operator", &batch).await;
    assert_refused(alone, Code::PermissionDenied, "ANNULMENT_BY_PROPOSER");
    let annulled = confirm(&world, "auditor", &batch).await.unwrap();

    assert_eq!(annulled.state(), pb::batch::State::Annulled);
    let annulment = annulled.annulment.unwrap();
    assert_eq!(
        (annulment.proposer.as_str(), annulment.confirmer.as_str()),
        ("serviceAccounts/operator", "serviceAccounts/auditor")
    );
    assert_eq!(annulled.commitment, drawn.commitment);
    assert_eq!(bundle(&world, &batch).await, published);
    assert_refused(
        world.award(&batch).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    let told = world.told::<pb::BatchAnnulled>().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason, annulment.reason);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_frozen_batch_that_is_annulled_is_never_drawn(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2).await;
    world.applicants(&batch, 3).await;
    world.frozen(&batch).await;
    world.reveal(&batch).await;
    propose(&world, "operator", &batch).await.unwrap();
    confirm(&world, "auditor", &batch).await.unwrap();

    let drawn = world.draw(&batch).await;

    assert_refused(drawn, Code::FailedPrecondition, "BATCH_STATE_WRONG");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_was_awarded_is_not_annulled(db: PgPool) {
    let world = World::start(db).await;
    let open = world.open_batch("47", 1).await;
    let batch = world.open_batch("48", 2).await;
    world.applicants(&batch, 3).await;
    world.drawn(&batch).await;
    // One that has begun counts.
    world.app.award_next_chunk("48", 1).await.unwrap();

    for name in [open, batch] {
        let refused = propose(&world, "operator", &name).await;
        assert_refused(refused, Code::FailedPrecondition, "BATCH_STATE_WRONG");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_statement_annuls_without_two_people(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2).await;
    world.applicants(&batch, 3).await;
    world.frozen(&batch).await;
    propose(&world, "operator", &batch).await.unwrap();

    for statement in [
        "UPDATE batches SET state = 'ANNULLED'",
        "UPDATE batch_annulments SET confirmer = proposer, confirm_time = now()",
        "UPDATE batch_annulments SET proposer = 'serviceAccounts/other'",
        "DELETE FROM batch_annulments",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&world.db).await;
        assert!(refused.is_err(), "{statement}");
    }
}
