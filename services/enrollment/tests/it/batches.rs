//! The life of a batch up to its freeze.

use enrollment::storage::MIGRATOR;
use proto::enrollment::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::world::{
    SCHEME_2023, TRUSTEES, World, assert_refused, fields, plan, request_id, secret,
};

fn creation(id: &str, batch: pb::Batch) -> pb::CreateBatchRequest {
    pb::CreateBatchRequest {
        request_id: request_id(),
        batch_id: id.to_owned(),
        batch: Some(batch),
    }
}

fn batch() -> pb::Batch {
    pb::Batch {
        scheme: "schemes/prakerja-2023".to_owned(),
        quota_plan: Some(plan(10)),
        trustees: TRUSTEES.map(str::to_owned).to_vec(),
        ..pb::Batch::default()
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_batch_goes_through_its_states_and_tells_of_each(db: PgPool) {
    let world = World::start(db).await;

    let name = world.open_batch("48", 2).await;
    world.applicants(&name, 3).await;
    world.close(&name).await;
    world.commit(&name).await;
    let frozen = world.freeze(&name).await.unwrap();
    world.reveal(&name).await;
    let drawn = world.draw(&name).await.unwrap();
    let awarded = world.award(&name).await.unwrap();

    assert_eq!(frozen.state(), pb::batch::State::Frozen);
    assert_eq!(drawn.state(), pb::batch::State::Drawn);
    assert_eq!(awarded.state(), pb::batch::State::Awarded);
    assert!(awarded.award_time.is_some() && drawn.award_time.is_none());
    let types = sqlx::query_scalar!("SELECT type FROM outbox ORDER BY sequence")
        .fetch_all(&world.db)
        .await
        .unwrap();
    let types: Vec<&str> = types
        .iter()
        .filter_map(|name| name.rsplit('.').next())
        .collect();
    assert_eq!(
        types,
        [
            "BatchOpened",
            "BatchClosed",
            "BatchFrozen",
            "BatchDrawn",
            "ParticipationsAwarded"
        ]
    );
    let funnel = world.get_batch(&name).await.funnel.unwrap();
    assert_eq!(
        (
            funnel.applied_count,
            funnel.entrant_count,
            funnel.drawn_count
        ),
        (3, 3, 2)
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_call_in_the_wrong_state_is_refused_with_the_state(db: PgPool) {
    let world = World::start(db).await;
    let name = world.open_batch("48", 2).await;
    let open = |world: &World| {
        let mut batches = world.batches();
        let request = pb::OpenBatchRequest {
            request_id: request_id(),
            name: "batches/48".to_owned(),
        };
        async move { batches.open_batch(request).await }
    };

    let metadata = assert_refused(
        open(&world).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    assert_eq!(
        (metadata["batch"].as_str(), metadata["state"].as_str()),
        ("batches/48", "OPEN")
    );
    assert_refused(
        world.freeze(&name).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    assert_refused(
        world.draw(&name).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    assert_refused(
        world.award(&name).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    let early = world
        .reveal_as(&name, TRUSTEES[0], secret(TRUSTEES[0]))
        .await;
    assert_refused(early, Code::FailedPrecondition, "BATCH_STATE_WRONG");
    assert_refused(
        world.freeze("batches/none").await,
        Code::NotFound,
        "NOT_FOUND",
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_taken_id_is_refused(db: PgPool) {
    let world = World::start(db).await;
    world.import(SCHEME_2023).await.unwrap();

    world
        .batches()
        .create_batch(creation("48", batch()))
        .await
        .unwrap();
    let again = world.batches().create_batch(creation("48", batch())).await;

    assert_refused(again, Code::AlreadyExists, "BATCH_EXISTS");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn all_violations_of_a_batch_are_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    world.import(SCHEME_2023).await.unwrap();
    let wrong = pb::Batch {
        scheme: "prakerja".to_owned(),
        quota_plan: None,
        trustees: vec![
            "trustees/a".to_owned(),
            "trustees/a".to_owned(),
            "notary".to_owned(),
        ],
        ..pb::Batch::default()
    };
    let request = pb::CreateBatchRequest {
        request_id: "1".to_owned(),
        ..creation("Batch 48", wrong)
    };
    let plan = pb::QuotaPlan {
        place_count: 0,
        reserved_groups: vec![pb::ReservedGroup {
            name: "tall".to_owned(),
            place_count: 1,
            expression: "height > 200".to_owned(),
        }],
        ..pb::QuotaPlan::default()
    };
    let planless = pb::Batch {
        quota_plan: Some(plan),
        ..batch()
    };

    let first = fields(world.batches().create_batch(request).await);
    let second = fields(world.batches().create_batch(creation("49", planless)).await);

    let expected = [
        "request_id",
        "batch_id",
        "batch.scheme",
        "batch.trustees[1]",
        "batch.trustees[2]",
        "batch.quota_plan",
    ];
    assert_eq!(first, expected);
    assert_eq!(second, ["batch.quota_plan.place_count"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_group_of_an_unknown_fact_is_refused(db: PgPool) {
    let world = World::start(db).await;
    world.import(SCHEME_2023).await.unwrap();
    let mut wrong = batch();
    wrong
        .quota_plan
        .as_mut()
        .unwrap()
        .reserved_groups
        .push(pb::ReservedGroup {
            name: "tall".to_owned(),
            place_count: 1,
            expression: "height > 200".to_owned(),
        });

    let fields = fields(world.batches().create_batch(creation("48", wrong)).await);

    assert_eq!(fields, ["batch.quota_plan.reserved_groups[0].expression"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_trustee_commits_once_and_for_itself_alone(db: PgPool) {
    let world = World::start(db).await;
    let name = world.open_batch("48", 1).await;
    let [notary, university] = TRUSTEES;

    world.commit_as(&name, notary).await.unwrap();
    assert_refused(
        world.commit_as(&name, notary).await,
        Code::AlreadyExists,
        "RANDOMNESS_COMMITTED",
    );
    let stranger = fields(world.commit_as(&name, "trustees/stranger").await);
    assert_eq!(stranger, ["trustee"]);
    let request = pb::CommitRandomnessRequest {
        request_id: request_id(),
        name: name.clone(),
        trustee: university.to_owned(),
        commitment: vec![1; 32],
    };
    let other = world.batches().commit_randomness(request).await;
    assert_refused(other, Code::PermissionDenied, "NOT_TRUSTEE");

    world.close(&name).await;
    let metadata = assert_refused(
        world.freeze(&name).await,
        Code::FailedPrecondition,
        "RANDOMNESS_NOT_COMMITTED",
    );
    assert_eq!(metadata["trustees"], university);
    let direct = sqlx::query!("UPDATE trustee_shares SET commitment = $1", &[2_u8; 32])
        .execute(&world.db)
        .await;
    assert!(direct.is_err());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_secret_must_be_the_committed_one_and_come_after_the_freeze(db: PgPool) {
    let world = World::start(db).await;
    let name = world.open_batch("48", 1).await;
    world.applicants(&name, 2).await;
    world.frozen(&name).await;
    let [notary, university] = TRUSTEES;

    let wrong = world.reveal_as(&name, notary, [9; 32]).await;
    assert_refused(wrong, Code::InvalidArgument, "SECRET_MISMATCHED");
    let late = world.commit_as(&name, notary).await;
    assert_refused(late, Code::FailedPrecondition, "BATCH_STATE_WRONG");

    world
        .reveal_as(&name, notary, secret(notary))
        .await
        .unwrap();
    let again = world
        .reveal_as(&name, notary, secret(notary))
        .await
        .unwrap();
    assert_eq!(again.trustee_shares[0].secret, secret(notary));
    let metadata = assert_refused(
        world.draw(&name).await,
        Code::FailedPrecondition,
        "RANDOMNESS_NOT_REVEALED",
    );
    assert_eq!(metadata["trustees"], university);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn batches_are_listed_oldest_first(db: PgPool) {
    let world = World::start(db).await;
    for id in ["c", "a", "b"] {
        world.open_batch(id, 1).await;
    }

    let first = pb::ListBatchesRequest {
        page_size: 2,
        page_token: String::new(),
    };
    let first = world
        .batches()
        .list_batches(first)
        .await
        .unwrap()
        .into_inner();
    let second = pb::ListBatchesRequest {
        page_size: 2,
        page_token: first.next_page_token,
    };
    let second = world
        .batches()
        .list_batches(second)
        .await
        .unwrap()
        .into_inner();

    // All three were made at the same moment of the fixed clock: the id decides.
    let names: Vec<&str> = first
        .batches
        .iter()
        .chain(&second.batches)
        .map(|batch| batch.name.as_str())
        .collect();
    assert_eq!(names, ["batches/a", "batches/b", "batches/c"]);
    assert!(second.next_page_token.is_empty());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_statement_moves_a_batch_out_of_order(db: PgPool) {
    let world = World::start(db).await;
    let name = world.open_batch("48", 1).await;
    world.applicants(&name, 2).await;
    world.frozen(&name).await;

    for statement in [
        "UPDATE batches SET state = 'CLOSED'",
        "UPDATE batches SET state = 'AWARDED', draw_time = now(), drawn_count = 1, award_time = now()",
        "UPDATE batches SET entrant_count = 7",
        "UPDATE batches SET quota_plan = '{}'",
        "DELETE FROM batches",
        "DELETE FROM entrant_runs",
        "UPDATE entrant_runs SET regions = ''",
        "INSERT INTO entrant_runs
         SELECT '48', '\\xff', 1, '\\xff', decode(repeat('00', 16), 'hex'), decode(repeat('00', 16), 'hex'), ''",
        "UPDATE decisions SET eligible = true",
        "DELETE FROM decisions",
        "TRUNCATE applications CASCADE",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&world.db).await;
        assert!(refused.is_err(), "{statement}");
    }
}
