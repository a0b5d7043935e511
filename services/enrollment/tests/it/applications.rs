//! Applying: decisions, receipts, repeats, refusals.

use chassis::names;
use draw::{Receipt, SignedReceipt, SigningKey};
use enrollment::storage::MIGRATOR;
use prost::Message;
use proto::{
    enrollment::v1 as pb,
    identity::v1::{PersonFacts, person},
};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    peers::{flag, int, person, person_with, text},
    world::{World, application_request, assert_refused, fields},
};

async fn applied_as(world: &World, batch: &str, person: PersonFacts) -> pb::Application {
    let account = Uuid::now_v7();
    world.peers.add_person(account, person);
    world.apply(batch, account).await.unwrap()
}

fn reasons(application: &pb::Application) -> Vec<&str> {
    let decision = application.decision.as_ref().unwrap();
    decision
        .refusals
        .iter()
        .map(|refusal| refusal.reason.as_str())
        .collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_answer_holds_the_decision_and_a_receipt_that_verifies(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;

    let application = applied_as(&world, &batch, person()).await;

    assert_eq!(application.state(), pb::application::State::Accepted);
    let decision = application.decision.clone().unwrap();
    assert!(decision.eligible && decision.refusals.is_empty());
    assert_eq!(decision.facts_hash.len(), 32);
    let receipt = application.receipt.clone().unwrap();
    let signed = SignedReceipt {
        receipt: Receipt {
            batch,
            pseudonym: receipt.pseudonym.clone().try_into().unwrap(),
            apply_time: u64::try_from(application.create_time.unwrap().seconds).unwrap(),
        },
        signature: receipt.signature.try_into().unwrap(),
    };
    assert_eq!(signed.receipt.to_bytes().unwrap(), receipt.encoded);
    signed
        .verify(&SigningKey::from_seed(&[0xaa; 32]).public_key())
        .unwrap();
    let request = pb::GetApplicationRequest {
        name: application.name.clone(),
    };
    let read = world
        .applications()
        .get_application(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(read, application);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_broken_rule_is_an_answer_with_its_reason_and_texts(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;

    for (changed, expected) in [
        (int("age_years", 17), "AGE_OUT_OF_RANGE"),
        (int("age_years", 65), "AGE_OUT_OF_RANGE"),
        (text("citizenship", "MY"), "NOT_CITIZEN"),
        (flag("deceased", true), "DECEASED"),
        (text("occupation", "STUDENT"), "STUDENT"),
        (text("occupation", "CIVIL_SERVANT"), "CIVIL_SERVANT"),
        (text("occupation", "MILITARY"), "MILITARY"),
        (text("occupation", "POLICE"), "POLICE"),
        (text("occupation", "STATE_OFFICIAL"), "STATE_OFFICIAL"),
        (text("occupation", "VILLAGE_OFFICIAL"), "VILLAGE_OFFICIAL"),
        (text("occupation", "SOE_DIRECTOR"), "SOE_DIRECTOR"),
        // Of the wrong type: as if it were missing.
        (text("age_years", "30"), "AGE_OUT_OF_RANGE"),
    ] {
        let application = applied_as(&world, &batch, person_with(changed)).await;

        assert_eq!(application.state(), pb::application::State::Refused);
        assert_eq!(reasons(&application), [expected]);
        let texts = &application.decision.unwrap().refusals[0].texts;
        assert!(texts.contains_key("id") && texts.contains_key("en"));
    }
    let funnel = world.get_batch(&batch).await.funnel.unwrap();
    assert_eq!((funnel.applied_count, funnel.refused_count), (12, 12));
    assert_eq!(funnel.refused_counts["AGE_OUT_OF_RANGE"], 3);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_second_application_is_refused_also_when_both_come_at_once(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let account = Uuid::now_v7();
    world.peers.add_person(account, person());

    let calls = (0..20).map(|_| world.apply(&batch, account));
    let answers = futures::future::join_all(calls).await;

    let taken: Vec<&pb::Application> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    assert_eq!(taken.len(), 1);
    let name = taken[0].name.clone();
    for refused in answers.into_iter().filter(Result::is_err) {
        let metadata = assert_refused(refused, Code::AlreadyExists, "ALREADY_APPLIED");
        assert_eq!(metadata["application"], name);
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repeated_request_is_answered_byte_for_byte_also_at_once_and_without_identity(
    db: PgPool,
) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let account = Uuid::now_v7();
    world.peers.add_person(account, person());
    let request = application_request(&batch, account);

    let calls = (0..10).map(|_| {
        let (mut client, request) = (world.applications(), request.clone());
        async move { client.create_application(request).await }
    });
    let answers = futures::future::join_all(calls).await;
    let first = answers[0].as_ref().unwrap().get_ref().encode_to_vec();
    for answer in answers {
        assert_eq!(answer.unwrap().get_ref().encode_to_vec(), first);
    }
    world.peers.away("BatchGetFacts");
    let later = world
        .applications()
        .create_application(request.clone())
        .await
        .unwrap();
    assert_eq!(later.get_ref().encode_to_vec(), first);

    let other = pb::CreateApplicationRequest {
        account: names::format("accounts", Uuid::now_v7()),
        ..request
    };
    let other = world.applications().create_application(other).await;
    assert_refused(other, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn who_cannot_apply_is_told_why(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let pending = PersonFacts {
        state: person::State::Pending.into(),
        ..person()
    };
    let account = Uuid::now_v7();
    world.peers.add_person(account, pending);

    let metadata = assert_refused(
        world.apply(&batch, account).await,
        Code::FailedPrecondition,
        "PERSON_NOT_VERIFIED",
    );
    assert_eq!(metadata["account"], names::format("accounts", account));
    let unknown = world.apply(&batch, Uuid::now_v7()).await;
    assert_refused(unknown, Code::FailedPrecondition, "PERSON_NOT_VERIFIED");
    assert_refused(
        world.apply("batches/49", account).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    let malformed = pb::CreateApplicationRequest::default();
    let malformed = fields(world.applications().create_application(malformed).await);
    assert_eq!(malformed, ["request_id", "batch", "account"]);

    world.close(&batch).await;
    world.peers.add_person(account, person());
    let metadata = assert_refused(
        world.apply(&batch, account).await,
        Code::FailedPrecondition,
        "BATCH_NOT_OPEN",
    );
    assert_eq!(metadata["state"], "CLOSED");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn identity_away_is_unavailable_and_leaves_no_trace(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let account = Uuid::now_v7();
    world.peers.add_person(account, person());
    let request = application_request(&batch, account);

    world.peers.away("BatchGetFacts");
    let refused = world
        .applications()
        .create_application(request.clone())
        .await;
    let metadata = assert_refused(refused, Code::Unavailable, "PART_UNAVAILABLE");
    assert_eq!(metadata["part"], "identity");
    world.peers.back();

    assert!(
        world
            .applications()
            .create_application(request)
            .await
            .is_ok()
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn calls_that_come_together_share_one_call_to_identity(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;

    world.applicants(&batch, 300).await;

    let calls = world.peers.facts_calls();
    assert_eq!(calls.iter().sum::<usize>(), 300);
    assert!(calls.len() < 150, "{calls:?}");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_participant_cannot_apply_again_for_the_programme(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let batch = world.open_batch("49", 1).await;

    let application = world.apply(&batch, participant.account).await.unwrap();

    assert_eq!(reasons(&application), ["ALREADY_RECIPIENT"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn applications_are_listed_by_batch_and_by_account(db: PgPool) {
    let world = World::start(db).await;
    let first = world.open_batch("48", 1).await;
    let second = world.open_batch("49", 1).await;
    let accounts = world.applicants(&first, 3).await;
    world.apply(&second, accounts[0]).await.unwrap();
    let list = |batch: &str, account: Option<Uuid>| {
        let mut client = world.applications();
        let request = pb::ListApplicationsRequest {
            batch: batch.to_owned(),
            account: account
                .map(|id| names::format("accounts", id))
                .unwrap_or_default(),
            ..pb::ListApplicationsRequest::default()
        };
        async move {
            client
                .list_applications(request)
                .await
                .map(|page| page.into_inner().applications.len())
        }
    };

    assert_eq!(list(&first, None).await.unwrap(), 3);
    assert_eq!(list("", Some(accounts[0])).await.unwrap(), 2);
    assert_eq!(list(&second, Some(accounts[1])).await.unwrap(), 0);
    assert_eq!(fields(list("", None).await), ["batch"]);
}
