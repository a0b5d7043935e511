//! Purchases whose peers fail at every step, before and after the effect, and processes that end in between.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{enrollment::v1 as pb, payout::v1::funds_hold};
use sqlx::PgPool;
use time::Duration;
use uuid::Uuid;

use crate::{
    peers::Fault,
    world::{Participant, World},
};

const FORTH: [&str; 4] = ["HoldSeat", "HoldFunds", "ConfirmSeat", "CaptureFunds"];

/// Lets the sweeper come round after its pause.
async fn sweep(world: &World) {
    world.clock.advance_by(Duration::minutes(3));
    world.app.sweep_purchases().await.unwrap();
}

/// No seat and no rupiah is left held, and both were taken or neither.
async fn assert_settled(
    world: &World,
    buyer: Participant,
    run: Uuid,
    purchase: &pb::Purchase,
    price: i64,
) {
    let purchase = world.get_purchase(&purchase.name).await;
    let bought = purchase.state() == pb::purchase::State::Completed;
    assert!(
        bought || purchase.state() == pb::purchase::State::Failed,
        "{purchase:?}"
    );
    assert_eq!(world.peers.taken_seats(run), usize::from(bought));
    assert_eq!(world.peers.confirmed_seats(), usize::from(bought));
    assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
    assert_eq!(
        world.peers.funds_in(funds_hold::State::Captured),
        usize::from(bought)
    );
    assert_eq!(
        world.peers.balance(buyer.id),
        if bought { 3_500_000 - price } else { 3_500_000 }
    );
    let pending = sqlx::query_scalar!(
        "SELECT count(*) FROM participations WHERE pending_purchase_id IS NOT NULL"
    )
    .fetch_one(&world.db)
    .await
    .unwrap();
    assert_eq!(pending, Some(0));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_call_lost_at_any_step_leaves_the_purchase_pending_and_the_sweeper_finishes_it(
    db: PgPool,
) {
    let world = World::start(db).await;
    let participants = world.participants(8).await;
    let cases = FORTH
        .into_iter()
        .flat_map(|method| [(method, Fault::Before), (method, Fault::After)]);
    let mut seats = 0;
    for (buyer, (method, fault)) in participants.into_iter().zip(cases) {
        let run = world.run(5, 1_000_000);
        world.peers.lose(method, fault);

        let pending = world.buy(buyer.id, run).await.unwrap();
        assert_eq!(
            pending.state(),
            pb::purchase::State::Pending,
            "{method} {fault:?}"
        );
        sweep(&world).await;

        seats += 1;
        let purchase = world.get_purchase(&pending.name).await;
        assert_eq!(
            purchase.state(),
            pb::purchase::State::Completed,
            "{method} {fault:?}"
        );
        assert_eq!(world.peers.taken_seats(run), 1);
        assert_eq!(world.peers.confirmed_seats(), seats);
        assert_eq!(world.peers.balance(buyer.id), 2_500_000);
    }
    assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_refusal_after_lost_calls_gives_everything_back(db: PgPool) {
    let world = World::start(db).await;
    for (method, fault) in [
        ("ReleaseFunds", Fault::Before),
        ("ReleaseFunds", Fault::After),
        ("ReleaseSeat", Fault::Before),
        ("ReleaseSeat", Fault::After),
    ] {
        let buyer = world.participants(1).await[0];
        let run = world.run(1, 1_000_000);
        // The money is held, then the seat's hold runs out before it is confirmed.
        world.peers.lose("ConfirmSeat", Fault::Before);
        let pending = world.buy(buyer.id, run).await.unwrap();
        world.peers.expire_seats();
        world.peers.lose(method, fault);

        sweep(&world).await;
        assert_eq!(
            world.get_purchase(&pending.name).await.state(),
            pb::purchase::State::Pending,
            "{method}"
        );
        sweep(&world).await;

        assert_settled(&world, buyer, run, &pending, 1_000_000).await;
        let failed = world.get_purchase(&pending.name).await;
        assert_eq!(failed.failure_reason, "SEATS_TAKEN");
        // The way is free for another purchase.
        let other = world.run(1, 0);
        let bought = world.buy(buyer.id, other).await.unwrap();
        assert_eq!(bought.state(), pb::purchase::State::Completed);
        reset(&world, &bought).await;
    }
}

/// Takes a completed purchase's seat out of the count of the next case.
async fn reset(world: &World, purchase: &pb::Purchase) {
    let run = names::parse_uuid(&purchase.run, "runs").unwrap();
    assert_eq!(world.peers.taken_seats(run), 1);
    world.peers.forget_holds();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_process_that_ends_at_any_step_is_followed_by_the_sweeper(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(FORTH.len()).await;
    for (buyer, method) in participants.into_iter().zip(FORTH) {
        let run = world.run(5, 1_000_000);
        world.peers.away(method);
        let pending = world.buy(buyer.id, run).await.unwrap();
        world.peers.back();
        // As if the process had ended right after the row was moved: no postponement, only the first time limit.
        sqlx::query!("UPDATE purchases SET attempt_count = 0 WHERE state = 'PENDING'")
            .execute(&world.db)
            .await
            .unwrap();

        sweep(&world).await;

        assert_eq!(
            world.get_purchase(&pending.name).await.state(),
            pb::purchase::State::Completed,
            "{method}"
        );
        assert_eq!(world.peers.balance(buyer.id), 2_500_000);
        world.peers.forget_holds();
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn many_sweepers_and_the_caller_drive_one_purchase_without_harm(db: PgPool) {
    let world = World::start(db).await;
    let buyer = world.participants(1).await[0];
    let run = world.run(5, 1_000_000);
    world.peers.lose("HoldSeat", Fault::Before);
    let pending = world.buy(buyer.id, run).await.unwrap();
    let id = names::parse_uuid(&pending.name, "purchases").unwrap();

    let drivers = (0..10).map(|_| world.app.drive_purchase(id));
    for driven in futures::future::join_all(drivers).await {
        driven.unwrap();
    }

    assert_settled(&world, buyer, run, &pending, 1_000_000).await;
    assert_eq!(world.told::<pb::ParticipationActivated>().await.len(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_purchase_that_waits_is_tried_less_and_less_often(db: PgPool) {
    let world = World::start(db).await;
    let buyer = world.participants(1).await[0];
    world.peers.away("HoldSeat");
    world.buy(buyer.id, world.run(1, 0)).await.unwrap();

    let mut pauses = Vec::new();
    for _ in 0..8 {
        let next = sqlx::query_scalar!("SELECT next_attempt_time FROM purchases")
            .fetch_one(&world.db)
            .await
            .unwrap();
        pauses.push((next - world.clock.now()).whole_seconds());
        world.clock.advance_to(next);
        assert_eq!(world.app.sweep_purchases().await.unwrap(), 1);
    }

    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
}
