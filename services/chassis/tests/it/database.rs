//! The pool and the migrations.

use chassis::{
    config::{Env, ProcessConfig},
    db,
    status::Refusal,
};
use sqlx::{PgPool, migrate::Migrator};

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

fn config_for(pool: &PgPool, timeout_seconds: &str) -> ProcessConfig {
    let options = pool.connect_options();
    let url = format!(
        "postgres://{}@{}:{}/{}",
        options.get_username(),
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    let mut env = Env::from_pairs([
        ("STAGE_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("STAGE_DATABASE_URL", &url),
        ("STAGE_DATABASE_POOL_SIZE", "2"),
        ("STAGE_BROKER_URL", "amqp://unused"),
        ("STAGE_IDENTITY_ADDRESS", "http://unused"),
        ("STAGE_REQUEST_TIMEOUT_SECONDS", timeout_seconds),
    ]);
    let config = ProcessConfig::read(&mut env, "stage");
    env.finish(config).unwrap()
}

#[sqlx::test(migrations = false)]
async fn a_serving_process_finds_out_whether_its_migrations_are_applied(pool: PgPool) {
    assert!(!db::migrations_applied(&pool, &MIGRATOR).await.unwrap());

    db::migrate(&pool, &MIGRATOR).await.unwrap();
    db::migrate(&pool, &MIGRATOR).await.unwrap();

    assert!(db::migrations_applied(&pool, &MIGRATOR).await.unwrap());
}

#[sqlx::test(migrations = false)]
async fn a_migration_that_was_edited_after_it_was_applied_is_noticed(pool: PgPool) {
    db::migrate(&pool, &MIGRATOR).await.unwrap();

    sqlx::raw_sql("UPDATE _sqlx_migrations SET checksum = '\\x00'")
        .execute(&pool)
        .await
        .unwrap();

    assert!(!db::migrations_applied(&pool, &MIGRATOR).await.unwrap());
}

#[sqlx::test(migrations = false)]
async fn a_statement_that_takes_too_long_is_stopped(pool: PgPool) {
    let pool = db::connect(&config_for(&pool, "1")).unwrap();

    let stopped = sqlx::raw_sql("SELECT pg_sleep(5)")
        .execute(&pool)
        .await
        .unwrap_err();

    assert!(!db::is_transient(&stopped));
    assert_eq!(Refusal::database(stopped).reason(), "DEADLINE_EXCEEDED");
}

#[sqlx::test(migrations = "./migrations")]
async fn a_broken_constraint_is_known_by_its_name(pool: PgPool) {
    let broken = sqlx::raw_sql(
        "INSERT INTO request_ids (request_id, method, fingerprint, create_time)
         VALUES (gen_random_uuid(), 'M', '\\x00', now())",
    )
    .execute(&pool)
    .await
    .unwrap_err();

    assert_eq!(
        db::constraint(&broken),
        Some("request_ids_fingerprint_check")
    );
    assert_eq!(Refusal::database(broken).reason(), "INTERNAL");
}

#[tokio::test]
async fn a_database_that_is_away_is_transient() {
    let mut env = Env::from_pairs([
        ("STAGE_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("STAGE_DATABASE_URL", "postgres://stage@127.0.0.1:1/stage"),
        ("STAGE_BROKER_URL", "amqp://unused"),
        ("STAGE_IDENTITY_ADDRESS", "http://unused"),
    ]);
    let config = ProcessConfig::read(&mut env, "stage");
    let pool = db::connect(&env.finish(config).unwrap()).unwrap();

    let away = pool.acquire().await.unwrap_err();

    assert!(db::is_transient(&away));
    assert_eq!(Refusal::database(away).reason(), "PART_UNAVAILABLE");
}
