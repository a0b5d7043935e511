//! Winners become participations.

use std::collections::{HashMap, HashSet};

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{enrollment::v1 as pb, identity::v1::PersonFacts};
use sqlx::PgPool;
use time::macros::datetime;
use uuid::Uuid;

use crate::{
    peers::{person, timestamp},
    world::{World, request_id},
};

#[sqlx::test(migrator = "MIGRATOR")]
async fn winners_become_participations_and_payout_is_told(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 3).await;
    world.applicants(&batch, 10).await;
    world.drawn(&batch).await;

    world.award(&batch).await.unwrap();

    let events = world.told::<pb::ParticipationsAwarded>().await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event.batch, batch);
    assert_eq!(event.training_balance.as_ref().unwrap().units, 3_500_000);
    assert_eq!(event.incentives.len(), 2);
    assert_eq!(event.awards.len(), 3);
    assert!(event.awards.iter().all(|award| award.region == "32"));
    let id = names::parse_uuid(&event.awards[0].participation, "participations").unwrap();
    let participation = world.get_participation(id).await;
    assert_eq!(participation.account, event.awards[0].account);
    assert_eq!(participation.state(), pb::participation::State::Awarded);
    assert!(!participation.funded);
    // 09:00 in Jakarta on the 24th, and 15 days: the 9th of December, 23:59:59.
    let deadline = timestamp(datetime!(2026-12-09 16:59:59 UTC));
    assert_eq!(participation.first_purchase_deadline, Some(deadline));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_award_is_told_in_chunks_and_goes_on_after_an_interruption(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2_300).await;
    for _ in 0..5 {
        world.applicants(&batch, 500).await;
    }
    world.drawn(&batch).await;

    // A replica that dies after its first chunk.
    world.app.award_next_chunk("48", 1_000).await.unwrap();
    let first: usize = sizes_told(&world).await.iter().sum();
    assert!((1_000..1_256).contains(&first), "{first}");
    assert_eq!(
        world.get_batch(&batch).await.state(),
        pb::batch::State::Drawn
    );
    world.clock.advance_by(time::Duration::days(2));
    world.award(&batch).await.unwrap();

    assert!(sizes_told(&world).await.iter().all(|size| *size <= 1_000));
    let events = world.told::<pb::ParticipationsAwarded>().await;
    let accounts: HashSet<&String> = events
        .iter()
        .flat_map(|e| e.awards.iter().map(|a| &a.account))
        .collect();
    assert_eq!(accounts.len(), 2_300);
    let deadlines =
        sqlx::query_scalar!("SELECT DISTINCT first_purchase_deadline FROM participations")
            .fetch_all(&world.db)
            .await
            .unwrap();
    assert_eq!(deadlines, [datetime!(2026-12-09 16:59:59 UTC)]);
    assert_eq!(
        world.get_batch(&batch).await.state(),
        pb::batch::State::Awarded
    );
}

