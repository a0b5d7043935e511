//! The stream of an import: its header, its cuts, its rules.

use proto::r#type::v1::import_row_result::State;
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    feed::{Fields, Import, header, import, row, states},
    harness::{Jobs, reason, violations},
};

const COLUMNS: [&str; 4] = ["title", "company", "location", "mean_monthly_salary_idr"];

fn advert(title: &str) -> Fields {
    row(&[title, "PT Contoh", "", ""])
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_import_goes_on_after_a_cut(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request_id = Uuid::now_v7();
    let (mut cut, resume_after) = Import::open(&jobs, header(request_id, "karir", &COLUMNS))
        .await
        .unwrap();
    assert_eq!(resume_after, 0);
    cut.send(1, &advert("A")).await;
    cut.send(2, &advert("A")).await;
    let committed = cut.progress().await.unwrap().unwrap().results;
    let committed = committed.last().unwrap().row_number;
    drop(cut);

    let (again, resume_after) = Import::open(&jobs, header(request_id, "karir", &COLUMNS))
        .await
        .unwrap();
    for (row_number, title) in [(1, "A"), (2, "A"), (3, "A"), (4, "B")] {
        again.send(row_number, &advert(title)).await;
    }
    let results = again.finish().await.unwrap();

    assert!(resume_after >= committed, "what was answered is committed");
    assert_eq!(resume_after, 2);
    assert_eq!(
        states(&results),
        [
            State::Unchanged,
            State::Unchanged,
            State::Duplicate,
            State::Created
        ]
    );
    assert_eq!(results[0].name, results[2].name);
    assert_eq!(
        jobs.get(&results[0].name).await.advert_count,
        3,
        "repeated rows count once"
    );
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_finished_import_repeated_whole_changes_nothing(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request_id = Uuid::now_v7();
    let rows = [advert("A"), advert("A"), row(&["B", "", "", ""])];
    let first = import(&jobs, request_id, "karir", &rows).await.unwrap();

    let second = import(&jobs, request_id, "karir", &rows).await.unwrap();

    assert_eq!(
        states(&first),
        [State::Created, State::Duplicate, State::Refused]
    );
    assert_eq!(
        states(&second),
        [State::Unchanged, State::Unchanged, State::Refused]
    );
    assert_eq!(jobs.get(&first[0].name).await.advert_count, 2);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn two_streams_of_one_import_take_each_row_once(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request_id = Uuid::now_v7();
    let rows: Vec<Fields> = (0..1200)
        .map(|i| advert(&format!("T{}", i % 300)))
        .collect();

    let (left, right) = tokio::join!(
        import(&jobs, request_id, "karir", &rows),
        import(&jobs, request_id, "karir", &rows)
    );

    let (left, right) = (left.unwrap(), right.unwrap());
    let count = |state| {
        left.iter()
            .chain(&right)
            .filter(|result| result.state() == state)
            .count()
    };
    assert_eq!(count(State::Created), 300);
    assert_eq!(count(State::Duplicate), 900);
    assert_eq!(count(State::Unchanged), 1200);
    assert_eq!(jobs.get(&left[0].name).await.advert_count, 4);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn results_come_in_the_order_of_the_rows(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let rows: Vec<Fields> = (0..1234).map(|i| advert(&format!("T{i}"))).collect();

    let results = import(&jobs, Uuid::now_v7(), "karir", &rows).await.unwrap();

    let numbers: Vec<i64> = results.iter().map(|result| result.row_number).collect();
    assert_eq!(numbers, (1..=1234).collect::<Vec<i64>>());
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_wrong_file_is_refused_at_once(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let wrong = header(Uuid::now_v7(), "karir", &["name", "company", "price"]);

    let status = Import::open(&jobs, wrong).await.err().unwrap();

    assert_eq!(status.code(), Code::InvalidArgument);
    let told = violations(&status);
    assert_eq!(told.len(), 3);
    for (violation, column) in told
        .iter()
        .zip(["title", "location", "mean_monthly_salary_idr"])
    {
        assert_eq!(violation.0, "header.columns");
        assert!(
            violation.1.starts_with(&format!("`{column}` is missing")),
            "{violation:?}"
        );
    }
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn every_fault_of_a_header_is_told(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let mut wrong = header(Uuid::nil(), "", &["title", "company", "location"]);
    wrong.request_id = "one".to_owned();

    let status = Import::open(&jobs, wrong).await.err().unwrap();

    let fields: Vec<String> = violations(&status)
        .into_iter()
        .map(|(field, _)| field)
        .collect();
    assert_eq!(fields, ["request_id", "header.source", "header.columns"]);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn an_id_is_for_one_source_and_its_columns(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request_id = Uuid::now_v7();
    Import::open(&jobs, header(request_id, "karir", &COLUMNS))
        .await
        .unwrap();

    let other_source = Import::open(&jobs, header(request_id, "lain", &COLUMNS))
        .await
        .err()
        .unwrap();
    let mut columns = COLUMNS.to_vec();
    columns.push("external_id");
    let other_columns = Import::open(&jobs, header(request_id, "karir", &columns))
        .await
        .err()
        .unwrap();

    assert_eq!(reason(&other_source), "REQUEST_ID_REUSED");
    assert_eq!(reason(&other_columns), "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn rows_ascend_and_what_came_before_a_fault_is_kept(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let request_id = Uuid::now_v7();
    let (mut import, _) = Import::open(&jobs, header(request_id, "karir", &COLUMNS))
        .await
        .unwrap();

    import.send(1, &advert("A")).await;
    import.send(2, &advert("B")).await;
    import.send(2, &advert("C")).await;
    let mut results = Vec::new();
    let status = loop {
        match import.progress().await {
            Ok(progress) => results.extend(progress.expect("the import is refused").results),
            Err(status) => break status,
        }
    };

    assert_eq!(states(&results), [State::Created, State::Created]);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(violations(&status)[0].0, "row.row_number");
    let (_, resume_after) = Import::open(&jobs, header(request_id, "karir", &COLUMNS))
        .await
        .unwrap();
    assert_eq!(resume_after, 2);
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
async fn a_header_comes_once_and_first(db: PgPool) {
    let jobs = Jobs::start(db).await;
    let (mut import, _) = Import::open(&jobs, header(Uuid::now_v7(), "karir", &COLUMNS))
        .await
        .unwrap();

    import
        .send_header(header(Uuid::now_v7(), "karir", &COLUMNS))
        .await;
    let status = import.progress().await.unwrap_err();

    assert_eq!(
        violations(&status),
        [("header".to_owned(), "comes once, first".to_owned())]
    );
}
