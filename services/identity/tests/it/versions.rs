//! The versions of the facts, and the stream of their changes.

use proto::identity::v1::{self as pb, person_service_client::PersonServiceClient};
use serde_json::json;
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::world::{World, date, fields, national_id, reason, submission};

/// Returns the version of an account's facts in microseconds.
async fn version(world: &World, account: &str) -> Option<i64> {
    let request = pb::BatchGetFactsRequest {
        accounts: vec![account.to_owned()],
        as_of_date: Some(date(2026, 11, 24)),
    };
    let answer = world.persons().batch_get_facts(request).await.unwrap();
    let time = answer.into_inner().persons.remove(0).facts_change_time?;
    assert_eq!(time.nanos % 1_000, 0);
    Some(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000)
}

/// Returns the changes after a time in microseconds, by message.
async fn changes(
    world: &World,
    after_micros: Option<i64>,
) -> Result<Vec<Vec<(i64, String)>>, Status> {
    let request = pb::StreamFactChangesRequest {
        after_time: after_micros.map(|micros| prost_types::Timestamp {
            seconds: micros / 1_000_000,
            nanos: i32::try_from(micros % 1_000_000 * 1_000).unwrap(),
        }),
    };
    let mut stream = world
        .persons()
        .stream_fact_changes(request)
        .await?
        .into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        let ids = message.account_ids.chunks(16);
        let accounts = ids.map(|id| format!("accounts/{}", Uuid::from_slice(id).unwrap()));
        let times = message.change_times_unix_micros.into_iter();
        assert_eq!(accounts.len(), times.len());
        messages.push(times.zip(accounts).collect());
    }
    Ok(messages)
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_version_changes_with_the_facts_and_with_nothing_else(db: PgPool) {
    let world = World::start(db).await;
    world.registry.answers(
        &national_id(1),
        json!({ "result": "MISMATCH", "fields": ["full_name"] }),
    );
    let account = world.account("siti@contoh.id").await;
    let before = version(&world, &account).await;

    let mut versions = Vec::new();
    for (step, submitted) in [(1, true), (2, false), (3, true), (4, false)] {
        if submitted {
            let given = submission(&account, &national_id(step));
            world.persons().submit_identity(given).await.unwrap();
        } else {
            world.verifier().verify_round().await.unwrap();
        }
        let now = version(&world, &account).await.unwrap();
        // A round that has nobody to ask about changes nothing.
        world.clock.advance_by(time::Duration::minutes(1));
        if !submitted {
            world.verifier().verify_round().await.unwrap();
        }
        assert_eq!(version(&world, &account).await, Some(now));
        versions.push(now);
    }

    assert_eq!(before, None);
    assert_eq!(world.state(&account).await, pb::person::State::Verified);
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let person = world.person(&account).await;
    let verified = person.verify_time.unwrap();
    assert_eq!(
        versions[3],
        verified.seconds * 1_000_000 + i64::from(verified.nanos) / 1_000
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_change_at_the_same_instant_is_another_version(db: PgPool) {
    let world = World::standing(db).await;

    let account = world.pending(&national_id(1)).await;
    let pending = version(&world, &account).await.unwrap();
    world.verifier().verify_round().await.unwrap();
    let verified = version(&world, &account).await.unwrap();

    assert_eq!(verified, pending + 1);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn the_stream_gives_the_versions_of_the_facts(db: PgPool) {
    let world = World::start(db).await;
    let first = world.verified(&national_id(1)).await;
    let second = world.pending(&national_id(2)).await;
    world.account("siti@contoh.id").await;

    let all = changes(&world, None).await.unwrap();
    let first_version = version(&world, &first).await.unwrap();
    let later = changes(&world, Some(first_version)).await.unwrap();
    let second_version = version(&world, &second).await.unwrap();
    let none = changes(&world, Some(second_version)).await.unwrap();

    let expected = [(first_version, first), (second_version, second)];
    assert_eq!(all, [expected.to_vec()]);
    assert_eq!(later, [expected[1..].to_vec()]);
    assert!(none.is_empty());
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_stream_of_many_at_one_time_gives_each_once_in_order(db: PgPool) {
    let world = World::start(db).await;
    // Two times: the first page ends within the persons of the first one, the last has what is left.
    let count = 25_000_i64;
    insert_persons(&world, count).await;

    let messages = changes(&world, None).await.unwrap();
    let after_first = changes(&world, Some(1_700_000_000_000_000)).await.unwrap();

    let sizes: Vec<usize> = messages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [10_000, 10_000, 5_000]);
    let all: Vec<(i64, String)> = messages.concat();
    assert!(
        all.is_sorted_by(|a, b| a < b),
        "ascending, and nobody twice"
    );
    assert_eq!(all[14_999].0, 1_700_000_000_000_000);
    assert_eq!(all[15_000].0, 1_700_000_000_000_001);
    assert_eq!(after_first.concat(), all[15_000..]);
}

/// Inserts persons at 1,700,000,000 s, and two of five of them a microsecond later.
async fn insert_persons(world: &World, count: i64) {
    let first = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    sqlx::query!(
        "INSERT INTO accounts (id, email, state, create_time)
         SELECT gen_random_uuid(), 'p' || i || '@contoh.id', 'ACTIVE', $2 FROM generate_series(1, $1::bigint) AS i",
        count,
        first,
    )
    .execute(&world.db)
    .await
    .unwrap();
    sqlx::query!(
        "INSERT INTO persons (account_id, state, submission_number, national_id_hash, sealed_identity, sealed_facts,
             mismatch_fields, submit_time, attempt_count, next_attempt_time)
         SELECT id, 'PENDING', 1, sha256(email::bytea), '', '', '{}',
             $1::timestamptz + (row_number() OVER (ORDER BY email) % 5 / 3) * interval '1 microsecond', 0, $1
         FROM accounts",
        first,
    )
    .execute(&world.db)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn changes_are_for_those_who_may_read_facts(db: PgPool) {
    let world = World::start(db).await;
    let account = world.pending(&national_id(1)).await;
    let other = world.token("serviceAccounts/other", &["identity.persons.*"]);

    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some(other), Code::PermissionDenied),
        (Some(world.token(&account, &[])), Code::PermissionDenied),
    ] {
        let mut caller = PersonServiceClient::new(world.caller(token));
        let refused = caller
            .stream_fact_changes(pb::StreamFactChangesRequest::default())
            .await
            .unwrap_err();

        assert_eq!(refused.code(), code, "{}", reason(&refused));
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_time_that_is_none_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::StreamFactChangesRequest {
        after_time: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
    };

    let refused = world
        .persons()
        .stream_fact_changes(request)
        .await
        .unwrap_err();

    assert_eq!(fields(&refused), ["after_time"]);
}
