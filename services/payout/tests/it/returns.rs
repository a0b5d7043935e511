//! Unspent money of revoked participations goes back, exactly once.

use messaging::HandleError;
use proto::payout::v1 as pb;
use sqlx::PgPool;

use crate::{
    bank::Fault,
    words::{awarded, hold_request, reason, revoked, units},
    world::{AWARD, BATCH, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_whole_unspent_award_goes_back_once(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    let participations = world.award(3).await;

    world.revoke(&participations[..2]).await;
    world.revoke(&participations[..2]).await;

    assert_eq!(world.balance(&participations[0]).await, [0, 0, 0]);
    assert_eq!(
        world.balance(&participations[2]).await,
        [TRAINING, 0, INCENTIVES]
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), trace.returned_count),
        (2 * AWARD, 2)
    );
    assert_eq!(units(trace.outstanding), AWARD);
    let told: Vec<pb::FundsReturned> = world.told().await;
    assert_eq!(
        (
            told.len(),
            units(told[0].total.clone()),
            told[0].participations.len()
        ),
        (1, 2 * AWARD, 2)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_was_spent_stays_spent(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let bought = hold_request(&participation, 1_000_000);
    world.hold(&bought).await.unwrap();
    world.capture(&bought).await.unwrap();

    world.revoke(&[participation]).await;

    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.spent), units(trace.returned)),
        (1_000_000, AWARD - 1_000_000)
    );
    assert_eq!(units(trace.outstanding), 0);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_hold_that_is_released_after_the_return_goes_back_as_well(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 1_000_000);
    world.hold(&request).await.unwrap();

    world.revoke(&[participation]).await;
    let while_held = world.trace(BATCH).await;
    world.release(&request).await.unwrap();
    world.release(&request).await.unwrap();

    assert_eq!(
        (units(while_held.returned), units(while_held.outstanding)),
        (AWARD - 1_000_000, 1_000_000)
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.outstanding)),
        (AWARD, 0)
    );
    assert_eq!(world.balance(&participation).await, [0, 0, 0]);
    let totals: Vec<i64> = world
        .told::<pb::FundsReturned>()
        .await
        .into_iter()
        .map(|it| units(it.total))
        .collect();
    assert_eq!(totals, [AWARD - 1_000_000, 1_000_000]);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_hold_that_is_captured_after_the_return_is_the_provider_s(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 1_000_000);
    world.hold(&request).await.unwrap();
    world.revoke(&[participation]).await;

    world.capture(&request).await.unwrap();

    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.spent), units(trace.returned)),
        (1_000_000, AWARD - 1_000_000)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn nothing_is_held_after_the_return_not_even_for_a_free_course(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    world.revoke(&[participation]).await;

    for amount in [0, 1] {
        let refused = world
            .hold(&hold_request(&participation, amount))
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "BALANCE_NOT_FOUND");
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_revocation_that_overtakes_its_award_waits(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = Participation::new();

    let early = world.deliver(&revoked(&[participation])).await.unwrap_err();
    world
        .deliver(&awarded(BATCH, &[participation]))
        .await
        .unwrap();
    world.revoke(&[participation]).await;

    assert!(matches!(early, HandleError::Missing(_)), "{early}");
    assert_eq!(units(world.trace(BATCH).await.returned), AWARD);
}

/// Whoever comes first, every rupiah is held or returned, and never both.
#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_revocation_and_a_purchase_at_the_same_time_lose_nothing(db: PgPool) {
    let world = World::with_budget(db, 60).await;
    let participations = world.award(60).await;
    let (mut held_first, mut returned_first) = (0, 0);

    for (i, participation) in participations.iter().enumerate() {
        let request = hold_request(participation, 1_000_000);
        let message = revoked(&[*participation]);
        let hold = async {
            // Shifts the two against each other a little more each time.
            tokio::time::sleep(std::time::Duration::from_micros(
                70 * u64::try_from(i).unwrap(),
            ))
            .await;
            world.hold(&request).await
        };
        let (held, revoked) = tokio::join!(hold, world.deliver(&message));

        revoked.unwrap();
        match held {
            Ok(_) => {
                held_first += 1;
                assert_eq!(world.balance(participation).await, [0, 1_000_000, 0]);
                if i % 2 == 0 {
                    world.release(&request).await.unwrap();
                } else {
                    world.capture(&request).await.unwrap();
                }
            }
            Err(status) => {
                returned_first += 1;
                assert_eq!(reason(&status), "BALANCE_NOT_FOUND");
            }
        }
        assert_eq!(world.balance(participation).await, [0, 0, 0]);
    }

    let trace = world.trace(BATCH).await;
    assert_eq!(
        units(trace.outstanding),
        0,
        "{held_first} held first, {returned_first} returned first"
    );
    assert_eq!(units(trace.returned) + units(trace.spent), 60 * AWARD);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn many_holds_and_many_revocations_at_once_lose_nothing(db: PgPool) {
    let world = World::with_budget(db, 40).await;
    let participations = world.award(40).await;
    let requests: Vec<_> = participations
        .iter()
        .map(|it| hold_request(it, 500_000))
        .collect();
    let chunks: Vec<_> = participations.chunks(8).map(revoked).collect();

    let (held, revoked) = tokio::join!(
        futures::future::join_all(requests.iter().map(|request| world.hold(request))),
        futures::future::join_all(chunks.iter().map(|chunk| world.deliver(chunk))),
    );

    assert!(revoked.iter().all(Result::is_ok), "{revoked:?}");
    for (request, _) in requests.iter().zip(&held).filter(|(_, held)| held.is_ok()) {
        world.release(request).await.unwrap();
    }
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.outstanding)),
        (40 * AWARD, 0)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn payments_that_were_not_sent_are_cancelled(db: PgPool) {
    let world = World::with_budget(db, 4).await;
    let people = world.many_ready(4).await;
    // One READY, one BATCHED, one APPROVED; the fourth stays.
    let approved = world.create_batch().await;
    world.approve(&approved).await.unwrap();

    world.revoke(&people[..3]).await;

    for person in &people[..3] {
        assert_eq!(
            world.payment(person).await.state(),
            pb::disbursement::State::Cancelled
        );
        assert_eq!(world.balance(person).await, [0, 0, 0]);
    }
    world.app.send_round().await.unwrap();
    assert_eq!(
        world.payment(&people[3]).await.state(),
        pb::disbursement::State::Settled
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.incentives)),
        (3 * AWARD, JOB_SEARCH)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_cancelled_line_leaves_the_totals_of_its_batch(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    let people = world.many_ready(3).await;
    let batch = world.create_batch().await;

    world.revoke(&people[..1]).await;
    let seen_before = world.approve(&batch).await.unwrap_err();
    let request = pb::GetDisbursementBatchRequest {
        name: batch.name.clone(),
    };
    let batch = world
        .disbursements()
        .get_disbursement_batch(request)
        .await
        .unwrap()
        .into_inner();
    let approved = world.approve(&batch).await.unwrap();

    assert_eq!(reason(&seen_before), "CONTROL_TOTAL_WRONG");
    assert_eq!(
        (approved.line_count, units(approved.total)),
        (2, 2 * JOB_SEARCH)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_under_way_at_the_return_is_paid_or_goes_back(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    world.approve_all().await;
    world.bank.fail_next(&[Fault::Pending, Fault::LoseRequest]);
    world.app.send_round().await.unwrap();
    world.revoke(&people).await;
    let in_flight = world.trace(BATCH).await;

    // One arrives after all; the other is sent again and refused.
    let pending = world.payments(&people[0]).await.remove(0).reference;
    let (settled, failed) = match world.bank.entry(&pending) {
        Some(_) => (people[0], people[1]),
        None => (people[1], people[0]),
    };
    world.bank.settle(&world.payment(&settled).await.reference);
    world.clock.advance_by(time::Duration::hours(1));
    world.bank.fail_next(&[Fault::Refuse("4031818")]);
    world.app.inquire_round().await.unwrap();

    assert_eq!(
        (units(in_flight.returned), units(in_flight.outstanding)),
        (2 * (AWARD - JOB_SEARCH), 2 * JOB_SEARCH)
    );
    assert_eq!(
        world.payment(&settled).await.state(),
        pb::disbursement::State::Settled
    );
    assert_eq!(
        world.payment(&failed).await.state(),
        pb::disbursement::State::Failed
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.incentives), units(trace.outstanding)),
        (JOB_SEARCH, 0)
    );
    assert_eq!(units(trace.returned), 2 * AWARD - JOB_SEARCH);
    // A right that has ended is not revived by another account.
    world.open_wallet(&failed, "6281900000001");
    world.link(&failed, "6281900000001").await.unwrap();
    assert_eq!(
        world.payment(&failed).await.state(),
        pb::disbursement::State::Failed
    );
    world.assert_sound().await;
}
