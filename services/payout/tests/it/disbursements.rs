//! From the right to be paid to an approved batch: conditions, makers, approvers.

use messaging::HandleError;
use proto::{enrollment::v1 as enrollment_pb, payout::v1 as pb};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    words::{
        approval, awarded, batch_request, certificate, idr, incentive, link_request, metadata,
        reason, review, units,
    },
    world::{BATCH, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn certificate_review_and_account_make_the_payment_ready_in_any_order(db: PgPool) {
    let world = World::with_budget(db, 6).await;
    let people = world.award(6).await;
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];

    for (i, (person, order)) in people.iter().zip(orders).enumerate() {
        let number = format!("628120000000{i}");
        world.open_wallet(person, &number);
        for (step, fact) in order.into_iter().enumerate() {
            assert!(
                world.payments(person).await.is_empty(),
                "{order:?} after {step} facts"
            );
            match fact {
                0 => drop(world.deliver(&certificate(person)).await.unwrap()),
                1 => drop(world.deliver(&review(person)).await.unwrap()),
                _ => drop(world.link(person, &number).await.unwrap()),
            }
        }
        let payment = world.payment(person).await;
        assert_eq!(
            (payment.state(), payment.benefit.as_str()),
            (pb::disbursement::State::Ready, "job-search")
        );
        assert_eq!((payment.instalment, units(payment.amount)), (1, JOB_SEARCH));
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn facts_that_come_twice_or_at_once_make_one_payment(db: PgPool) {
    let world = World::with_budget(db, 20).await;
    let people = world.award(20).await;

    for (i, person) in people.iter().enumerate() {
        let number = format!("62812{i:07}");
        world.open_wallet(person, &number);
        let (certificate, review) = (certificate(person), review(person));
        let (first, second, third, link) = tokio::join!(
            world.deliver(&certificate),
            world.deliver(&review),
            world.deliver(&certificate),
            world.link(person, &number),
        );
        assert!(first.is_ok() && second.is_ok() && third.is_ok() && link.is_ok());
        assert_eq!(
            world.payment(person).await.state(),
            pb::disbursement::State::Ready
        );
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn later_courses_and_courses_outside_of_a_batch_make_nothing_due(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = world.award(1).await[0];
    world.open_wallet(&person, "6281200000001");
    world.link(&person, "6281200000001").await.unwrap();

    let later = enrollment_pb::CertificateIssued {
        first: false,
        ..certificate(&person)
    };
    let campaign = enrollment_pb::CertificateIssued {
        participation: String::new(),
        ..certificate(&person)
    };
    world.deliver(&later).await.unwrap();
    world.deliver(&campaign).await.unwrap();
    world.deliver(&review(&person)).await.unwrap();
    let stranger = world
        .deliver(&certificate(&Participation::new()))
        .await
        .unwrap_err();

    assert!(world.payments(&person).await.is_empty());
    assert!(matches!(stranger, HandleError::Missing(_)), "{stranger}");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn instalments_become_due_an_interval_apart(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let person = Participation::new();
    let mut message = awarded(BATCH, &[person]);
    let trigger = enrollment_pb::incentive::Trigger::FirstCompletion;
    message.incentives = vec![incentive("job-search", trigger, JOB_SEARCH, 4)];
    world.deliver(&message).await.unwrap();
    world.ready(&person, "6281200000001").await;

    let first = world.create_batch().await;
    let none = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await
        .unwrap_err();
    world.clock.advance_by(time::Duration::days(60));
    let two_months_later = world.create_batch().await;

    assert_eq!(world.payments(&person).await.len(), 4);
    assert_eq!((first.line_count, units(first.total)), (1, JOB_SEARCH));
    assert_eq!(
        (none.code(), reason(&none)),
        (Code::FailedPrecondition, "NOTHING_DUE".to_owned())
    );
    assert_eq!(
        (two_months_later.line_count, units(two_months_later.total)),
        (2, 2 * JOB_SEARCH)
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_batch_takes_as_many_lines_as_asked_for(db: PgPool) {
    let world = World::with_budget(db, 5).await;
    world.many_ready(5).await;

    let request = pb::CreateDisbursementBatchRequest {
        line_count_max: 3,
        ..batch_request()
    };
    let first = world
        .disbursements()
        .create_disbursement_batch(request.clone())
        .await
        .unwrap()
        .into_inner();
    let repeat = world
        .disbursements()
        .create_disbursement_batch(request)
        .await
        .unwrap()
        .into_inner();
    let rest = world.create_batch().await;

    assert_eq!((first.line_count, rest.line_count), (3, 2));
    assert_eq!(repeat, first);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn batches_made_at_once_share_the_lines(db: PgPool) {
    let world = World::with_budget(db, 12).await;
    world.many_ready(12).await;

    let batches = (0..4).map(|_| async {
        let request = pb::CreateDisbursementBatchRequest {
            line_count_max: 5,
            ..batch_request()
        };
        world
            .disbursements()
            .create_disbursement_batch(request)
            .await
    });
    let outcomes = futures::future::join_all(batches).await;

    let counts = outcomes
        .iter()
        .filter_map(|it| it.as_ref().ok())
        .map(|it| it.get_ref().line_count);
    assert_eq!(counts.sum::<i64>(), 12);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_approved_batch_is_in_flight(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    let batch = world.create_batch().await;

    let approved = world.approve(&batch).await.unwrap();

    assert_eq!(approved.state(), pb::disbursement_batch::State::Approved);
    assert_eq!(
        (approved.maker.as_str(), approved.approver.as_str()),
        ("serviceAccounts/operator", "serviceAccounts/approver")
    );
    assert_eq!(
        world.payment(&people[0]).await.state(),
        pb::disbursement::State::Approved
    );
    // Not paid yet, so still set aside for the person.
    assert_eq!(world.balance(&people[0]).await, [TRAINING, 0, INCENTIVES]);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn who_made_a_batch_may_not_approve_it_says_the_database(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    world.many_ready(1).await;
    let batch = world.create_batch().await;

    let refused = world
        .disbursements()
        .approve_disbursement_batch(approval(&batch))
        .await
        .unwrap_err();
    let id: Uuid = batch
        .name
        .strip_prefix("disbursementBatches/")
        .unwrap()
        .parse()
        .unwrap();
    let by_hand = sqlx::query!(
        "UPDATE disbursement_batches SET state = 'APPROVED', approver = maker, approve_time = now() WHERE id = $1",
        id
    );
    let by_hand = by_hand.execute(&world.db).await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::PermissionDenied, "APPROVER_IS_MAKER".to_owned())
    );
    assert_eq!(metadata(&refused, "maker"), "serviceAccounts/operator");
    assert_eq!(
        chassis::db::constraint(&by_hand),
        Some("disbursement_batches_approver_check")
    );
    world.approve(&batch).await.unwrap();
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_batch_is_approved_once_also_by_several_at_once(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    world.many_ready(3).await;
    let batch = world.create_batch().await;

    let outcomes = futures::future::join_all((0..6).map(|_| world.approve(&batch))).await;
    let request = approval(&batch);
    let late = world
        .approver()
        .approve_disbursement_batch(request.clone())
        .await
        .unwrap_err();

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let refused: Vec<_> = outcomes
        .into_iter()
        .filter_map(Result::err)
        .chain([late])
        .collect();
    for status in refused {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::FailedPrecondition, "ALREADY_APPROVED".to_owned())
        );
        assert_eq!(metadata(&status, "disbursement_batch"), batch.name);
    }
    assert_eq!(
        units(world.trace(BATCH).await.outstanding),
        3 * (TRAINING + INCENTIVES)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_approval_of_other_totals_is_refused(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    world.many_ready(2).await;
    let batch = world.create_batch().await;

    let request = pb::ApproveDisbursementBatchRequest {
        line_count: 3,
        ..approval(&batch)
    };
    let refused = world
        .approver()
        .approve_disbursement_batch(request)
        .await
        .unwrap_err();
    let other_sum = pb::ApproveDisbursementBatchRequest {
        total: idr(2 * JOB_SEARCH - 1),
        ..approval(&batch)
    };
    let other_sum = world
        .approver()
        .approve_disbursement_batch(other_sum)
        .await
        .unwrap_err();
    let absent = pb::DisbursementBatch {
        name: format!("disbursementBatches/{}", Uuid::now_v7()),
        ..batch.clone()
    };
    let absent = world.approve(&absent).await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, "CONTROL_TOTAL_WRONG".to_owned())
    );
    assert_eq!(metadata(&refused, "line_count"), "2");
    assert_eq!(reason(&other_sum), "CONTROL_TOTAL_WRONG");
    assert_eq!(metadata(&other_sum, "total"), "IDR 1200000.00");
    assert_eq!(absent.code(), Code::NotFound);
    // The refusal has undone everything.
    assert_eq!(
        world.approve(&batch).await.unwrap().state(),
        pb::disbursement_batch::State::Approved
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_wallet_gets_no_more_in_a_month_than_it_may_and_a_bank_account_does(db: PgPool) {
    // 66 times 600,000 are 39.6 million.
    const WITHIN: i64 = 66;
    let world = World::with_budget(db, 2 * 70).await;
    let (by_wallet, by_bank) = (Participation::new(), Participation::new());
    let participations: Vec<Participation> = (0..2 * 70)
        .map(|i| Participation {
            account_id: [by_wallet, by_bank][i % 2].account_id,
            ..Participation::new()
        })
        .collect();
    world
        .deliver(&awarded(BATCH, &participations))
        .await
        .unwrap();
    for participation in &participations {
        world.complete(participation).await;
    }
    world.open_wallet(&by_wallet, "6281900000001");
    world.link(&by_wallet, "6281900000001").await.unwrap();
    world.bank.open_account("009", "1234567890", "SITI AMINAH");
    world
        .identity
        .add(&by_bank.account(), "SITI AMINAH", "+6281900000002");
    let request = link_request(&by_bank.account(), "BNI", "1234567890");
    world
        .disbursements()
        .link_payee_account(request)
        .await
        .unwrap();

    let first = world.approve_all().await;
    world.app.send_round().await.unwrap();
    let again = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await
        .unwrap_err();
    // The clock stands in February.
    world.clock.advance_by(time::Duration::days(27));
    let next_month = world.approve_all().await;

    assert_eq!(first.line_count, WITHIN + 70);
    assert_eq!(reason(&again), "NOTHING_DUE");
    assert_eq!(next_month.line_count, 70 - WITHIN);
    world.assert_sound().await;
}

/// Makes so many payments of 600,000 READY for each of some persons, who are all paid into one wallet.
async fn many_into_one_wallet(world: &World, people: &[Participation], count: usize) {
    let participations: Vec<Participation> = (0..people.len() * count)
        .map(|i| Participation {
            account_id: people[i % people.len()].account_id,
            ..Participation::new()
        })
        .collect();
    world
        .deliver(&awarded(BATCH, &participations))
        .await
        .unwrap();
    for participation in &participations {
        world.complete(participation).await;
    }
    for person in people {
        world.open_wallet(person, "6281900000001");
        world.link(person, "6281900000001").await.unwrap();
    }
    for review in world.reviews().await {
        let decision = pb::payee_account_review::Decision::Approved;
        world.review(&review, decision).await.unwrap();
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn batches_made_at_once_keep_a_wallet_below_its_cap_together(db: PgPool) {
    // 66 times 600,000 are 39.6 million.
    const WITHIN: i64 = 66;
    let world = World::with_budget(db, 80).await;
    many_into_one_wallet(&world, &[Participation::new()], 80).await;
    // Both have chosen their lines before either has written its batch, as far as they can.
    let mut gate = world.db.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE disbursement_batches IN SHARE MODE")
        .execute(&mut *gate)
        .await
        .unwrap();

    let batches = (0..2).map(|_| async {
        let request = pb::CreateDisbursementBatchRequest {
            line_count_max: 40,
            ..batch_request()
        };
        world
            .disbursements()
            .create_disbursement_batch(request)
            .await
    });
    let opening = async {
        world.wait_for_locks(2).await;
        gate.rollback().await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(futures::future::join_all(batches), opening);

    let counts: Vec<i64> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().into_inner().line_count)
        .collect();
    assert_eq!(counts.iter().sum::<i64>(), WITHIN, "{counts:?}");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn persons_who_share_a_wallet_share_its_cap(db: PgPool) {
    let world = World::with_budget(db, 80).await;
    many_into_one_wallet(&world, &[Participation::new(), Participation::new()], 40).await;

    let first = world.approve_all().await;
    world.app.send_round().await.unwrap();
    let again = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await
        .unwrap_err();

    assert_eq!(first.line_count, 66);
    assert_eq!(reason(&again), "NOTHING_DUE");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn payments_are_listed_by_state_page_by_page(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    world.many_ready(3).await;
    let request = pb::ListDisbursementsRequest {
        state: pb::disbursement::State::Ready.into(),
        page_size: 2,
        ..Default::default()
    };

    let first = world
        .disbursements()
        .list_disbursements(request.clone())
        .await
        .unwrap()
        .into_inner();
    let next = pb::ListDisbursementsRequest {
        page_token: first.next_page_token.clone(),
        ..request.clone()
    };
    let second = world
        .disbursements()
        .list_disbursements(next)
        .await
        .unwrap()
        .into_inner();
    let other_filter = pb::ListDisbursementsRequest {
        state: pb::disbursement::State::Settled.into(),
        page_token: first.next_page_token,
        ..request
    };
    let other_filter = world
        .disbursements()
        .list_disbursements(other_filter)
        .await
        .unwrap_err();

    assert_eq!(
        (first.disbursements.len(), second.disbursements.len()),
        (2, 1)
    );
    assert_eq!(second.next_page_token, "");
    assert_eq!(reason(&other_filter), "PAGE_TOKEN_INVALID");
}
