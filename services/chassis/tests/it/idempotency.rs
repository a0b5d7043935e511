//! The request ids, with concurrent holders.

use std::time::Duration;

use chassis::{
    auth::Principal,
    idempotency::{self, BatchClaim, Claim, ClaimError, RequestKey},
    status::Refusal,
    task,
};
use proto::r#type::v1::Money;
use sqlx::PgPool;
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

fn amount(units: i64) -> Money {
    Money {
        currency_code: "IDR".to_owned(),
        units,
        nanos: 0,
    }
}

fn key(id: u128, units: i64) -> RequestKey {
    let principal = Principal::service("serviceAccounts/portal");
    let id = Uuid::from_u128(id).to_string();
    RequestKey::new("CreateOrder", &principal, &amount(units), &id).unwrap()
}

/// Does a command in a transaction of its own, and returns its answer.
async fn order(pool: &PgPool, key: &RequestKey, answer: i64) -> Result<Money, ClaimError> {
    let mut tx = pool.begin().await?;
    if let Claim::Repeat(bytes) = idempotency::claim(&mut tx, key, NOW).await? {
        return Ok(Claim::Repeat(bytes).answer().unwrap().unwrap());
    }
    let answer = amount(answer);
    idempotency::store(&mut tx, key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

#[sqlx::test(migrations = "./migrations")]
async fn a_repeat_gets_the_first_answer(pool: PgPool) {
    let first = order(&pool, &key(1, 5), 100).await.unwrap();
    let repeat = order(&pool, &key(1, 5), 200).await.unwrap();

    assert_eq!(first, amount(100));
    assert_eq!(repeat, amount(100));
}

#[sqlx::test(migrations = "./migrations")]
async fn the_same_id_for_something_else_is_refused(pool: PgPool) {
    order(&pool, &key(1, 5), 100).await.unwrap();

    let other = order(&pool, &key(1, 6), 100).await.unwrap_err();

    assert!(matches!(other, ClaimError::Reused(_)));
    assert_eq!(Refusal::from(other).reason(), "REQUEST_ID_REUSED");
}

#[sqlx::test(migrations = "./migrations")]
async fn a_refused_command_leaves_no_trace(pool: PgPool) {
    let mut tx = pool.begin().await.unwrap();
    idempotency::claim(&mut tx, &key(1, 5), NOW).await.unwrap();
    tx.rollback().await.unwrap();

    let again = order(&pool, &key(1, 6), 100).await.unwrap();

    assert_eq!(again, amount(100));
}

#[sqlx::test(migrations = "./migrations")]
async fn a_concurrent_repeat_waits_for_the_first_answer(pool: PgPool) {
    let mut tx = pool.begin().await.unwrap();
    let claimed = idempotency::claim(&mut tx, &key(1, 5), NOW).await.unwrap();
    assert_eq!(claimed, Claim::New);

    let (other, second) = (pool.clone(), key(1, 5));
    let repeat = task::spawn("repeat", async move { order(&other, &second, 200).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!repeat.is_finished());
    idempotency::store(&mut tx, &key(1, 5), &amount(100))
        .await
        .unwrap();
    tx.commit().await.unwrap();

    assert_eq!(repeat.await.unwrap().unwrap(), amount(100));
}

#[sqlx::test(migrations = "./migrations")]
async fn a_concurrent_repeat_takes_over_when_the_first_rolls_back(pool: PgPool) {
    let mut tx = pool.begin().await.unwrap();
    idempotency::claim(&mut tx, &key(1, 5), NOW).await.unwrap();

    let (other, second) = (pool.clone(), key(1, 5));
    let repeat = task::spawn("repeat", async move { order(&other, &second, 200).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    tx.rollback().await.unwrap();

    assert_eq!(repeat.await.unwrap().unwrap(), amount(200));
}

#[sqlx::test(migrations = "./migrations")]
async fn twenty_at_once_do_the_work_once(pool: PgPool) {
    let calls = (0..20).map(|answer| {
        let (pool, key) = (pool.clone(), key(1, 5));
        async move { order(&pool, &key, answer).await.unwrap() }
    });

    let answers = futures::future::join_all(calls).await;

    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

#[sqlx::test(migrations = "./migrations")]
async fn a_batch_gets_a_verdict_for_each(pool: PgPool) {
    order(&pool, &key(1, 5), 100).await.unwrap();
    order(&pool, &key(2, 5), 100).await.unwrap();
    let keys = [
        key(9, 5),
        key(1, 5),
        key(2, 6),
        key(9, 5),
        key(9, 6),
        key(3, 5),
    ];
    let keys: Vec<&RequestKey> = keys.iter().collect();

    let mut tx = pool.begin().await.unwrap();
    let verdicts = idempotency::claim_all(&mut tx, &keys, NOW).await.unwrap();
    let answers = [(keys[0], prost::Message::encode_to_vec(&amount(7)))];
    idempotency::store_all(&mut tx, &answers).await.unwrap();
    idempotency::release_all(&mut tx, &[keys[5]]).await.unwrap();
    tx.commit().await.unwrap();

    let stored = prost::Message::encode_to_vec(&amount(100));
    assert_eq!(
        verdicts,
        [
            BatchClaim::New,
            BatchClaim::Repeat(stored),
            BatchClaim::Reused,
            BatchClaim::SameAs(0),
            BatchClaim::Reused,
            BatchClaim::New,
        ]
    );
    assert_eq!(order(&pool, &key(9, 5), 1).await.unwrap(), amount(7));
    // The refused one may be tried again, also with another content.
    assert_eq!(order(&pool, &key(3, 8), 1).await.unwrap(), amount(1));
}

#[sqlx::test(migrations = "./migrations")]
async fn batches_that_share_ids_do_not_deadlock(pool: PgPool) {
    let batch = |ids: Vec<u128>, pool: PgPool| async move {
        let keys: Vec<RequestKey> = ids.into_iter().map(|id| key(id, 5)).collect();
        let keys: Vec<&RequestKey> = keys.iter().collect();
        let mut tx = pool.begin().await?;
        let verdicts = idempotency::claim_all(&mut tx, &keys, NOW).await?;
        let done: Vec<_> = keys
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| **verdict == BatchClaim::New)
            .map(|(key, _)| (*key, Vec::new()))
            .collect();
        idempotency::store_all(&mut tx, &done).await?;
        tx.commit().await?;
        Ok::<usize, sqlx::Error>(done.len())
    };

    let calls = (0..8).map(|turn| {
        let up: Vec<u128> = (1..=200).collect();
        let down: Vec<u128> = (1..=200).rev().collect();
        batch(if turn % 2 == 0 { up } else { down }, pool.clone())
    });
    let done = futures::future::try_join_all(calls).await.unwrap();

    assert_eq!(done.iter().sum::<usize>(), 200);
}
