//! Loading schemes.

use enrollment::storage::MIGRATOR;
use proto::enrollment::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::world::{SCHEME_2023, World, assert_refused, fields, request_id};

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_shipped_scheme_is_loaded_and_can_be_read(db: PgPool) {
    let world = World::start(db).await;

    let imported = world.import(SCHEME_2023).await.unwrap();
    let request = pb::GetSchemeRequest {
        name: "schemes/prakerja-2023".to_owned(),
    };
    let read = world
        .schemes()
        .get_scheme(request)
        .await
        .unwrap()
        .into_inner();

    assert_eq!(read, imported);
    assert_eq!(read.training_balance.unwrap().units, 3_500_000);
    assert_eq!(read.incentives.len(), 2);
    assert_eq!(read.first_purchase_days, 15);
    assert_eq!(read.completion_rule.unwrap().attendance_permille_min, 1000);
    let reasons: Vec<&str> = read.rules.iter().map(|rule| rule.reason.as_str()).collect();
    assert_eq!(
        reasons[..3],
        [
            "PERSON_NOT_VERIFIED",
            "ALREADY_RECIPIENT",
            "AGE_OUT_OF_RANGE"
        ]
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_same_text_is_the_same_scheme_and_another_is_refused(db: PgPool) {
    let world = World::start(db).await;

    let first = world.import(SCHEME_2023).await.unwrap();
    let again = world.import(SCHEME_2023).await.unwrap();
    let changed = world.import(&SCHEME_2023.replace("= 15", "= 16")).await;

    assert_eq!(first, again);
    let metadata = assert_refused(changed, Code::AlreadyExists, "SCHEME_EXISTS");
    assert_eq!(metadata["scheme"], "schemes/prakerja-2023");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_mistake_of_a_file_is_a_violation_with_its_line(db: PgPool) {
    let world = World::start(db).await;
    let content = SCHEME_2023
        .replace(
            "household_limit = 2",
            "household_limit = 1.5\nhousehold_limits = 2",
        )
        .replace("citizenship == 'ID'", "citizenship = 'ID'");
    let line_of = |part: &str| {
        content
            .lines()
            .position(|line| line.contains(part))
            .unwrap()
            + 1
    };

    let fields = fields(world.import(&content).await);

    let expected = [
        format!(
            "scheme.toml:{}: household_limit",
            line_of("household_limit =")
        ),
        format!(
            "scheme.toml:{}: household_limits",
            line_of("household_limits =")
        ),
        format!(
            "scheme.toml:{}: rules[1].expression",
            line_of("citizenship = 'ID'")
        ),
    ];
    for field in expected {
        assert!(fields.contains(&field), "{field}: {fields:?}");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repeated_request_is_answered_byte_for_byte_and_another_content_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::ImportSchemeRequest {
        request_id: request_id(),
        file_name: "scheme.toml".to_owned(),
        content: SCHEME_2023.to_owned(),
    };

    let first = world
        .schemes()
        .import_scheme(request.clone())
        .await
        .unwrap()
        .into_inner();
    world.clock.advance_by(time::Duration::hours(1));
    let again = world
        .schemes()
        .import_scheme(request.clone())
        .await
        .unwrap()
        .into_inner();
    let other = pb::ImportSchemeRequest {
        file_name: "other.toml".to_owned(),
        ..request
    };
    let other = world.schemes().import_scheme(other).await;

    assert_eq!(
        prost::Message::encode_to_vec(&first),
        prost::Message::encode_to_vec(&again)
    );
    assert_refused(other, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn schemes_are_listed_page_by_page(db: PgPool) {
    let world = World::start(db).await;
    for id in ["a-1", "a-2", "a-3"] {
        world
            .import(&SCHEME_2023.replace("\"prakerja-2023\"", &format!("\"{id}\"")))
            .await
            .unwrap();
    }

    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListSchemesRequest {
            page_size: 2,
            page_token,
        };
        let page = world
            .schemes()
            .list_schemes(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(page.schemes.into_iter().map(|scheme| scheme.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    assert_eq!(names, ["schemes/a-1", "schemes/a-2", "schemes/a-3"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_stored_scheme_cannot_be_changed_by_anyone(db: PgPool) {
    let world = World::start(db).await;
    world.import(SCHEME_2023).await.unwrap();

    let changed = sqlx::query!("UPDATE schemes SET content = ''")
        .execute(&world.db)
        .await;
    let deleted = sqlx::query!("DELETE FROM schemes").execute(&world.db).await;

    assert!(changed.is_err() && deleted.is_err());
}
