//! From the freeze to the public bundle.

use std::collections::HashMap;

use chassis::names;
use draw::{SignedReceipt, SigningKey, Standing, verify};
use enrollment::storage::MIGRATOR;
use proto::{enrollment::v1 as pb, identity::v1::PersonFacts};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    peers::{flag, int, person, person_with},
    world::{World, assert_refused, plan, request_id},
};

async fn download(world: &World, batch: &str) -> Vec<u8> {
    let request = pb::DownloadDrawBundleRequest {
        name: batch.to_owned(),
    };
    let mut pieces = world
        .batches()
        .download_draw_bundle(request)
        .await
        .unwrap()
        .into_inner();
    let mut bundle = Vec::new();
    while let Some(piece) = pieces.message().await.unwrap() {
        bundle.extend(piece.content);
    }
    bundle
}

async fn applications_of(world: &World, batch: &str) -> Vec<pb::Application> {
    let mut applications = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListApplicationsRequest {
            batch: batch.to_owned(),
            page_size: 1000,
            page_token,
            ..pb::ListApplicationsRequest::default()
        };
        let page = world
            .applications()
            .list_applications(request)
            .await
            .unwrap()
            .into_inner();
        applications.extend(page.applications);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return applications;
        }
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_draw_of_two_thousand_can_be_verified_by_anyone(db: PgPool) {
    let world = World::start(db).await;
    let quota = pb::QuotaPlan {
        place_count: 500,
        reserved_groups: vec![pb::ReservedGroup {
            name: "disability".to_owned(),
            place_count: 50,
            expression: "disability".to_owned(),
        }],
        region_rule: pb::quota_plan::RegionRule::Proportional.into(),
        regions: vec![
            pb::RegionShare {
                region: "32".to_owned(),
                weight: 3,
                floor: 10,
            },
            pb::RegionShare {
                region: "11".to_owned(),
                weight: 1,
                floor: 20,
            },
        ],
    };
    let batch = world.open_batch_with("48", quota).await;
    let accounts: Vec<Uuid> = (0..2_000).map(|_| Uuid::now_v7()).collect();
    for (i, account) in accounts.iter().enumerate() {
        let mut person = if i % 10 == 0 {
            person_with(flag("disability", true))
        } else {
            person()
        };
        if i % 3 == 0 {
            person.region = "11.01".to_owned();
        }
        person.household = vec![u8::try_from(i % 251).unwrap(); 16];
        world.peers.add_person(*account, person);
    }
    for chunk in accounts.chunks(500) {
        world.apply_all(&batch, chunk).await;
    }

    let frozen = world.frozen(&batch).await;
    world.reveal(&batch).await;
    let drawn = world.draw(&batch).await.unwrap();
    let bundle = download(&world, &batch).await;

    let commitment = frozen.commitment.unwrap();
    assert_eq!(commitment.entrant_count, 2_000);
    assert_eq!(drawn.commitment.as_ref(), Some(&commitment));
    let key = SigningKey::from_seed(&[0xaa; 32]).public_key();
    let verified = verify(bundle.as_slice(), Some(&key), 2).unwrap();
    assert_eq!(
        verified.signed.commitment.root.to_vec(),
        commitment.merkle_root
    );
    assert_eq!(
        verified.signed.commitment.to_bytes().unwrap(),
        commitment.encoded
    );
    assert_eq!(verified.winner_count(), 500);

    // What the service says of each application is what the bundle says.
    let applications = applications_of(&world, &batch).await;
    let by_pseudonym: HashMap<[u8; 16], &pb::Application> = applications
        .iter()
        .map(|a| {
            (
                a.receipt
                    .as_ref()
                    .unwrap()
                    .pseudonym
                    .clone()
                    .try_into()
                    .unwrap(),
                a,
            )
        })
        .collect();
    assert_eq!(by_pseudonym.len(), 2_000);
    for (entrant, outcome) in verified.entrants.iter().zip(&verified.outcomes) {
        let application = by_pseudonym[&entrant.pseudonym];
        assert_eq!(application.rank, i64::from(outcome.rank));
        assert_eq!(
            application.state() == pb::application::State::Drawn,
            outcome.won()
        );
    }

    // From the receipt and the bundle a person proves to have been in the list.
    let receipt = applications[0].receipt.clone().unwrap();
    let file = [receipt.encoded, receipt.signature].concat();
    let standing = verified
        .standing(&SignedReceipt::from_bytes(&file).unwrap(), &key)
        .unwrap();
    assert!(matches!(standing, Standing::Listed { .. }));

    // One changed byte is seen.
    let mut forged = bundle.clone();
    let last = forged.len() - 40;
    forged[last] ^= 1;
    assert!(verify(forged.as_slice(), Some(&key), 2).is_err());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_second_freeze_and_a_second_draw_are_refused_and_repeats_get_the_first_answer(
    db: PgPool,
) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2).await;
    world.applicants(&batch, 5).await;
    world.close(&batch).await;
    world.commit(&batch).await;
    let freeze = pb::FreezeBatchRequest {
        request_id: request_id(),
        name: batch.clone(),
    };
    let draw = pb::DrawBatchRequest {
        request_id: request_id(),
        name: batch.clone(),
    };

    let frozen = world
        .batches()
        .freeze_batch(freeze.clone())
        .await
        .unwrap()
        .into_inner();
    world.reveal(&batch).await;
    let frozen_again = world
        .batches()
        .freeze_batch(freeze)
        .await
        .unwrap()
        .into_inner();
    let drawn = world
        .batches()
        .draw_batch(draw.clone())
        .await
        .unwrap()
        .into_inner();
    let drawn_again = world.batches().draw_batch(draw).await.unwrap().into_inner();

    assert_eq!(frozen, frozen_again);
    assert_eq!(drawn, drawn_again);
    assert_refused(
        world.freeze(&batch).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    assert_refused(
        world.draw(&batch).await,
        Code::FailedPrecondition,
        "BATCH_STATE_WRONG",
    );
    assert_eq!(world.told::<pb::BatchDrawn>().await.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn freezes_and_draws_that_come_at_once_have_one_effect(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2).await;
    world.applicants(&batch, 5).await;
    world.close(&batch).await;
    world.commit(&batch).await;

    let freezes = futures::future::join_all((0..5).map(|_| world.freeze(&batch))).await;
    world.reveal(&batch).await;
    let draws = futures::future::join_all((0..5).map(|_| world.draw(&batch))).await;

    assert_eq!(freezes.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(draws.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in freezes.into_iter().chain(draws).filter(Result::is_err) {
        assert_refused(refused, Code::FailedPrecondition, "BATCH_STATE_WRONG");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_statement_changes_or_adds_a_result(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    world.applicants(&batch, 3).await;
    world.drawn(&batch).await;

    for statement in [
        "UPDATE result_runs SET outcomes = ''",
        "DELETE FROM result_runs",
        "TRUNCATE result_runs",
        "INSERT INTO result_runs (batch_id, first_pseudonym, outcomes)
         SELECT batch_id, first_pseudonym, '\\x0000000102' FROM entrant_runs ON CONFLICT DO NOTHING",
        "INSERT INTO result_runs (batch_id, first_pseudonym, outcomes)
         SELECT batch_id, '\\x00000000000000000000000000000000', '\\x0000000102' FROM batches",
    ] {
        let before = result(&world).await;
        let done = sqlx::raw_sql(statement).execute(&world.db).await;
        assert!(
            done.is_err() || done.unwrap().rows_affected() == 0,
            "{statement}"
        );
        assert_eq!(before, result(&world).await, "{statement}");
    }
}

/// Everything that is stored of draws.
async fn result(world: &World) -> String {
    let runs = sqlx::query!("SELECT * FROM result_runs ORDER BY batch_id, first_pseudonym")
        .fetch_all(&world.db)
        .await
        .unwrap();
    format!("{runs:?}")
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_freeze_decides_again_on_the_newest_facts(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    let accounts = world.applicants(&batch, 4).await;
    world
        .peers
        .add_person(accounts[0], person_with(int("age_years", 65)));
    let gone = PersonFacts {
        state: proto::identity::v1::person::State::Mismatched.into(),
        ..person()
    };
    world.peers.add_person(accounts[1], gone);

    let frozen = world.frozen(&batch).await;

    assert_eq!(frozen.commitment.unwrap().entrant_count, 2);
    let applications = applications_of(&world, &batch).await;
    let reasons: HashMap<&str, Vec<&str>> = applications
        .iter()
        .map(|a| {
            let refusals = &a.decision.as_ref().unwrap().refusals;
            (
                a.account.as_str(),
                refusals.iter().map(|r| r.reason.as_str()).collect(),
            )
        })
        .collect();
    assert_eq!(
        reasons[names::format("accounts", accounts[0]).as_str()],
        ["AGE_OUT_OF_RANGE"]
    );
    assert_eq!(
        reasons[names::format("accounts", accounts[1]).as_str()],
        ["PERSON_NOT_VERIFIED"]
    );
    let funnel = world.get_batch(&batch).await.funnel.unwrap();
    assert_eq!(
        (
            funnel.applied_count,
            funnel.refused_count,
            funnel.entrant_count
        ),
        (4, 2, 2)
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_interrupted_freeze_goes_on_where_it_was(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    let mut accounts = Vec::new();
    for _ in 0..3 {
        accounts.extend(world.applicants(&batch, 500).await);
    }
    world.close(&batch).await;
    world.commit(&batch).await;
    for account in &accounts[..1_400] {
        world.peers.add_person(*account, person());
    }
    // identity is away for a chunk.
    world
        .peers
        .lose("BatchGetFacts", crate::peers::Fault::Before);
    let lost = world.freeze(&batch).await;
    assert!(lost.is_err());
    assert_eq!(
        world.get_batch(&batch).await.state(),
        pb::batch::State::Closed
    );
    let calls_before = world.peers.facts_calls().len();
    world.freeze(&batch).await.unwrap();

    // Those whose facts changed are asked about, less what the first freeze has decided on, and nobody else.
    let asked: usize = world.peers.facts_calls()[calls_before..].iter().sum();
    assert!((1_000..=1_400).contains(&asked), "{asked}");
    let again =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM decisions WHERE stage = 2"#)
            .fetch_one(&world.db)
            .await
            .unwrap();
    assert_eq!(again, 1_400);
    assert_eq!(
        world.get_batch(&batch).await.funnel.unwrap().entrant_count,
        1_500
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_freeze_knows_who_became_a_recipient_since(db: PgPool) {
    let world = World::start(db).await;
    let (first, second) = (
        world.open_batch("48", 1).await,
        world.open_batch("49", 10).await,
    );
    let account = world.applicants(&first, 1).await[0];
    world.apply(&second, account).await.unwrap();
    world.applicants(&second, 2).await;
    world.drawn(&first).await;
    world.award(&first).await.unwrap();

    let frozen = world.frozen(&second).await;

    assert_eq!(frozen.commitment.unwrap().entrant_count, 2);
    let refused = applications_of(&world, &second).await;
    let refused = refused
        .iter()
        .find(|application| application.account == names::format("accounts", account))
        .unwrap();
    let decision = refused.decision.as_ref().unwrap();
    assert_eq!(decision.refusals[0].reason, "ALREADY_RECIPIENT");
}

/// More than one run, and a look-up in each.
#[sqlx::test(migrator = "MIGRATOR")]
async fn everybody_learns_their_own_rank(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 100).await;
    world.applicants(&batch, 600).await;
    world.drawn(&batch).await;

    let applications = applications_of(&world, &batch).await;
    let bundle = download(&world, &batch).await;
    let verified = verify(bundle.as_slice(), None, 1).unwrap();

    assert_eq!(applications.len(), 600);
    for application in &applications {
        let pseudonym = &application.receipt.as_ref().unwrap().pseudonym;
        let at = verified
            .entrants
            .iter()
            .position(|entrant| entrant.pseudonym == pseudonym.as_slice())
            .unwrap();
        assert_eq!(application.rank, i64::from(verified.outcomes[at].rank));
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn one_household_wins_no_more_than_its_limit(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 5).await;
    let family: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    for account in &family {
        let member = PersonFacts {
            household: vec![7; 16],
            ..person()
        };
        world.peers.add_person(*account, member);
    }
    world.apply_all(&batch, &family).await;
    world.drawn(&batch).await;
    world.award(&batch).await.unwrap();

    let funnel = world.get_batch(&batch).await.funnel.unwrap();
    assert_eq!((funnel.entrant_count, funnel.drawn_count), (5, 2));

    // The household's history counts in the next batch.
    let next = world.open_batch("49", 5).await;
    let newcomer = Uuid::now_v7();
    let member = PersonFacts {
        household: vec![7; 16],
        ..person()
    };
    world.peers.add_person(newcomer, member);
    world.apply(&next, newcomer).await.unwrap();
    world.drawn(&next).await;
    assert_eq!(world.get_batch(&next).await.funnel.unwrap().drawn_count, 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_batch_without_applications_is_drawn_and_awarded_all_the_same(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch_with("48", plan(3)).await;

    world.drawn(&batch).await;
    let awarded = world.award(&batch).await.unwrap();
    let bundle = download(&world, &batch).await;

    assert_eq!(awarded.state(), pb::batch::State::Awarded);
    assert_eq!(
        verify(bundle.as_slice(), None, 1).unwrap().entrants.len(),
        0
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_bundle_is_there_after_the_draw_only(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    world.applicants(&batch, 1).await;
    world.frozen(&batch).await;
    let request = pb::DownloadDrawBundleRequest { name: batch };

    let early = world
        .batches()
        .download_draw_bundle(request)
        .await
        .map(|_| ());

    assert!(early.is_err());
}
