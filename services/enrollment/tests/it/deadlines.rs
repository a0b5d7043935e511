//! The deadline of the first purchase.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::enrollment::v1 as pb;
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, macros::datetime};
use tonic::Code;

use crate::world::{World, assert_refused};

/// 15 days after 2026-11-24 in Jakarta, the last second.
const DEADLINE: OffsetDateTime = datetime!(2026-12-09 16:59:59 UTC);

#[sqlx::test(migrator = "MIGRATOR")]
async fn who_missed_the_deadline_is_revoked_once_and_payout_is_told(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(3).await;
    world
        .buy(participants[0].id, world.run(1, 1_000))
        .await
        .unwrap();

    world.wait_until(DEADLINE);
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 0);
    world.wait_until(DEADLINE + Duration::microseconds(1));
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 2);
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 0);

    let events = world.told::<pb::ParticipationsRevoked>().await;
    assert_eq!(events.len(), 1);
    let mut revoked = events[0].participations.clone();
    let mut expected = vec![
        names::format("participations", participants[1].id),
        names::format("participations", participants[2].id),
    ];
    revoked.sort();
    expected.sort();
    assert_eq!(revoked, expected);
    let participation = world.get_participation(participants[1].id).await;
    assert_eq!(participation.state(), pb::participation::State::Revoked);
    assert!(participation.revoke_time.is_some());
    let late = world.buy(participants[1].id, world.run(1, 1_000)).await;
    assert_refused(late, Code::FailedPrecondition, "PARTICIPATION_REVOKED");
    assert_eq!(
        world
            .get_batch(&participation.batch)
            .await
            .funnel
            .unwrap()
            .revoked_count,
        2
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_purchase_after_the_deadline_is_refused_before_the_sweeper_comes(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    let run = world.run(5, 1_000);

    world.wait_until(DEADLINE);
    let in_time = world.buy(participants[0].id, run).await.unwrap();
    world.wait_until(DEADLINE + Duration::SECOND);
    let late = world.buy(participants[1].id, run).await;

    assert_eq!(in_time.state(), pb::purchase::State::Completed);
    let metadata = assert_refused(
        late,
        Code::FailedPrecondition,
        "FIRST_PURCHASE_DEADLINE_PASSED",
    );
    assert_eq!(metadata["deadline"], "2026-12-09T16:59:59Z");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_purchase_under_way_holds_the_revocation_until_it_ends(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    world.peers.away("ConfirmSeat");
    let will_succeed = world
        .buy(participants[0].id, world.run(1, 1_000))
        .await
        .unwrap();
    let will_fail = world
        .buy(participants[1].id, world.run(1, 1_000))
        .await
        .unwrap();

    world.wait_until(DEADLINE + Duration::hours(1));
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 0);
    world.peers.back();
    world.peers.expire_seat_of(&will_fail.run);
    world.app.sweep_purchases().await.unwrap();
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 1);

    assert_eq!(
        world.get_purchase(&will_succeed.name).await.state(),
        pb::purchase::State::Completed
    );
    assert_eq!(
        world.get_purchase(&will_fail.name).await.state(),
        pb::purchase::State::Failed
    );
    let state = |participation: pb::Participation| participation.state();
    assert_eq!(
        state(world.get_participation(participants[0].id).await),
        pb::participation::State::Active
    );
    assert_eq!(
        state(world.get_participation(participants[1].id).await),
        pb::participation::State::Revoked
    );
    assert_eq!(world.peers.balance(participants[1].id), 3_500_000);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_purchase_and_the_sweeper_that_meet_have_one_winner(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(60).await;
    let run = world.run(100, 1_000);
    world.wait_until(DEADLINE);

    // The clock crosses the deadline while purchases and sweepers run into each other.
    let buying =
        futures::future::join_all(participants.iter().map(|buyer| world.buy(buyer.id, run)));
    let crossing = async {
        tokio::task::yield_now().await;
        world.clock.advance_to(DEADLINE + Duration::SECOND);
    };
    let sweeping = async {
        for _ in 0..40 {
            world.app.revoke_overdue().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (answers, (), ()) = futures::join!(buying, crossing, sweeping);
    world.app.sweep_deadlines().await.unwrap();

    let mut revoked = world.told::<pb::ParticipationsRevoked>().await;
    let revoked: Vec<String> = revoked
        .drain(..)
        .flat_map(|event| event.participations)
        .collect();
    for (buyer, answer) in participants.iter().zip(answers) {
        let name = names::format("participations", buyer.id);
        let bought =
            answer.is_ok_and(|purchase| purchase.state() == pb::purchase::State::Completed);
        let state = world.get_participation(buyer.id).await.state();
        assert_eq!(
            revoked.iter().filter(|revoked| **revoked == name).count(),
            usize::from(!bought)
        );
        let expected = if bought {
            pb::participation::State::Active
        } else {
            pb::participation::State::Revoked
        };
        assert_eq!(state, expected);
        assert_eq!(
            world.peers.balance(buyer.id),
            if bought { 3_499_000 } else { 3_500_000 }
        );
    }
    assert_eq!(world.peers.taken_seats(run), 60 - revoked.len());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn more_than_a_chunk_is_revoked_in_chunks(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1_200).await;
    for _ in 0..3 {
        world.applicants(&batch, 400).await;
    }
    world.drawn(&batch).await;
    world.award(&batch).await.unwrap();
    world.wait_until(DEADLINE + Duration::SECOND);

    let (one, other) = futures::join!(world.app.sweep_deadlines(), world.app.sweep_deadlines());

    assert_eq!(one.unwrap() + other.unwrap(), 1_200);
    let events = world.told::<pb::ParticipationsRevoked>().await;
    assert!(
        events
            .iter()
            .all(|event| event.participations.len() <= 1_000)
    );
    assert_eq!(
        events
            .iter()
            .map(|event| event.participations.len())
            .sum::<usize>(),
        1_200
    );
}
