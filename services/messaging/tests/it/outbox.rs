//! Appending: what becomes a row, and in which order.

use messaging::outbox;
use sqlx::PgPool;

use crate::stage::{Changed, NOW, number, numbers};

#[sqlx::test]
async fn an_event_is_there_if_and_only_if_its_transaction_commits(pool: PgPool) {
    let event = Changed {
        version: 1,
        note: String::new(),
    };

    let mut tx = pool.begin().await.unwrap();
    outbox::append(&mut tx, "things/1", NOW, &event)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(number(&pool, "SELECT count(*) FROM outbox").await, 0);

    let mut tx = pool.begin().await.unwrap();
    outbox::append(&mut tx, "things/1", NOW, &event)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        number(
            &pool,
            "SELECT count(*) FROM outbox
             WHERE type = 'bekal.test.v1.Changed' AND subject = 'things/1' AND time = '2026-11-24T10:00:00Z'
               AND body = '\\x0801' AND lane BETWEEN 0 AND 15"
        )
        .await,
        1
    );
}

#[sqlx::test]
async fn events_appended_together_keep_their_order(pool: PgPool) {
    let events: Vec<Changed> = (0..1000)
        .map(|version| Changed {
            version,
            note: String::new(),
        })
        .collect();
    let events: Vec<(&str, &Changed)> = events.iter().map(|event| ("things/1", event)).collect();

    let mut tx = pool.begin().await.unwrap();
    outbox::append_all(&mut tx, NOW, &events).await.unwrap();
    outbox::append_all::<Changed>(&mut tx, NOW, &[])
        .await
        .unwrap();
    tx.commit().await.unwrap();

    // Protobuf writes the number in seven bits a byte, the lowest first; a zero not at all.
    let version = "SELECT CASE length(body)
                     WHEN 0 THEN 0
                     WHEN 2 THEN get_byte(body, 1)
                     ELSE (get_byte(body, 1) & 127) + 128 * get_byte(body, 2)
                   END
                   FROM outbox ORDER BY sequence";
    assert_eq!(
        numbers(&pool, version).await,
        (0..1000).collect::<Vec<i64>>()
    );
    assert_eq!(
        number(&pool, "SELECT count(DISTINCT lane) FROM outbox").await,
        1
    );
}
