//! The programme's first year, one participation in a thousand of it: 5,987,674 were awarded and 478,619 of them revoked, each
//! with 3,550,000 rupiah. The whole figures are in the unit tests of `domain/award.rs`.

use proto::{enrollment::v1 as enrollment_pb, payout::v1 as pb};
use sqlx::PgPool;

use crate::{
    traces::assert_closes,
    words::{awarded, idr, incentive, revoked, units},
    world::{BATCH, Participation, World},
};

/// 1,000,000 for courses, four times 600,000, and 50,000 for each of three surveys.
const EACH: i64 = 3_550_000;
const AWARDED: usize = 5_987;
const REVOKED: usize = 478;
/// As many as an event holds.
const CHUNK: usize = 1_000;

fn awarded_in_2020(people: &[Participation]) -> enrollment_pb::ParticipationsAwarded {
    use enrollment_pb::incentive::Trigger;
    enrollment_pb::ParticipationsAwarded {
        training_balance: idr(1_000_000),
        incentives: vec![
            incentive("job-search", Trigger::FirstCompletion, 600_000, 4),
            incentive("survey", Trigger::Survey, 50_000, 3),
        ],
        ..awarded(BATCH, people)
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_thousandth_of_the_first_year_closes_to_the_rupiah(db: PgPool) {
    let world = World::start(db).await;
    let people: Vec<Participation> = (0..AWARDED).map(|_| Participation::new()).collect();
    let awarded_count = i64::try_from(AWARDED).unwrap();
    let revoked_count = i64::try_from(REVOKED).unwrap();
    world.appropriate("apbn-2020", awarded_count * EACH).await;
    world.allot("apbn-2020", BATCH, awarded_count * EACH).await;

    for chunk in people.chunks(CHUNK) {
        world.deliver(&awarded_in_2020(chunk)).await.unwrap();
    }
    for chunk in people[..REVOKED].chunks(CHUNK / 4) {
        world.deliver(&revoked(chunk)).await.unwrap();
        // Told twice, as a broker may.
        world.deliver(&revoked(chunk)).await.unwrap();
    }

    let trace = world.trace(BATCH).await;
    assert_eq!(
        (trace.funded_count, trace.returned_count),
        (awarded_count, revoked_count)
    );
    assert_eq!(
        [trace.allotted, trace.returned, trace.outstanding].map(units),
        [
            awarded_count * EACH,
            revoked_count * EACH,
            (awarded_count - revoked_count) * EACH
        ]
    );
    let told: Vec<pb::FundsReturned> = world.told().await;
    let told: i64 = told.into_iter().map(|it| units(it.total)).sum();
    assert_eq!(told, revoked_count * EACH);
    let request = pb::GetFiscalYearStatementRequest {
        fiscal_year: 2026,
        currency_code: "IDR".to_owned(),
    };
    let statement = world.treasury().get_fiscal_year_statement(request).await;
    let statement = statement.unwrap().into_inner();
    assert_closes(&statement);
    assert_eq!(units(statement.returned), revoked_count * EACH);
    world.assert_sound().await;
}
