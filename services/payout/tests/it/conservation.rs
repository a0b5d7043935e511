//! Whatever happens in whatever order, a batch's money is all there: spent, paid, returned, re-allocated, or outstanding.

use proptest::{
    prelude::{Just, Strategy, prop_oneof},
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use proto::payout::v1::{self as pb, resolve_disbursement_request::Resolution};
use sqlx::PgPool;

use crate::{
    bank::Fault,
    clawbacks, notices,
    traces::assert_traces_agree,
    words::{awarded, batch_request, hold_request, new_reallocation, revoked},
    world::{AWARD, BATCH, Participation, World},
};

const OTHER_BATCH: &str = "batches/49";
const STEP_COUNT: usize = 250;
/// Steps after that, at the end of the batch.
const LAST_STEP_COUNT: usize = 80;

/// Something that happens. The numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Step {
    Allot(i64),
    Award(usize),
    Hold(usize, i64),
    Capture(usize),
    Release(usize),
    Complete(usize),
    Link(usize),
    CompleteAndLink(usize),
    Revoke(usize),
    Freeze(usize),
    Unfreeze(usize),
    Batch,
    Approve,
    Send(Option<Fault>),
    Resolve(usize, Resolution),
    Wait,
    Reallocate(i64),
    RevokeAndClaim(usize),
    Repay(usize, i64),
    WriteOff(usize),
    TakeBack(usize),
}

fn a_step() -> impl Strategy<Value = Step> {
    let faults = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fault::LoseRequest)),
        1 => Just(Some(Fault::LoseReply)),
        1 => Just(Some(Fault::Error)),
        1 => Just(Some(Fault::Refuse("4031818"))),
        1 => Just(Some(Fault::Refuse("4031803"))),
    ];
    let resolutions = prop_oneof![Just(Resolution::Retry), Just(Resolution::Refund)];
    prop_oneof![
        1 => (1..3 * AWARD).prop_map(Step::Allot),
        2 => (1..4_usize).prop_map(Step::Award),
        4 => (0..100_usize, 0..2_000_000_i64).prop_map(|(who, amount)| Step::Hold(who, amount)),
        2 => (0..100_usize).prop_map(Step::Capture),
        2 => (0..100_usize).prop_map(Step::Release),
        1 => (0..100_usize).prop_map(Step::Complete),
        1 => (0..100_usize).prop_map(Step::Link),
        3 => (0..100_usize).prop_map(Step::CompleteAndLink),
        1 => (0..100_usize).prop_map(Step::Revoke),
        1 => (0..100_usize).prop_map(Step::Freeze),
        2 => (0..100_usize).prop_map(Step::Unfreeze),
        2 => Just(Step::Batch),
        2 => Just(Step::Approve),
        3 => faults.prop_map(Step::Send),
        1 => (0..100_usize, resolutions).prop_map(|(who, how)| Step::Resolve(who, how)),
        2 => Just(Step::Wait),
        1 => (1..AWARD).prop_map(Step::Reallocate),
    ]
}

/// At the end of a batch money is claimed back.
fn a_last_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..100_usize).prop_map(Step::RevokeAndClaim),
        4 => (0..100_usize, 1..1_000_000_i64).prop_map(|(which, amount)| Step::Repay(which, amount)),
        1 => (0..100_usize).prop_map(Step::WriteOff),
        4 => (0..100_usize).prop_map(Step::TakeBack),
        3 => (0..100_usize).prop_map(Step::Capture),
        1 => (0..100_usize).prop_map(Step::Release),
        2 => Just(Step::Send(None)),
        2 => Just(Step::Wait),
        1 => (1..AWARD).prop_map(Step::Reallocate),
    ]
}

#[derive(Default)]
struct Known {
    people: Vec<Participation>,
    holds: Vec<pb::HoldFundsRequest>,
    batches: Vec<pb::DisbursementBatch>,
    clawbacks: Vec<pb::Clawback>,
    link_count: usize,
}

