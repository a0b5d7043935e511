//! Winners become participations.

use std::collections::HashSet;

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{enrollment::v1 as pb, identity::v1::PersonFacts};
use sqlx::PgPool;
use time::macros::datetime;
use uuid::Uuid;

use crate::{
    peers::{person, timestamp},
    world::World,
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
    assert!(world.app.award_next_chunk("48", 1_000).await.unwrap());
    assert_eq!(
        world.get_batch(&batch).await.state(),
        pb::batch::State::Drawn
    );
    world.clock.advance_by(time::Duration::days(2));
    world.award(&batch).await.unwrap();

    let events = world.told::<pb::ParticipationsAwarded>().await;
    let sizes: Vec<usize> = events.iter().map(|event| event.awards.len()).collect();
    assert_eq!(sizes, [1_000, 1_000, 300]);
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
