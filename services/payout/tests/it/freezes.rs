//! The money of frozen participations stands still, and goes on without loss when they are unfrozen.

use messaging::{Event, HandleError, consumer::Taken};
use pb::disbursement::State;
use proto::{enrollment::v1 as enrollment_pb, payout::v1 as pb};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use tonic::Code;
use uuid::Uuid;

use crate::{
    bank::Fault,
    words::{awarded, batch_request, frozen, hold_request, metadata, reason, unfrozen, units},
    world::{AWARD, BATCH, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

async fn is_frozen(world: &World, participation: &Participation) -> bool {
    let frozen = sqlx::query_scalar!(
        r#"SELECT freeze_time IS NOT NULL AS "frozen!" FROM participation_funds WHERE participation_id = $1"#,
        participation.id
    );
    frozen.fetch_one(&world.db).await.unwrap()
}

// === Purchases ===

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_freeze_before_the_purchase_refuses_its_hold_until_it_is_lifted(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.award(2).await;
    let request = hold_request(&people[0], 1_000_000);

    world.freeze(&people[..1]).await;
    let refused = world.hold(&request).await.unwrap_err();
    let free_course = world.hold(&hold_request(&people[0], 0)).await.unwrap_err();
    let while_frozen = world.balance(&people[0]).await;
    let of_another = world.hold(&hold_request(&people[1], 1)).await.unwrap();
    world.unfreeze(&people[..1]).await;
    let held = world.hold(&request).await.unwrap();
    let captured = world.capture(&request).await.unwrap();

    for refused in [refused, free_course] {
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::FailedPrecondition, "PARTICIPATION_FROZEN".to_owned())
        );
        assert_eq!(metadata(&refused, "participation"), people[0].name());
    }
    assert_eq!(while_frozen, [TRAINING, 0, INCENTIVES]);
    assert_eq!(of_another.state(), pb::funds_hold::State::Held);
    // The very call that was refused has left no trace that could refuse it now.
    assert_eq!(held.state(), pb::funds_hold::State::Held);
    assert_eq!(captured.state(), pb::funds_hold::State::Captured);
    assert_eq!(
        world.balance(&people[0]).await,
        [TRAINING - 1_000_000, 0, INCENTIVES]
    );
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_purchase_under_way_at_the_freeze_is_ended_either_way(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.award(1).await[0];
    let (kept, given_back) = (hold_request(&person, 100), hold_request(&person, 200));
    world.hold(&kept).await.unwrap();
    world.hold(&given_back).await.unwrap();

    world.freeze(&[person]).await;
    let repeat = world.hold(&kept).await.unwrap();
    let captured = world.capture(&kept).await.unwrap();
    let released = world.release(&given_back).await.unwrap();

    assert_eq!(repeat.state(), pb::funds_hold::State::Held);
    assert_eq!(captured.state(), pb::funds_hold::State::Captured);
    assert_eq!(released.state(), pb::funds_hold::State::Released);
    assert_eq!(
        world.balance(&person).await,
        [TRAINING - 100, 0, INCENTIVES]
    );
    world.assert_sound().await;
}

/// Whoever comes first: what was held before the freeze is there, and nothing is held after it.
#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_freeze_and_a_purchase_at_the_same_time_take_turns(db: PgPool) {
    let world = World::with_budget(db, 40).await;
    let people = world.award(40).await;
    let requests: Vec<_> = people.iter().map(|it| hold_request(it, 500_000)).collect();
    let chunks: Vec<_> = people
        .chunks(8)
        .map(|chunk| frozen(chunk, world.clock.now()))
        .collect();

    let (held, frozen) = tokio::join!(
        futures::future::join_all(requests.iter().map(|request| world.hold(request))),
        futures::future::join_all(chunks.iter().map(|chunk| world.deliver(chunk))),
    );

    assert!(frozen.iter().all(Result::is_ok), "{frozen:?}");
    for (person, held) in people.iter().zip(held) {
        let expected = match held {
            Ok(_) => 500_000,
            Err(status) => {
                assert_eq!(reason(&status), "PARTICIPATION_FROZEN");
                0
            }
        };
        assert_eq!(
            world.balance(person).await,
            [TRAINING - expected, expected, INCENTIVES]
        );
        let late = world.hold(&hold_request(person, 1)).await.unwrap_err();
        assert_eq!(reason(&late), "PARTICIPATION_FROZEN");
    }
    world.assert_sound().await;
}

