//! Awards get their money, once.

use messaging::{Event, HandleError, consumer::Taken};
use proto::{enrollment::v1 as enrollment_pb, payout::v1 as pb};
use sqlx::PgPool;

use crate::{
    words::{awarded, incentive, units, usd},
    world::{AWARD, BATCH, INCENTIVES, Participation, TRAINING, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn each_award_gets_a_balance_and_a_commitment_out_of_the_budget(db: PgPool) {
    let world = World::with_budget(db, 10).await;

    let participations = world.award(3).await;

    for participation in &participations {
        assert_eq!(
            world.balance(participation).await,
            [TRAINING, 0, INCENTIVES]
        );
    }
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.outstanding), trace.funded_count),
        (10 * AWARD, 3)
    );
    let told: Vec<pb::ParticipationsFunded> = world.told().await;
    let names: Vec<String> = participations.iter().map(Participation::name).collect();
    assert_eq!((told.len(), &told[0].participations), (1, &names));
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_same_chunk_funds_once_also_beside_the_inbox(db: PgPool) {
    let world = World::with_budget(db, 10).await;
    let participations = [Participation::new(), Participation::new()];
    let event = Event::of(BATCH, world.clock.now(), &awarded(BATCH, &participations));

    let first = world.take_in(&event).await.unwrap();
    let repeat = world.take_in(&event).await.unwrap();
    let copy = world
        .deliver(&awarded(BATCH, &participations))
        .await
        .unwrap();

    assert_eq!(
        [first, repeat, copy],
        [Taken::New, Taken::Repeat, Taken::New]
    );
    assert_eq!(
        world.balance(&participations[0]).await,
        [TRAINING, 0, INCENTIVES]
    );
    assert_eq!(world.told::<pb::ParticipationsFunded>().await.len(), 1);
    assert_eq!(world.trace(BATCH).await.funded_count, 2);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_chunk_that_holds_funded_ones_funds_the_others(db: PgPool) {
    let world = World::with_budget(db, 10).await;
    let mut participations = world.award(2).await;
    participations.push(Participation::new());

    world
        .deliver(&awarded(BATCH, &participations))
        .await
        .unwrap();

    let told: Vec<pb::ParticipationsFunded> = world.told().await;
    assert_eq!(told[1].participations, [participations[2].name()]);
    assert_eq!(world.trace(BATCH).await.funded_count, 3);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_chunk_waits_until_its_money_is_allotted(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 100 * AWARD).await;
    let participations = [Participation::new(), Participation::new()];
    let event = Event::of(BATCH, world.clock.now(), &awarded(BATCH, &participations));

    let without_budget = world.take_in(&event).await.unwrap_err();
    world.allot("dipa-2026", BATCH, 2 * AWARD - 1).await;
    let with_too_little = world.take_in(&event).await.unwrap_err();
    let trace = world.trace(BATCH).await;
    world.allot("dipa-2026", BATCH, 1).await;
    let in_the_end = world.take_in(&event).await.unwrap();

    assert!(
        matches!(without_budget, HandleError::Missing(_)),
        "{without_budget}"
    );
    assert!(
        matches!(with_too_little, HandleError::Missing(_)),
        "{with_too_little}"
    );
    assert_eq!(
        (trace.funded_count, units(trace.outstanding)),
        (0, 2 * AWARD - 1)
    );
    assert_eq!(in_the_end, Taken::New);
    assert_eq!(
        world.balance(&participations[1]).await,
        [TRAINING, 0, INCENTIVES]
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_thousand_awards_are_one_chunk_and_a_handful_of_statements(db: PgPool) {
    let world = World::with_budget(db, 1_000).await;

    let participations = world.award(1_000).await;

    assert_eq!(units(world.trace(BATCH).await.outstanding), 1_000 * AWARD);
    assert_eq!(
        world.balance(&participations[999]).await,
        [TRAINING, 0, INCENTIVES]
    );
    assert_eq!(world.told::<pb::ParticipationsFunded>().await.len(), 1);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn concurrent_chunks_share_the_budget_and_overdraw_nothing(db: PgPool) {
    let world = World::with_budget(db, 25).await;
    let chunks: Vec<Vec<Participation>> = (0..10)
        .map(|_| (0..5).map(|_| Participation::new()).collect())
        .collect();

    let messages: Vec<_> = chunks.iter().map(|chunk| awarded(BATCH, chunk)).collect();
    let outcomes =
        futures::future::join_all(messages.iter().map(|message| world.deliver(message))).await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    assert_eq!(world.trace(BATCH).await.funded_count, 25);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_chunk_that_the_contract_does_not_know_is_rejected(db: PgPool) {
    let world = World::with_budget(db, 10).await;
    let right = awarded(BATCH, &[Participation::new()]);
    let trigger = enrollment_pb::incentive::Trigger::FirstCompletion;

    let mut in_dollars = right.clone();
    in_dollars.training_balance = usd(10);
    in_dollars.incentives.clear();
    let mut mixed = right.clone();
    mixed.incentives[0].amount = usd(10);
    let mut without_balance = right.clone();
    without_balance.training_balance = None;
    let mut endless = right.clone();
    endless
        .incentives
        .push(incentive("job-search", trigger, 1, 37));
    let mut nameless = right.clone();
    nameless.awards[0].participation = "participations/7".to_owned();
    let mut elsewhere = right.clone();
    elsewhere.batch = "48".to_owned();

    for message in [
        in_dollars,
        mixed,
        without_balance,
        endless,
        nameless,
        elsewhere,
    ] {
        let error = world.deliver(&message).await.unwrap_err();
        assert!(matches!(error, HandleError::Reject(_)), "{error}");
    }
    assert_eq!(world.trace(BATCH).await.funded_count, 0);
}
