//! Campaigns and their vouchers.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{
    enrollment::v1 as pb,
    identity::v1::{PersonFacts, person},
    payout::v1::funds_hold,
};
use sqlx::PgPool;
use time::Duration;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    peers::{FakeRun, Fault, int, person, person_with, text, timestamp},
    world::{NOW, World, assert_refused, fields, request_id},
};

fn creation(id: &str) -> pb::CreateCampaignRequest {
    pb::CreateCampaignRequest {
        request_id: request_id(),
        campaign_id: id.to_owned(),
        campaign: Some(pb::Campaign {
            display_name: "Indonesia Skills Week".to_owned(),
            start_time: Some(timestamp(NOW)),
            end_time: Some(timestamp(NOW + Duration::days(8))),
            age_min_years: 18,
            ..pb::Campaign::default()
        }),
    }
}

async fn campaign(world: &World) -> String {
    world
        .campaigns()
        .create_campaign(creation("isw"))
        .await
        .unwrap()
        .into_inner()
        .name
}

fn claim_request(campaign: &str, account: Uuid, run: Uuid) -> pb::ClaimVoucherRequest {
    pb::ClaimVoucherRequest {
        request_id: request_id(),
        campaign: campaign.to_owned(),
        account: names::format("accounts", account),
        run: names::format("runs", run),
    }
}

async fn claim(
    world: &World,
    campaign: &str,
    account: Uuid,
    run: Uuid,
) -> Result<pb::Voucher, Status> {
    let request = claim_request(campaign, account, run);
    Ok(world.campaigns().claim_voucher(request).await?.into_inner())
}

fn somebody(world: &World, person: PersonFacts) -> Uuid {
    let account = Uuid::now_v7();
    world.peers.add_person(account, person);
    account
}

