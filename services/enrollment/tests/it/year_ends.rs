//! The last days of a budget year and the days for the next purchase, each with its own refusal.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::enrollment::v1 as pb;
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, macros::datetime};
use tonic::Code;

use crate::{
    learning::{completed, reviewed, try_complete, try_review},
    world::{Participant, SCHEME_2023, World, assert_refused, plan},
};

impl World {
    /// Makes a participant of the scheme of 2023 with these last days in the year of the test.
    async fn participant_with(&self, last_days: &str) -> Participant {
        let scheme = SCHEME_2023
            .replace("\"prakerja-2023\"", "\"prakerja-2026\"")
            .replace("[next_purchase]", &format!("{last_days}\n[next_purchase]"));
        let batch = self.open_batch_of(&scheme, "71", plan(1)).await;
        self.applicants(&batch, 1).await;
        self.drawn(&batch).await;
        self.award(&batch).await.unwrap();
        let request = pb::ListParticipationsRequest {
            batch,
            ..pb::ListParticipationsRequest::default()
        };
        let listed = self
            .participations()
            .list_participations(request)
            .await
            .unwrap();
        let participation = &listed.get_ref().participations[0];
        let participant = Participant {
            id: names::parse_uuid(&participation.name, "participations").unwrap(),
            account: names::parse_uuid(&participation.account, "accounts").unwrap(),
        };
        self.fund(&[participant.id]).await;
        participant
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_bought_after_the_years_last_day(db: PgPool) {
    let world = World::start(db).await;
    let buyer = world
        .participant_with("[year_ends.2026]\npurchase = 2026-11-30")
        .await;
    let end: OffsetDateTime = datetime!(2026-11-30 16:59:59 UTC);

    world.wait_until(end + Duration::SECOND);
    let late = world.buy(buyer.id, world.run(1, 1_000)).await;

    let metadata = assert_refused(late, Code::FailedPrecondition, "PURCHASE_DEADLINE_PASSED");
    assert_eq!(metadata["deadline"], "2026-11-30T16:59:59Z");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_last_second_of_the_year_still_counts(db: PgPool) {
    let world = World::start(db).await;
    let days =
        "[year_ends.2026]\npurchase = 2026-11-30\ncompletion = 2026-12-04\nreview = 2026-12-04";
    let buyer = world.participant_with(days).await;

    world.wait_until(datetime!(2026-11-24 16:59:59 UTC));
    let purchase = world.buy(buyer.id, world.run(1, 1_000)).await.unwrap();
    // A week until the course begins, and three days: the 4th of December at 23:59:59.
    let certificate = completed(&world, &purchase).await;
    assert_eq!(world.clock.now(), datetime!(2026-12-04 16:59:59 UTC));
    reviewed(&world, &certificate).await;
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_course_is_finished_and_reviewed_within_the_year(db: PgPool) {
    let world = World::start(db).await;
    let days = "[year_ends.2026]\ncompletion = 2026-12-03\nreview = 2026-12-03";
    let buyer = world.participant_with(days).await;
    let purchase = world.buy(buyer.id, world.run(1, 1_000)).await.unwrap();

    let late = try_complete(&world, &purchase).await;

    let metadata = assert_refused(late, Code::FailedPrecondition, "COMPLETION_DEADLINE_PASSED");
    assert_eq!(metadata["deadline"], "2026-12-03T16:59:59Z");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_review_after_the_years_last_day_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let buyer = world
        .participant_with("[year_ends.2026]\nreview = 2026-12-05")
        .await;
    let purchase = world.buy(buyer.id, world.run(1, 1_000)).await.unwrap();
    let certificate = completed(&world, &purchase).await;

    world.wait_until(datetime!(2026-12-05 17:00 UTC));
    let late = try_review(&world, &certificate).await;

    let metadata = assert_refused(late, Code::FailedPrecondition, "REVIEW_DEADLINE_PASSED");
    assert_eq!(metadata["deadline"], "2026-12-05T16:59:59Z");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_next_course_is_bought_within_its_days_which_a_freeze_begins_again(db: PgPool) {
    let world = World::start(db).await;
    let buyer = world.participants(1).await[0];
    let purchase = world.buy(buyer.id, world.run(1, 1_000)).await.unwrap();
    let certificate = completed(&world, &purchase).await;
    reviewed(&world, &certificate).await;
    // Finished on the 4th of December at 9:00 in Jakarta, and 15 days.
    let end: OffsetDateTime = datetime!(2026-12-19 16:59:59 UTC);

    world.wait_until(end + Duration::SECOND);
    let late = world.buy(buyer.id, world.run(1, 1_000)).await;
    world
        .freeze_as("auditor", buyer, "SHARED_DEVICE")
        .await
        .unwrap();
    world.unfreeze(buyer).await.unwrap();
    let bought = world.buy(buyer.id, world.run(1, 1_000)).await.unwrap();

    let metadata = assert_refused(
        late,
        Code::FailedPrecondition,
        "NEXT_PURCHASE_DEADLINE_PASSED",
    );
    assert_eq!(metadata["deadline"], "2026-12-19T16:59:59Z");
    assert_eq!(bought.state(), pb::purchase::State::Completed);
}
