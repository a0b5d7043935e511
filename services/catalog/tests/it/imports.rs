//! Imports: what becomes of rows.

use proto::{
    catalog::v1::{self as pb, ImportCoursesRequest, import_courses_request::Part},
    r#type::v1::{ImportHeader, ImportRowResult, import_row_result::State},
};
use sqlx::PgPool;
use tonic::Code;

use crate::{
    feed::{COLUMNS, header, import, plain, row, send, states},
    world::{World, fields, fresh_id, new_course, reason, rupiah},
};

async fn course(world: &World, name: &str) -> pb::Course {
    let request = pb::GetCourseRequest {
        name: name.to_owned(),
    };
    world
        .courses()
        .get_course(request)
        .await
        .unwrap()
        .into_inner()
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_messy_feed_is_imported_row_by_row(db: PgPool) {
    let world = World::start(db).await;
    let (nusa, kita) = ("Balai Latih Nusa", "RUMAH  BELAJAR kita");

    let (_, results) = import(
        &world,
        vec![
            header(&fresh_id(), "isw"),
            row(
                1,
                [
                    nusa,
                    "Dasar Web",
                    "Teknik",
                    "Online - LMS",
                    "https://kursus.example.org/1",
                    "100%",
                    "Gratis",
                ],
            ),
            row(
                2,
                [
                    nusa,
                    "Dasar Barista",
                    "Lainnya",
                    "Online - Webinar",
                    "www.example.org",
                    "70%",
                    "Rp 89.700",
                ],
            ),
            row(3, [kita, "Dasar Kopi", "Lainnya", "Offline", "", "-", "0"]),
            row(
                4,
                [
                    "Rumah Belajar Kita",
                    "Dasar Teh",
                    "Lainnya",
                    "Offline",
                    "",
                    "",
                    "Rp 425000",
                ],
            ),
            row(
                5,
                [
                    nusa,
                    "DASAR web",
                    "Teknik",
                    "Online - LMS",
                    "https://kursus.example.org/1",
                    "100%",
                    "Gratis",
                ],
            ),
            row(
                6,
                [nusa, "Tanpa Harga", "Teknik", "Online - LMS", "", "", ""],
            ),
            row(7, [nusa, "ab", "", "Radio", "", "5O%", "Rp 2O.000"]),
            row(
                9,
                [
                    nusa,
                    "Dasar Barista",
                    "Lainnya",
                    "Online - Webinar",
                    "www.example.org",
                    "",
                    "Rp 89.700",
                ],
            ),
        ],
    )
    .await
    .unwrap();

    use State::{Created, Duplicate, Refused};
    let created_and_not = [
        Created, Created, Created, Created, Duplicate, Refused, Refused, Refused,
    ];
    assert_eq!(states(&results), created_and_not);
    let numbers: Vec<i64> = results.iter().map(|result| result.row_number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 9]);

    let barista = course(&world, &results[1].name).await;
    assert_eq!(
        (barista.price, barista.public_price),
        (Some(rupiah(89_700)), Some(rupiah(299_000)))
    );
    assert_eq!(barista.uri, "https://www.example.org");
    assert_eq!(results[1].warnings.len(), 1);
    // Two spellings are one provider.
    assert_eq!(
        course(&world, &results[2].name).await.provider,
        course(&world, &results[3].name).await.provider
    );
    assert_eq!(results[4].name, results[0].name);
    let columns = |result: &ImportRowResult| -> Vec<String> {
        result
            .violations
            .iter()
            .map(|violation| violation.column.clone())
            .collect()
    };
    assert_eq!(columns(&results[5]), ["course_price"]);
    assert_eq!(
        columns(&results[6]),
        [
            "course_title",
            "course_category",
            "course_type",
            "course_price",
            "Prosentase diskon"
        ]
    );
    assert_eq!(columns(&results[7]), ["Prosentase diskon"]);
    assert_eq!(
        results[7].violations[0].description,
        "differs from row 2 of this import, which was taken"
    );
    let told: Vec<String> = world
        .outbox()
        .await
        .into_iter()
        .map(|(_, subject)| subject)
        .collect();
    let created: Vec<String> = results[..4]
        .iter()
        .map(|result| result.name.clone())
        .collect();
    assert_eq!(told, created);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn the_next_file_of_a_source_changes_what_differs(db: PgPool) {
    let world = World::start(db).await;
    let first = vec![
        header(&fresh_id(), "isw"),
        plain(1, "Las Dasar", "Rp 20.000"),
        plain(2, "Las Pipa", "Rp 20.000"),
    ];
    let (_, before) = import(&world, first).await.unwrap();

    let next = vec![
        header(&fresh_id(), "isw"),
        plain(1, "Las Pipa", "Gratis"),
        plain(2, "Las Dasar", "Rp 20.000"),
        plain(3, "Las Titik", "Rp 20.000"),
        plain(4, "Las Dasar", "Rp 20.000"),
    ];
    let (_, after) = import(&world, next).await.unwrap();

    use State::{Created, Duplicate, Unchanged, Updated};
    assert_eq!(states(&after), [Updated, Unchanged, Created, Duplicate]);
    assert_eq!(
        (&after[0].name, &after[1].name),
        (&before[1].name, &before[0].name)
    );
    assert_eq!(course(&world, &after[0].name).await.price, Some(rupiah(0)));
    assert_eq!(world.outbox().await.len(), 3);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn another_source_changes_nothing(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Latih Nusa").await;
    let mut by_hand = new_course(&provider, "Las Tangan");
    by_hand.set_mode(pb::course::Mode::SelfPaced);
    let request = pb::CreateCourseRequest {
        request_id: fresh_id(),
        course: Some(by_hand),
    };
    let by_hand = world
        .courses()
        .create_course(request)
        .await
        .unwrap()
        .into_inner();
    let first = vec![
        header(&fresh_id(), "isw"),
        plain(1, "Las Dasar", "Rp 20.000"),
    ];
    import(&world, first).await.unwrap();

    let other = vec![
        header(&fresh_id(), "karier"),
        plain(1, "Las Dasar", "Rp 20.000"),
        plain(2, "Las Tangan", "Rp 20.000"),
    ];
    let (_, results) = import(&world, other).await.unwrap();

    assert_eq!(states(&results), [State::Duplicate, State::Duplicate]);
    assert!(results[0].warnings.is_empty());
    assert!(
        results[1].warnings[0].description.contains("course_price"),
        "{:?}",
        results[1].warnings
    );
    assert_eq!(results[1].name, by_hand.name);
    assert_eq!(course(&world, &by_hand.name).await, by_hand);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_value_of_two_megabytes_refuses_its_row_alone(db: PgPool) {
    let world = World::start(db).await;
    let huge = "x".repeat(2_000_000);

    let (_, results) = import(
        &world,
        vec![
            header(&fresh_id(), "isw"),
            plain(1, "Las Dasar", "Rp 20.000"),
            plain(2, &huge, "Rp 20.000"),
            plain(3, "Las Pipa", &huge),
            plain(4, "Las Titik", "Rp 20.000"),
        ],
    )
    .await
    .unwrap();

    assert_eq!(
        states(&results),
        [
            State::Created,
            State::Refused,
            State::Refused,
            State::Created
        ]
    );
    let title = &results[1].violations[0];
    assert_eq!(title.column, "course_title");
    assert!(
        title
            .description
            .starts_with("is 2000000 bytes long; at most 300 characters are expected: `xxx")
    );
    assert!(title.description.len() < 200);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_wrong_file_is_refused_at_once(db: PgPool) {
    let world = World::start(db).await;
    let wrong = ImportCoursesRequest {
        part: Some(Part::Header(ImportHeader {
            request_id: "x".to_owned(),
            source: String::new(),
            columns: vec!["lp_name".to_owned(), "jabatan".to_owned()],
        })),
    };

    let refused = import(&world, vec![wrong, plain(1, "Las Dasar", "Rp 20.000")])
        .await
        .unwrap_err();
    let headless = import(&world, vec![plain(1, "Las Dasar", "Rp 20.000")])
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fields(&refused)[..2], ["request_id", "header.source"]);
    for column in &COLUMNS[1..] {
        assert!(
            refused.message().contains(column),
            "{column}: {}",
            refused.message()
        );
    }
    assert_eq!(fields(&headless), ["header"]);
    assert_eq!(world.outbox().await, []);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn what_came_before_a_broken_stream_is_kept(db: PgPool) {
    let world = World::start(db).await;
    let id = fresh_id();
    let parts = vec![
        header(&id, "isw"),
        plain(5, "Las Dasar", "Rp 20.000"),
        plain(5, "Las Pipa", "Rp 20.000"),
        plain(6, "Las Titik", "Rp 20.000"),
    ];

    let mut stream = send(&world, parts).await.unwrap();
    stream.message().await.unwrap().unwrap();
    let kept = stream
        .message()
        .await
        .unwrap()
        .unwrap()
        .progress
        .unwrap()
        .results;
    let refused = stream.message().await.unwrap_err();

    assert_eq!(states(&kept), [State::Created]);
    assert_eq!(fields(&refused), ["row.row_number"]);
    let (resume_after, _) = import(&world, vec![header(&id, "isw")]).await.unwrap();
    assert_eq!(resume_after, 5);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn an_import_id_is_for_one_file(db: PgPool) {
    let world = World::start(db).await;
    let id = fresh_id();
    import(&world, vec![header(&id, "isw")]).await.unwrap();

    let refused = import(&world, vec![header(&id, "karier")])
        .await
        .unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
}