/// How many participations each event tells of.
async fn sizes_told(world: &World) -> Vec<usize> {
    let events = world.told::<pb::ParticipationsAwarded>().await;
    events.iter().map(|event| event.awards.len()).collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn two_batches_that_are_drawn_side_by_side_keep_the_limits_together(db: PgPool) {
    let world = World::start(db).await;
    let (first, second) = (
        world.open_batch("48", 10).await,
        world.open_batch("49", 10).await,
    );
    let family: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    for account in &family {
        let member = PersonFacts {
            household: vec![7; 16],
            ..person()
        };
        world.peers.add_person(*account, member);
    }
    // One of them applies for both; neither draw knows of the other.
    world.apply_all(&first, &family[..2]).await;
    world.apply_all(&second, &family[1..]).await;
    world.drawn(&first).await;
    world.drawn(&second).await;

    world.award(&first).await.unwrap();
    world.award(&second).await.unwrap();

    let recipients = sqlx::query_scalar!("SELECT account_id FROM participations")
        .fetch_all(&world.db)
        .await
        .unwrap();
    assert_eq!(recipients.len(), 2);
    let reasons = sqlx::query_scalar!("SELECT reason FROM award_refusals")
        .fetch_all(&world.db)
        .await
        .unwrap();
    assert_eq!(reasons.len(), 2);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_better_rank_gets_what_another_award_has_left(db: PgPool) {
    let world = World::start(db).await;
    let (first, second) = (
        world.open_batch("48", 10).await,
        world.open_batch("49", 1_000).await,
    );
    let families: Vec<[Uuid; 3]> = (0..20).map(|_| [0; 3].map(|_| Uuid::now_v7())).collect();
    for (i, family) in families.iter().enumerate() {
        for account in family {
            let member = PersonFacts {
                household: vec![u8::try_from(i).unwrap(); 16],
                ..person()
            };
            world.peers.add_person(*account, member);
        }
    }
    let of_first: Vec<Uuid> = families.iter().take(10).map(|family| family[0]).collect();
    let of_second: Vec<Uuid> = families.iter().flat_map(|f| [f[1], f[2]]).collect();
    world.apply_all(&first, &of_first).await;
    world.apply_all(&second, &of_second).await;
    // More than one run, so that the order of the list is not the order of the ranks.
    world.applicants(&second, 500).await;
    world.drawn(&first).await;
    world.drawn(&second).await;

    // In the midst of the second award, the first takes a place of ten households.
    world.app.award_next_chunk("49", 1).await.unwrap();
    let begun = awarded_in(&world, "49").await;
    world.award(&first).await.unwrap();
    world.award(&second).await.unwrap();

    let recipients = awarded_in(&world, "49").await;
    let ranks = ranks_of(&world, &second).await;
    for (i, family) in families.iter().enumerate() {
        let members = [family[1], family[2]];
        let (mut in_time, mut left) = (0, Vec::new());
        for member in members {
            if begun.contains(&member) {
                in_time += 1;
            } else {
                left.push(member);
            }
        }
        left.sort_by_key(|member| ranks[member]);
        let limit = if i < 10 { 1_usize } else { 2 };
        let admitted = limit.saturating_sub(in_time).min(left.len());
        for (place, member) in left.iter().enumerate() {
            assert_eq!(recipients.contains(member), place < admitted, "{family:?}");
        }
    }
    let refused = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM award_refusals WHERE batch_id = '49'"#
    )
    .fetch_one(&world.db)
    .await
    .unwrap();
    assert_eq!(540 - recipients.len(), usize::try_from(refused).unwrap());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_award_that_goes_on_days_later_is_seen_by_another(db: PgPool) {
    let world = World::start(db).await;
    let (first, second) = (
        world.open_batch("48", 1_000).await,
        world.open_batch("49", 1_000).await,
    );
    let both = world.applicants(&second, 500).await;
    world.apply_all(&first, &both[..100]).await;
    world.drawn(&second).await;
    world.app.award_next_chunk("49", 1).await.unwrap();
    let begun = awarded_in(&world, "49").await;
    assert!(begun.len() < 500);

    world.clock.advance_by(time::Duration::days(3));
    world.drawn(&first).await;
    world.award(&second).await.unwrap();
    world.award(&first).await.unwrap();

    assert_eq!(awarded_in(&world, "49").await.len(), 500);
    assert_eq!(awarded_in(&world, "48").await, HashSet::new());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_award_without_identity_stays_drawn_and_a_repeat_finishes_it(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    world.applicants(&batch, 20).await;
    world.drawn(&batch).await;
    let request = pb::AwardBatchRequest {
        request_id: request_id(),
        name: batch.clone(),
    };
    world.peers.away("StreamFactChanges");

    let refused = world.batches().award_batch(request.clone()).await;
    assert!(refused.is_err());
    let drawn = world.get_batch(&batch).await;
    assert_eq!(drawn.state(), pb::batch::State::Drawn);
    world.peers.back();
    world.batches().award_batch(request).await.unwrap();

    let awarded = world.get_batch(&batch).await;
    assert_eq!(awarded.state(), pb::batch::State::Awarded);
    assert_eq!(sizes_told(&world).await, [10]);
}

async fn awarded_in(world: &World, batch_id: &str) -> HashSet<Uuid> {
    let accounts = sqlx::query_scalar!(
        "SELECT account_id FROM participations WHERE batch_id = $1",
        batch_id
    );
    let accounts = accounts.fetch_all(&world.db).await.unwrap();
    accounts.into_iter().collect()
}

async fn ranks_of(world: &World, batch: &str) -> HashMap<Uuid, i64> {
    let request = pb::ListApplicationsRequest {
        batch: batch.to_owned(),
        page_size: 1_000,
        ..pb::ListApplicationsRequest::default()
    };
    let page = world.applications().list_applications(request).await;
    let applications = page.unwrap().into_inner().applications;
    let rank = |a: &pb::Application| {
        let account = names::parse_uuid(&a.account, "accounts").unwrap();
        (account, a.rank)
    };
    applications.iter().map(rank).collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn only_those_whose_facts_changed_since_the_freeze_are_checked_again(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    let accounts = world.applicants(&batch, 10).await;
    world.drawn(&batch).await;
    world.clock.advance_by(time::Duration::hours(1));
    world.peers.add_person(accounts[3], person());

    world.award(&batch).await.unwrap();

    assert_eq!(world.app.sweep_rechecks().await.unwrap(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_person_takes_part_once_whatever_the_statement(db: PgPool) {
    let world = World::start(db).await;
    world.participants(1).await;

    let again = sqlx::query!(
        "INSERT INTO participations (participation_id, batch_id, programme, once_only, account_id, application_id, region,
                                     state, first_purchase_deadline, award_time)
         SELECT gen_random_uuid(), batch_id, programme, once_only, account_id, application_id, region, 'AWARDED', now(),
                now()
         FROM participations"
    )
    .execute(&world.db)
    .await;

    assert!(again.is_err());
}
