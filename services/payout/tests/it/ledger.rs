//! The ledger: what the database refuses whatever a program says, and what the books show.

use std::collections::BTreeMap;

use chassis::money::Money;
use payout::{
    app::ledger::{apply, apply_all},
    domain::{
        chart::{self, AccountKind},
        ledger::{
            AccountId, Code, Difference, Leg, Transfer, TransferId, TransferRefusal, Verdict,
        },
    },
    error::Error,
    storage::ledger::insert_accounts,
};
use proto::payout::v1 as pb;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    words::{hold_request, units},
    world::{BATCH, TRAINING, World},
};

fn rupiah(units: i64) -> Money {
    Money::from_stored(units * 100, "IDR").unwrap()
}

fn of_batch(kind: AccountKind, batch: &str) -> AccountId {
    chart::of_batch(kind, batch, rupiah(0).currency()).id
}

fn from_budget(batch: &str, units: i64) -> Leg {
    Leg {
        debit: of_batch(AccountKind::BatchBudget, batch),
        credit: of_batch(AccountKind::Returned, batch),
        amount: rupiah(units),
    }
}

fn post(leg: Leg) -> Transfer {
    Transfer::post(TransferId(Uuid::now_v7()), Code::Return, leg)
}

/// A batch with 1,000 rupiah in its budget.
async fn with_a_thousand(db: PgPool) -> World {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 5_000).await;
    world.allot("dipa-2026", BATCH, 1_000).await;
    let mut tx = world.db.begin().await.unwrap();
    let returned = chart::of_batch(AccountKind::Returned, BATCH, rupiah(0).currency());
    insert_accounts(&mut tx, &[returned]).await.unwrap();
    tx.commit().await.unwrap();
    world
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_same_transfer_id_is_booked_once(db: PgPool) {
    let world = with_a_thousand(db).await;
    let line = post(from_budget(BATCH, 300));
    let other = Transfer::post(line.id, Code::Return, from_budget(BATCH, 301));

    for (lines, expected) in [
        (
            vec![line.clone(), line.clone()],
            vec![Verdict::Applied, Verdict::Repeated],
        ),
        (vec![line.clone()], vec![Verdict::Repeated]),
        (
            vec![other],
            vec![Verdict::Refused(TransferRefusal::IdReused(
                Difference::Amount,
            ))],
        ),
    ] {
        let mut tx = world.db.begin().await.unwrap();
        assert_eq!(
            apply(&mut tx, &lines, world.clock.now()).await.unwrap(),
            expected
        );
        tx.commit().await.unwrap();
    }

    assert_eq!(units(world.trace(BATCH).await.returned), 300);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn concurrent_repeats_of_a_transfer_are_booked_once(db: PgPool) {
    let world = with_a_thousand(db).await;
    let line = post(from_budget(BATCH, 300));

    let bookings = (0..12).map(|_| async {
        let mut tx = world.db.begin().await.unwrap();
        let verdicts = apply(&mut tx, std::slice::from_ref(&line), world.clock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        verdicts[0].clone()
    });
    let verdicts = futures::future::join_all(bookings).await;

    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Applied)
            .count(),
        1
    );
    assert_eq!(units(world.trace(BATCH).await.returned), 300);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn concurrent_transfers_never_overdraw_an_account(db: PgPool) {
    let world = with_a_thousand(db).await;

    let bookings = (0..30).map(|_| async {
        let mut tx = world.db.begin().await.unwrap();
        let lines = [post(from_budget(BATCH, 70)), post(from_budget(BATCH, 30))];
        let verdicts = apply(&mut tx, &lines, world.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
        verdicts
    });
    let verdicts: Vec<Verdict> = futures::future::join_all(bookings)
        .await
        .into_iter()
        .flatten()
        .collect();

    let overdrafts =
        |verdict: &&Verdict| matches!(verdict, Verdict::Refused(TransferRefusal::Overdraft { .. }));
    assert_eq!(
        verdicts.iter().filter(overdrafts).count() + 20,
        verdicts.len()
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.outstanding)),
        (1_000, 0)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn transfers_in_opposite_directions_do_not_deadlock(db: PgPool) {
    let world = with_a_thousand(db).await;
    let (a, b) = (
        of_batch(AccountKind::BatchBudget, BATCH),
        of_batch(AccountKind::Returned, BATCH),
    );

    let bookings = (0..40).map(|i| {
        let (debit, credit) = if i % 2 == 0 { (a, b) } else { (b, a) };
        let line = post(Leg {
            debit,
            credit,
            amount: rupiah(10),
        });
        let db = world.db.clone();
        let now = world.clock.now();
        async move {
            let mut tx = db.begin().await?;
            apply(&mut tx, &[line], now).await?;
            tx.commit().await
        }
    });
    let outcomes = futures::future::join_all(bookings).await;

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn all_lines_or_none_where_the_caller_wants_all(db: PgPool) {
    let world = with_a_thousand(db).await;
    let lines = [post(from_budget(BATCH, 600)), post(from_budget(BATCH, 600))];

    let mut tx = world.db.begin().await.unwrap();
    let refused = apply_all(&mut tx, &lines, world.clock.now())
        .await
        .unwrap_err();
    tx.rollback().await.unwrap();

    assert!(
        matches!(
            refused,
            Error::Booking(TransferRefusal::Overdraft { available: 40_000 })
        ),
        "{refused}"
    );
    assert_eq!(units(world.trace(BATCH).await.returned), 0);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn nobody_changes_or_deletes_what_is_booked(db: PgPool) {
    let world = with_a_thousand(db).await;

    for statement in [
        "UPDATE ledger_transfers SET amount_minor = 1",
        "UPDATE ledger_transfers SET code = code",
        "DELETE FROM ledger_transfers",
        "DELETE FROM ledger_transfers WHERE false",
        "TRUNCATE ledger_transfers",
        "DELETE FROM ledger_accounts",
        "TRUNCATE ledger_accounts CASCADE",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&world.db).await;
        let refused = refused.expect_err(statement);
        assert_eq!(
            refused.as_database_error().unwrap().code().as_deref(),
            Some("23001"),
            "{statement}: {refused}"
        );
    }
    let granted = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM information_schema.table_privileges
           WHERE table_name = 'ledger_transfers' AND privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')"#
    );
    assert_eq!(granted.fetch_one(&world.db).await.unwrap(), 0);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn no_role_changes_what_is_booked_even_if_everything_is_granted_to_it(db: PgPool) {
    let world = with_a_thousand(db).await;
    // Roles belong to all databases of the server.
    let role = format!("role_{}", Uuid::new_v4().simple());
    let become_role = format!(
        "CREATE ROLE {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; SET ROLE {role}"
    );
    // A superuser who plays a replica, in whose sessions common triggers rest.
    let become_replica = "SET session_replication_role = replica".to_owned();

    for becoming in [become_role, become_replica] {
        let mut connection = world.db.acquire().await.unwrap().detach();
        sqlx::raw_sql(sqlx::AssertSqlSafe(becoming))
            .execute(&mut connection)
            .await
            .unwrap();
        for statement in [
            "UPDATE ledger_transfers SET amount_minor = 1",
            "DELETE FROM ledger_transfers",
            "TRUNCATE ledger_transfers",
            "DELETE FROM ledger_accounts",
        ] {
            let refused = sqlx::raw_sql(statement).execute(&mut connection).await;
            let refused = refused.expect_err(statement);
            assert_eq!(
                refused.as_database_error().unwrap().code().as_deref(),
                Some("23001"),
                "{statement}: {refused}"
            );
        }
    }
    let gone = sqlx::AssertSqlSafe(format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    sqlx::raw_sql(gone).execute(&world.db).await.unwrap();
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_database_refuses_sums_that_do_not_balance_or_overdraw(db: PgPool) {
    let world = with_a_thousand(db).await;
    let budget = of_batch(AccountKind::BatchBudget, BATCH).0;
    let returned = of_batch(AccountKind::Returned, BATCH).0;

    for (statement, constraint) in [
        (
            format!("UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE id = '{budget}'"),
            "ledger_accounts_balance",
        ),
        (
            format!(
                "UPDATE ledger_accounts
                 SET debits_posted = debits_posted + CASE WHEN id = '{budget}' THEN 100001 ELSE 0 END,
                     credits_posted = credits_posted + CASE WHEN id = '{returned}' THEN 100001 ELSE 0 END
                 WHERE id IN ('{budget}', '{returned}')"
            ),
            "ledger_accounts_overdraft_check",
        ),
        (
            format!("UPDATE ledger_accounts SET debits_must_not_exceed_credits = false WHERE id = '{budget}'"),
            "ledger_accounts_identity",
        ),
        (
            "INSERT INTO ledger_accounts (id, kind, owner, currency, credits_posted, debits_must_not_exceed_credits)
             VALUES (gen_random_uuid(), 'paid', 'x', 'IDR', 5, true)"
                .to_owned(),
            "ledger_accounts_begin_at_zero",
        ),
        (
            format!(
                "INSERT INTO ledger_transfers
                    (id, debit_account_id, credit_account_id, amount_minor, currency, kind, code, create_time)
                 VALUES (gen_random_uuid(), '{budget}', gen_random_uuid(), 5, 'IDR', 'POSTED', 'return', now())"
            ),
            "ledger_transfers_accounts_fkey",
        ),
        (
            format!(
                "INSERT INTO ledger_transfers
                    (id, debit_account_id, credit_account_id, amount_minor, currency, kind, pending_id, code, create_time)
                 VALUES (gen_random_uuid(), '{budget}', '{returned}', 5, 'IDR', 'POST_PENDING', gen_random_uuid(),
                         'return', now())"
            ),
            "ledger_transfers_pending_id_fkey",
        ),
        (
            format!(
                "INSERT INTO ledger_transfers
                    (id, debit_account_id, credit_account_id, amount_minor, currency, kind, code, create_time)
                 VALUES (gen_random_uuid(), '{budget}', '{returned}', 0, 'IDR', 'POSTED', 'return', now())"
            ),
            "ledger_transfers_amount_minor_check",
        ),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&world.db).await;
        let refused = refused.expect_err(&statement);
        assert_eq!(chassis::db::constraint(&refused), Some(constraint), "{refused}");
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_pending_transfer_ends_once_in_the_database_too(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let request = hold_request(&participation, 100);
    world.hold(&request).await.unwrap();
    world.capture(&request).await.unwrap();

    let twice = sqlx::query!(
        "INSERT INTO ledger_transfers
            (id, debit_account_id, credit_account_id, amount_minor, currency, kind, pending_id, code, create_time)
         SELECT gen_random_uuid(), debit_account_id, credit_account_id, amount_minor, currency, 'VOID_PENDING', id, code,
                create_time
         FROM ledger_transfers
         WHERE kind = 'PENDING'"
    )
    .execute(&world.db)
    .await;

    assert_eq!(
        chassis::db::constraint(&twice.unwrap_err()),
        Some("ledger_transfers_pending_id_key")
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_audit_names_the_accounts_that_differ(db: PgPool) {
    let world = with_a_thousand(db).await;
    // Balanced, so that the database lets it pass, and booked nowhere.
    sqlx::raw_sql("UPDATE ledger_accounts SET debits_posted = debits_posted + 1, credits_posted = credits_posted + 1")
        .execute(&world.db)
        .await
        .unwrap();

    let audit = world
        .ledger()
        .audit_ledger(pb::AuditLedgerRequest {})
        .await
        .unwrap()
        .into_inner();

    assert_eq!((audit.account_count, audit.transfer_count), (4, 2));
    assert_eq!(audit.differing_accounts.len(), 4);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_books_show_a_participation_s_accounts_and_their_transfers(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let (first, second) = (
        hold_request(&participation, 100),
        hold_request(&participation, 200),
    );
    for request in [&first, &second] {
        world.hold(request).await.unwrap();
    }
    world.capture(&first).await.unwrap();
    world.release(&second).await.unwrap();

    let request = pb::ListLedgerAccountsRequest {
        owner: participation.name(),
        ..Default::default()
    };
    let accounts = world
        .ledger()
        .list_ledger_accounts(request)
        .await
        .unwrap()
        .into_inner()
        .ledger_accounts;
    let by_kind: BTreeMap<&str, &pb::LedgerAccount> = accounts
        .iter()
        .map(|account| (account.kind.as_str(), account))
        .collect();
    let training = by_kind["training-balance"];
    let mut codes = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListTransfersRequest {
            ledger_account: training.name.clone(),
            page_size: 2,
            page_token,
        };
        let page = world
            .ledger()
            .list_transfers(request)
            .await
            .unwrap()
            .into_inner();
        codes.extend(
            page.transfers
                .iter()
                .map(|transfer| (transfer.code.clone(), transfer.kind())),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    assert_eq!(
        by_kind.keys().copied().collect::<Vec<_>>(),
        ["incentive-commitment", "training-balance"]
    );
    assert_eq!(
        (
            training.batch.as_str(),
            units(training.credits_posted.clone())
        ),
        (BATCH, TRAINING)
    );
    assert_eq!(units(training.debits_posted.clone()), 100);
    let kinds: Vec<pb::transfer::Kind> = codes.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(
        kinds,
        [
            pb::transfer::Kind::Posted,
            pb::transfer::Kind::Pending,
            pb::transfer::Kind::Pending,
            pb::transfer::Kind::PostPending,
            pb::transfer::Kind::VoidPending,
        ]
    );
    assert_eq!(codes[0].0, "award");
    let request = pb::ListLedgerAccountsRequest {
        batch: BATCH.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let page = world
        .ledger()
        .list_ledger_accounts(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(page.ledger_accounts.len(), 1);
    assert_ne!(page.next_page_token, "");
}
