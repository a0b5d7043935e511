//! `CourseService` without search and import.

use futures::future::join_all;
use proto::catalog::v1::{self as pb, course::State};
use sqlx::PgPool;
use tonic::Code;

use crate::world::{World, fields, fresh_id, metadata, new_course, reason, rupiah};

fn create(course: pb::Course) -> pb::CreateCourseRequest {
    pb::CreateCourseRequest {
        request_id: fresh_id(),
        course: Some(course),
    }
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_course_is_created_published_and_told_once(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih").await;
    let request = create(new_course(&provider, "Dasar Barista"));

    let calls = (0..8).map(|_| {
        let (mut courses, request) = (world.courses(), request.clone());
        async move { courses.create_course(request).await.unwrap().into_inner() }
    });
    let answers = join_all(calls).await;

    let course = answers[0].clone();
    assert!(answers.iter().all(|answer| *answer == course));
    assert_eq!(course.state(), State::Published);
    assert_eq!(course.price, Some(rupiah(150_000)));
    assert_eq!(course.public_price, Some(rupiah(300_000)));
    assert_eq!(
        world.outbox().await,
        [(
            "bekal.catalog.v1.CoursePublished".to_owned(),
            course.name.clone()
        )]
    );
    let found = world
        .courses()
        .get_course(pb::GetCourseRequest {
            name: course.name.clone(),
        })
        .await;
    assert_eq!(found.unwrap().into_inner(), course);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_second_course_of_the_title_and_mode_is_refused_and_leaves_no_trace(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih").await;
    let first = world.a_course(&provider, "Dasar Barista").await;
    let mut other_mode = new_course(&provider, "Dasar Barista");
    other_mode.set_mode(pb::course::Mode::Offline);

    let request = create(new_course(&provider, "dasar  BARISTA"));
    let refused = world.courses().create_course(request).await.unwrap_err();
    let accepted = world.courses().create_course(create(other_mode)).await;

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "COURSE_EXISTS")
    );
    assert_eq!(metadata(&refused, "course"), first.name);
    assert!(accepted.is_ok());
    assert_eq!(world.outbox().await.len(), 2);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn one_of_many_wins_the_title(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih").await;

    let calls = (0..8).map(|_| {
        let (mut courses, request) = (
            world.courses(),
            create(new_course(&provider, "Dasar Barista")),
        );
        async move {
            courses
                .create_course(request)
                .await
                .map_err(|refused| reason(&refused))
        }
    });
    let answers = join_all(calls).await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(
        answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|reason| reason == "COURSE_EXISTS")
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_course_of_an_unknown_provider_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let unknown = pb::Provider {
        name: "providers/7f8f2f52-4f5e-4b52-9d0e-111111111111".to_owned(),
        ..pb::Provider::default()
    };

    let refused = world
        .courses()
        .create_course(create(new_course(&unknown, "Dasar Barista")))
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(metadata(&refused, "name"), unknown.name);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn every_violation_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let course = pb::Course {
        provider: "Balai Latih".to_owned(),
        title: "ab".to_owned(),
        category: "x".repeat(101),
        price: Some(rupiah(300_001)),
        public_price: Some(rupiah(300_000)),
        uri: "ftp://kursus.example.org".to_owned(),
        ..pb::Course::default()
    };
    let request = pb::CreateCourseRequest {
        request_id: String::new(),
        course: Some(course),
    };

    let refused = world.courses().create_course(request).await.unwrap_err();

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        fields(&refused),
        [
            "request_id",
            "course.provider",
            "course.title",
            "course.category",
            "course.mode",
            "course.price",
            "course.uri"
        ]
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn courses_are_listed_oldest_first_and_by_provider(db: PgPool) {
    let world = World::start(db).await;
    let (first, second) = (
        world.a_provider("Satu").await,
        world.a_provider("Dua").await,
    );
    let mut created = Vec::new();
    for (provider, title) in [
        (&first, "Kelas A"),
        (&second, "Kelas B"),
        (&first, "Kelas C"),
        (&first, "Kelas D"),
    ] {
        created.push(world.a_course(provider, title).await);
    }
    let list = |provider: &str, page_token: &str| {
        let mut courses = world.courses();
        let request = pb::ListCoursesRequest {
            page_size: 2,
            page_token: page_token.to_owned(),
            provider: provider.to_owned(),
        };
        async move {
            courses
                .list_courses(request)
                .await
                .map(tonic::Response::into_inner)
        }
    };

    let page = list("", "").await.unwrap();
    let rest = list("", &page.next_page_token).await.unwrap();
    let other_filter = list(&first.name, &page.next_page_token).await.unwrap_err();
    let own = list(&first.name, "").await.unwrap();

    assert_eq!([page.courses, rest.courses].concat(), created);
    assert_eq!(rest.next_page_token, "");
    assert_eq!(reason(&other_filter), "PAGE_TOKEN_INVALID");
    assert_eq!(own.courses, [created[0].clone(), created[2].clone()]);
}
