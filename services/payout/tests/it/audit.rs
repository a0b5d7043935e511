//! The auditor against books that somebody has tampered with past the triggers.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use proto::payout::v1 as pb;
use sqlx::{ConnectOptions, PgPool};

use crate::{
    words::hold_request,
    world::{BATCH, World},
};

/// A batch with awards, a purchase and a hold under way.
async fn with_business(db: PgPool) -> World {
    let world = World::with_budget(db, 3).await;
    let participations = world.award(3).await;
    let bought = hold_request(&participations[0], 100);
    world.hold(&bought).await.unwrap();
    world.capture(&bought).await.unwrap();
    world
        .hold(&hold_request(&participations[1], 200))
        .await
        .unwrap();
    world.revoke(&participations[2..]).await;
    world
}

/// Changes rows as one who owns the database can.
async fn tamper(world: &World, statement: &str) {
    let statements = format!(
        "ALTER TABLE ledger_transfers DISABLE TRIGGER ALL;
         ALTER TABLE ledger_accounts DISABLE TRIGGER ALL;
         {statement};
         ALTER TABLE ledger_transfers ENABLE TRIGGER ALL;
         ALTER TABLE ledger_accounts ENABLE TRIGGER ALL"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&world.db)
        .await
        .unwrap();
}

async fn audit(world: &World) -> pb::LedgerAudit {
    let answer = world.ledger().audit_ledger(pb::AuditLedgerRequest {}).await;
    answer.unwrap().into_inner()
}

async fn names(world: &World, query: &str) -> Vec<String> {
    let ids: Vec<(uuid::Uuid,)> = {
        #[expect(
            clippy::disallowed_methods,
            reason = "one query of each case, not worth a macro each"
        )]
        let query = sqlx::query_as(sqlx::AssertSqlSafe(query.to_owned()));
        query.fetch_all(&world.db).await.unwrap()
    };
    let mut names: Vec<String> = ids
        .iter()
        .map(|(id,)| format!("ledgerAccounts/{id}"))
        .collect();
    names.sort();
    names
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn sound_books_differ_nowhere_and_nothing_is_told(db: PgPool) {
    let world = with_business(db).await;

    let audit = audit(&world).await;
    let round = world.app.audit_round().await.unwrap().unwrap();

    assert!(audit.differing_accounts.is_empty() && audit.differing_batches.is_empty());
    assert_eq!(audit.differing_account_count, 0);
    assert!(round.is_sound());
    assert_eq!(
        (round.account_count, round.transfer_count),
        (audit.account_count, audit.transfer_count)
    );
    let transfers = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM ledger_transfers"#);
    let transfers = transfers.fetch_one(&world.db).await.unwrap();
    assert_eq!(audit.transfer_count, transfers);
    assert!(world.told::<pb::LedgerDifferenceFound>().await.is_empty());
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_changed_sum_is_found_and_named(db: PgPool) {
    let world = with_business(db).await;
    let paid = "SELECT id FROM ledger_accounts WHERE kind = 'provider-payable' ORDER BY id LIMIT 1";
    let expected = names(&world, paid).await;

    tamper(
        &world,
        &format!(
            "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE id = ({paid})"
        ),
    )
    .await;

    let audit = audit(&world).await;
    assert_eq!(audit.differing_accounts, expected);
    assert_eq!(audit.differing_account_count, 1);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_dropped_or_changed_transfer_is_found_on_both_sides(db: PgPool) {
    let world = with_business(db).await;
    let sides = |which: &str| {
        format!(
            "SELECT unnest(ARRAY[debit_account_id, credit_account_id]) FROM ledger_transfers WHERE {which}"
        )
    };

    for (which, change) in [
        (
            "kind = 'POST_PENDING'",
            "DELETE FROM ledger_transfers WHERE kind = 'POST_PENDING'",
        ),
        (
            "code = 'appropriation'",
            "UPDATE ledger_transfers SET amount_minor = amount_minor - 1 WHERE code = 'appropriation'",
        ),
    ] {
        let mut expected = names(&world, &sides(which)).await;
        expected.extend(audit(&world).await.differing_accounts);
        expected.sort();
        expected.dedup();

        tamper(&world, change).await;

        assert_eq!(audit(&world).await.differing_accounts, expected, "{change}");
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_leg_that_leads_nowhere_is_found_with_the_account_that_is_not_there(db: PgPool) {
    let world = with_business(db).await;
    let budget = names(
        &world,
        "SELECT id FROM ledger_accounts WHERE kind = 'batch-budget'",
    )
    .await;
    let nowhere = "00000000-0000-4000-8000-000000000001";

    tamper(
        &world,
        &format!(
            "UPDATE ledger_transfers SET credit_account_id = '{nowhere}' WHERE code = 'allotment'"
        ),
    )
    .await;

    let audit = audit(&world).await;
    let mut expected = budget;
    expected.push(format!("ledgerAccounts/{nowhere}"));
    expected.sort();
    assert_eq!(audit.differing_accounts, expected);
    assert_eq!(audit.differing_account_count, 2);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_that_came_past_the_budget_is_found_although_all_sums_are_right(db: PgPool) {
    let world = with_business(db).await;
    // As a program of ours could book it by mistake: no trigger is off.
    sqlx::raw_sql(
        "INSERT INTO ledger_transfers
            (id, debit_account_id, credit_account_id, amount_minor, currency, kind, code, create_time)
         SELECT gen_random_uuid(), source.id, target.id, 500, 'IDR', 'POSTED', 'purchase', now()
         FROM ledger_accounts AS source, ledger_accounts AS target
         WHERE source.kind = 'appropriation' AND target.kind = 'provider-payable'
         LIMIT 1;
         UPDATE ledger_accounts
         SET debits_posted = debits_posted + CASE WHEN ledger_accounts.id = debit_account_id THEN 500 ELSE 0 END,
             credits_posted = credits_posted + CASE WHEN ledger_accounts.id = credit_account_id THEN 500 ELSE 0 END
         FROM (SELECT * FROM ledger_transfers ORDER BY sequence DESC LIMIT 1) AS last
         WHERE ledger_accounts.id IN (debit_account_id, credit_account_id)",
    )
    .execute(&world.db)
    .await
    .unwrap();

    let audit = audit(&world).await;

    assert!(audit.differing_accounts.is_empty(), "{audit:?}");
    assert_eq!(audit.differing_batches, [BATCH]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_auditor_tells_what_it_found_each_time(db: PgPool) {
    let world = with_business(db).await;
    let budget = names(
        &world,
        "SELECT id FROM ledger_accounts WHERE kind = 'batch-budget'",
    )
    .await;
    tamper(
        &world,
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE kind = 'batch-budget'",
    )
    .await;

    let first = world.app.audit_round().await.unwrap().unwrap();
    world.app.audit_round().await.unwrap();

    assert!(!first.is_sound());
    let told = world.told::<pb::LedgerDifferenceFound>().await;
    assert_eq!(told.len(), 2);
    assert_eq!((&told[0].accounts, told[0].account_count), (&budget, 1));
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn one_replica_audits_at_a_time(db: PgPool) {
    let world = with_business(db).await;
    let mut other = world.db.begin().await.unwrap();
    // The auditor's key: `ledger` in hexadecimal.
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(x'6c6564676572'::bigint)")
        .execute(&mut *other)
        .await
        .unwrap();

    let meanwhile = world.app.audit_round().await.unwrap();
    other.rollback().await.unwrap();
    let afterwards = world.app.audit_round().await.unwrap();

    assert_eq!(meanwhile, None);
    assert!(afterwards.is_some());
}

/// Runs `payout audit` and returns its exit code.
fn audit_process(world: &World) -> Option<i32> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::now_v7().to_string());
    std::fs::create_dir(&directory).unwrap();
    let key = |name: &str, pem: &str| -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let output = Command::new(env!("CARGO_BIN_EXE_payout"))
        .arg("audit")
        .env_clear()
        .env("PAYOUT_LISTEN_ADDRESS", "127.0.0.1:0")
        .env(
            "PAYOUT_DATABASE_URL",
            world.db.connect_options().to_url_lossy().as_str(),
        )
        .env("PAYOUT_BROKER_URL", "amqp://unused")
        .env("PAYOUT_IDENTITY_ADDRESS", "http://unused")
        .env("PAYOUT_ACCOUNT_KEY", "ab".repeat(32))
        .env("PAYOUT_RAIL_ADDRESS", &world.bank.address)
        .env("PAYOUT_RAIL_CLIENT_ID", "unused")
        .env("PAYOUT_RAIL_CLIENT_SECRET", "unused")
        .env(
            "PAYOUT_RAIL_PRIVATE_KEY_FILE",
            key("private.pem", &world.bank.private_key_pem),
        )
        .env(
            "PAYOUT_RAIL_PUBLIC_KEY_FILE",
            key("public.pem", &world.bank.public_key_pem),
        )
        .env("PAYOUT_RAIL_CALLBACK_ADDRESS", "127.0.0.1:0")
        .env("PAYOUT_RAIL_SOURCE_ACCOUNT", "8877001")
        .output()
        .unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    output.status.code()
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_auditing_process_ends_with_what_it_has_found(db: PgPool) {
    let world = with_business(db).await;

    let sound = audit_process(&world);
    tamper(
        &world,
        "UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE kind = 'batch-budget'",
    )
    .await;
    let tampered = audit_process(&world);

    assert_eq!([sound, tampered], [Some(0), Some(1)]);
}
