//! Imports of snapshots: cut, repeated, refused, or side by side.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use futures::future::join_all;
use proto::identity::v1::{
    self as pb, import_snapshot_request::Part as Asked, import_snapshot_response::Part as Answer,
    snapshot_header::Kind,
};
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    snapshot::{self, Snapshot, a_list, day, import, refusal, request, send},
    world::{World, fields, national_id, reason},
};

const LIMIT: Duration = Duration::from_secs(20);

/// Returns hashes of nobody.
fn hashes(numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    numbers
        .map(|number| digest(&SHA256, &number.to_be_bytes()).as_ref().to_vec())
        .collect()
}

async fn entry_count(world: &World) -> i64 {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM exclusion_entries"#);
    count.fetch_one(&world.db).await.unwrap()
}

async fn event_count(world: &World) -> i64 {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM outbox WHERE type = 'bekal.identity.v1.ExclusionsChanged'"#
    );
    count.fetch_one(&world.db).await.unwrap()
}

async fn staged_count(world: &World) -> i64 {
    let count = sqlx::query_scalar!(
        r#"SELECT (SELECT count(*) FROM snapshot_chunks) + (SELECT count(*) FROM snapshot_hits) AS "count!""#
    );
    count.fetch_one(&world.db).await.unwrap()
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_cut_import_goes_on_after_its_last_stored_chunk(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    world.verified(&national_id(1)).await;
    let whole = Snapshot::of(&list, Kind::Full)
        .chunk(&[world.hash(&national_id(1))], &[])
        .chunk(&hashes(0..10), &[])
        .chunk(&hashes(10..30), &[]);

    // The first stream gives two chunks, sees them answered, and is cut.
    let (parts, receiver) = mpsc::channel(10);
    for part in &whole.requests()[..3] {
        parts.send(part.clone()).await.unwrap();
    }
    let mut cut = world
        .exclusion_lists()
        .import_snapshot(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    for _ in 0..3 {
        let answer = tokio::time::timeout(LIMIT, cut.message()).await.unwrap();
        answer.unwrap().unwrap();
    }
    drop(cut);
    drop(parts);
    let before_the_end = (entry_count(&world).await, event_count(&world).await);

    // The second gives the whole snapshot again, as one that does not look at where to go on.
    let (answers, ended) = send(&world, whole.requests()).await;
    ended.unwrap();

    assert_eq!(before_the_end, (0, 0));
    assert_eq!(answers.resume_after, 2);
    let accepted: Vec<i32> = answers
        .chunks
        .iter()
        .map(|chunk| chunk.accepted_count)
        .collect();
    assert_eq!(accepted, [1, 10, 20]);
    assert_eq!(answers.result.unwrap().added_entry_count, 31);
    assert_eq!(
        (entry_count(&world).await, event_count(&world).await),
        (31, 1)
    );
    assert_eq!(staged_count(&world).await, 0);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_chunk_that_is_stored_is_not_replaced(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let first = Snapshot::of(&list, Kind::Full).chunk(&hashes(0..10), &[]);
    let mut unfinished = first.requests();
    unfinished.pop();
    send(&world, unfinished).await.1.unwrap();

    let mut other = first.clone();
    other.chunks[0].listed_hashes = hashes(100..150);
    let result = import(&world, &other).await;

    assert_eq!(result.added_entry_count, 10);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_repeat_gets_the_first_answer_and_has_no_effect(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let account = world.verified(&national_id(1)).await;
    let snapshot = Snapshot::of(&list, Kind::Full)
        .chunk(&[world.hash(&national_id(1))], &[])
        .chunk(&hashes(0..10), &[]);
    let first = import(&world, &snapshot).await;
    // Another one has lifted the person since.
    import(&world, &Snapshot::of(&list, Kind::Full).on(3)).await;
    let version = world.facts(&[&account]).await[0].facts_change_time;
    world.clock.advance_by(time::Duration::minutes(1));

    let (answers, ended) = send(&world, snapshot.requests()).await;
    ended.unwrap();
    let end_alone = vec![
        snapshot.requests().remove(0),
        snapshot.requests().pop().unwrap(),
    ];
    let (end_alone, _) = send(&world, end_alone).await;

    assert_eq!(answers.resume_after, 2);
    assert_eq!(answers.result, Some(first.clone()));
    assert_eq!(end_alone.result, Some(first));
    assert_eq!(world.facts(&[&account]).await[0].facts_change_time, version);
    assert_eq!(
        (entry_count(&world).await, event_count(&world).await),
        (0, 2)
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_row_is_refused_alone(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let mut rows = hashes(0..5);
    rows[1].pop();
    rows[3] = Vec::new();

    let full = Snapshot::of(&list, Kind::Full).chunk(&rows, &hashes(0..1));
    let (full_answers, ended) = send(&world, full.requests()).await;
    ended.unwrap();
    let change = Snapshot::of(&list, Kind::Incremental).chunk(&[], &rows);
    let (change_answers, ended) = send(&world, change.requests()).await;
    ended.unwrap();
    // Chunks that are stored already are answered as at first.
    let (again, ended) = send(&world, full.requests()).await;
    ended.unwrap();

    let places = |answers: &snapshot::Answers| -> Vec<(String, i32)> {
        let faults = answers.chunks[0].faults.iter();
        faults
            .map(|fault| (fault.field.clone(), fault.index))
            .collect()
    };
    let place = |field: &str, index| (field.to_owned(), index);
    assert_eq!(
        places(&full_answers),
        [
            place("listed_hashes", 1),
            place("listed_hashes", 3),
            place("lifted_hashes", 0)
        ]
    );
    assert_eq!(full_answers.chunks[0].accepted_count, 3);
    assert_eq!(full_answers.result.as_ref().unwrap().added_entry_count, 3);
    assert_eq!(
        places(&change_answers),
        [place("lifted_hashes", 1), place("lifted_hashes", 3)]
    );
    assert_eq!(change_answers.result.unwrap().removed_entry_count, 3);
    assert_eq!(again.chunks, full_answers.chunks);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_older_snapshot_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let older = Snapshot::of(&list, Kind::Full)
        .on(1)
        .chunk(&hashes(0..9), &[]);
    let mut overtaken = older.requests();
    let end = overtaken.pop().unwrap();
    send(&world, overtaken).await.1.unwrap();
    import(
        &world,
        &Snapshot::of(&list, Kind::Full)
            .on(3)
            .chunk(&hashes(0..5), &[]),
    )
    .await;

    let at_the_end = refusal(&world, vec![older.requests().remove(0), end]).await;
    let next = Snapshot::of(&list, Kind::Incremental)
        .on(2)
        .chunk(&hashes(0..9), &[]);
    let at_once = refusal(&world, next.requests()).await;
    let correction = Snapshot::of(&list, Kind::Full)
        .on(3)
        .chunk(&hashes(0..4), &[]);
    let correction = import(&world, &correction).await;

    for refused in [at_the_end, at_once] {
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "SNAPSHOT_OUTDATED")
        );
        assert!(refused.message().contains("2024-11-03"), "{refused}");
    }
    assert_eq!(correction.removed_entry_count, 1);
    assert_eq!(entry_count(&world).await, 4);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_snapshot_with_a_gap_does_not_take_effect(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let snapshot = Snapshot::of(&list, Kind::Full)
        .chunk(&hashes(0..5), &[])
        .chunk(&hashes(5..9), &[]);
    let mut without_first = snapshot.requests();
    without_first.remove(1);
    let mut without_second = snapshot.requests();
    without_second.remove(2);
    let mut longer = snapshot.clone().chunk(&hashes(9..10), &[]).requests();
    longer.pop();

    let gap = refusal(&world, without_first).await;
    let cut_off = refusal(&world, without_second).await;
    let nothing_yet = entry_count(&world).await;
    import(&world, &snapshot).await;
    let after_the_end = refusal(&world, longer).await;

    for refused in [gap, cut_off] {
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "SNAPSHOT_INCOMPLETE")
        );
    }
    assert_eq!(nothing_yet, 0);
    assert_eq!(
        (after_the_end.code(), reason(&after_the_end).as_str()),
        (Code::FailedPrecondition, "SNAPSHOT_ENDED")
    );
    assert_eq!(entry_count(&world).await, 9);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_stream_has_a_shape(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let good = Snapshot::of(&list, Kind::Full).chunk(&hashes(0..5), &[]);
    let header = || good.requests().remove(0);
    let chunk = |number, count| {
        request(Asked::Chunk(pb::SnapshotChunk {
            chunk_number: number,
            listed_hashes: hashes(0..count),
            lifted_hashes: hashes(0..1),
        }))
    };
    let mut nothing = header();
    nothing.part = None;
    let wrong = Asked::Header(pb::SnapshotHeader {
        request_id: "1".to_owned(),
        exclusion_list: "students".to_owned(),
        snapshot_date: None,
        kind: 0,
    });
    let mut ahead = good.header.clone();
    ahead.snapshot_date = Some(proto::r#type::v1::Date {
        year: 9999,
        ..day(1)
    });

    for (requests, expected) in [
        (vec![chunk(1, 1)], vec!["header"]),
        (
            vec![request(wrong)],
            vec![
                "request_id",
                "header.exclusion_list",
                "header.snapshot_date",
                "header.kind",
            ],
        ),
        (
            vec![request(Asked::Header(ahead))],
            vec!["header.snapshot_date"],
        ),
        (vec![header(), header()], vec!["header"]),
        (vec![header(), nothing], vec!["part"]),
        (vec![header(), chunk(0, 1)], vec!["chunk.chunk_number"]),
        (vec![header(), chunk(1, 10_000)], vec!["chunk"]),
    ] {
        let refused = refusal(&world, requests).await;
        assert_eq!(fields(&refused), expected, "{refused}");
    }
    let mut reused = good.requests();
    reused[0] = good.clone().on(3).requests().remove(0);
    assert_eq!(reason(&refusal(&world, reused).await), "REQUEST_ID_REUSED");
    let unknown = Snapshot::of("exclusionLists/unknown", Kind::Full);
    let unknown = refusal(&world, unknown.requests()).await;
    assert_eq!(reason(&unknown), "NOT_FOUND");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn imports_at_once_take_effect_once_each(db: PgPool) {
    let world = World::start(db).await;
    let other = world.another().await;
    let lists = [
        a_list(&world, "students").await,
        a_list(&world, "civil-servants").await,
    ];
    world.verified(&national_id(1)).await;
    let hash = world.hash(&national_id(1));
    let snapshots = lists.map(|list| {
        Snapshot::of(&list, Kind::Full)
            .chunk(&hashes(0..3_000), &[])
            .chunk(std::slice::from_ref(&hash), &[])
    });

    // Three streams of each import, on two replicas.
    let streams = (0..6).map(|i| {
        let world = if i % 2 == 0 { &world } else { &other };
        import(world, &snapshots[i / 3])
    });
    let results = join_all(streams).await;

    assert!(
        results
            .iter()
            .all(|result| result.added_entry_count == 3_001)
    );
    assert!(results[..3].iter().all(|result| *result == results[0]));
    assert!(results[3..].iter().all(|result| *result == results[3]));
    assert_eq!(
        (entry_count(&world).await, event_count(&world).await),
        (6_002, 2)
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_import_that_nobody_continues_starts_again(db: PgPool) {
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let snapshot = Snapshot::of(&list, Kind::Full)
        .chunk(&hashes(0..5), &[])
        .chunk(&hashes(5..9), &[]);
    let mut unfinished = snapshot.requests();
    unfinished.pop();
    send(&world, unfinished).await.1.unwrap();

    world.clock.advance_by(time::Duration::days(8));
    import(&world, &Snapshot::of(&list, Kind::Incremental)).await;
    let forgotten = staged_count(&world).await;
    let (answers, ended) = send(&world, snapshot.requests()).await;
    ended.unwrap();

    assert_eq!(forgotten, 0);
    assert_eq!(answers.resume_after, 0);
    assert_eq!(answers.result.unwrap().added_entry_count, 9);
}

/// A measurement too, of the times that it prints: `cargo nextest run -p identity --run-ignored only five_million
/// --no-capture`, on a database that waits for its disk.
#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
#[ignore = "takes some minutes"]
async fn five_million_ids_are_imported_in_bounded_memory(db: PgPool) {
    const CHUNKS: u32 = 500;
    let world = World::start(db).await;
    let list = a_list(&world, "civil-servants").await;
    insert_persons(&world, 1_000_000).await;

    // In the second, the first 500,000 are replaced by others.
    for (day, first_hash, added, removed) in [(2, 0, 5_000_000, 0), (3, 500_000, 500_000, 500_000)]
    {
        let started = Instant::now();
        let header = Snapshot::of(&list, Kind::Full).on(day).requests().remove(0);
        let chunks = (0..CHUNKS).map(move |i| {
            let from = first_hash + i * 10_000;
            request(Asked::Chunk(pb::SnapshotChunk {
                chunk_number: i64::from(i) + 1,
                listed_hashes: hashes(from..from + 10_000),
                lifted_hashes: Vec::new(),
            }))
        });
        let end = request(Asked::End(pb::SnapshotEnd {
            chunk_count: i64::from(CHUNKS),
        }));
        let mut stream = world
            .exclusion_lists()
            .import_snapshot(tokio_stream::iter(
                [header].into_iter().chain(chunks).chain([end]),
            ))
            .await
            .unwrap()
            .into_inner();
        for _ in 0..=CHUNKS {
            stream.message().await.unwrap().unwrap();
        }
        let streamed = started.elapsed();
        let result = stream.message().await.unwrap().unwrap();
        let total = started.elapsed();

        let Some(Answer::Result(result)) = result.part else {
            panic!("the end is answered last");
        };
        println!("streamed in {streamed:.1?}, in effect after {total:.1?}: {result:?}");
        assert_eq!(
            (result.added_entry_count, result.removed_entry_count),
            (added, removed)
        );
    }
    // Server and caller are in this process; the ids alone are 160 MB.
    let peak = peak_memory_kb();
    println!("peak memory {peak} kB");
    assert!(peak < 100_000, "{peak} kB");
}

/// Returns the largest resident set that this process had.
fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Inserts persons of whom a fifth is among the first 5,000,000 hashes.
async fn insert_persons(world: &World, count: i64) {
    let now = world.clock.now();
    sqlx::query!(
        "INSERT INTO accounts (id, email, state, create_time)
         SELECT gen_random_uuid(), 'p' || i || '@contoh.id', 'ACTIVE', $2 FROM generate_series(1, $1::bigint) AS i",
        count,
        now,
    )
    .execute(&world.db)
    .await
    .unwrap();
    sqlx::query!(
        "INSERT INTO persons (account_id, state, submission_number, national_id_hash, sealed_identity, sealed_facts,
             mismatch_fields, submit_time, verify_time, attempt_count)
         SELECT id, 'VERIFIED', 1, sha256(int4send((number * 24)::integer)), repeat('i', 300)::bytea,
             repeat('f', 300)::bytea, '{}', $1, $1, 0
         FROM (SELECT id, row_number() OVER () AS number FROM accounts) AS numbered",
        now,
    )
    .execute(&world.db)
    .await
    .unwrap();
}
