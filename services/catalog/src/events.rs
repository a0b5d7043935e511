//! Events out, and who hears them; events in, and what they change.

use chassis::{Clock, names};
use messaging::{Event, HandleError, Handler, Producer, Route, Subscription};
use proto::{catalog::v1 as pb, enrollment::v1::ReviewCreated};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{app, domain::course::NewCourse};

/// What catalog tells, and who takes it.
pub const PRODUCER: Producer = Producer {
    service: "catalog",
    routes: &[Route {
        r#type: "bekal.catalog.v1.CoursePublished",
        consumers: &[],
    }],
};

/// What catalog takes in.
pub const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    consumer: "catalog",
    producer: "enrollment",
    types: &["bekal.enrollment.v1.ReviewCreated"],
}];

/// Tells that a course became visible, with its subject.
pub fn course_published(id: Uuid, course: &NewCourse) -> (String, pb::CoursePublished) {
    let name = names::format("courses", id);
    let event = pb::CoursePublished {
        course: name.clone(),
        provider: names::format("providers", course.provider_id),
        title: course.content.title.as_str().to_owned(),
        category: course.content.category.clone(),
    };
    (name, event)
}

/// Takes events in. Whether one was seen before, the inbox knows.
#[derive(Clone, Debug)]
pub struct Events {
    clock: Clock,
}

impl Events {
    /// Makes the handler of all subscriptions.
    pub fn new(clock: Clock) -> Events {
        Events { clock }
    }

    async fn on_review_created(
        &self,
        tx: &mut PgConnection,
        review: ReviewCreated,
    ) -> Result<(), HandleError> {
        let Some(course_id) = names::parse_uuid(&review.course, "courses") else {
            return Err(HandleError::Reject(
                "course: is not the name of a course".to_owned(),
            ));
        };
        if !(1..=5).contains(&review.stars) {
            return Err(HandleError::Reject(format!(
                "stars: {} is not within 1 and 5",
                review.stars
            )));
        }
        let stars = i64::from(review.stars);
        let rated = app::courses::on_review_created(tx, course_id, stars, self.clock.now()).await?;
        if !rated {
            return Err(HandleError::Missing(format!(
                "{} is not known",
                review.course
            )));
        }
        Ok(())
    }
}

impl Handler for Events {
    async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
        if event.is::<ReviewCreated>() {
            return self.on_review_created(tx, event.decode()?).await;
        }
        Err(HandleError::unexpected(event))
    }
}
