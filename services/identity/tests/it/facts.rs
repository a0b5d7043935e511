//! `BatchGetFacts` and `AttestHolder`.

use proto::identity::v1::{self as pb, fact::Value, person::State};
use serde_json::{Value as Json, json};
use sqlx::PgPool;
use tonic::Status;
use uuid::Uuid;

use crate::world::{World, date, fields, national_id, reason, submission};

async fn facts_of(world: &World, accounts: &[String]) -> Result<Vec<pb::PersonFacts>, Status> {
    let request = pb::BatchGetFactsRequest {
        accounts: accounts.to_vec(),
        as_of_date: Some(date(2026, 11, 24)),
    };
    world
        .persons()
        .batch_get_facts(request)
        .await
        .map(|answer| answer.into_inner().persons)
}

fn registered(birth_date: &str, household_id: &str) -> Json {
    json!({ "result": "MATCH", "person": {
        "sex": "MALE", "birth_date": birth_date, "region_code": "32.73", "occupation": "STUDENT",
        "household_id": household_id, "citizenship": "ID", "deceased": false,
    }})
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn facts_are_typed_dated_and_sourced(db: PgPool) {
    let world = World::start(db).await;
    world.registry.answers(
        &national_id(1),
        registered("2008-11-25", "3204010101100008"),
    );
    let account = world.verified(&national_id(1)).await;

    let person = facts_of(&world, std::slice::from_ref(&account))
        .await
        .unwrap()
        .remove(0);

    assert_eq!(
        (person.account.as_str(), person.state()),
        (account.as_str(), State::Verified)
    );
    assert_eq!(person.region, "32.73");
    let text = |value: &str| Value::StringValue(value.to_owned());
    let facts: Vec<(&str, Value, &str)> = person
        .facts
        .iter()
        .map(|fact| {
            (
                fact.name.as_str(),
                fact.value.clone().unwrap(),
                fact.source.as_str(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            // The registry's date, one day before the eighteenth birthday.
            ("age_years", Value::IntValue(17), "registry"),
            ("citizenship", text("ID"), "registry"),
            ("deceased", Value::BoolValue(false), "registry"),
            ("disability", Value::BoolValue(false), "declared"),
            ("education", text("DIPLOMA"), "declared"),
            ("occupation", text("STUDENT"), "registry"),
            ("rural", Value::BoolValue(true), "declared"),
            ("sex", text("MALE"), "registry"),
        ]
    );
    let known = world.person(&account).await;
    assert_eq!(person.facts[0].observe_time, known.verify_time);
    assert_eq!(person.facts[3].observe_time, known.submit_time);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn members_of_a_household_as_the_registry_has_it_share_a_pseudonym(db: PgPool) {
    let world = World::start(db).await;
    for (number, household_id) in [
        (1, "3204010101100008"),
        (2, "3204010101100008"),
        (3, "3204010101100009"),
    ] {
        world
            .registry
            .answers(&national_id(number), registered("1990-01-01", household_id));
    }
    let mut accounts = Vec::new();
    for number in 1..=3 {
        accounts.push(world.verified(&national_id(number)).await);
    }

    let persons = facts_of(&world, &accounts).await.unwrap();

    assert_eq!(persons[0].household.len(), 16);
    assert_eq!(persons[0].household, persons[1].household);
    assert_ne!(persons[0].household, persons[2].household);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn persons_come_in_the_order_asked_for_and_unknown_ones_not_at_all(db: PgPool) {
    let world = World::start(db).await;
    let verified = world.verified(&national_id(1)).await;
    let without = world.account("siti@contoh.id").await;
    let pending = world.pending(&national_id(2)).await;
    let unknown = format!("accounts/{}", Uuid::now_v7());

    let persons = facts_of(
        &world,
        &[pending.clone(), unknown, without.clone(), verified.clone()],
    )
    .await
    .unwrap();

    let known: Vec<(&str, State, usize)> = persons
        .iter()
        .map(|person| (person.account.as_str(), person.state(), person.facts.len()))
        .collect();
    assert_eq!(
        known,
        [
            // What the person declares is known before the registry has answered.
            (pending.as_str(), State::Pending, 3),
            (without.as_str(), State::Unspecified, 0),
            (verified.as_str(), State::Verified, 8),
        ]
    );
    assert!(persons[0].region.is_empty() && persons[0].household.is_empty());
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_thousand_accounts_are_one_call(db: PgPool) {
    let world = World::start(db).await;
    let account = world.verified(&national_id(1)).await;
    let thousand = vec![account.clone(); 1_000];

    let persons = facts_of(&world, &thousand).await.unwrap();
    let too_many = facts_of(&world, &vec![account; 1_001]).await.unwrap_err();
    let wrong = pb::BatchGetFactsRequest {
        accounts: vec!["accounts/1".to_owned()],
        as_of_date: None,
    };
    let wrong = world.persons().batch_get_facts(wrong).await.unwrap_err();
    let empty = world
        .persons()
        .batch_get_facts(pb::BatchGetFactsRequest::default())
        .await
        .unwrap_err();

    assert_eq!(persons.len(), 1_000);
    assert_eq!(fields(&too_many), ["accounts"]);
    assert_eq!(fields(&wrong), ["accounts[0]", "as_of_date"]);
    assert_eq!(fields(&empty), ["accounts", "as_of_date"]);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_person_whose_key_is_destroyed_is_unknown(db: PgPool) {
    let world = World::start(db).await;
    let account = world.verified(&national_id(1)).await;

    sqlx::query!("DELETE FROM person_keys")
        .execute(&world.db)
        .await
        .unwrap();
    let persons = facts_of(&world, &[account]).await.unwrap();

    assert_eq!(
        (persons[0].state(), persons[0].facts.len()),
        (State::Unspecified, 0)
    );
    assert!(persons[0].household.is_empty());
}

async fn attest(world: &World, account: &str, holder_name: &str, phone: &str) -> (bool, bool) {
    let request = pb::AttestHolderRequest {
        account: account.to_owned(),
        holder_name: holder_name.to_owned(),
        phone: phone.to_owned(),
    };
    let answer = world
        .persons()
        .attest_holder(request)
        .await
        .unwrap()
        .into_inner();
    (answer.name_matches, answer.phone_matches)
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_holder_is_the_person_by_name_and_phone(db: PgPool) {
    let world = World::start(db).await;
    let request = crate::world::new_account("siti@contoh.id", "+6281234567890", "");
    let account = world
        .accounts()
        .create_account(request)
        .await
        .unwrap()
        .into_inner()
        .name;
    world
        .persons()
        .submit_identity(submission(&account, &national_id(1)))
        .await
        .unwrap();

    assert_eq!(
        attest(&world, &account, "Siti Aminah", "").await,
        (false, true),
        "not verified yet"
    );
    world.verifier().verify_round().await.unwrap();

    assert_eq!(
        attest(&world, &account, "SITI  AMINAH.", "").await,
        (true, true)
    );
    assert_eq!(
        attest(&world, &account, "Siti Aminah", "+6281234567890").await,
        (true, true)
    );
    assert_eq!(
        attest(&world, &account, "Siti Aminah", "+6281234567891").await,
        (true, false)
    );
    assert_eq!(
        attest(&world, &account, "Siti Aisyah", "").await,
        (false, true)
    );
    let without_phone = world.account("budi@contoh.id").await;
    assert_eq!(
        attest(&world, &without_phone, "Budi", "+6281234567890").await,
        (false, false)
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_question_about_a_holder_has_a_shape(db: PgPool) {
    let world = World::start(db).await;
    let wrong = pb::AttestHolderRequest {
        account: String::new(),
        holder_name: String::new(),
        phone: "08".to_owned(),
    };
    let unknown = pb::AttestHolderRequest {
        account: format!("accounts/{}", Uuid::now_v7()),
        holder_name: "Siti".to_owned(),
        phone: String::new(),
    };

    let wrong = world.persons().attest_holder(wrong).await.unwrap_err();
    let unknown = world.persons().attest_holder(unknown).await.unwrap_err();

    assert_eq!(fields(&wrong), ["account", "holder_name", "phone"]);
    assert_eq!(reason(&unknown), "NOT_FOUND");
}