/// Does a step. Refusals are welcome: the money must be all there after them too.
async fn take(world: &World, known: &mut Known, step: Step) {
    let person =
        |known: &Known, who: usize| known.people.get(who % known.people.len().max(1)).copied();
    match step {
        Step::Allot(amount) => world.allot("dipa-2026", BATCH, amount).await,
        Step::Award(count) => {
            let people: Vec<Participation> = (0..count).map(|_| Participation::new()).collect();
            let mut message = awarded(BATCH, &people);
            for (award, region) in message.awards.iter_mut().zip(["31", "32", "33"]) {
                award.region = region.to_owned();
            }
            if world.deliver(&message).await.is_ok() {
                known.people.extend(people);
            }
        }
        Step::Hold(who, amount) => {
            if let Some(person) = person(known, who) {
                let request = hold_request(&person, amount);
                if world.hold(&request).await.is_ok() {
                    known.holds.push(request);
                }
            }
        }
        Step::Capture(which) => {
            if let Some(request) = known.holds.get(which % known.holds.len().max(1)) {
                let _ = world.capture(request).await;
            }
        }
        Step::Release(which) => {
            if let Some(request) = known.holds.get(which % known.holds.len().max(1)) {
                let _ = world.release(request).await;
            }
        }
        Step::Complete(who) => {
            if let Some(person) = person(known, who) {
                world.complete(&person).await;
            }
        }
        Step::Link(who) | Step::CompleteAndLink(who) => {
            if let Some(person) = person(known, who) {
                if matches!(step, Step::CompleteAndLink(_)) {
                    world.complete(&person).await;
                }
                known.link_count += 1;
                let number = format!("62812{:07}", known.link_count);
                world.open_wallet(&person, &number);
                world.link(&person, &number).await.unwrap();
            }
        }
        Step::Revoke(who) => {
            if let Some(person) = person(known, who) {
                world.deliver(&revoked(&[person])).await.unwrap();
            }
        }
        Step::Freeze(who) => {
            if let Some(person) = person(known, who) {
                world.freeze(&[person]).await;
            }
        }
        Step::Unfreeze(who) => {
            if let Some(person) = person(known, who) {
                world.unfreeze(&[person]).await;
            }
        }
        Step::Batch => {
            if let Ok(batch) = world
                .disbursements()
                .create_disbursement_batch(batch_request())
                .await
            {
                known.batches.push(batch.into_inner());
            }
        }
        Step::Approve => {
            if let Some(batch) = known.batches.pop() {
                let _ = world.approve(&batch).await;
            }
        }
        Step::Send(fault) => {
            world.bank.fail_next(fault.as_slice());
            world.app.send_round().await.unwrap();
        }
        Step::Resolve(who, resolution) => {
            if let Some(person) = person(known, who)
                && !world.payments(&person).await.is_empty()
            {
                let _ = world.resolve(&person, resolution).await;
            }
        }
        Step::Wait => {
            world.clock.advance_by(time::Duration::hours(1));
            world.app.inquire_round().await.unwrap();
        }
        Step::Reallocate(amount) => {
            let request = new_reallocation(BATCH, OTHER_BATCH, amount);
            let _ = world.treasury().create_reallocation(request).await;
        }
        Step::RevokeAndClaim(who) => {
            if let Some(person) = person(known, who) {
                world.deliver(&revoked(&[person])).await.unwrap();
                if let Ok(clawback) = clawbacks::create(world, &person).await {
                    known.clawbacks.push(clawback);
                }
            }
        }
        Step::Repay(which, amount) => {
            if let Some(clawback) = known.clawbacks.get(which % known.clawbacks.len().max(1)) {
                let _ = clawbacks::repay(world, clawback, amount).await;
            }
        }
        Step::WriteOff(which) => {
            if let Some(clawback) = known.clawbacks.get(which % known.clawbacks.len().max(1)) {
                let asked = clawbacks::ask_for_write_off(world.treasury(), clawback).await;
                if let Ok(asked) = asked {
                    let approver = clawbacks::other_operator(world);
                    clawbacks::approve_write_off(approver, &asked)
                        .await
                        .unwrap();
                }
            }
        }
        Step::TakeBack(which) => {
            // From somebody who owes it: others' payments come back as they would without a claim.
            if let Some(clawback) = known.clawbacks.get(which % known.clawbacks.len().max(1)) {
                let is_debtor = |person: &&Participation| person.name() == clawback.participation;
                let person = known.people.iter().find(is_debtor).unwrap();
                notices::take_back(world, person).await;
            }
        }
    }
}

async fn money_is_all_there(db: PgPool, seed: u8) {
    let world = World::with_budget(db, 5).await;
    world.allot("dipa-2026", OTHER_BATCH, 1).await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut known = Known::default();

    for i in 0..STEP_COUNT + LAST_STEP_COUNT {
        let step = match i < STEP_COUNT {
            true => a_step().new_tree(&mut runner).unwrap().current(),
            false => a_last_step().new_tree(&mut runner).unwrap().current(),
        };
        take(&world, &mut known, step).await;
        // Both check that the parts are the whole.
        world.trace(BATCH).await;
        world.trace(OTHER_BATCH).await;
    }

    assert_traces_agree(&world, BATCH, &known.people).await;
    world.assert_sound().await;
    let settled = world.trace(BATCH).await.paid_count;
    // Whoever has a settled payment was credited, and whoever's was taken back; what is in doubt may have been.
    let credited: u32 = world
        .bank
        .entries()
        .iter()
        .map(|entry| entry.credited)
        .sum();
    let in_doubt = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM disbursements WHERE state IN ('SENT', 'UNKNOWN')"#
    );
    let in_doubt = in_doubt.fetch_one(&world.db).await.unwrap();
    let reversed =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM disbursement_reversals"#);
    let reversed = reversed.fetch_one(&world.db).await.unwrap();
    let arrived = settled + reversed;
    assert!(arrived <= i64::from(credited) && i64::from(credited) <= arrived + in_doubt);
    let reduced = world.told::<pb::ClawbackReduced>().await.len();
    assert!(
        settled > 0 && reduced > 0 && !known.holds.is_empty() && !known.clawbacks.is_empty(),
        "the steps reached little: {settled} payments, {} holds, {} clawbacks, {reduced} reduced",
        known.holds.len(),
        known.clawbacks.len()
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_is_all_there_after_each_of_many_steps(db: PgPool) {
    money_is_all_there(db, 1).await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_is_all_there_after_each_of_many_other_steps(db: PgPool) {
    money_is_all_there(db, 2).await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_is_all_there_after_yet_other_steps(db: PgPool) {
    money_is_all_there(db, 4).await;
}
