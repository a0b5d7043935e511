//! Where money is: by region, by participation, by fiscal year.

use chassis::{money::Currency, paging::PageRequest};
use payout::domain::trace::RegionTrace;
use proto::{
    enrollment::v1 as enrollment_pb,
    payout::v1::{
        self as pb, resolve_disbursement_request::Resolution,
        treasury_service_client::TreasuryServiceClient,
    },
};
use sqlx::PgPool;
use time::Duration;
use tonic::Code;

use crate::{
    bank::Fault,
    words::{awarded, hold_request, new_reallocation, reason, units},
    world::{AWARD, BATCH, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

/// Awards so many participations of a region.
async fn award_in(world: &World, region: &str, count: usize) -> Vec<Participation> {
    let people: Vec<Participation> = (0..count).map(|_| Participation::new()).collect();
    let mut message: enrollment_pb::ParticipationsAwarded = awarded(BATCH, &people);
    for award in &mut message.awards {
        award.region = region.to_owned();
    }
    world.deliver(&message).await.unwrap();
    people
}

async fn trace_regions(world: &World, page_size: i32) -> Vec<pb::RegionFundTrace> {
    let mut regions = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::TraceRegionFundsRequest {
            batch: BATCH.to_owned(),
            page_size,
            page_token,
        };
        let mut anonymous = TreasuryServiceClient::new(world.caller(None));
        let page = anonymous.trace_region_funds(request).await.unwrap();
        let page = page.into_inner();
        regions.extend(page.regions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return regions;
        }
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_regions_hold_what_the_batch_holds(db: PgPool) {
    let world = World::with_budget(db, 48).await;
    let jakarta = award_in(&world, "31", 24).await;
    let java = award_in(&world, "32", 12).await;
    let gone = award_in(&world, "33", 12).await;
    // A payment is under way when its participation's money goes back, and refused for good afterwards.
    let late = jakarta[10];
    world.ready(&late, "6281100000010").await;
    world.approve_all().await;
    world.bank.fail_next(&[Fault::LoseRequest]);
    world.app.send_round().await.unwrap();
    for (i, person) in jakarta[..10].iter().enumerate() {
        world.ready(person, &format!("62811{i:07}")).await;
    }
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    for person in &jakarta[..10] {
        let bought = hold_request(person, 100_000);
        world.hold(&bought).await.unwrap();
        world.capture(&bought).await.unwrap();
    }
    world.hold(&hold_request(&java[0], 500_000)).await.unwrap();
    world.revoke(&jakarta[10..22]).await;
    world.revoke(&gone).await;
    world.clock.advance_by(Duration::hours(1));
    world.bank.fail_next(&[Fault::Refuse("4031818")]);
    world.app.inquire_round().await.unwrap();
    assert_eq!(
        world.payment_state(&late).await,
        pb::disbursement::State::Failed
    );

    let regions = trace_regions(&world, 2).await;
    let batch = world.trace(BATCH).await;

    let codes: Vec<&str> = regions.iter().map(|it| it.region.as_str()).collect();
    assert_eq!(codes, ["31", "32", "33"]);
    assert!(regions.iter().all(|region| !region.suppressed));
    let sum = |part: fn(&pb::RegionFundTrace) -> i64| regions.iter().map(part).sum::<i64>();
    assert_eq!(sum(|it| units(it.allotted.clone())), 48 * AWARD);
    assert_eq!(
        [
            sum(|it| units(it.spent.clone())),
            sum(|it| units(it.incentives.clone())),
            sum(|it| units(it.returned.clone())),
            sum(|it| units(it.outstanding.clone())),
            sum(|it| it.funded_count),
            sum(|it| it.returned_count),
            sum(|it| it.paid_count),
        ],
        [
            units(batch.spent),
            units(batch.incentives),
            units(batch.returned),
            units(batch.outstanding),
            batch.funded_count,
            batch.returned_count,
            batch.paid_count,
        ]
    );
    let [jakarta, java, gone] = &regions[..] else {
        panic!("{regions:?}");
    };
    assert_eq!(
        (
            jakarta.funded_count,
            jakarta.returned_count,
            jakarta.paid_count
        ),
        (24, 12, 10)
    );
    assert_eq!(units(jakarta.spent.clone()), 1_000_000);
    assert_eq!(units(jakarta.incentives.clone()), 10 * JOB_SEARCH);
    assert_eq!(units(java.outstanding.clone()), 12 * AWARD);
    assert_eq!(units(gone.returned.clone()), 12 * AWARD);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_region_of_a_few_people_is_withheld_and_the_smallest_other_with_it(db: PgPool) {
    let world = World::with_budget(db, 70).await;
    award_in(&world, "31", 3).await;
    award_in(&world, "32", 30).await;
    award_in(&world, "33", 20).await;

    let regions = trace_regions(&world, 0).await;
    let again = trace_regions(&world, 1).await;

    assert_eq!(regions, again);
    for (region, code) in regions.iter().zip(["31", "32", "33"]) {
        assert_eq!(region.region, code);
        if code == "32" {
            assert_eq!((region.suppressed, region.funded_count), (false, 30));
        } else {
            let withheld = pb::RegionFundTrace {
                region: code.to_owned(),
                suppressed: true,
                ..Default::default()
            };
            assert_eq!(*region, withheld);
        }
    }
    // For a minute it is told as it was read.
    award_in(&world, "34", 10).await;
    assert_eq!(trace_regions(&world, 0).await, regions);
    world.clock.advance_by(Duration::minutes(1));
    assert_eq!(trace_regions(&world, 0).await.len(), 4);
    let unknown = pb::TraceRegionFundsRequest {
        batch: "batches/1".to_owned(),
        ..Default::default()
    };
    let unknown = world.treasury().trace_region_funds(unknown).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

/// Counts the regions of a batch, unless the answer takes longer than a moment; then the caller goes away.
async fn count_within(world: &World, batch: &str, patience: std::time::Duration) -> Option<usize> {
    let filter = pb::TraceRegionFundsRequest {
        batch: batch.to_owned(),
        ..Default::default()
    };
    let page = PageRequest::parse(0, "", &filter).unwrap();
    let answer = tokio::time::timeout(patience, world.app.trace_region_funds(batch, page)).await;
    Some(answer.ok()?.unwrap().0.regions.len())
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn one_reading_is_made_at_a_time_and_goes_on_without_its_caller(db: PgPool) {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(300);
    const LONG: std::time::Duration = std::time::Duration::from_secs(20);
    let world = World::with_budget(db, 30).await;
    world.allot("dipa-2026", "batches/49", AWARD).await;
    world.allot("dipa-2026", "batches/50", AWARD).await;
    award_in(&world, "31", 12).await;
    assert_eq!(count_within(&world, BATCH, LONG).await, Some(1));
    world.clock.advance_by(Duration::minutes(2));
    assert_eq!(count_within(&world, "batches/50", LONG).await, Some(0));
    award_in(&world, "32", 12).await;
    let mut reader_waits = world.db.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE funds_holds IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *reader_waits)
        .await
        .unwrap();

    let gone = count_within(&world, BATCH, MOMENT).await;
    let as_read_last = count_within(&world, BATCH, LONG).await;
    let kept = count_within(&world, "batches/50", LONG).await;
    let never_read = count_within(&world, "batches/49", MOMENT).await;
    let readings = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'"#
    );
    let readings = readings.fetch_one(&world.db).await.unwrap();
    reader_waits.rollback().await.unwrap();

    assert_eq!((gone, as_read_last, kept), (None, Some(1), Some(0)));
    assert_eq!((never_read, readings), (None, 1));
    // It waits for its turn, and what was read meanwhile is there.
    assert_eq!(count_within(&world, "batches/49", LONG).await, Some(0));
    let mut no_reader = world.db.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE funds_holds IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *no_reader)
        .await
        .unwrap();
    assert_eq!(count_within(&world, BATCH, LONG).await, Some(2));
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_few_refunds_and_late_returns_withhold_their_regions(db: PgPool) {
    let world = World::with_budget(db, 84).await;
    let refunded = award_in(&world, "31", 12).await;
    let late = award_in(&world, "32", 12).await;
    for (region, count) in [("33", 12), ("34", 24), ("35", 24)] {
        award_in(&world, region, count).await;
    }
    // One is suspected, and refunded.
    world.ready(&refunded[0], "6281100000001").await;
    world.approve_all().await;
    world.bank.fail_next(&[Fault::Refuse("4031803")]);
    world.app.send_round().await.unwrap();
    world
        .resolve(&refunded[0], Resolution::Refund)
        .await
        .unwrap();
    // All money of a region went back, but for that of two people: one has a payment under way and a hold, one a hold.
    world.ready(&late[0], "6281100000002").await;
    world.approve_all().await;
    world.bank.fail_next(&[Fault::Pending]);
    world.app.send_round().await.unwrap();
    for person in &late[..2] {
        world.hold(&hold_request(person, 100_000)).await.unwrap();
    }
    world.hold(&hold_request(&late[2], 0)).await.unwrap();
    world.revoke(&late).await;

    let regions = trace_regions(&world, 0).await;

    let counts: Vec<[i64; 3]> = read_regions(&world, BATCH)
        .await
        .iter()
        .map(|it| [it.returned_count, it.refunded, it.returning])
        .collect();
    assert_eq!(
        counts,
        [[0, 1, 0], [12, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    );
    let withheld: Vec<&str> = regions
        .iter()
        .filter(|region| region.suppressed)
        .map(|region| region.region.as_str())
        .collect();
    assert_eq!(withheld, ["31", "32"]);
}

async fn read_regions(world: &World, batch: &str) -> Vec<RegionTrace> {
    let mut connection = world.db.acquire().await.unwrap();
    let currency = Currency::from_code("IDR").unwrap();
    payout::storage::traces::by_region(&mut connection, batch, currency)
        .await
        .unwrap()
}

fn trace_request(participation: &Participation) -> pb::TraceParticipationFundsRequest {
    pb::TraceParticipationFundsRequest {
        name: participation.name(),
        ..Default::default()
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_person_sees_every_movement_of_their_own_money(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.award(2).await;
    let bought = hold_request(&people[0], 1_000_000);
    world.hold(&bought).await.unwrap();
    world.capture(&bought).await.unwrap();
    world.ready(&people[0], "6281100000001").await;
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    world.revoke(&people[..1]).await;
    let mut owner = TreasuryServiceClient::new(world.owner(people[0].account_id));

    let whole = owner
        .trace_participation_funds(trace_request(&people[0]))
        .await
        .unwrap()
        .into_inner();

    let movements: Vec<(&str, &str, &str, i64)> = whole
        .movements
        .iter()
        .map(|it| {
            let amount = units(it.amount.clone());
            (
                it.code.as_str(),
                it.source_kind.as_str(),
                it.target_kind.as_str(),
                amount,
            )
        })
        .collect();
    assert_eq!(
        movements,
        [
            ("award", "batch-budget", "training-balance", TRAINING),
            ("award", "batch-budget", "incentive-commitment", INCENTIVES),
            (
                "purchase",
                "training-balance",
                "provider-payable",
                1_000_000
            ),
            (
                "purchase",
                "training-balance",
                "provider-payable",
                1_000_000
            ),
            (
                "incentive",
                "incentive-commitment",
                "rail-in-flight",
                JOB_SEARCH
            ),
            ("incentive", "rail-in-flight", "paid", JOB_SEARCH),
            (
                "return",
                "training-balance",
                "returned",
                TRAINING - 1_000_000
            ),
            (
                "return",
                "incentive-commitment",
                "returned",
                INCENTIVES - JOB_SEARCH
            ),
        ]
    );
    assert_eq!(
        [whole.movements[2].kind(), whole.movements[3].kind()],
        [pb::transfer::Kind::Pending, pb::transfer::Kind::PostPending]
    );
    assert!(whole.movements.iter().all(|it| it.create_time.is_some()));
    let sums = |trace: &pb::ParticipationFundTrace| {
        [
            trace.allotted.clone(),
            trace.spent.clone(),
            trace.incentives.clone(),
            trace.returned.clone(),
            trace.outstanding.clone(),
        ]
        .map(units)
    };
    assert_eq!(
        sums(&whole),
        [
            AWARD,
            1_000_000,
            JOB_SEARCH,
            AWARD - 1_000_000 - JOB_SEARCH,
            0
        ]
    );

    // Page by page it is the same, with the same sums.
    let mut paged = Vec::new();
    let mut request = pb::TraceParticipationFundsRequest {
        page_size: 3,
        ..trace_request(&people[0])
    };
    loop {
        let page = owner.trace_participation_funds(request.clone()).await;
        let page = page.unwrap().into_inner();
        assert_eq!(sums(&page), sums(&whole));
        paged.extend(page.movements);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, whole.movements);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn nobody_sees_the_movements_of_another(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.award(2).await;
    let mut other = TreasuryServiceClient::new(world.owner(people[1].account_id));
    let token = world
        .tokens
        .service_account("portal", &["payout.balances.get"]);
    let mut portal = TreasuryServiceClient::new(world.caller(Some(token)));

    let of_another = other
        .trace_participation_funds(trace_request(&people[0]))
        .await
        .unwrap_err();
    let without_permission = portal
        .trace_participation_funds(trace_request(&people[0]))
        .await
        .unwrap_err();
    let nobody = world
        .treasury()
        .trace_participation_funds(trace_request(&Participation::new()))
        .await
        .unwrap_err();

    assert_eq!(reason(&of_another), "NOT_OWNER");
    assert_eq!(reason(&without_permission), "PERMISSION_MISSING");
    assert_eq!(reason(&nobody), "NOT_FOUND");
}

async fn statement(world: &World, fiscal_year: i32) -> pb::FiscalYearStatement {
    let request = pb::GetFiscalYearStatementRequest {
        fiscal_year,
        currency_code: "IDR".to_owned(),
    };
    let answer = world.treasury().get_fiscal_year_statement(request).await;
    let statement = answer.unwrap().into_inner();
    assert_closes(&statement);
    statement
}

/// Checks that the balances at the end are those at the beginning and what moved.
pub(crate) fn assert_closes(statement: &pb::FiscalYearStatement) {
    let part = |money: &Option<proto::r#type::v1::Money>| units(money.clone());
    let (opening, closing) = (statement.opening.as_ref(), statement.closing.as_ref());
    let (opening, closing) = (opening.unwrap(), closing.unwrap());
    assert_eq!(
        [
            part(&closing.unallotted),
            part(&closing.outstanding),
            part(&closing.returned)
        ],
        [
            part(&opening.unallotted) + part(&statement.appropriated) - part(&statement.allotted),
            part(&opening.outstanding) + part(&statement.allotted) + part(&statement.reallocated)
                - part(&statement.spent)
                - part(&statement.incentives)
                - part(&statement.returned),
            part(&opening.returned) + part(&statement.returned) - part(&statement.reallocated),
        ],
        "{statement:?}"
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_that_goes_back_after_the_year_shows_in_the_year_of_the_return(db: PgPool) {
    let world = World::with_budget(db, 3).await;
    let people = world.award(3).await;
    let bought = hold_request(&people[0], 1_000_000);
    world.hold(&bought).await.unwrap();
    world.capture(&bought).await.unwrap();
    world.ready(&people[0], "6281100000001").await;
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    world.revoke(&people[1..2]).await;
    // The clock stands at 2026-02-03 09:00 in western Indonesia; the year ends there at 17:00 UTC.
    world
        .clock
        .advance_by(Duration::days(331) + Duration::hours(14));
    world.revoke(&people[2..]).await;
    world.clock.advance_by(Duration::hours(1));
    let reallocation = new_reallocation(BATCH, "batches/49", AWARD);
    world
        .treasury()
        .create_reallocation(reallocation)
        .await
        .unwrap();
    world.revoke(&people[..1]).await;

    let (before, year, next) = (
        statement(&world, 2025).await,
        statement(&world, 2026).await,
        statement(&world, 2027).await,
    );

    assert_eq!(units(before.closing.unwrap().unallotted), 0);
    assert_eq!(
        [
            year.appropriated,
            year.allotted,
            year.spent,
            year.incentives,
            year.returned,
            year.reallocated
        ]
        .map(units),
        [
            1_000_000_000_000,
            3 * AWARD,
            1_000_000,
            JOB_SEARCH,
            2 * AWARD,
            0
        ]
    );
    assert_eq!(
        [next.appropriated, next.returned, next.reallocated].map(units),
        [0, AWARD - 1_000_000 - JOB_SEARCH, AWARD]
    );
    assert_eq!(year.closing, next.opening);
    // What is there at the end is what the batches say.
    let (source, target) = (world.trace(BATCH).await, world.trace("batches/49").await);
    let closing = next.closing.unwrap();
    assert_eq!(
        (units(closing.outstanding), units(closing.returned)),
        (
            units(source.outstanding) + units(target.outstanding),
            units(source.returned) + units(target.returned)
        )
    );
    let in_dollars = pb::GetFiscalYearStatementRequest {
        fiscal_year: 2026,
        currency_code: "USD".to_owned(),
    };
    let in_dollars = world.treasury().get_fiscal_year_statement(in_dollars).await;
    assert_eq!(units(in_dollars.unwrap().into_inner().appropriated), 0);
}

/// Checks that regions, participations and the fiscal year hold what a batch holds; its budget counts for no region.
pub(crate) async fn assert_traces_agree(world: &World, batch: &str, people: &[Participation]) {
    let trace = world.trace(batch).await;
    let regions = read_regions(world, batch).await;
    let mut of_people = [0; 5];
    for person in people {
        let request = trace_request(person);
        let answer = world.treasury().trace_participation_funds(request).await;
        let one = answer.unwrap().into_inner();
        let parts = [
            one.allotted,
            one.spent,
            one.incentives,
            one.returned,
            one.outstanding,
        ];
        for (sum, part) in of_people.iter_mut().zip(parts.map(units)) {
            *sum += part;
        }
    }
    let mut of_regions = [0; 5];
    for region in &regions {
        let sums = &region.sums;
        let parts = [
            sums.allotted,
            sums.spent,
            sums.incentives,
            sums.returned,
            sums.outstanding,
        ];
        for (sum, minor) in of_regions.iter_mut().zip(parts) {
            *sum += minor / 100;
        }
    }
    assert_eq!(of_regions, of_people);
    let [allotted, spent, incentives, returned, outstanding] = of_regions;
    assert_eq!(allotted, spent + incentives + returned + outstanding);
    assert_eq!(
        (spent, incentives, returned),
        (
            units(trace.spent),
            units(trace.incentives),
            units(trace.returned) + units(trace.reallocated)
        )
    );
    assert_eq!(
        units(trace.allotted) - allotted,
        units(trace.outstanding) - outstanding
    );
    statement(world, 2026).await;
}
