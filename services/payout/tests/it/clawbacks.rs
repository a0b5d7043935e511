//! Claims against persons who were wrongly enrolled: made, repaid, written off, and all money still there.

use proto::payout::v1::{
    self as pb, clawback::State, treasury_service_client::TreasuryServiceClient,
};
use sqlx::PgPool;
use time::{Duration, macros::datetime};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    notices::take_back,
    traces::assert_traces_agree,
    words::{fields, hold_request, idr, metadata, new_reallocation, reason, request_id, units},
    world::{AWARD, BATCH, Caller, JOB_SEARCH, Participation, World},
};

const BOUGHT: i64 = 1_000_000;
const OWED: i64 = BOUGHT + JOB_SEARCH;

/// A world where one person has bought a course, was paid, and was revoked.
async fn with_spender(db: PgPool) -> (World, Participation) {
    let world = World::with_budget(db, 2).await;
    let person = world.award(1).await[0];
    spend(&world, &person).await;
    world.revoke(&[person]).await;
    (world, person)
}

async fn spend(world: &World, person: &Participation) {
    let bought = hold_request(person, BOUGHT);
    world.hold(&bought).await.unwrap();
    world.capture(&bought).await.unwrap();
    world.ready(person, "6281100000001").await;
    world.approve_all().await;
    world.app.send_round().await.unwrap();
}

fn create_request(person: &Participation) -> pb::CreateClawbackRequest {
    pb::CreateClawbackRequest {
        request_id: request_id(),
        clawback: Some(pb::Clawback {
            participation: person.name(),
            reason: "INELIGIBLE".to_owned(),
            ..Default::default()
        }),
    }
}

pub(crate) async fn create(world: &World, person: &Participation) -> Result<pb::Clawback, Status> {
    let request = create_request(person);
    Ok(world
        .treasury()
        .create_clawback(request)
        .await?
        .into_inner())
}

fn repay_request(clawback: &pb::Clawback, amount: i64) -> pb::RecordRepaymentRequest {
    pb::RecordRepaymentRequest {
        request_id: request_id(),
        clawback: clawback.name.clone(),
        amount: idr(amount),
        receipt: Uuid::new_v4().simple().to_string(),
    }
}

pub(crate) async fn repay(
    world: &World,
    clawback: &pb::Clawback,
    amount: i64,
) -> Result<pb::Clawback, Status> {
    let request = repay_request(clawback, amount);
    Ok(world
        .treasury()
        .record_repayment(request)
        .await?
        .into_inner())
}

pub(crate) async fn get(world: &World, clawback: &pb::Clawback) -> pb::Clawback {
    let request = pb::GetClawbackRequest {
        name: clawback.name.clone(),
    };
    let answer = world.treasury().get_clawback(request).await;
    answer.unwrap().into_inner()
}

pub(crate) async fn ask_for_write_off(
    treasury: TreasuryServiceClient<Caller>,
    clawback: &pb::Clawback,
) -> Result<pb::Clawback, Status> {
    ask_because(treasury, clawback, "DECEASED").await
}

async fn ask_because(
    mut treasury: TreasuryServiceClient<Caller>,
    clawback: &pb::Clawback,
    reason: &str,
) -> Result<pb::Clawback, Status> {
    let request = pb::RequestClawbackWriteOffRequest {
        request_id: request_id(),
        name: clawback.name.clone(),
        reason: reason.to_owned(),
    };
    let answer = treasury.request_clawback_write_off(request).await?;
    Ok(answer.into_inner())
}

/// Approves what a clawback showed when it was seen.
pub(crate) async fn approve_write_off(
    mut treasury: TreasuryServiceClient<Caller>,
    seen: &pb::Clawback,
) -> Result<pb::Clawback, Status> {
    let request = pb::ApproveClawbackWriteOffRequest {
        request_id: request_id(),
        name: seen.name.clone(),
        requester: seen.write_off_requester.clone(),
        reason: seen.write_off_reason.clone(),
    };
    let answer = treasury.approve_clawback_write_off(request).await?;
    Ok(answer.into_inner())
}