// === Payments ===

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_freeze_between_approval_and_sending_keeps_that_line_and_sends_the_others(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    let people = world.many_ready(3).await;
    world.approve_all().await;

    world.freeze(&people[1..2]).await;
    let round = world.app.send_round().await.unwrap();
    let again = world.app.send_round().await.unwrap();
    let waiting = world.payment(&people[1]).await;
    let sent_while_frozen = world.bank.entries().len();
    let set_aside = world.balance(&people[1]).await;
    world.unfreeze(&people[1..2]).await;
    let resumed = world.app.send_round().await.unwrap();
    let nothing_left = world.app.send_round().await.unwrap();

    assert_eq!(
        [round, again, resumed, nothing_left].map(|it| it.line_count),
        [2, 0, 1, 0]
    );
    assert_eq!((waiting.state(), sent_while_frozen), (State::Approved, 2));
    assert_eq!(set_aside, [TRAINING, 0, INCENTIVES]);
    for person in &people {
        let payment = world.payment(person).await;
        assert_eq!(payment.state(), State::Settled);
        let entry = world.bank.entry(&payment.reference).unwrap();
        assert_eq!((entry.credited, entry.attempts), (1, 1));
    }
    assert_eq!(world.told::<pb::DisbursementSettled>().await.len(), 3);
    assert_eq!(units(world.trace(BATCH).await.incentives), 3 * JOB_SEARCH);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_frozen_participation_earns_its_right_and_is_batched_after_it_is_lifted(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.award(1).await[0];

    world.freeze(&[person]).await;
    world.ready(&person, "6281200000001").await;
    let ready = world.payment_state(&person).await;
    let refused = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await
        .unwrap_err();
    world.unfreeze(&[person]).await;
    let approved = world.approve_all().await;
    world.app.send_round().await.unwrap();

    assert_eq!(
        (ready, reason(&refused)),
        (State::Ready, "NOTHING_DUE".to_owned())
    );
    assert_eq!(approved.line_count, 1);
    assert_eq!(world.payment_state(&person).await, State::Settled);
    assert_eq!(world.bank.entries()[0].credited, 1);
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_line_that_is_frozen_in_its_batch_is_approved_with_it_and_waits(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    let batch = world.create_batch().await;

    world.freeze(&people[..1]).await;
    let approved = world.approve(&batch).await.unwrap();
    let round = world.app.send_round().await.unwrap();
    let waiting = world.payment_state(&people[0]).await;
    world.unfreeze(&people[..1]).await;
    world.app.send_round().await.unwrap();

    assert_eq!((approved.line_count, round.line_count), (2, 1));
    assert_eq!(waiting, State::Approved);
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (trace.paid_count, units(trace.incentives)),
        (2, 2 * JOB_SEARCH)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_that_was_sent_before_the_freeze_goes_on_to_its_settlement(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.many_ready(1).await[0];
    world.approve_all().await;
    world.bank.fail_next(&[Fault::LoseReply]);
    world.app.send_round().await.unwrap();

    world.freeze(&[person]).await;
    world.clock.advance_by(Duration::minutes(10));
    world.app.inquire_round().await.unwrap();

    let payment = world.payment(&person).await;
    assert_eq!(payment.state(), State::Settled);
    assert_eq!(world.bank.entry(&payment.reference).unwrap().credited, 1);
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_that_never_arrived_is_not_sent_again_while_frozen(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    world.approve_all().await;
    world
        .bank
        .fail_next(&[Fault::LoseRequest, Fault::LoseRequest]);
    world.app.send_round().await.unwrap();
    let reference = world.payment(&people[0]).await.reference;

    world.freeze(&people[..1]).await;
    world.clock.advance_by(Duration::hours(3));
    world.app.inquire_round().await.unwrap();
    let while_frozen = world.payment_state(&people[0]).await;
    let of_another = world.payment_state(&people[1]).await;
    let entry_while_frozen = world.bank.entry(&reference).is_some();
    world.unfreeze(&people[..1]).await;
    world.clock.advance_by(Duration::days(1));
    world.app.inquire_round().await.unwrap();

    assert_eq!(
        (while_frozen, of_another, entry_while_frozen),
        (State::Unknown, State::Settled, false)
    );
    let payment = world.payment(&people[0]).await;
    assert_eq!(
        (payment.state(), &payment.reference),
        (State::Settled, &reference)
    );
    assert_eq!(world.bank.entry(&reference).unwrap().credited, 1);
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn freezes_and_sendings_at_the_same_time_take_turns_and_pay_each_once(db: PgPool) {
    let world = World::with_budget(db, 40).await;
    let people = world.many_ready(40).await;
    world.approve_all().await;
    let chunks: Vec<_> = people
        .chunks(4)
        .map(|chunk| frozen(chunk, world.clock.now()))
        .collect();

    let (frozen, _) = tokio::join!(
        futures::future::join_all(chunks.iter().map(|chunk| world.deliver(chunk))),
        futures::future::join_all((0..3).map(|_| world.app.send_round())),
    );
    assert!(frozen.iter().all(Result::is_ok), "{frozen:?}");
    let sent_count = world.bank.entries().len();
    assert_eq!(world.app.send_round().await.unwrap().line_count, 0);
    for person in &people {
        let payment = world.payment(person).await;
        let is_sent = world.bank.entry(&payment.reference).is_some();
        let expected = if is_sent {
            State::Settled
        } else {
            State::Approved
        };
        assert_eq!(payment.state(), expected);
    }
    world.unfreeze(&people).await;
    let resumed = world.app.send_round().await.unwrap();
    let rest = world.app.send_round().await.unwrap();

    assert_eq!(sent_count + resumed.line_count + rest.line_count, 40);
    let entries = world.bank.entries();
    assert_eq!(entries.len(), 40);
    assert!(entries.iter().all(|entry| entry.credited == 1));
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (trace.paid_count, units(trace.incentives)),
        (40, 40 * JOB_SEARCH)
    );
    world.assert_sound().await;
}

// === Returns ===

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_revocation_returns_the_money_of_a_frozen_participation(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    let people = world.many_ready(3).await;
    world.approve_all().await;
    let request = hold_request(&people[1], 1_000_000);
    world.hold(&request).await.unwrap();

    world.freeze(&people[..2]).await;
    world.revoke(&people[..2]).await;
    world.release(&request).await.unwrap();
    world.unfreeze(&people[..2]).await;
    world.app.send_round().await.unwrap();
    let late = world.hold(&request).await.unwrap();
    let another = world.hold(&hold_request(&people[0], 1)).await.unwrap_err();

    for person in &people[..2] {
        assert_eq!(world.payment_state(person).await, State::Cancelled);
        assert_eq!(world.balance(person).await, [0, 0, 0]);
    }
    assert_eq!(late.state(), pb::funds_hold::State::Released);
    assert_eq!(reason(&another), "BALANCE_NOT_FOUND");
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.incentives)),
        (2 * AWARD, JOB_SEARCH)
    );
    assert_eq!(world.bank.entries().len(), 1);
    world.assert_sound().await;
}

// === Events ===

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_later_time_wins_in_whatever_order_and_however_often_it_is_heard(db: PgPool) {
    let world = World::with_budget(db, 20).await;
    let people = world.award(20).await;
    let at = |seconds: i64| world.clock.now() + Duration::seconds(seconds);
    // F and U at a second; each must end as if heard in the order of the times, a freeze behind an equal unfreezing.
    let cases: [(&[(char, i64)], bool); 12] = [
        (&[('F', 1)], true),
        (&[('U', 1)], false),
        (&[('F', 1), ('U', 2)], false),
        (&[('U', 2), ('F', 1)], false),
        (&[('U', 1), ('F', 2)], true),
        (&[('F', 2), ('U', 1)], true),
        (&[('F', 1), ('F', 1), ('U', 2), ('F', 1), ('U', 2)], false),
        (&[('F', 1), ('U', 2), ('F', 3), ('U', 2), ('F', 1)], true),
        (&[('U', 4), ('F', 1), ('F', 3), ('U', 2)], false),
        (&[('F', 3), ('F', 1), ('U', 2)], true),
        (&[('F', 1), ('U', 1)], true),
        (&[('U', 1), ('F', 1)], true),
    ];

    for (person, (events, expected)) in people.iter().zip(cases) {
        for (what, seconds) in events {
            let taken = match what {
                'F' => world.deliver(&frozen(&[*person], at(*seconds))).await,
                _ => world.deliver(&unfrozen(&[*person], at(*seconds))).await,
            };
            assert_eq!(taken.unwrap(), Taken::New);
        }
        assert_eq!(is_frozen(&world, person).await, expected, "{events:?}");
        let held = world.hold(&hold_request(person, 1_000)).await;
        assert_eq!(held.is_err(), expected, "{events:?}");
    }
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_freeze_of_an_unknown_participation_waits_for_its_award(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let known = world.award(1).await[0];
    let unknown = Participation::new();
    let now = world.clock.now();
    let freeze = Event::of(BATCH, now, &frozen(&[known, unknown], now));
    let lifting = unfrozen(&[unknown], now + Duration::seconds(1));

    let early_freeze = world.take_in(&freeze).await.unwrap_err();
    let early_lifting = world.deliver(&lifting).await.unwrap_err();
    let meanwhile = is_frozen(&world, &known).await;
    world.deliver(&awarded(BATCH, &[unknown])).await.unwrap();
    let taken = world.take_in(&freeze).await.unwrap();
    let repeat = world.take_in(&freeze).await.unwrap();

    for early in [early_freeze, early_lifting] {
        assert!(matches!(early, HandleError::Missing(_)), "{early}");
    }
    assert!(!meanwhile, "a parked chunk has had an effect");
    assert_eq!([taken, repeat], [Taken::New, Taken::Repeat]);
    assert!(is_frozen(&world, &known).await && is_frozen(&world, &unknown).await);
    world.deliver(&lifting).await.unwrap();
    assert!(!is_frozen(&world, &unknown).await);
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_freeze_that_the_contract_does_not_know_is_rejected(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.award(1).await[0];
    let right = frozen(&[person], world.clock.now());

    let without_reason = enrollment_pb::ParticipationsFrozen {
        reason: String::new(),
        ..right.clone()
    };
    let of_another_batch = enrollment_pb::ParticipationsFrozen {
        batch: "batches/49".to_owned(),
        ..right.clone()
    };
    let too_many = enrollment_pb::ParticipationsFrozen {
        participations: vec![person.name(); 1_001],
        ..right
    };
    let lifted_elsewhere = enrollment_pb::ParticipationsUnfrozen {
        batch: "batches/49".to_owned(),
        ..unfrozen(&[person], world.clock.now())
    };

    for message in [without_reason, of_another_batch, too_many] {
        let error = world.deliver(&message).await.unwrap_err();
        assert!(matches!(error, HandleError::Reject(_)), "{error}");
    }
    let error = world.deliver(&lifted_elsewhere).await.unwrap_err();
    assert!(matches!(error, HandleError::Reject(_)), "{error}");
    assert!(!is_frozen(&world, &person).await);
}

// === The database ===

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn nothing_of_a_frozen_participation_is_sent_or_held_whatever_a_program_says(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.many_ready(1).await[0];
    world.approve_all().await;
    world.hold(&hold_request(&person, 1_000)).await.unwrap();
    world.freeze(&[person]).await;

    let sent = sqlx::query!(
        "UPDATE disbursements
         SET state = 'SENT', send_time = now(), next_inquiry_time = now(),
             payee_account_id = (SELECT id FROM payee_accounts)"
    );
    let sent = sent.execute(&world.db).await.unwrap_err();
    let held = sqlx::query!(
        "INSERT INTO ledger_transfers
            (id, debit_account_id, credit_account_id, amount_minor, currency, kind, code, create_time)
         SELECT $1, debit_account_id, credit_account_id, 1, currency, kind, code, create_time
         FROM ledger_transfers
         WHERE kind = 'PENDING'",
        Uuid::now_v7(),
    );
    let held = held.execute(&world.db).await.unwrap_err();
    let unreasoned = sqlx::query!("UPDATE participation_funds SET freeze_reason = NULL");
    let unreasoned = unreasoned.execute(&world.db).await.unwrap_err();
    let outlived = sqlx::query!(
        "UPDATE participation_funds SET unfreeze_time = freeze_time + interval '1 second'"
    );
    let outlived = outlived.execute(&world.db).await.unwrap_err();

    assert_eq!(
        [sent, held, unreasoned, outlived]
            .map(|it| { chassis::db::constraint(&it).map(str::to_owned) }),
        [
            "disbursements_frozen",
            "ledger_transfers_frozen",
            "participation_funds_freeze_reason_check",
            "participation_funds_freeze_time_check",
        ]
        .map(|it| Some(it.to_owned()))
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_line_whose_freeze_is_not_committed_yet_is_left_to_a_later_round(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    world.approve_all().await;
    let now: OffsetDateTime = world.clock.now();
    let mut tx = world.db.begin().await.unwrap();
    payout::storage::participation_funds::set_frozen(&mut tx, &[people[0].id], "EXCLUDED", now)
        .await
        .unwrap();

    let round = world.app.send_round().await.unwrap();
    tx.commit().await.unwrap();
    let after = world.app.send_round().await.unwrap();

    assert_eq!((round.line_count, after.line_count), (1, 0));
    assert_eq!(world.payment_state(&people[0]).await, State::Approved);
    assert_eq!(world.payment_state(&people[1]).await, State::Settled);
}
