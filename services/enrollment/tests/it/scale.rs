//! scratch
use enrollment::storage::MIGRATOR;
use sqlx::PgPool;
use crate::world::World;
#[sqlx::test(migrator = "MIGRATOR")]
async fn scale(db: PgPool) {
    let n: i64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(200_000);
    let world = World::start(db).await;
    let batch = world.open_batch("48", n / 6).await;
    world.applicants(&batch, 1).await;
    world.peers.everyone();
    let sql = format!("INSERT INTO applications SELECT gen_random_uuid(), batch_id, gen_random_uuid(), decode(md5(i::text),'hex'), signature, create_time FROM applications, generate_series(1,{n}) i");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&world.db).await.unwrap();
    sqlx::raw_sql("INSERT INTO decisions SELECT a.application_id, 1, a.batch_id, eligible, rule_set_hash, facts, facts_hash, refusals, region, groups, household, decide_time FROM applications a, decisions d WHERE a.application_id <> d.application_id; ANALYZE").execute(&world.db).await.unwrap();
    world.close(&batch).await; world.commit(&batch).await;
    let t = std::time::Instant::now(); world.freeze(&batch).await.unwrap(); eprintln!("freeze {:?}", t.elapsed());
    world.reveal(&batch).await;
    let t = std::time::Instant::now(); world.draw(&batch).await.unwrap(); eprintln!("draw {:?}", t.elapsed());
    let t = std::time::Instant::now(); world.award(&batch).await.unwrap(); eprintln!("award {:?}", t.elapsed());
    let t = std::time::Instant::now(); world.get_batch(&batch).await; eprintln!("funnel {:?}", t.elapsed());
}