pub(crate) fn other_operator(world: &World) -> TreasuryServiceClient<Caller> {
    TreasuryServiceClient::new(world.service_account("approver"))
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_was_spent_and_paid_is_owed_and_comes_back_in_parts(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let before = world.trace(BATCH).await;

    let clawback = create(&world, &person).await.unwrap();
    let opened = world.trace(BATCH).await;
    let first = repay(&world, &clawback, 700_000).await.unwrap();
    let midway = world.trace(BATCH).await;
    let last = repay(&world, &clawback, OWED - 700_000).await.unwrap();
    let after = world.trace(BATCH).await;

    assert_eq!(clawback.state(), State::Open);
    assert_eq!(
        (
            units(clawback.training_amount.clone()),
            units(clawback.incentive_amount.clone()),
            units(clawback.outstanding.clone())
        ),
        (BOUGHT, JOB_SEARCH, OWED)
    );
    // The clock stands at 2026-02-03 09:00 in western Indonesia.
    let due = datetime!(2026-04-04 16:59:59 UTC).unix_timestamp();
    assert_eq!(clawback.due_time.unwrap().seconds, due);
    assert_eq!(opened, before);
    assert_eq!(
        (first.state(), units(first.outstanding)),
        (State::Open, OWED - 700_000)
    );
    // Incentives first.
    assert_eq!(
        (units(midway.incentives), units(midway.spent)),
        (0, BOUGHT - 100_000)
    );
    assert_eq!(
        (last.state(), units(last.outstanding.clone())),
        (State::Repaid, 0)
    );
    assert!(last.end_time.is_some());
    let another = create(&world, &person).await.unwrap_err();
    assert_eq!(reason(&another), "CLAWBACK_EXISTS");
    assert_eq!(get(&world, &clawback).await, last);
    assert_eq!((units(after.spent), units(after.incentives)), (0, 0));
    assert_eq!(
        (units(after.returned), units(after.outstanding)),
        (AWARD, AWARD)
    );
    let told: Vec<pb::ClawbackOpened> = world.told().await;
    assert_eq!((told.len(), units(told[0].amount.clone())), (1, OWED));
    let told: Vec<pb::ClawbackRepaid> = world.told().await;
    let told: Vec<(i64, i64)> = told
        .into_iter()
        .map(|it| (units(it.amount), units(it.outstanding)))
        .collect();
    assert_eq!(told, [(700_000, OWED - 700_000), (OWED - 700_000, 0)]);
    assert_traces_agree(&world, BATCH, &[person]).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn repaid_money_pays_for_another_batch(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();
    repay(&world, &clawback, OWED).await.unwrap();

    let whole = new_reallocation(BATCH, "batches/49", AWARD);
    world.treasury().create_reallocation(whole).await.unwrap();

    let (source, target) = (world.trace(BATCH).await, world.trace("batches/49").await);
    assert_eq!(
        (units(source.returned), units(source.reallocated)),
        (0, AWARD)
    );
    assert_eq!(units(target.outstanding), AWARD);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn nothing_is_claimed_before_the_unspent_money_is_back_or_where_nothing_was_spent(
    db: PgPool,
) {
    let world = World::with_budget(db, 3).await;
    let people = world.award(3).await;
    spend(&world, &people[0]).await;
    let held = hold_request(&people[1], BOUGHT);
    world.hold(&held).await.unwrap();
    world.revoke(&people[1..]).await;

    let funded = create(&world, &people[0]).await.unwrap_err();
    let holding = create(&world, &people[1]).await.unwrap_err();
    let idle = create(&world, &people[2]).await.unwrap_err();
    let unknown = create(&world, &Participation::new()).await.unwrap_err();

    for status in [funded, holding] {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::FailedPrecondition, "FUNDS_OUTSTANDING".to_owned())
        );
    }
    assert_eq!(reason(&idle), "NOTHING_SPENT");
    assert_eq!(metadata(&idle, "participation"), people[2].name());
    assert_eq!(unknown.code(), Code::NotFound);
    // It can be claimed once the provider has it.
    world.capture(&held).await.unwrap();
    let clawback = create(&world, &people[1]).await.unwrap();
    assert_eq!(units(clawback.outstanding), BOUGHT);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_participation_has_one_clawback_and_a_repeat_gets_the_first_answer(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let request = create_request(&person);

    let calls = (0..6).map(|i| {
        let mut treasury = world.treasury();
        // Three repeat one request, three make another.
        let request = match i % 2 {
            0 => request.clone(),
            _ => create_request(&person),
        };
        async move { treasury.create_clawback(request).await }
    });
    let answers = futures::future::join_all(calls).await;

    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let made: Vec<pb::Clawback> = made
        .into_iter()
        .map(|it| it.unwrap().into_inner())
        .collect();
    assert!(!made.is_empty() && made.iter().all(|it| *it == made[0]));
    for status in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::AlreadyExists, "CLAWBACK_EXISTS".to_owned())
        );
    }
    assert_eq!(units(get(&world, &made[0]).await.outstanding), OWED);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn no_more_is_repaid_than_is_owed_and_no_receipt_counts_twice(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();

    let too_much = repay(&world, &clawback, OWED + 1).await.unwrap_err();
    let half = repay_request(&clawback, OWED / 2);
    let first = world.treasury().record_repayment(half.clone()).await;
    let repeated = world.treasury().record_repayment(half.clone()).await;
    let same_receipt = pb::RecordRepaymentRequest {
        request_id: request_id(),
        ..half
    };
    let same_receipt = world
        .treasury()
        .record_repayment(same_receipt)
        .await
        .unwrap_err();
    let calls = (0..8).map(|_| repay(&world, &clawback, OWED / 4));
    let outcomes = futures::future::join_all(calls).await;

    assert_eq!(reason(&too_much), "REPAYMENT_EXCESSIVE");
    assert_eq!(metadata(&too_much, "outstanding"), format!("IDR {OWED}.00"));
    assert_eq!(first.unwrap().into_inner(), repeated.unwrap().into_inner());
    assert_eq!(
        (same_receipt.code(), reason(&same_receipt)),
        (Code::AlreadyExists, "RECEIPT_RECORDED".to_owned())
    );
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 2);
    for refused in outcomes.iter().filter_map(|it| it.as_ref().err()) {
        assert_eq!(reason(refused), "CLAWBACK_ENDED");
        assert_eq!(metadata(refused, "state"), "REPAID");
    }
    assert_eq!(get(&world, &clawback).await.state(), State::Repaid);
    assert_eq!(units(world.trace(BATCH).await.returned), AWARD);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_claim_is_overdue_after_its_last_second_and_still_repaid(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();
    let list = |state: State| {
        let request = pb::ListClawbacksRequest {
            batch: BATCH.to_owned(),
            state: state.into(),
            ..Default::default()
        };
        let mut treasury = world.treasury();
        async move {
            let page = treasury.list_clawbacks(request).await.unwrap();
            page.into_inner().clawbacks.len()
        }
    };

    // To the last second of the sixtieth day.
    world
        .clock
        .advance_by(Duration::days(60) + Duration::hours(14) + Duration::minutes(59));
    world.clock.advance_by(Duration::seconds(59));
    let in_time = get(&world, &clawback).await.state();
    let lists = (list(State::Open).await, list(State::Overdue).await);
    world.clock.advance_by(Duration::seconds(1));
    let late = get(&world, &clawback).await.state();

    assert_eq!((in_time, late), (State::Open, State::Overdue));
    assert_eq!(lists, (1, 0));
    assert_eq!(
        (list(State::Open).await, list(State::Overdue).await),
        (0, 1)
    );
    let repaid = repay(&world, &clawback, OWED).await.unwrap();
    assert_eq!(repaid.state(), State::Repaid);
    assert_eq!(
        (list(State::Overdue).await, list(State::Repaid).await),
        (0, 1)
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn two_different_people_write_off_what_is_left(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();
    repay(&world, &clawback, 100_000).await.unwrap();

    let imagined = pb::Clawback {
        write_off_requester: "serviceAccounts/operator".to_owned(),
        write_off_reason: "DECEASED".to_owned(),
        ..clawback.clone()
    };
    let unasked = approve_write_off(other_operator(&world), &imagined)
        .await
        .unwrap_err();
    let asked = ask_for_write_off(world.treasury(), &clawback)
        .await
        .unwrap();
    let own = approve_write_off(world.treasury(), &asked)
        .await
        .unwrap_err();
    let approved = approve_write_off(other_operator(&world), &asked)
        .await
        .unwrap();
    let again = ask_for_write_off(world.treasury(), &clawback)
        .await
        .unwrap_err();
    let late = repay(&world, &clawback, 1).await.unwrap_err();

    assert_eq!(reason(&unasked), "WRITE_OFF_NOT_REQUESTED");
    assert_eq!(
        (asked.state(), units(asked.outstanding.clone())),
        (State::Open, OWED - 100_000)
    );
    assert_eq!(
        (own.code(), reason(&own)),
        (Code::PermissionDenied, "APPROVER_IS_REQUESTER".to_owned())
    );
    assert_eq!(metadata(&own, "requester"), asked.write_off_requester);
    assert_eq!(
        (approved.state(), units(approved.outstanding.clone())),
        (State::WrittenOff, 0)
    );
    assert_ne!(approved.write_off_requester, approved.write_off_approver);
    for status in [again, late] {
        assert_eq!(reason(&status), "CLAWBACK_ENDED");
        assert_eq!(metadata(&status, "state"), "WRITTEN_OFF");
    }
    assert_eq!(get(&world, &clawback).await, approved);
    // What was given up stays spent and paid.
    let trace = world.trace(BATCH).await;
    assert_eq!(units(trace.spent) + units(trace.incentives), OWED - 100_000);
    let told: Vec<pb::ClawbackWrittenOff> = world.told().await;
    assert_eq!(
        (told.len(), units(told[0].amount.clone())),
        (1, OWED - 100_000)
    );
    assert_traces_agree(&world, BATCH, &[person]).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_write_off_is_approved_as_it_was_seen_or_not_at_all(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();
    let third = || TreasuryServiceClient::new(world.service_account("third"));
    let seen = ask_for_write_off(world.treasury(), &clawback)
        .await
        .unwrap();

    let replaced = ask_because(world.treasury(), &clawback, "ABROAD").await;
    let other_reason = approve_write_off(third(), &seen).await.unwrap_err();
    let by_another = ask_for_write_off(other_operator(&world), &clawback).await;
    let other_requester = approve_write_off(third(), &seen).await.unwrap_err();
    let still_open = get(&world, &clawback).await;
    let approved = approve_write_off(third(), &still_open).await.unwrap();

    for (refused, actual) in [
        (other_reason, replaced.unwrap()),
        (other_requester, by_another.unwrap()),
    ] {
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::FailedPrecondition, "WRITE_OFF_REPLACED".to_owned())
        );
        assert_eq!(metadata(&refused, "requester"), actual.write_off_requester);
        assert_eq!(metadata(&refused, "reason"), actual.write_off_reason);
    }
    assert_eq!(still_open.state(), State::Open);
    assert_eq!(approved.state(), State::WrittenOff);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_the_rail_takes_back_is_owed_no_more(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();

    take_back(&world, &person).await;
    take_back(&world, &person).await;

    let reduced = get(&world, &clawback).await;
    assert_eq!(
        (reduced.state(), units(reduced.outstanding)),
        (State::Open, BOUGHT)
    );
    let trace = world.trace(BATCH).await;
    assert_eq!((units(trace.spent), units(trace.incentives)), (BOUGHT, 0));
    assert_eq!(units(trace.returned), AWARD - BOUGHT);
    let told: Vec<pb::ClawbackReduced> = world.told().await;
    let told: Vec<(i64, i64)> = told
        .into_iter()
        .map(|it| (units(it.amount), units(it.outstanding)))
        .collect();
    assert_eq!(told, [(JOB_SEARCH, BOUGHT)]);
    let repaid = repay(&world, &clawback, BOUGHT).await.unwrap();
    assert_eq!(repaid.state(), State::Repaid);
    assert_eq!(units(world.trace(BATCH).await.returned), AWARD);
    assert_traces_agree(&world, BATCH, &[person]).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_was_repaid_of_an_incentive_that_comes_back_counts_for_courses(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.award(2).await;
    let mut left_together = 0;
    // A part of the incentive is repaid, and all of it with a part of the courses.
    for (i, (person, paid)) in people.iter().zip([100_000, 700_000]).enumerate() {
        let bought = hold_request(person, BOUGHT);
        world.hold(&bought).await.unwrap();
        world.capture(&bought).await.unwrap();
        world.ready(person, &format!("62811{i:07}")).await;
        world.approve_all().await;
        world.app.send_round().await.unwrap();
        world.revoke(&[*person]).await;
        let clawback = create(&world, person).await.unwrap();
        repay(&world, &clawback, paid).await.unwrap();

        take_back(&world, person).await;

        let left = OWED - paid - JOB_SEARCH;
        left_together += left;
        assert_eq!(units(get(&world, &clawback).await.outstanding), left);
        assert_traces_agree(&world, BATCH, &people).await;
    }

    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.spent), units(trace.incentives)),
        (left_together, 0)
    );
    assert_eq!(units(trace.returned), 2 * AWARD - left_together);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_claim_of_an_incentive_alone_ends_when_the_rail_takes_it_back(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.many_ready(1).await[0];
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    world.revoke(&[person]).await;
    let clawback = create(&world, &person).await.unwrap();
    repay(&world, &clawback, 100_000).await.unwrap();

    take_back(&world, &person).await;

    let ended = get(&world, &clawback).await;
    assert_eq!(
        (ended.state(), units(ended.outstanding)),
        (State::Repaid, 0)
    );
    assert!(ended.end_time.is_some());
    let late = repay(&world, &clawback, 1).await.unwrap_err();
    assert_eq!(reason(&late), "CLAWBACK_ENDED");
    // The 100,000 that came back twice is the person's to ask back.
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.incentives), units(trace.returned)),
        (-100_000, AWARD + 100_000)
    );
    assert_traces_agree(&world, BATCH, &[person]).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_repayment_and_a_reversal_at_the_same_time_are_both_taken_off(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();

    let (repaid, ()) = tokio::join!(
        repay(&world, &clawback, JOB_SEARCH),
        take_back(&world, &person)
    );

    repaid.unwrap();
    let left = get(&world, &clawback).await;
    assert_eq!(units(left.outstanding), OWED - 2 * JOB_SEARCH);
    assert_traces_agree(&world, BATCH, &[person]).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_database_keeps_the_two_people_apart_and_the_end_as_it_is(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();
    repay(&world, &clawback, OWED).await.unwrap();
    world.award(1).await;
    for (statement, constraint) in [
        (
            "UPDATE clawbacks SET state = 'OPEN', end_time = NULL",
            "clawbacks_ended",
        ),
        (
            "INSERT INTO clawbacks (id, participation_id, batch, reason, training_minor, incentives_minor, currency, state,
                due_time, create_time, write_off_requester, write_off_reason, write_off_approver, end_time)
             SELECT gen_random_uuid(), participation_id, batch, 'X', 1, 0, 'IDR', 'WRITTEN_OFF', now() + interval '1 day',
                now(), 'a', 'X', 'a', now()
             FROM participation_funds
             WHERE return_time IS NULL",
            "clawbacks_write_off_approver_check",
        ),
        (
            "INSERT INTO ledger_accounts (id, kind, owner, batch, currency, debits_must_not_exceed_credits)
             VALUES (gen_random_uuid(), 'training-claim', 'batches/9', 'batches/9', 'IDR', false)",
            "ledger_accounts_claim_check",
        ),
    ] {
        let refused = sqlx::raw_sql(statement).execute(&world.db).await;
        let refused = refused.unwrap_err();
        assert_eq!(chassis::db::constraint(&refused), Some(constraint));
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_person_sees_their_own_clawback_and_nobody_else_s(db: PgPool) {
    let (world, person) = with_spender(db).await;
    let clawback = create(&world, &person).await.unwrap();
    let request = pb::GetClawbackRequest {
        name: clawback.name.clone(),
    };
    let mut owner = TreasuryServiceClient::new(world.owner(person.account_id));
    let mut other = TreasuryServiceClient::new(world.owner(Uuid::now_v7()));

    let own = owner.get_clawback(request.clone()).await.unwrap();
    let of_another = other.get_clawback(request.clone()).await.unwrap_err();
    ask_for_write_off(world.treasury(), &clawback)
        .await
        .unwrap();
    let asked = owner.get_clawback(request).await.unwrap().into_inner();
    let created = owner.create_clawback(create_request(&person)).await;

    assert_eq!(own.into_inner(), clawback);
    assert_eq!(
        (
            asked.write_off_requester.as_str(),
            asked.write_off_reason.as_str()
        ),
        ("", "DECEASED")
    );
    assert_eq!(reason(&of_another), "NOT_OWNER");
    assert_eq!(reason(&created.unwrap_err()), "PERMISSION_MISSING");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_clawback_s_bad_requests_are_told_all_that_is_wrong(db: PgPool) {
    let world = World::start(db).await;
    let mut treasury = world.treasury();

    let create = treasury
        .create_clawback(pb::CreateClawbackRequest::default())
        .await;
    let repay = treasury
        .record_repayment(pb::RecordRepaymentRequest::default())
        .await;
    let ask = treasury
        .request_clawback_write_off(pb::RequestClawbackWriteOffRequest::default())
        .await;
    let approve = treasury
        .approve_clawback_write_off(pb::ApproveClawbackWriteOffRequest::default())
        .await;
    let list = pb::ListClawbacksRequest {
        batch: "48".to_owned(),
        state: 99,
        page_size: -1,
        ..Default::default()
    };
    let list = treasury.list_clawbacks(list).await;
    let statement = treasury
        .get_fiscal_year_statement(pb::GetFiscalYearStatementRequest::default())
        .await;

    assert_eq!(
        fields(&create.unwrap_err()),
        ["request_id", "clawback.participation", "clawback.reason"]
    );
    assert_eq!(
        fields(&repay.unwrap_err()),
        ["request_id", "clawback", "amount", "receipt"]
    );
    assert_eq!(fields(&ask.unwrap_err()), ["request_id", "name", "reason"]);
    assert_eq!(
        fields(&approve.unwrap_err()),
        ["request_id", "name", "requester", "reason"]
    );
    assert_eq!(fields(&list.unwrap_err()), ["batch", "state", "page_size"]);
    assert_eq!(
        fields(&statement.unwrap_err()),
        ["fiscal_year", "currency_code"]
    );
}
