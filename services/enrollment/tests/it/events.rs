//! Events in, and the table of those that go out.

use enrollment::{
    events::{PRODUCER, SUBSCRIPTIONS},
    storage::MIGRATOR,
};
use messaging::{Event, HandleError, Handler, consumer};
use proto::payout::v1::{FundsReturned, ParticipationsFunded};
use sqlx::PgPool;
use uuid::Uuid;

use crate::world::World;

const QUEUE: &str = "enrollment.payout-events";

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_same_funding_twice_is_taken_once(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.unfunded_participants(3).await;
    let ids: Vec<Uuid> = participants
        .iter()
        .map(|participant| participant.id)
        .collect();
    let event = world.funded_event(&ids[..2]);

    let first = consumer::take_in(&world.db, QUEUE, &event, &world.events)
        .await
        .unwrap();
    let second = consumer::take_in(&world.db, QUEUE, &event, &world.events)
        .await
        .unwrap();

    assert_eq!(
        (first, second),
        (consumer::Taken::New, consumer::Taken::Repeat)
    );
    let mut funded = Vec::new();
    for id in ids {
        funded.push(world.get_participation(id).await.funded);
    }
    assert_eq!(funded, [true, true, false]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_funding_of_an_unknown_participation_waits_for_it(db: PgPool) {
    let world = World::start(db).await;
    let known = world.unfunded_participants(1).await[0];
    let event = world.funded_event(&[known.id, Uuid::now_v7()]);

    let taken = consumer::take_in(&world.db, QUEUE, &event, &world.events).await;

    assert!(matches!(taken, Err(HandleError::Missing(_))));
    assert!(!world.get_participation(known.id).await.funded);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_malformed_name_is_rejected_and_an_unknown_event_is_parked(db: PgPool) {
    let world = World::start(db).await;
    let funded = ParticipationsFunded {
        batch: "batches/48".to_owned(),
        participations: vec!["participations/one".to_owned()],
    };
    let malformed = Event::of("batches/48", world.clock.now(), &funded);
    let strange = Event::of("batches/48", world.clock.now(), &FundsReturned::default());
    let mut tx = world.db.begin().await.unwrap();

    let rejected = world.events.handle(&mut tx, &malformed).await;
    let parked = world.events.handle(&mut tx, &strange).await;

    assert!(matches!(rejected, Err(HandleError::Reject(_))));
    assert!(matches!(parked, Err(HandleError::Missing(_))));
}

#[test]
fn every_event_of_the_contract_has_its_route() {
    let contract = include_str!("../../../../proto/bekal/enrollment/v1/events.proto");
    let subjects = contract.split("\nmessage ").skip(1);
    // A message that is a part of others has no subject.
    let documented = contract.matches("Subject:").count();

    let names: Vec<&str> = subjects
        .filter_map(|message| message.split(' ').next())
        .collect();
    for route in PRODUCER.routes {
        let name = route.r#type.rsplit('.').next().unwrap();
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(PRODUCER.routes.len(), documented);
    assert_eq!(SUBSCRIPTIONS.len(), 2);
}
