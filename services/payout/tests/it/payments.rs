//! Payments through the rail: each arrives once, whatever the rail does.

use pb::{
    disbursement::{Remedy, State},
    resolve_disbursement_request::Resolution,
};
use proto::payout::v1 as pb;
use sqlx::PgPool;

use crate::{
    bank::Fault,
    words::{batch_request, metadata, reason, units},
    world::{BATCH, INCENTIVES, JOB_SEARCH, Participation, RAIL_CONCURRENCY_MAX, TRAINING, World},
};

/// One person whose payment is approved.
async fn one_approved(db: PgPool) -> (World, Participation) {
    let world = World::with_budget(db, 1).await;
    let person = world.many_ready(1).await[0];
    world.approve_all().await;
    (world, person)
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_approved_payment_is_sent_and_settled(db: PgPool) {
    let (world, person) = one_approved(db).await;

    let round = world.app.send_round().await.unwrap();
    let again = world.app.send_round().await.unwrap();

    assert_eq!((round.line_count, again.line_count), (1, 0));
    let payment = world.payment(&person).await;
    assert_eq!(payment.state(), State::Settled);
    assert!(payment.settle_time.is_some());
    let entry = world.bank.entry(&payment.reference).unwrap();
    assert_eq!(
        (entry.amount.as_str(), entry.credited, entry.attempts),
        ("600000.00", 1, 1)
    );
    assert_eq!(
        world.balance(&person).await,
        [TRAINING, 0, INCENTIVES - JOB_SEARCH]
    );
    let trace = world.trace(BATCH).await;
    assert_eq!((units(trace.incentives), trace.paid_count), (JOB_SEARCH, 1));
    let told: Vec<pb::DisbursementSettled> = world.told().await;
    assert_eq!(
        (told.len(), told[0].disbursement.as_str()),
        (1, payment.name.as_str())
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_whose_reply_is_lost_is_unknown_until_the_bank_tells(db: PgPool) {
    unknown_until_the_bank_tells(db, Fault::LoseReply).await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_without_a_reply_in_time_is_unknown_until_the_bank_tells(db: PgPool) {
    unknown_until_the_bank_tells(db, Fault::Hang).await;
}

async fn unknown_until_the_bank_tells(db: PgPool, fault: Fault) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[fault]);

    world.app.send_round().await.unwrap();
    assert_eq!(world.payment_state(&person).await, State::Unknown);
    assert_eq!(
        world.app.inquire_round().await.unwrap().line_count,
        0,
        "not before the delay"
    );
    assert_eq!(
        world.app.send_round().await.unwrap().line_count,
        0,
        "never sent again by itself"
    );
    world.clock.advance_by(time::Duration::minutes(10));
    world.app.inquire_round().await.unwrap();
    world.app.inquire_round().await.unwrap();

    let payment = world.payment(&person).await;
    assert_eq!(payment.state(), State::Settled);
    let entry = world.bank.entry(&payment.reference).unwrap();
    assert_eq!((entry.credited, entry.attempts), (1, 1));
    assert_eq!(world.told::<pb::DisbursementSettled>().await.len(), 1);
    assert_eq!(units(world.trace(BATCH).await.incentives), JOB_SEARCH);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_that_never_arrived_is_sent_again_after_the_cut_off_under_the_same_reference(
    db: PgPool,
) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[Fault::LoseRequest]);
    world.app.send_round().await.unwrap();
    let reference = world.payment(&person).await.reference;

    // Asked after 10 and 30 minutes: not found is not believed yet.
    for minutes in [10, 20] {
        world.clock.advance_by(time::Duration::minutes(minutes));
        assert_eq!(world.app.inquire_round().await.unwrap().line_count, 1);
        assert_eq!(world.payment_state(&person).await, State::Unknown);
        assert!(world.bank.entry(&reference).is_none());
    }
    world.clock.advance_by(time::Duration::minutes(30));
    world.app.inquire_round().await.unwrap();

    let payment = world.payment(&person).await;
    assert_eq!(
        (payment.state(), &payment.reference),
        (State::Settled, &reference)
    );
    assert_eq!(world.bank.entry(&reference).unwrap().credited, 1);
    assert_eq!(world.bank.requests("18"), 2);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_is_paid_once_however_often_it_goes_wrong(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[
        Fault::Error,
        Fault::Garbage,
        Fault::LoseRequest,
        Fault::LoseReply,
    ]);
    world.app.send_round().await.unwrap();
    let reference = world.payment(&person).await.reference;

    for _ in 0..40 {
        world.clock.advance_by(time::Duration::minutes(30));
        world.app.inquire_round().await.unwrap();
        world.app.send_round().await.unwrap();
    }

    assert_eq!(world.payment_state(&person).await, State::Settled);
    let entry = world.bank.entry(&reference).unwrap();
    assert_eq!((entry.credited, world.bank.entries().len()), (1, 1));
    assert_eq!(world.bank.requests("18"), 4);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn only_a_definite_answer_ends_an_unknown_payment(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[Fault::Pending]);
    world.app.send_round().await.unwrap();
    world.bank.set_inquiries_fail(true);

    world.clock.advance_by(time::Duration::hours(3));
    world.app.inquire_round().await.unwrap();
    let while_inquiries_fail = world.payment_state(&person).await;
    world.bank.set_inquiries_fail(false);
    world.clock.advance_by(time::Duration::hours(3));
    world.app.inquire_round().await.unwrap();
    let while_pending = world.payment_state(&person).await;
    world.bank.settle(&world.payment(&person).await.reference);
    world.clock.advance_by(time::Duration::hours(3));
    world.app.inquire_round().await.unwrap();

    assert_eq!(
        [while_inquiries_fail, while_pending],
        [State::Unknown, State::Unknown]
    );
    assert_eq!(world.payment_state(&person).await, State::Settled);
    assert_eq!(world.bank.requests("18"), 1);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_line_that_was_left_as_sent_is_asked_about(db: PgPool) {
    let (world, person) = one_approved(db).await;
    // As a process leaves it that dies in the call.
    let next = world.clock.now() + time::Duration::minutes(10);
    let mut tx = world.db.begin().await.unwrap();
    let claimed = payout::storage::disbursements::orders::claim_approved(
        &mut tx,
        10,
        world.clock.now(),
        next,
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        (claimed.len(), world.payment_state(&person).await),
        (1, State::Sent)
    );

    assert_eq!(world.app.send_round().await.unwrap().line_count, 0);
    for _ in 0..3 {
        world.clock.advance_by(time::Duration::minutes(30));
        world.app.inquire_round().await.unwrap();
    }

    assert_eq!(world.payment_state(&person).await, State::Settled);
    assert_eq!(world.bank.entries()[0].credited, 1);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_refused_payment_fails_with_its_reason_and_its_money_stays_set_aside(db: PgPool) {
    let world = World::with_budget(db, 5).await;
    let people = world.many_ready(5).await;
    world.approve_all().await;
    let cases = [
        ("4031805", "ACCOUNT_BLOCKED"),
        ("4031809", "ACCOUNT_DORMANT"),
        ("4031818", "ACCOUNT_CLOSED"),
        ("4041811", "ACCOUNT_NOT_FOUND"),
        ("4031823", "BALANCE_CAP_REACHED"),
    ];
    world
        .bank
        .fail_next(&cases.map(|(code, _)| Fault::Refuse(code)));

    world.app.send_round().await.unwrap();

    let mut reasons = Vec::new();
    for person in &people {
        let payment = world.payment(person).await;
        assert_eq!(payment.state(), State::Failed);
        assert_eq!(world.balance(person).await, [TRAINING, 0, INCENTIVES]);
        reasons.push(payment.failure_reason);
    }
    reasons.sort();
    let mut expected = cases.map(|(_, reason)| reason);
    expected.sort_unstable();
    assert_eq!(reasons, expected);
    assert_eq!(world.told::<pb::DisbursementFailed>().await.len(), 5);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_that_time_cures_is_tried_again_by_itself_under_another_reference(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[Fault::Refuse("4031823")]);
    world.app.send_round().await.unwrap();
    let failed = world.payment(&person).await;

    world.clock.advance_by(time::Duration::days(6));
    let early = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await;
    world.clock.advance_by(time::Duration::days(1));
    world.approve_all().await;
    world.app.send_round().await.unwrap();

    assert_eq!(failed.failure_reason, "BALANCE_CAP_REACHED");
    assert_eq!(reason(&early.unwrap_err()), "NOTHING_DUE");
    let settled = world.payment(&person).await;
    assert_eq!(
        (settled.state(), settled.reference),
        (State::Settled, format!("{}-2", failed.reference))
    );
    assert_eq!(units(world.trace(BATCH).await.incentives), JOB_SEARCH);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_suspect_payment_stands_still_whatever_is_linked_until_it_is_resolved(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[Fault::Refuse("4031803")]);
    world.app.send_round().await.unwrap();
    world.open_wallet(&person, "6281900000001");
    world.link(&person, "6281900000001").await.unwrap();
    world.clock.advance_by(time::Duration::days(400));
    let nothing = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await
        .unwrap_err();
    let frozen = world.payment(&person).await;

    let resolved = world.resolve(&person, Resolution::Retry).await.unwrap();
    let again = world
        .resolve(&person, Resolution::Refund)
        .await
        .unwrap_err();
    world.approve_all().await;
    world.app.send_round().await.unwrap();

    assert_eq!(reason(&nothing), "NOTHING_DUE");
    assert_eq!(
        (
            frozen.state(),
            frozen.failure_reason.as_str(),
            frozen.remedy()
        ),
        (State::Failed, "FRAUD_SUSPECTED", Remedy::Freeze)
    );
    assert_eq!(
        (resolved.state(), resolved.reference),
        (State::Ready, format!("{}-2", frozen.reference))
    );
    assert_eq!(
        (again.code(), reason(&again)),
        (
            tonic::Code::FailedPrecondition,
            "DISBURSEMENT_NOT_FAILED".to_owned()
        )
    );
    assert_eq!(metadata(&again, "state"), "READY");
    assert_eq!(world.payment_state(&person).await, State::Settled);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_refunded_payment_goes_back_to_its_batch_once(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[Fault::Refuse("4031803")]);
    world.app.send_round().await.unwrap();

    let outcomes =
        futures::future::join_all((0..4).map(|_| world.resolve(&person, Resolution::Refund))).await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let refunded = world.payment(&person).await;
    assert_eq!(
        (refunded.state(), refunded.failure_reason.as_str()),
        (State::Cancelled, "FRAUD_SUSPECTED")
    );
    assert_eq!(
        world.balance(&person).await,
        [TRAINING, 0, INCENTIVES - JOB_SEARCH]
    );
    assert_eq!(units(world.trace(BATCH).await.returned), JOB_SEARCH);
    let told: Vec<pb::FundsReturned> = world.told().await;
    assert_eq!((told.len(), units(told[0].total.clone())), (1, JOB_SEARCH));
    // What the revocation finds is the rest.
    world.revoke(&[person]).await;
    assert_eq!(
        units(world.trace(BATCH).await.returned),
        TRAINING + INCENTIVES
    );
    let late = world
        .resolve(&person, Resolution::Refund)
        .await
        .unwrap_err();
    assert_eq!(reason(&late), "DISBURSEMENT_NOT_FAILED");
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_failed_payment_is_tried_again_at_another_account_under_another_reference(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.fail_next(&[Fault::Refuse("4031818")]);
    world.app.send_round().await.unwrap();
    let failed = world.payment(&person).await;

    world.open_wallet(&person, "6281900000001");
    world.link(&person, "6281900000001").await.unwrap();
    let ready = world.payment(&person).await;
    world.approve_all().await;
    world.app.send_round().await.unwrap();

    assert_eq!(
        (ready.state(), ready.failure_reason.as_str()),
        (State::Ready, "")
    );
    let settled = world.payment(&person).await;
    assert_eq!(settled.state(), State::Settled);
    assert_eq!(settled.reference, format!("{}-2", failed.reference));
    assert_eq!(
        world.bank.entry(&settled.reference).unwrap().account_no,
        "6281900000001"
    );
    assert_eq!(world.bank.entry(&failed.reference).unwrap().credited, 0);
    assert_eq!(units(world.trace(BATCH).await.incentives), JOB_SEARCH);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_linked_while_a_payment_is_under_way_is_used_when_it_fails(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world
        .bank
        .fail_next(&[Fault::LoseRequest, Fault::Refuse("4031818")]);
    world.app.send_round().await.unwrap();

    world.open_wallet(&person, "6281900000001");
    world.link(&person, "6281900000001").await.unwrap();
    world.clock.advance_by(time::Duration::hours(1));
    // Sent again to the first account, as the reference demands, and refused there.
    world.app.inquire_round().await.unwrap();

    assert_eq!(world.payment_state(&person).await, State::Ready);
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    let settled = world.payment(&person).await;
    assert_eq!(
        world.bank.entry(&settled.reference).unwrap().account_no,
        "6281900000001"
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn payments_wait_while_the_bank_is_away(db: PgPool) {
    let (world, person) = one_approved(db).await;
    world.bank.set_down(true);

    // The first token was fetched when the account was linked, so that the refusals differ from one to the next.
    let round = world.app.send_round().await.unwrap();
    let while_down = world.payment_state(&person).await;
    world.bank.set_down(false);
    for _ in 0..4 {
        world.app.send_round().await.unwrap();
        world.clock.advance_by(time::Duration::minutes(30));
        world.app.inquire_round().await.unwrap();
    }

    assert!(round.line_count <= 1);
    assert!(
        matches!(while_down, State::Approved | State::Unknown),
        "{while_down:?}"
    );
    assert_eq!(world.payment_state(&person).await, State::Settled);
    assert_eq!(world.bank.entries()[0].credited, 1);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_bank_is_asked_several_things_at_once_and_not_too_many(db: PgPool) {
    let world = World::with_budget(db, 12).await;
    world.many_ready(12).await;
    world.approve_all().await;
    world.bank.set_delay(std::time::Duration::from_millis(60));

    world.app.send_round().await.unwrap();

    assert_eq!(
        world.bank.in_flight_max(),
        u32::try_from(RAIL_CONCURRENCY_MAX).unwrap()
    );
    assert_eq!(world.trace(BATCH).await.paid_count, 12);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn two_workers_side_by_side_pay_each_once(db: PgPool) {
    let world = World::with_budget(db, 40).await;
    world.many_ready(40).await;
    world.approve_all().await;
    world.bank.fail_next(&[
        Fault::LoseReply,
        Fault::LoseRequest,
        Fault::Error,
        Fault::LoseReply,
    ]);

    for _ in 0..6 {
        let rounds = (0..3).map(|_| async {
            world.app.send_round().await.unwrap();
            world.app.inquire_round().await.unwrap();
        });
        futures::future::join_all(rounds).await;
        world.clock.advance_by(time::Duration::hours(1));
    }

    let entries = world.bank.entries();
    assert_eq!(entries.len(), 40);
    assert!(entries.iter().all(|entry| entry.credited == 1));
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (trace.paid_count, units(trace.incentives)),
        (40, 40 * JOB_SEARCH)
    );
    assert_eq!(world.told::<pb::DisbursementSettled>().await.len(), 40);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_settled_payment_never_changes_whatever_a_program_says(db: PgPool) {
    let (world, _) = one_approved(db).await;
    world.app.send_round().await.unwrap();

    let changed = sqlx::query!("UPDATE disbursements SET state = 'READY', settle_time = NULL")
        .execute(&world.db)
        .await;

    assert_eq!(
        chassis::db::constraint(&changed.unwrap_err()),
        Some("disbursements_ended")
    );
}
