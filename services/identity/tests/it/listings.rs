//! What a snapshot does: to the facts, their versions, and the events about them.

use prost::Message;
use proto::identity::v1::{self as pb, fact::Value, snapshot_header::Kind};
use serde_json::json;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::{
    snapshot::{Snapshot, a_list, day, import},
    world::{World, eventually, national_id, submission},
};

/// Returns the fact of a list about an account.
async fn listed(world: &World, account: &str, fact: &str) -> Option<bool> {
    let person = world.facts(&[account]).await.remove(0);
    let fact = person.facts.into_iter().find(|found| found.name == fact)?;
    match fact.value? {
        Value::BoolValue(value) => Some(value),
        Value::IntValue(_) | Value::StringValue(_) => None,
    }
}

async fn versions(world: &World, accounts: &[&str]) -> Vec<prost_types::Timestamp> {
    let persons = world.facts(accounts).await.into_iter();
    persons
        .map(|person| person.facts_change_time.unwrap())
        .collect()
}

/// Returns the events about a list: whom it began to name and whom it ceased to name.
async fn told(world: &World, list: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let rows = sqlx::query!(
        "SELECT type, body FROM outbox WHERE subject = $1 ORDER BY sequence",
        list
    );
    let rows = rows.fetch_all(&world.db).await.unwrap();
    rows.into_iter()
        .map(|row| {
            assert_eq!(row.r#type, "bekal.identity.v1.ExclusionsChanged");
            let event = pb::ExclusionsChanged::decode(row.body.as_slice()).unwrap();
            assert_eq!(event.exclusion_list, list);
            assert!(event.snapshot_date.is_some());
            (event.listed_accounts, event.lifted_accounts)
        })
        .collect()
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_full_snapshot_names_who_is_in_it_and_lifts_all_others(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "civil-servants").await;
    let [a, b, c] = [
        world.verified(&national_id(1)).await,
        world.pending(&national_id(2)).await,
        world.verified(&national_id(3)).await,
    ];
    let hash = |number| world.hash(&national_id(number));
    let before = versions(&world, &[&a, &b, &c]).await;

    // 77 and 78 are nobody's, and 77 stands twice.
    let first = Snapshot::of(&list, Kind::Full)
        .chunk(&[hash(1), hash(77)], &[])
        .chunk(&[hash(2), hash(77), hash(78)], &[]);
    let first = import(&world, &first).await;
    let after_first = versions(&world, &[&a, &b, &c]).await;
    let second = Snapshot::of(&list, Kind::Full)
        .on(3)
        .chunk(&[hash(2), hash(3), hash(78)], &[]);
    let second = import(&world, &second).await;
    let after_second = versions(&world, &[&a, &b, &c]).await;

    assert_eq!((first.added_entry_count, first.removed_entry_count), (4, 0));
    assert_eq!(
        (first.listed_account_count, first.lifted_account_count),
        (2, 0)
    );
    assert_eq!(
        (second.added_entry_count, second.removed_entry_count),
        (1, 2)
    );
    assert_eq!(
        (second.listed_account_count, second.lifted_account_count),
        (1, 1)
    );
    let newest = second.exclusion_list.unwrap();
    assert_eq!(
        (newest.entry_count, newest.snapshot_date),
        (3, Some(day(3)))
    );

    let fact = "listed_civil_servants";
    assert_eq!(listed(&world, &a, fact).await, Some(false));
    assert_eq!(listed(&world, &b, fact).await, Some(true));
    assert_eq!(listed(&world, &c, fact).await, Some(true));
    // Version 7: the accounts are in the order of their creation.
    assert_eq!(
        told(&world, &list).await,
        [
            (vec![a.clone(), b.clone()], Vec::new()),
            (vec![c.clone()], vec![a.clone()])
        ]
    );

    let changed = |from: &[prost_types::Timestamp], to: &[prost_types::Timestamp]| -> Vec<bool> {
        let later = |(from, to): (&prost_types::Timestamp, &prost_types::Timestamp)| {
            (to.seconds, to.nanos) > (from.seconds, from.nanos)
        };
        from.iter().zip(to).map(later).collect()
    };
    assert_eq!(changed(&before, &after_first), [true, true, false]);
    assert_eq!(before[2], after_first[2]);
    assert_eq!(changed(&after_first, &after_second), [true, false, true]);
    assert_eq!(after_first[1], after_second[1]);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_incremental_snapshot_changes_whom_it_names(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let mut accounts = Vec::new();
    for number in 1..=5 {
        accounts.push(world.verified(&national_id(number)).await);
    }
    let hash = |number| world.hash(&national_id(number));
    let full = Snapshot::of(&list, Kind::Full).chunk(&[hash(1), hash(2), hash(3)], &[]);
    import(&world, &full).await;

    // 1 stays unnamed; 2 leaves; 3 leaves and comes back; 4 comes and leaves within a chunk; 5 comes; 77 was never there.
    let change = Snapshot::of(&list, Kind::Incremental)
        .chunk(&[hash(4)], &[hash(2), hash(3), hash(4), hash(77)])
        .chunk(&[hash(3), hash(5)], &[]);
    let change = import(&world, &change).await;

    assert_eq!(
        (change.added_entry_count, change.removed_entry_count),
        (1, 1)
    );
    assert_eq!(change.exclusion_list.unwrap().entry_count, 3);
    let mut are_listed = Vec::new();
    for account in &accounts {
        are_listed.push(listed(&world, account, "listed_students").await.unwrap());
    }
    assert_eq!(are_listed, [true, false, true, false, true]);
    let told = told(&world, &list).await;
    assert_eq!(
        told[1..],
        [(vec![accounts[4].clone()], vec![accounts[1].clone()])]
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn every_list_is_a_fact_with_its_source_and_date(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "past-recipients-2026").await;
    a_list(&world, "deceased").await;
    world.registry.answers(
        &national_id(2),
        json!({ "result": "MISMATCH", "fields": ["full_name"] }),
    );
    let account = world.verified(&national_id(1)).await;
    let mismatched = world.verified(&national_id(2)).await;
    let without = world.account("siti@contoh.id").await;

    let snapshot = Snapshot::of(&list, Kind::Full).chunk(
        &[world.hash(&national_id(1)), world.hash(&national_id(2))],
        &[],
    );
    let result = import(&world, &snapshot).await;
    let persons = world.facts(&[&account, &mismatched, &without]).await;

    let names: Vec<&str> = persons[0]
        .facts
        .iter()
        .map(|fact| fact.name.as_str())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    let of_lists: Vec<_> = persons[0]
        .facts
        .iter()
        .filter(|fact| fact.source == "exclusion_list")
        .map(|fact| (fact.name.as_str(), fact.value.clone(), fact.observe_time))
        .collect();
    let import_time = result.exclusion_list.unwrap().import_time;
    assert!(import_time.is_some());
    assert_eq!(
        of_lists,
        [
            // It never had a snapshot.
            ("listed_deceased", Some(Value::BoolValue(false)), None),
            (
                "listed_past_recipients_2026",
                Some(Value::BoolValue(true)),
                import_time
            ),
        ]
    );
    for person in &persons[1..] {
        assert!(
            !person
                .facts
                .iter()
                .any(|fact| fact.source == "exclusion_list")
        );
    }
    assert_eq!(told(&world, &list).await, [(vec![account], Vec::new())]);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn who_comes_after_the_snapshot_has_the_fact_without_an_event(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let snapshot = Snapshot::of(&list, Kind::Full).chunk(&[world.hash(&national_id(1))], &[]);
    import(&world, &snapshot).await;

    let account = world.verified(&national_id(1)).await;

    assert_eq!(
        listed(&world, &account, "listed_students").await,
        Some(true)
    );
    assert!(told(&world, &list).await.is_empty());
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_thousand_accounts_are_one_event(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "other-aid").await;
    insert_persons(&world, 2_500).await;
    let hashes = sqlx::query_scalar!("SELECT national_id_hash FROM persons")
        .fetch_all(&world.db)
        .await
        .unwrap();

    let result = import(&world, &Snapshot::of(&list, Kind::Full).chunk(&hashes, &[])).await;
    let empty = import(&world, &Snapshot::of(&list, Kind::Full).on(3)).await;

    assert_eq!(result.listed_account_count, 2_500);
    assert_eq!(empty.lifted_account_count, 2_500);
    let told = told(&world, &list).await;
    let sizes: Vec<_> = told
        .iter()
        .map(|(listed, lifted)| (listed.len(), lifted.len()))
        .collect();
    assert_eq!(
        sizes,
        [
            (1_000, 0),
            (1_000, 0),
            (500, 0),
            (0, 1_000),
            (0, 1_000),
            (0, 500)
        ]
    );
    let mut accounts: Vec<String> = told[..3]
        .iter()
        .flat_map(|(listed, _)| listed.clone())
        .collect();
    accounts.sort();
    accounts.dedup();
    assert_eq!(accounts.len(), 2_500);
}

/// Inserts persons whose hashes are of no national id.
async fn insert_persons(world: &World, count: i64) {
    let now = OffsetDateTime::UNIX_EPOCH;
    sqlx::query!(
        "INSERT INTO accounts (id, email, state, create_time)
         SELECT gen_random_uuid(), 'p' || i || '@contoh.id', 'ACTIVE', $2 FROM generate_series(1, $1::bigint) AS i",
        count,
        now,
    )
    .execute(&world.db)
    .await
    .unwrap();
    sqlx::query!(
        "INSERT INTO persons (account_id, state, submission_number, national_id_hash, sealed_identity, sealed_facts,
             mismatch_fields, submit_time, verify_time, attempt_count)
         SELECT id, 'VERIFIED', 1, sha256(email::bytea), '', '', '{}', $1, $1, 0 FROM accounts",
        now,
    )
    .execute(&world.db)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_answer_of_the_registry_waits_for_a_snapshot_that_takes_effect(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;
    let mut effect = world.db.begin().await.unwrap();
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('snapshots', 0))")
        .fetch_one(&mut *effect)
        .await
        .unwrap();

    // A submission does not wait.
    world
        .persons()
        .submit_identity(submission(&account, &national_id(1)))
        .await
        .unwrap();
    let verifier = world.verifier();
    let round = tokio::time::timeout(
        std::time::Duration::from_millis(500),
        verifier.verify_round(),
    );
    assert!(round.await.is_err());
    let meanwhile = world.state(&account).await;
    effect.commit().await.unwrap();
    world.clock.advance_by(time::Duration::seconds(61));
    eventually("the person is verified", || async {
        verifier.verify_round().await.unwrap();
        world.state(&account).await == pb::person::State::Verified
    })
    .await;

    assert_eq!(meanwhile, pb::person::State::Pending);
}
