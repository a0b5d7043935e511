//! Holds: kept, captured, released, and never more than there is.

use proto::payout::v1 as pb;
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    words::{hold_request, metadata, reason, units, usd},
    world::{BATCH, INCENTIVES, Participation, TRAINING, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_hold_is_kept_and_then_the_provider_s(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 500_000);

    let held = world.hold(&request).await.unwrap();
    let while_held = world.balance(&participation).await;
    let captured = world.capture(&request).await.unwrap();

    assert_eq!(
        (held.state(), held.name.as_str()),
        (pb::funds_hold::State::Held, request.name.as_str())
    );
    assert_eq!(while_held, [TRAINING - 500_000, 500_000, INCENTIVES]);
    assert_eq!(captured.state(), pb::funds_hold::State::Captured);
    assert_eq!(
        world.balance(&participation).await,
        [TRAINING - 500_000, 0, INCENTIVES]
    );
    assert_eq!(units(world.trace(BATCH).await.spent), 500_000);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_released_hold_goes_back(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 500_000);
    world.hold(&request).await.unwrap();

    let released = world.release(&request).await.unwrap();

    assert_eq!(released.state(), pb::funds_hold::State::Released);
    assert_eq!(
        world.balance(&participation).await,
        [TRAINING, 0, INCENTIVES]
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn repeats_change_nothing_and_other_ends_are_refused(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let (kept, given_back) = (
        hold_request(&participation, 100),
        hold_request(&participation, 200),
    );
    let first = world.hold(&kept).await.unwrap();
    world.hold(&given_back).await.unwrap();
    world.release(&given_back).await.unwrap();

    assert_eq!(world.hold(&kept).await.unwrap(), first);
    let captured = world.capture(&kept).await.unwrap();
    assert_eq!(world.capture(&kept).await.unwrap(), captured);
    assert_eq!(
        world.hold(&kept).await.unwrap().state(),
        pb::funds_hold::State::Captured
    );
    assert_eq!(
        world.release(&given_back).await.unwrap().state(),
        pb::funds_hold::State::Released
    );

    let released_after_capture = world.release(&kept).await.unwrap_err();
    let captured_after_release = world.capture(&given_back).await.unwrap_err();
    for (status, state) in [
        (released_after_capture, "CAPTURED"),
        (captured_after_release, "RELEASED"),
    ] {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::FailedPrecondition, "HOLD_ENDED".to_owned())
        );
        assert_eq!(metadata(&status, "state"), state);
    }
    assert_eq!(
        world.balance(&participation).await,
        [TRAINING - 100, 0, INCENTIVES]
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_same_id_with_another_content_is_refused(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 100);
    world.hold(&request).await.unwrap();

    let mut other = request.clone();
    other.amount = hold_request(&participation, 101).amount;

    for refused in [world.hold(&other).await, world.release(&other).await] {
        let status = refused.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, "REQUEST_ID_REUSED".to_owned())
        );
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_free_course_is_held_and_captured_without_a_transfer(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 0);
    let count = || {
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM ledger_transfers"#)
            .fetch_one(&world.db)
    };
    let before = count().await.unwrap();

    world.hold(&request).await.unwrap();
    let captured = world.capture(&request).await.unwrap();

    assert_eq!(captured.state(), pb::funds_hold::State::Captured);
    assert_eq!(count().await.unwrap(), before);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_release_that_overtakes_its_hold_keeps_it_from_holding(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 100);

    let tombstone = world.release(&request).await.unwrap();
    let late = world.hold(&request).await.unwrap();

    assert_eq!(tombstone.state(), pb::funds_hold::State::Released);
    assert_eq!(late.state(), pb::funds_hold::State::Released);
    assert_eq!(
        world.balance(&participation).await,
        [TRAINING, 0, INCENTIVES]
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_cannot_be_held_is_refused_with_its_reason(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let stranger = hold_request(&Participation::new(), 100);
    let too_much = hold_request(&participation, TRAINING + 1);
    let mut in_dollars = hold_request(&participation, 0);
    in_dollars.amount = usd(1);

    let stranger = world.hold(&stranger).await.unwrap_err();
    let too_much_refused = world.hold(&too_much).await.unwrap_err();
    let in_dollars = world.hold(&in_dollars).await.unwrap_err();
    let unknown = world
        .capture(&hold_request(&participation, 1))
        .await
        .unwrap_err();

    assert_eq!(reason(&stranger), "BALANCE_NOT_FOUND");
    assert_eq!(reason(&too_much_refused), "BALANCE_INSUFFICIENT");
    assert_eq!(metadata(&too_much_refused, "available"), "IDR 3500000.00");
    assert_eq!(
        (reason(&in_dollars), metadata(&in_dollars, "currency_code")),
        ("CURRENCY_MISMATCHED".into(), "IDR".into())
    );
    assert_eq!(unknown.code(), Code::NotFound);
    // A refused hold leaves no trace: its id is free for the next attempt.
    let mut again = too_much;
    again.amount = hold_request(&participation, TRAINING).amount;
    world.hold(&again).await.unwrap();
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn concurrent_holds_never_overdraw_a_balance(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let participations = world.award(2).await;

    let requests: Vec<_> = (0..40)
        .map(|i| hold_request(&participations[i % 2], 1_000_000))
        .collect();
    let outcomes =
        futures::future::join_all(requests.iter().map(|request| world.hold(request))).await;

    let refused: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .collect();
    assert_eq!(outcomes.len() - refused.len(), 6);
    assert!(
        refused
            .iter()
            .all(|status| reason(status) == "BALANCE_INSUFFICIENT")
    );
    for participation in &participations {
        assert_eq!(
            world.balance(participation).await,
            [500_000, 3_000_000, INCENTIVES]
        );
    }
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn concurrent_repeats_hold_once(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 100);

    let outcomes = futures::future::join_all((0..16).map(|_| world.hold(&request))).await;

    let answers: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(
        world.balance(&participation).await,
        [TRAINING - 100, 100, INCENTIVES]
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn hold_capture_and_release_at_once_end_one_way(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];

    for _ in 0..10 {
        let request = hold_request(&participation, 1_000);
        world.hold(&request).await.unwrap();
        let [before, ..] = world.balance(&participation).await;

        let (captured, released) = tokio::join!(world.capture(&request), world.release(&request));

        assert!(
            captured.is_ok() != released.is_ok(),
            "{captured:?} {released:?}"
        );
        let [after, held, _] = world.balance(&participation).await;
        assert_eq!(
            (after, held),
            if captured.is_ok() {
                (before, 0)
            } else {
                (before + 1_000, 0)
            }
        );
    }
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_ended_hold_never_changes_whatever_a_program_says(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 100);
    world.hold(&request).await.unwrap();
    world.capture(&request).await.unwrap();

    let id: Uuid = request
        .name
        .strip_prefix("fundsHolds/")
        .unwrap()
        .parse()
        .unwrap();
    let changed = sqlx::query!(
        "UPDATE funds_holds SET state = 'RELEASED' WHERE id = $1",
        id
    )
    .execute(&world.db)
    .await;

    assert_eq!(
        chassis::db::constraint(&changed.unwrap_err()),
        Some("funds_holds_ended")
    );
}
