//! Events in.

use catalog::events::Events;
use messaging::{
    Event, HandleError,
    consumer::{Taken, take_in},
};
use proto::{catalog::v1 as pb, enrollment::v1::ReviewCreated};
use sqlx::PgPool;
use uuid::Uuid;

use crate::world::{START, World};

const QUEUE: &str = "catalog.enrollment-events";

fn review(course: &str, stars: i32) -> Event {
    let certificate = format!("certificates/{}", Uuid::now_v7());
    let created = ReviewCreated {
        certificate: certificate.clone(),
        participation: format!("participations/{}", Uuid::now_v7()),
        course: course.to_owned(),
        stars,
        first: true,
    };
    Event::of(&certificate, START, &created)
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_review_counts_once(db: PgPool) {
    let world = World::start(db).await;
    let handler = Events::new(world.clock.clone());
    let provider = world.a_provider("Balai Latih").await;
    let course = world.a_course(&provider, "Dasar Barista").await;
    let (good, fair) = (review(&course.name, 5), review(&course.name, 3));

    assert_eq!(
        take_in(&world.db, QUEUE, &good, &handler).await.unwrap(),
        Taken::New
    );
    assert_eq!(
        take_in(&world.db, QUEUE, &fair, &handler).await.unwrap(),
        Taken::New
    );
    assert_eq!(
        take_in(&world.db, QUEUE, &good, &handler).await.unwrap(),
        Taken::Repeat
    );

    let request = pb::GetCourseRequest { name: course.name };
    let rated = world
        .courses()
        .get_course(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((rated.rating_count, rated.rating_sum), (2, 8));
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_review_of_an_unknown_course_waits_and_a_damaged_one_is_put_aside(db: PgPool) {
    let world = World::start(db).await;
    let handler = Events::new(world.clock.clone());
    let unknown = format!("courses/{}", Uuid::now_v7());

    let missing = take_in(&world.db, QUEUE, &review(&unknown, 5), &handler)
        .await
        .unwrap_err();
    let no_course = take_in(&world.db, QUEUE, &review("Dasar Barista", 5), &handler)
        .await
        .unwrap_err();
    let no_stars = take_in(&world.db, QUEUE, &review(&unknown, 6), &handler)
        .await
        .unwrap_err();

    assert!(matches!(missing, HandleError::Missing(_)));
    assert!(matches!(no_course, HandleError::Reject(_)));
    assert!(matches!(no_stars, HandleError::Reject(_)));
}
