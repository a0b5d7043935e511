//! Who may call.

use proto::catalog::v1::{
    self as pb, course_service_client::CourseServiceClient, run_service_client::RunServiceClient,
};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::world::{World, new_hold, reason};

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn everyone_may_look_around(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih").await;
    let course = world.a_course(&provider, "Dasar Barista").await;

    let mut anonymous = CourseServiceClient::new(world.caller(None));
    let found = anonymous
        .get_course(pb::GetCourseRequest {
            name: course.name.clone(),
        })
        .await
        .unwrap();

    assert_eq!(found.into_inner(), course);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_change_needs_its_permission(db: PgPool) {
    let world = World::start(db).await;
    let run = world.a_run(5).await;
    let reader = world
        .tokens
        .service_account("reader", &["catalog.runs.create"]);
    let account = world.tokens.account(Uuid::now_v7());

    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("garbage".to_owned()), Code::Unauthenticated),
        (Some(reader), Code::PermissionDenied),
        (Some(account), Code::PermissionDenied),
    ] {
        let mut caller = RunServiceClient::new(world.caller(token));
        let refused = caller.hold_seat(new_hold(&run)).await.unwrap_err();

        assert_eq!(refused.code(), code, "{}", reason(&refused));
    }
    assert_eq!(world.taken_seats(&run).await, 0);
}
