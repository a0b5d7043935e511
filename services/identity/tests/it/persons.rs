//! Submitting identities, and their states.

use futures::future::join_all;
use identity::domain::national_id::IdFormat;
use proto::identity::v1::{self as pb, person::State, person_service_client::PersonServiceClient};
use serde_json::json;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::world::{World, date, fields, national_id, reason, submission};

async fn submit(world: &World, request: pb::SubmitIdentityRequest) -> Result<pb::Person, Status> {
    world
        .persons()
        .submit_identity(request)
        .await
        .map(tonic::Response::into_inner)
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_person_is_pending_and_then_verified(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;

    let submitted = submit(&world, submission(&account, &national_id(1)))
        .await
        .unwrap();
    let answered = world.verifier().verify_round().await.unwrap();
    let verified = world.person(&account).await;

    assert_eq!(
        (submitted.name.as_str(), submitted.state()),
        (format!("{account}/person").as_str(), State::Pending)
    );
    assert_eq!(answered, 1);
    assert_eq!(verified.state(), State::Verified);
    assert!(verified.verify_time.is_some() && verified.mismatch_fields.is_empty());
    assert_eq!(
        world.events(&account).await,
        [
            "bekal.identity.v1.AccountCreated",
            "bekal.identity.v1.PersonVerified"
        ]
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_mismatch_names_the_fields_and_may_be_corrected(db: PgPool) {
    let world = World::start(db).await;
    world.registry.answers(
        &national_id(1),
        json!({ "result": "MISMATCH", "fields": ["full_name", "birth_date"] }),
    );
    let account = world.verified(&national_id(1)).await;

    let mismatched = world.person(&account).await;
    let again = submit(&world, submission(&account, &national_id(2)))
        .await
        .unwrap();
    world.verifier().verify_round().await.unwrap();

    assert_eq!(mismatched.state(), State::Mismatched);
    assert_eq!(mismatched.mismatch_fields, ["full_name", "birth_date"]);
    assert_eq!(
        (again.state(), again.mismatch_fields.len()),
        (State::Pending, 0)
    );
    assert_eq!(world.state(&account).await, State::Verified);
    assert_eq!(
        world.events(&account).await[1..],
        [
            "bekal.identity.v1.PersonMismatched",
            "bekal.identity.v1.PersonVerified"
        ]
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_unknown_person_is_a_mismatch_of_the_national_id(db: PgPool) {
    let world = World::start(db).await;
    world
        .registry
        .answers(&national_id(1), json!({ "result": "NOT_FOUND" }));

    let account = world.verified(&national_id(1)).await;

    assert_eq!(
        world.person(&account).await.mismatch_fields,
        ["national_id"]
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn who_waits_or_is_verified_does_not_submit_again(db: PgPool) {
    let world = World::start(db).await;
    let account = world.pending(&national_id(1)).await;

    let pending = submit(&world, submission(&account, &national_id(2)))
        .await
        .unwrap_err();
    world.verifier().verify_round().await.unwrap();
    let verified = submit(&world, submission(&account, &national_id(2)))
        .await
        .unwrap_err();

    assert_eq!(
        (pending.code(), reason(&pending).as_str()),
        (Code::FailedPrecondition, "PERSON_PENDING")
    );
    assert_eq!(
        (verified.code(), reason(&verified).as_str()),
        (Code::FailedPrecondition, "PERSON_ALREADY_VERIFIED")
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn of_twenty_accounts_one_gets_a_national_id(db: PgPool) {
    let world = World::start(db).await;
    let accounts = join_all((0..20).map(|i| async move { format!("a{i}@contoh.id") })).await;
    let accounts = join_all(accounts.iter().map(|email| world.account(email))).await;

    let answers = join_all(
        accounts
            .iter()
            .map(|account| submit(&world, submission(account, &national_id(1)))),
    )
    .await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(
            (status.code(), reason(status).as_str()),
            (Code::AlreadyExists, "NATIONAL_ID_TAKEN")
        );
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn of_two_submissions_of_one_account_one_counts(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;

    let answers =
        join_all((1..9).map(|i| submit(&world, submission(&account, &national_id(i))))).await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(reason(status), "PERSON_PENDING");
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_contradicted_submission_holds_no_national_id(db: PgPool) {
    let world = World::start(db).await;
    world.registry.answers(
        &national_id(1),
        json!({ "result": "MISMATCH", "fields": ["full_name"] }),
    );
    let wrong = world.verified(&national_id(1)).await;
    let owner = world.account("owner@contoh.id").await;

    let taken_over = submit(&world, submission(&owner, &national_id(1))).await;
    let too_late = submit(&world, submission(&wrong, &national_id(1)))
        .await
        .unwrap_err();

    assert_eq!(taken_over.unwrap().state(), State::Pending);
    assert_eq!(reason(&too_late), "NATIONAL_ID_TAKEN");
    assert_eq!(world.state(&wrong).await, State::Mismatched);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_wrong_shape_is_refused_before_the_registry_is_asked(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::SubmitIdentityRequest {
        request_id: String::new(),
        account: "accounts/1".to_owned(),
        submission: Some(pb::IdentitySubmission {
            national_id: "3204013201900001".to_owned(),
            household_id: "1".to_owned(),
            full_name: " ".to_owned(),
            birth_date: Some(date(1990, 2, 30)),
            declared: Some(pb::DeclaredFacts {
                education: "SCHOOL".to_owned(),
                ..pb::DeclaredFacts::default()
            }),
        }),
    };

    let refused = submit(&world, request).await.unwrap_err();
    world.verifier().verify_round().await.unwrap();

    assert_eq!(
        fields(&refused),
        [
            "request_id",
            "account",
            "submission.national_id",
            "submission.household_id",
            "submission.full_name",
            "submission.birth_date",
            "submission.declared.education"
        ]
    );
    assert!(!refused.message().contains("3204013201900001"));
    assert_eq!(world.registry.seen().calls, 0);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn another_country_has_its_own_ids_and_no_households(db: PgPool) {
    let world = World::in_country(db, IdFormat::Portugal).await;
    let account = world.account("maria@exemplo.pt").await;
    let nif = "210000007";
    world.registry.answers(
        nif,
        json!({ "result": "MATCH", "person": {
            "sex": "FEMALE", "birth_date": "1990-01-01", "region_code": "42.03", "occupation": "JOB_SEEKER",
            "citizenship": "PT", "deceased": false,
        }}),
    );

    let indonesian = submit(&world, submission(&account, &national_id(1))).await;
    let mut request = submission(&account, nif);
    let with_household = submit(&world, request.clone()).await;
    request.submission.as_mut().unwrap().household_id.clear();
    submit(&world, request).await.unwrap();
    world.verifier().verify_round().await.unwrap();

    assert_eq!(
        fields(&indonesian.unwrap_err()),
        ["submission.national_id", "submission.household_id"]
    );
    assert_eq!(
        fields(&with_household.unwrap_err()),
        ["submission.household_id"]
    );
    assert_eq!(world.person(&account).await.state(), State::Verified);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_national_id_with_another_date_is_for_the_registry_to_judge(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;

    // The id says 1 January 1990 (a man's), the person something else.
    let mut request = submission(&account, &national_id(1));
    request.submission.as_mut().unwrap().birth_date = Some(date(1988, 7, 9));
    let answer = submit(&world, request).await;

    assert!(answer.is_ok());
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_repeated_submission_gets_the_first_answer(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;
    let request = submission(&account, &national_id(1));

    let answers = join_all((0..5).map(|_| submit(&world, request.clone()))).await;
    world.verifier().verify_round().await.unwrap();
    let later = submit(&world, request.clone()).await.unwrap();
    let mut changed = request;
    changed.submission.as_mut().unwrap().full_name = "Siti Aisyah".to_owned();
    let reused = submit(&world, changed).await.unwrap_err();

    assert_eq!(later.state(), State::Pending, "the answer of then");
    assert!(answers.into_iter().all(|answer| answer.unwrap() == later));
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_account_acts_for_itself_alone(db: PgPool) {
    let world = World::start(db).await;
    let own = world.account("siti@contoh.id").await;
    let foreign = world.pending(&national_id(9)).await;
    let mut siti = PersonServiceClient::new(world.caller(Some(world.token(&own, &[]))));

    let submitted = siti
        .submit_identity(submission(&own, &national_id(1)))
        .await;
    let for_other = siti
        .submit_identity(submission(&foreign, &national_id(2)))
        .await
        .unwrap_err();
    let read = siti
        .get_person(pb::GetPersonRequest {
            name: format!("{own}/person"),
        })
        .await;
    let read_other = siti
        .get_person(pb::GetPersonRequest {
            name: format!("{foreign}/person"),
        })
        .await
        .unwrap_err();
    let facts = siti
        .batch_get_facts(pb::BatchGetFactsRequest::default())
        .await
        .unwrap_err();

    assert!(submitted.is_ok() && read.is_ok());
    assert_eq!(reason(&for_other), "NOT_OWNER");
    assert_eq!(reason(&read_other), "NOT_OWNER");
    assert_eq!(reason(&facts), "PERMISSION_MISSING");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_identity_needs_an_account(db: PgPool) {
    let world = World::start(db).await;
    let nobody = format!("accounts/{}", Uuid::now_v7());

    let refused = submit(&world, submission(&nobody, &national_id(1)))
        .await
        .unwrap_err();
    let name = format!("{}/person", world.account("siti@contoh.id").await);
    let absent = world
        .persons()
        .get_person(pb::GetPersonRequest { name })
        .await
        .unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "NOT_FOUND")
    );
    assert_eq!(reason(&absent), "NOT_FOUND");
}