async fn get(world: &World, voucher: &str) -> pb::Voucher {
    let request = pb::GetVoucherRequest {
        name: voucher.to_owned(),
    };
    world
        .campaigns()
        .get_voucher(request)
        .await
        .unwrap()
        .into_inner()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn anyone_of_age_gets_a_voucher_at_once_and_no_money_moves(db: PgPool) {
    let world = World::start(db).await;
    let campaign = campaign(&world).await;
    let run = world.run(5, 20_000);
    let officer = somebody(&world, person_with(text("occupation", "POLICE")));
    let participant = world.participants(1).await[0];

    let first = claim(&world, &campaign, officer, run).await.unwrap();
    let second = claim(&world, &campaign, participant.account, run)
        .await
        .unwrap();

    for voucher in [&first, &second] {
        assert_eq!(voucher.state(), pb::voucher::State::Issued);
        assert_eq!(voucher.voucher_code.len(), 16);
    }
    assert_ne!(first.voucher_code, second.voucher_code);
    assert_eq!(world.peers.confirmed_seats(), 2);
    assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
    assert_eq!(world.peers.balance(participant.id), 3_500_000);
    let request = pb::GetCampaignRequest { name: campaign };
    let campaign = world
        .campaigns()
        .get_campaign(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(campaign.voucher_count, 2);
    // The right to take part once is untouched.
    let batch = world.open_batch("49", 1).await;
    let civilian = somebody(&world, person());
    claim(&world, &campaign.name, civilian, run).await.unwrap();
    let application = world.apply(&batch, civilian).await.unwrap();
    assert_eq!(application.state(), pb::application::State::Accepted);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn who_gets_no_voucher_is_told_why(db: PgPool) {
    let world = World::start(db).await;
    let campaign = campaign(&world).await;
    let run = world.run(1, 0);
    let minor = somebody(&world, person_with(int("age_years", 17)));
    let pending = somebody(
        &world,
        PersonFacts {
            state: person::State::Pending.into(),
            ..person()
        },
    );
    let (adult, another) = (somebody(&world, person()), somebody(&world, person()));

    let metadata = assert_refused(
        claim(&world, &campaign, minor, run).await,
        Code::FailedPrecondition,
        "AGE_BELOW_MINIMUM",
    );
    assert_eq!(metadata["age_min_years"], "18");
    assert_refused(
        claim(&world, &campaign, pending, run).await,
        Code::FailedPrecondition,
        "PERSON_NOT_VERIFIED",
    );
    assert_refused(
        claim(&world, "campaigns/none", adult, run).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    assert_refused(
        claim(&world, &campaign, adult, Uuid::now_v7()).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    claim(&world, &campaign, adult, run).await.unwrap();
    let full = claim(&world, &campaign, another, run).await;
    let metadata = assert_refused(full, Code::ResourceExhausted, "SEATS_TAKEN");
    assert_eq!(metadata["run"], names::format("runs", run));
    let malformed = fields(
        world
            .campaigns()
            .claim_voucher(pb::ClaimVoucherRequest::default())
            .await,
    );
    assert_eq!(malformed, ["request_id", "campaign", "account", "run"]);

    world.clock.advance_by(Duration::days(8));
    let over = claim(&world, &campaign, another, run).await;
    assert_refused(over, Code::FailedPrecondition, "CAMPAIGN_NOT_RUNNING");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_course_is_given_once_and_several_courses_are_welcome(db: PgPool) {
    let world = World::start(db).await;
    let campaign = campaign(&world).await;
    let account = somebody(&world, person());
    let (course, provider) = (Uuid::now_v7(), Uuid::now_v7());
    let run_of = |course: Uuid| {
        world.peers.add_run(FakeRun {
            course,
            provider,
            seats: 9,
            price_units: 0,
            start: NOW + Duration::days(1),
        })
    };
    let (run, other_run, other_course) = (run_of(course), run_of(course), run_of(Uuid::now_v7()));

    let answers =
        futures::future::join_all((0..6).map(|_| claim(&world, &campaign, account, run))).await;
    let given: Vec<&pb::Voucher> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    assert_eq!(given.len(), 1);
    let name = given[0].name.clone();
    for refused in answers.into_iter().filter(Result::is_err) {
        let metadata = assert_refused(refused, Code::AlreadyExists, "VOUCHER_EXISTS");
        assert_eq!(metadata["voucher"], name);
    }
    let same_course = claim(&world, &campaign, account, other_run).await;
    let metadata = assert_refused(same_course, Code::AlreadyExists, "VOUCHER_EXISTS");
    assert_eq!(metadata["voucher"], name);
    assert_eq!(world.peers.taken_seats(other_run), 0);
    assert!(
        claim(&world, &campaign, account, other_course)
            .await
            .is_ok()
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_lost_call_leaves_the_voucher_pending_and_the_sweeper_issues_it(db: PgPool) {
    let world = World::start(db).await;
    let campaign = campaign(&world).await;
    for (method, fault) in [
        ("HoldSeat", Fault::Before),
        ("HoldSeat", Fault::After),
        ("ConfirmSeat", Fault::Before),
        ("ConfirmSeat", Fault::After),
    ] {
        let (account, run) = (somebody(&world, person()), world.run(1, 0));
        let request = claim_request(&campaign, account, run);
        world.peers.lose(method, fault);

        let pending = world
            .campaigns()
            .claim_voucher(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            pending.state(),
            pb::voucher::State::Pending,
            "{method} {fault:?}"
        );
        world.clock.advance_by(Duration::minutes(1));
        world.app.sweep_vouchers().await.unwrap();
        let again = world
            .campaigns()
            .claim_voucher(request)
            .await
            .unwrap()
            .into_inner();

        assert_eq!(again.name, pending.name);
        assert_eq!(
            again.state(),
            pb::voucher::State::Issued,
            "{method} {fault:?}"
        );
        assert_eq!(get(&world, &again.name).await, again);
        assert_eq!(world.peers.taken_seats(run), 1);
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_voucher_that_failed_does_not_stand_in_the_way(db: PgPool) {
    let world = World::start(db).await;
    let campaign = campaign(&world).await;
    let (account, run) = (somebody(&world, person()), world.run(1, 0));
    world.peers.lose("ConfirmSeat", Fault::Before);
    let pending = claim(&world, &campaign, account, run).await.unwrap();
    world.peers.expire_seats();
    world.clock.advance_by(Duration::minutes(1));
    world.app.sweep_vouchers().await.unwrap();

    assert_eq!(
        get(&world, &pending.name).await.state(),
        pb::voucher::State::Failed
    );
    let second = claim(&world, &campaign, account, run).await.unwrap();

    assert_eq!(second.state(), pb::voucher::State::Issued);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_campaign_is_checked_whole_and_its_id_is_taken_once(db: PgPool) {
    let world = World::start(db).await;
    let wrong = pb::CreateCampaignRequest {
        request_id: String::new(),
        campaign_id: "Skills Week".to_owned(),
        campaign: Some(pb::Campaign {
            end_time: Some(timestamp(NOW)),
            age_min_years: 200,
            ..pb::Campaign::default()
        }),
    };

    let violations = fields(world.campaigns().create_campaign(wrong).await);
    world
        .campaigns()
        .create_campaign(creation("isw"))
        .await
        .unwrap();
    let again = world.campaigns().create_campaign(creation("isw")).await;

    assert_eq!(
        violations,
        [
            "request_id",
            "campaign_id",
            "campaign.display_name",
            "campaign.start_time",
            "campaign.age_min_years"
        ]
    );
    assert_refused(again, Code::AlreadyExists, "CAMPAIGN_EXISTS");
}
