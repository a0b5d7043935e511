//! A bad request is told all that is wrong with it, by every method that has more than one thing to be wrong.

use enrollment::storage::MIGRATOR;
use proto::enrollment::v1 as pb;
use sqlx::PgPool;

use crate::world::{World, fields};

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_step_of_a_batch_tells_all_violations(db: PgPool) {
    let world = World::start(db).await;
    let mut batches = world.batches();
    let (request_id, name) = ("1".to_owned(), "batch-48".to_owned());
    let expected = ["request_id", "name"];

    let open = batches
        .open_batch(pb::OpenBatchRequest {
            request_id: request_id.clone(),
            name: name.clone(),
        })
        .await;
    assert_eq!(fields(open), expected);

    let close = batches
        .close_batch(pb::CloseBatchRequest {
            request_id: request_id.clone(),
            name: name.clone(),
        })
        .await;
    assert_eq!(fields(close), expected);

    let freeze = batches
        .freeze_batch(pb::FreezeBatchRequest {
            request_id: request_id.clone(),
            name: name.clone(),
        })
        .await;
    assert_eq!(fields(freeze), expected);

    let draw = batches
        .draw_batch(pb::DrawBatchRequest {
            request_id: request_id.clone(),
            name: name.clone(),
        })
        .await;
    assert_eq!(fields(draw), expected);

    let award = batches
        .award_batch(pb::AwardBatchRequest { request_id, name })
        .await;
    assert_eq!(fields(award), expected);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_trustees_calls_tell_all_violations(db: PgPool) {
    let world = World::start(db).await;
    let mut batches = world.batches();

    let commit = batches
        .commit_randomness(pb::CommitRandomnessRequest {
            request_id: "1".to_owned(),
            name: "48".to_owned(),
            trustee: "notary".to_owned(),
            commitment: vec![0; 31],
        })
        .await;
    assert_eq!(
        fields(commit),
        ["request_id", "name", "trustee", "commitment"]
    );

    let reveal = batches
        .reveal_randomness(pb::RevealRandomnessRequest {
            request_id: "1".to_owned(),
            name: "48".to_owned(),
            trustee: "notary".to_owned(),
            secret: vec![0; 33],
        })
        .await;
    assert_eq!(fields(reveal), ["request_id", "name", "trustee", "secret"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn lists_tell_all_violations(db: PgPool) {
    let world = World::start(db).await;
    let (mut participations, mut learning) = (world.participations(), world.learning());

    let listed = participations
        .list_participations(pb::ListParticipationsRequest {
            batch: "48".to_owned(),
            page_size: -1,
            ..pb::ListParticipationsRequest::default()
        })
        .await;
    assert_eq!(fields(listed), ["batch", "page_size"]);

    let listed = participations
        .list_purchases(pb::ListPurchasesRequest {
            participation: "somebody".to_owned(),
            page_size: -1,
            ..pb::ListPurchasesRequest::default()
        })
        .await;
    assert_eq!(fields(listed), ["participation", "page_size"]);

    let listed = learning
        .list_certificates(pb::ListCertificatesRequest {
            account: "somebody".to_owned(),
            page_size: -1,
            ..pb::ListCertificatesRequest::default()
        })
        .await;
    assert_eq!(fields(listed), ["account", "page_size"]);
}
