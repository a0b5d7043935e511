//! Finding courses.

use proto::catalog::v1::{self as pb, course::Mode};
use sqlx::PgPool;

use crate::world::{World, fields, fresh_id, new_course, reason};

async fn a_catalogue(db: PgPool) -> World {
    let world = World::start(db).await;
    let (nusa, kopi) = (
        world.a_provider("Balai Latih Nusa").await,
        world.a_provider("Akademi Kopi").await,
    );
    for (provider, title, category, mode) in [
        (
            &nusa,
            "Pelatihan Barista untuk Pemula",
            "Makanan dan Minuman",
            Mode::Webinar,
        ),
        (
            &nusa,
            "Pemasaran Digital bagi Usaha Mikro",
            "Penjualan dan Pemasaran",
            Mode::SelfPaced,
        ),
        (
            &kopi,
            "Menyeduh Kopi Nusantara",
            "Makanan dan Minuman",
            Mode::Offline,
        ),
        (
            &kopi,
            "Membuat Kue Kering",
            "Makanan dan Minuman",
            Mode::SelfPaced,
        ),
    ] {
        let mut course = new_course(provider, title);
        course.category = category.to_owned();
        course.set_mode(mode);
        let request = pb::CreateCourseRequest {
            request_id: fresh_id(),
            course: Some(course),
        };
        world.courses().create_course(request).await.unwrap();
    }
    world
}

fn words(query: &str) -> pb::SearchCoursesRequest {
    pb::SearchCoursesRequest {
        query: query.to_owned(),
        ..pb::SearchCoursesRequest::default()
    }
}

async fn titles(world: &World, request: pb::SearchCoursesRequest) -> Vec<String> {
    let found = world
        .courses()
        .search_courses(request)
        .await
        .unwrap()
        .into_inner();
    found
        .courses
        .into_iter()
        .map(|course| course.title)
        .collect()
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn words_are_found_by_their_stems(db: PgPool) {
    let world = a_catalogue(db).await;

    for (query, expected) in [
        ("melatih barista", "Pelatihan Barista untuk Pemula"),
        ("BARISTA", "Pelatihan Barista untuk Pemula"),
        ("memasarkan", "Pemasaran Digital bagi Usaha Mikro"),
        ("seduh", "Menyeduh Kopi Nusantara"),
        ("pembuatan kue", "Membuat Kue Kering"),
        ("\"kue kering\"", "Membuat Kue Kering"),
        ("kopi -kue", "Menyeduh Kopi Nusantara"),
    ] {
        assert_eq!(titles(&world, words(query)).await, [expected], "{query}");
    }
    assert!(titles(&world, words("akuntansi")).await.is_empty());
    assert!(titles(&world, words("& | !( ' \\")).await.is_empty());
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_title_counts_more_than_a_provider(db: PgPool) {
    let world = a_catalogue(db).await;

    let by_coffee = titles(&world, words("kopi")).await;
    let by_training = titles(&world, words("latih")).await;

    assert_eq!(by_coffee, ["Menyeduh Kopi Nusantara", "Membuat Kue Kering"]);
    assert_eq!(by_training[0], "Pelatihan Barista untuk Pemula");
    assert_eq!(by_training.len(), 2);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn filters_narrow_and_no_words_find_all(db: PgPool) {
    let world = a_catalogue(db).await;
    let food = pb::SearchCoursesRequest {
        category: "Makanan dan Minuman".to_owned(),
        ..words("")
    };
    let mut offline_food = food.clone();
    offline_food.set_mode(Mode::Offline);
    let mut training_in_food = food.clone();
    "latih".clone_into(&mut training_in_food.query);

    assert_eq!(titles(&world, words("")).await.len(), 4);
    assert_eq!(titles(&world, food).await.len(), 3);
    assert_eq!(
        titles(&world, offline_food).await,
        ["Menyeduh Kopi Nusantara"]
    );
    assert_eq!(
        titles(&world, training_in_food).await,
        ["Pelatihan Barista untuk Pemula"]
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn pages_stay_where_they_are_while_courses_are_added(db: PgPool) {
    let world = World::start(db).await;
    let provider = world.a_provider("Balai Nusa").await;
    for i in 0..7 {
        let words = if i % 2 == 0 {
            "Roti Roti dan Roti"
        } else {
            "Roti"
        };
        world.a_course(&provider, &format!("{words} {i}")).await;
    }
    let whole = titles(&world, words("roti")).await;

    let mut found = Vec::new();
    let mut request = pb::SearchCoursesRequest {
        page_size: 2,
        ..words("roti")
    };
    loop {
        let page = world
            .courses()
            .search_courses(request.clone())
            .await
            .unwrap()
            .into_inner();
        found.extend(page.courses.into_iter().map(|course| course.title));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // One that ranks first: the pages after it neither repeat nor leave out what was there.
        world
            .a_course(&provider, &format!("Roti Roti Roti Roti {}", found.len()))
            .await;
    }
    found.retain(|title| !title.starts_with("Roti Roti Roti Roti"));

    assert_eq!(whole.len(), 7);
    assert_eq!(found, whole);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_token_belongs_to_its_search(db: PgPool) {
    let world = a_catalogue(db).await;
    let first = pb::SearchCoursesRequest {
        page_size: 1,
        ..words("kopi")
    };
    let page = world
        .courses()
        .search_courses(first.clone())
        .await
        .unwrap()
        .into_inner();

    let other = pb::SearchCoursesRequest {
        page_token: page.next_page_token.clone(),
        ..words("latih")
    };
    let refused = world.courses().search_courses(other).await.unwrap_err();
    let larger_page = pb::SearchCoursesRequest {
        page_size: 9,
        page_token: page.next_page_token,
        ..first
    };

    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    assert_eq!(titles(&world, larger_page).await, ["Membuat Kue Kering"]);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn every_violation_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::SearchCoursesRequest {
        query: "x".repeat(201),
        category: "a\0b".to_owned(),
        mode: 99,
        ..pb::SearchCoursesRequest::default()
    };

    let refused = world.courses().search_courses(request).await.unwrap_err();

    assert_eq!(fields(&refused), ["query", "category", "mode"]);
}
