//! Linking the account that a person is paid into.

use pb::{
    disbursement::{State, WaitReason},
    payee_account::State as PayeeState,
    payee_account_review::Decision,
};
use proto::payout::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::{
    words::{batch_request, link_request, metadata, reason},
    world::{Participation, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_linked_account_shows_three_digits_and_is_stored_unreadable(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world.open_wallet(&person, "6281234567890");

    // A leading 0 stands for the country.
    let linked = world.link(&person, "081234567890").await.unwrap();

    assert_eq!(linked.name, format!("{}/payeeAccount", person.account()));
    assert_eq!(
        (
            linked.channel.as_str(),
            linked.account_number_suffix.as_str()
        ),
        ("DANA", "890")
    );
    assert_eq!(linked.account_number, "");
    let request = pb::GetPayeeAccountRequest {
        name: linked.name.clone(),
    };
    assert_eq!(
        world
            .disbursements()
            .get_payee_account(request)
            .await
            .unwrap()
            .into_inner(),
        linked
    );
    let stored = sqlx::query_scalar!(
        r#"SELECT row_to_json(payee_accounts)::text AS "row!" FROM payee_accounts"#
    );
    let stored = stored.fetch_one(&world.db).await.unwrap();
    assert!(
        !stored.contains("81234567") && !stored.contains("SITI"),
        "{stored}"
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_bank_account_is_linked_by_the_holder_s_name_alone(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world.bank.open_account("009", "0012345678", "SITI AMINAH");
    world
        .identity
        .add(&person.account(), "SITI AMINAH", "+628990000001");

    let request = link_request(&person.account(), "BNI", "0012345678");
    let linked = world
        .disbursements()
        .link_payee_account(request)
        .await
        .unwrap()
        .into_inner();

    assert_eq!(linked.account_number_suffix, "678");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_that_cannot_be_paid_is_refused_with_its_reason(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world
        .identity
        .add(&person.account(), "SITI AMINAH", "+6281200000001");
    world.bank.refused_account("DANA", "6281200000002", "40318");
    world.bank.refused_account("DANA", "6281200000003", "40305");
    world.bank.refused_account("DANA", "6281200000004", "40309");
    world
        .bank
        .open_account("DANA", "6281200000005", "BUDI SANTOSO");
    world
        .bank
        .open_account("DANA", "6281200000006", "SITI AMINAH");
    world
        .bank
        .open_basic_account("DANA", "6281200000001", "SITI AMINAH");

    for (number, expected) in [
        ("6281200000009", "PAYEE_ACCOUNT_NOT_FOUND"),
        ("6281200000002", "PAYEE_ACCOUNT_CLOSED"),
        ("6281200000003", "PAYEE_ACCOUNT_BLOCKED"),
        ("6281200000004", "PAYEE_ACCOUNT_BLOCKED"),
        ("6281200000005", "HOLDER_MISMATCHED"),
        ("6281200000006", "PHONE_MISMATCHED"),
        ("6281200000001", "HOLDER_MISMATCHED"),
    ] {
        let status = world.link(&person, number).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, expected),
            "{number}"
        );
        assert!(!status.message().contains("SITI") && !status.message().contains("62812"));
    }
}

/// Two persons with payments that are ready, of whom the second asks to be paid into the first one's wallet.
async fn two_with_one_wallet(db: PgPool) -> (World, Participation, Participation) {
    let world = World::with_budget(db, 2).await;
    let people = world.award(2).await;
    for person in &people {
        world.open_wallet(person, "6281200000001");
        world.complete(person).await;
        world.link(person, "6281200000001").await.unwrap();
    }
    (world, people[0], people[1])
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_of_another_person_is_held_and_the_first_person_is_paid_on(db: PgPool) {
    let (world, first, second) = two_with_one_wallet(db).await;

    let [of_first, of_second] = [world.payee(&first).await, world.payee(&second).await];
    let waiting = world.payment(&second).await;
    let batch = world.approve_all().await;
    world.app.send_round().await.unwrap();
    let nothing = world
        .disbursements()
        .create_disbursement_batch(batch_request())
        .await
        .unwrap_err();

    assert_eq!(
        [of_first.state(), of_second.state()],
        [PayeeState::Active, PayeeState::HeldForReview]
    );
    assert_eq!(
        (waiting.state(), waiting.wait_reason()),
        (State::Ready, WaitReason::PayeeAccountHeld)
    );
    assert_eq!(batch.line_count, 1);
    let paid = world.payment(&first).await;
    assert_eq!(
        (paid.state(), paid.wait_reason()),
        (State::Settled, WaitReason::Unspecified)
    );
    assert_eq!(reason(&nothing), "NOTHING_DUE");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_approved_account_is_shared(db: PgPool) {
    let (world, first, second) = two_with_one_wallet(db).await;
    let reviews = world.reviews().await;

    let decided = world.review(&reviews[0], Decision::Approved).await.unwrap();
    let batch = world.approve_all().await;
    world.app.send_round().await.unwrap();
    let again = world
        .review(&reviews[0], Decision::Rejected)
        .await
        .unwrap_err();

    assert_eq!(reviews.len(), 1);
    assert_eq!(reviews[0].account, second.account());
    assert_eq!(reviews[0].sharing_accounts, [first.account()]);
    assert_eq!(reviews[0].account_number_suffix, "001");
    assert_eq!(
        (decided.decision(), decided.reviewer.as_str()),
        (Decision::Approved, "serviceAccounts/operator")
    );
    assert!(world.reviews().await.is_empty());
    assert_eq!(world.payee(&second).await.state(), PayeeState::Active);
    assert_eq!(batch.line_count, 2);
    assert_eq!(world.payment_state(&second).await, State::Settled);
    assert_eq!(
        (again.code(), reason(&again)),
        (Code::FailedPrecondition, "REVIEW_ENDED".to_owned())
    );
    assert_eq!(metadata(&again, "payee_account_review"), reviews[0].name);
    // Each keeps what was decided when they link it again.
    for person in [&first, &second] {
        let linked = world.link(person, "6281200000001").await.unwrap();
        assert_eq!(linked.state(), PayeeState::Active);
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_rejected_account_is_told_with_its_reason_and_another_one_is_paid(db: PgPool) {
    let (world, _, second) = two_with_one_wallet(db).await;
    let review = world.reviews().await.remove(0);

    world.review(&review, Decision::Rejected).await.unwrap();
    let rejected = world.payee(&second).await;
    let waiting = world.payment(&second).await;
    world
        .identity
        .add(&second.account(), "SITI AMINAH", "+6281200000001");
    let once_more = world.link(&second, "6281200000001").await.unwrap();
    world.open_wallet(&second, "6281200000002");
    let other = world.link(&second, "6281200000002").await.unwrap();
    world.approve_all().await;
    world.app.send_round().await.unwrap();

    assert_eq!(
        (rejected.state(), rejected.review_reason.as_str()),
        (PayeeState::Rejected, "looked at the documents")
    );
    assert_eq!(waiting.wait_reason(), WaitReason::PayeeAccountRejected);
    assert_eq!(once_more.state(), PayeeState::HeldForReview);
    assert_eq!(other.state(), PayeeState::Active);
    let payment = world.payment(&second).await;
    assert_eq!(payment.state(), State::Settled);
    assert_eq!(
        world.bank.entry(&payment.reference).unwrap().account_no,
        "6281200000002"
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_review_ends_when_another_account_is_linked_and_a_free_account_needs_none(db: PgPool) {
    let (world, first, second) = two_with_one_wallet(db).await;
    let review = world.reviews().await.remove(0);
    world.open_wallet(&second, "6281200000002");
    world.link(&second, "6281200000002").await.unwrap();

    let ended = world.review(&review, Decision::Approved).await.unwrap_err();
    let absent = pb::PayeeAccountReview {
        name: format!("payeeAccountReviews/{}", uuid::Uuid::now_v7()),
        ..review
    };
    let absent = world.review(&absent, Decision::Approved).await.unwrap_err();

    assert_eq!(reason(&ended), "REVIEW_ENDED");
    assert_eq!(absent.code(), Code::NotFound);
    // Once the first person is paid elsewhere, their wallet is free.
    world.open_wallet(&first, "6281200000003");
    world.link(&first, "6281200000003").await.unwrap();
    world
        .identity
        .add(&second.account(), "SITI AMINAH", "+6281200000001");
    let linked = world.link(&second, "6281200000001").await.unwrap();
    assert_eq!(linked.state(), PayeeState::Active);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_that_was_approved_before_waits_for_the_review_as_well(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    world.approve_all().await;
    world
        .identity
        .add(&people[1].account(), "SITI AMINAH", "+62811000000");
    world.open_wallet(&people[1], "628110000000");
    world.link(&people[1], "628110000000").await.unwrap();

    world.app.send_round().await.unwrap();
    let waiting = world.payment(&people[1]).await;
    let review = world.reviews().await.remove(0);
    world.review(&review, Decision::Approved).await.unwrap();
    world.app.send_round().await.unwrap();

    assert_eq!(world.payment_state(&people[0]).await, State::Settled);
    assert_eq!(
        (waiting.state(), waiting.wait_reason()),
        (State::Approved, WaitReason::PayeeAccountHeld)
    );
    assert_eq!(world.payment_state(&people[1]).await, State::Settled);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn of_persons_who_link_one_account_at_once_one_gets_it_and_the_others_are_held(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let people: Vec<Participation> = (0..8).map(|_| Participation::new()).collect();
    for person in &people {
        world.open_wallet(person, "6281200000001");
    }

    let outcomes = futures::future::join_all(
        people
            .iter()
            .map(|person| world.link(person, "6281200000001")),
    )
    .await;

    let states: Vec<PayeeState> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().state())
        .collect();
    let count = |state| states.iter().filter(|it| **it == state).count();
    assert_eq!(count(PayeeState::Active), 1);
    assert_eq!(count(PayeeState::HeldForReview), 7);
    // Also a page each.
    assert_eq!(world.reviews().await.len(), 7);
    let sharing = &world.reviews().await[0].sharing_accounts;
    assert_eq!(sharing.len(), 7);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn ten_others_are_too_many(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    for _ in 0..10 {
        let person = Participation::new();
        world.open_wallet(&person, "6281200000001");
        world.link(&person, "6281200000001").await.unwrap();
    }
    let last = Participation::new();
    world.open_wallet(&last, "6281200000001");

    let refused = world.link(&last, "6281200000001").await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::AlreadyExists, "PAYEE_ACCOUNT_SHARED".to_owned())
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_is_shared_by_a_decision_alone_whatever_a_program_says(db: PgPool) {
    let (world, ..) = two_with_one_wallet(db).await;

    let active =
        sqlx::query!("UPDATE payee_accounts SET state = 'ACTIVE' WHERE state = 'HELD_FOR_REVIEW'");
    let active = active.execute(&world.db).await.unwrap_err();
    let copied = sqlx::query!(
        "INSERT INTO payee_accounts (id, account_id, channel, sealed, number_hash, number_suffix, link_time)
         SELECT gen_random_uuid(), gen_random_uuid(), channel, sealed, number_hash, number_suffix, now()
         FROM payee_accounts
         WHERE state = 'ACTIVE'
         RETURNING state"
    );
    let copied = copied.fetch_one(&world.db).await.unwrap();
    let sent = sqlx::query!(
        "UPDATE disbursements
         SET state = 'SENT', send_time = now(), next_inquiry_time = now(), payee_account_id = held.id
         FROM payee_accounts AS held
         WHERE held.state = 'HELD_FOR_REVIEW' AND held.account_id = disbursements.account_id"
    );
    let sent = sent.execute(&world.db).await.unwrap_err();

    assert_eq!(
        chassis::db::constraint(&active),
        Some("payee_accounts_decided")
    );
    assert_eq!(copied.state, "HELD_FOR_REVIEW");
    assert_eq!(
        chassis::db::constraint(&sent),
        Some("disbursements_payee_account")
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_repeat_gets_the_first_answer_also_while_the_bank_is_away(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world.open_wallet(&person, "6281200000001");
    let request = link_request(&person.account(), "DANA", "6281200000001");
    let first = world
        .disbursements()
        .link_payee_account(request.clone())
        .await
        .unwrap()
        .into_inner();

    world.bank.set_down(true);
    let repeat = world
        .disbursements()
        .link_payee_account(request.clone())
        .await
        .unwrap()
        .into_inner();
    let fresh = world.link(&person, "6281200000001").await.unwrap_err();
    let mut other = request;
    other.payee_account.as_mut().unwrap().account_number = "6281200000002".to_owned();
    let other = world
        .disbursements()
        .link_payee_account(other)
        .await
        .unwrap_err();

    assert_eq!(repeat, first);
    assert_eq!(
        (fresh.code(), reason(&fresh)),
        (Code::Unavailable, "PART_UNAVAILABLE".to_owned())
    );
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
}
