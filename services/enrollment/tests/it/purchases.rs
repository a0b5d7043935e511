//! Buying courses.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{enrollment::v1 as pb, payout::v1::funds_hold};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    learning::{completed, reviewed},
    world::{World, assert_refused, fields, purchase_request},
};

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_purchase_takes_seat_and_money_and_gives_a_code(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let run = world.run(5, 1_000_000);

    let purchase = world.buy(participant.id, run).await.unwrap();

    assert_eq!(purchase.state(), pb::purchase::State::Completed);
    assert_eq!(purchase.price.as_ref().unwrap().units, 1_000_000);
    assert_eq!(purchase.redeem_code.len(), 16);
    assert_eq!(purchase.course_title, "Barista");
    assert_eq!(
        (world.peers.taken_seats(run), world.peers.confirmed_seats()),
        (1, 1)
    );
    assert_eq!(world.peers.balance(participant.id), 2_500_000);
    let participation = world.get_participation(participant.id).await;
    assert_eq!(participation.state(), pb::participation::State::Active);
    let events = world.told::<pb::ParticipationActivated>().await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        events[0].account,
        names::format("accounts", participant.account)
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repeated_purchase_is_the_same_one_and_takes_the_money_once(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let request = purchase_request(participant.id, world.run(5, 1_000_000));

    let calls = (0..8).map(|_| {
        let (mut client, request) = (world.participations(), request.clone());
        async move { client.create_purchase(request).await.unwrap().into_inner() }
    });
    let answers = futures::future::join_all(calls).await;
    let last = world
        .participations()
        .create_purchase(request)
        .await
        .unwrap()
        .into_inner();

    assert!(answers.iter().all(|answer| answer.name == last.name));
    assert_eq!(last.state(), pb::purchase::State::Completed);
    assert_eq!(world.peers.balance(participant.id), 2_500_000);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn two_purchases_at_once_are_one(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let run = world.run(5, 1_000_000);

    let answers = futures::future::join_all((0..6).map(|_| world.buy(participant.id, run))).await;

    let completed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(completed, 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        let reason = tonic_types::StatusExt::get_details_error_info(refused.as_ref().unwrap_err())
            .unwrap()
            .reason;
        assert!(
            reason == "PURCHASE_PENDING" || reason == "EARLIER_COURSE_UNFINISHED",
            "{reason}"
        );
    }
    assert_eq!(world.peers.balance(participant.id), 2_500_000);
    assert_eq!(world.peers.taken_seats(run), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_refusal_of_a_peer_is_the_reason_of_the_failure_and_nothing_is_held(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    let (buyer, other) = (participants[0], participants[1]);
    let dear = world.run(5, 4_000_000);
    let single = world.run(1, 0);
    world.buy(other.id, single).await.unwrap();

    let too_dear = world.buy(buyer.id, dear).await.unwrap();
    let full = world.buy(buyer.id, single).await.unwrap();
    let nowhere = world.buy(buyer.id, Uuid::now_v7()).await.unwrap();
    let affordable = world.buy(buyer.id, world.run(1, 3_500_000)).await.unwrap();

    for (purchase, reason) in [
        (&too_dear, "BALANCE_INSUFFICIENT"),
        (&full, "SEATS_TAKEN"),
        (&nowhere, "NOT_FOUND"),
    ] {
        assert_eq!(purchase.state(), pb::purchase::State::Failed);
        assert_eq!(purchase.failure_reason, reason);
        assert!(purchase.redeem_code.is_empty() && purchase.end_time.is_some());
    }
    assert_eq!(world.peers.taken_seats(dear), 0);
    assert_eq!(affordable.state(), pb::purchase::State::Completed);
    assert_eq!(world.peers.balance(buyer.id), 0);
    assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_forbids_a_purchase_is_told(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.unfunded_participants(1).await[0];
    let run = world.run(5, 1_000);

    let unfunded = world.buy(participant.id, run).await;
    let metadata = assert_refused(
        unfunded,
        Code::FailedPrecondition,
        "PARTICIPATION_NOT_FUNDED",
    );
    assert_eq!(
        metadata["participation"],
        names::format("participations", participant.id)
    );
    assert_refused(
        world.buy(Uuid::now_v7(), run).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    let malformed = pb::CreatePurchaseRequest::default();
    let malformed = fields(world.participations().create_purchase(malformed).await);
    assert_eq!(malformed, ["request_id", "participation", "run"]);

    world.fund(&[participant.id]).await;
    world.peers.away("HoldFunds");
    let pending = world.buy(participant.id, run).await.unwrap();
    assert_eq!(pending.state(), pb::purchase::State::Pending);
    let metadata = assert_refused(
        world.buy(participant.id, run).await,
        Code::FailedPrecondition,
        "PURCHASE_PENDING",
    );
    assert_eq!(metadata["purchase"], pending.name);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_next_course_needs_certificate_and_review_of_the_earlier(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let first = world
        .buy(participant.id, world.run(5, 1_000_000))
        .await
        .unwrap();
    let second_run = world.run(5, 1_000_000);

    let too_early = world.buy(participant.id, second_run).await;
    let metadata = assert_refused(
        too_early,
        Code::FailedPrecondition,
        "EARLIER_COURSE_UNFINISHED",
    );
    assert_eq!(metadata["purchase"], first.name);
    let certificate = completed(&world, &first).await;
    let unreviewed = world.buy(participant.id, second_run).await;
    assert_refused(
        unreviewed,
        Code::FailedPrecondition,
        "EARLIER_COURSE_UNFINISHED",
    );
    reviewed(&world, &certificate).await;
    let second = world.buy(participant.id, second_run).await.unwrap();

    assert_eq!(second.state(), pb::purchase::State::Completed);
    assert_eq!(world.peers.balance(participant.id), 1_500_000);
    let request = pb::ListPurchasesRequest {
        participation: names::format("participations", participant.id),
        ..pb::ListPurchasesRequest::default()
    };
    let listed = world
        .participations()
        .list_purchases(request)
        .await
        .unwrap()
        .into_inner();
    let names: Vec<String> = listed
        .purchases
        .into_iter()
        .map(|purchase| purchase.name)
        .collect();
    assert_eq!(names, [first.name, second.name]);
    assert_eq!(world.told::<pb::ParticipationActivated>().await.len(), 1);
}
