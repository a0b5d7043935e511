//! Accounts and transfers of callers.

use std::collections::HashSet;

use proto::payout::v1::{
    self as pb, ledger_account_result::Outcome as Opening, transfer::Kind, transfer_result::Outcome,
};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    words::{idr, reason, units},
    world::{BATCH, World},
};

/// An account's name and a transfer's name.
fn account_name() -> String {
    format!("ledgerAccounts/{}", Uuid::now_v7())
}

fn transfer_name() -> String {
    format!("transfers/{}", Uuid::now_v7())
}

fn new_account(owner: &str) -> pb::NewLedgerAccount {
    pb::NewLedgerAccount {
        name: account_name(),
        owner: owner.to_owned(),
        currency_code: "IDR".to_owned(),
        debits_must_not_exceed_credits: true,
        ..Default::default()
    }
}

fn post(debit: &str, credit: &str, rupiah: i64) -> pb::NewTransfer {
    pb::NewTransfer {
        name: transfer_name(),
        debit_account: debit.to_owned(),
        credit_account: credit.to_owned(),
        amount: idr(rupiah),
        kind: Kind::Posted.into(),
        code: 7,
        ..Default::default()
    }
}

fn hold(debit: &str, credit: &str, rupiah: i64, timeout_seconds: i32) -> pb::NewTransfer {
    pb::NewTransfer {
        kind: Kind::Pending.into(),
        timeout_seconds,
        ..post(debit, credit, rupiah)
    }
}

fn end(pending: &pb::NewTransfer, kind: Kind, rupiah: Option<i64>) -> pb::NewTransfer {
    pb::NewTransfer {
        name: transfer_name(),
        amount: rupiah.and_then(idr),
        kind: kind.into(),
        pending_transfer: pending.name.clone(),
        code: 7,
        ..Default::default()
    }
}

async fn open(world: &World, accounts: &[pb::NewLedgerAccount]) -> Vec<Opening> {
    let request = pb::CreateLedgerAccountsRequest {
        ledger_accounts: accounts.to_vec(),
    };
    let answer = world.ledger().create_ledger_accounts(request).await;
    let results = answer.unwrap().into_inner().results;
    results.iter().map(|result| result.outcome()).collect()
}

async fn results(world: &World, transfers: &[pb::NewTransfer]) -> Vec<pb::TransferResult> {
    let request = pb::CreateTransfersRequest {
        transfers: transfers.to_vec(),
    };
    let answer = world.ledger().create_transfers(request).await;
    answer.unwrap().into_inner().results
}

async fn book(world: &World, transfers: &[pb::NewTransfer]) -> Vec<Outcome> {
    let results = results(world, transfers).await;
    results.iter().map(|result| result.outcome()).collect()
}

/// Opens a source without a limit and so many wallets; returns their names.
async fn source_and_wallets(world: &World, count: usize) -> (String, Vec<String>) {
    let mut accounts: Vec<_> = (0..=count)
        .map(|number| new_account(&format!("wallets/{number}")))
        .collect();
    accounts[0].debits_must_not_exceed_credits = false;
    assert!(
        open(world, &accounts)
            .await
            .iter()
            .all(|it| *it == Opening::Created)
    );
    let mut names = accounts.into_iter().map(|account| account.name);
    (names.next().unwrap(), names.collect())
}

async fn get(world: &World, name: &str, read_time: Option<i64>) -> pb::LedgerAccount {
    let request = pb::GetLedgerAccountRequest {
        name: name.to_owned(),
        read_time: read_time.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
    };
    let answer = world.ledger().get_ledger_account(request).await;
    answer.unwrap().into_inner()
}

/// Returns the four sums in whole rupiah.
async fn sums(world: &World, name: &str, read_time: Option<i64>) -> [i64; 4] {
    let account = get(world, name, read_time).await;
    [
        account.debits_pending,
        account.debits_posted,
        account.credits_pending,
        account.credits_posted,
    ]
    .map(units)
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn accounts_are_opened_once_and_say_what_is_in_the_way(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let first = new_account("wallets/1");
    let other_owner = pb::NewLedgerAccount {
        owner: "wallets/2".to_owned(),
        ..first.clone()
    };
    let other_currency = pb::NewLedgerAccount {
        currency_code: "USD".to_owned(),
        ..first.clone()
    };
    let other_flags = pb::NewLedgerAccount {
        debits_must_not_exceed_credits: false,
        ..first.clone()
    };

    let outcomes = open(
        &world,
        &[
            first.clone(),
            first.clone(),
            other_owner,
            other_currency,
            other_flags,
            new_account("wallets/1"),
            new_account("wallets/3"),
        ],
    )
    .await;
    let again = open(&world, std::slice::from_ref(&first)).await;

    assert_eq!(
        outcomes,
        [
            Opening::Created,
            Opening::Exists,
            Opening::ExistsWithDifferentOwner,
            Opening::ExistsWithDifferentCurrency,
            Opening::ExistsWithDifferentFlags,
            Opening::OwnerHasAnother,
            Opening::Created,
        ]
    );
    assert_eq!(again, [Opening::Exists]);
    let account = get(&world, &first.name, None).await;
    assert_eq!(
        (
            account.kind.as_str(),
            account.owner.as_str(),
            account.batch.as_str()
        ),
        ("caller", "wallets/1", "")
    );
    assert!(account.debits_must_not_exceed_credits && !account.credits_must_not_exceed_debits);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn each_transfer_of_a_call_has_its_own_result(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let (source, wallets) = source_and_wallets(&world, 2).await;
    let (a, b) = (wallets[0].as_str(), wallets[1].as_str());
    let budget = pb::ListLedgerAccountsRequest {
        batch: BATCH.to_owned(),
        ..Default::default()
    };
    let budget = world.ledger().list_ledger_accounts(budget).await.unwrap();
    let budget = budget.into_inner().ledger_accounts[0].name.clone();
    let first = post(&source, a, 1_000);
    let held = hold(a, b, 400, 0);
    let linked = |transfer| pb::NewTransfer {
        linked: true,
        ..transfer
    };
    let call = [
        first.clone(),
        first.clone(),
        pb::NewTransfer {
            amount: idr(999),
            ..first.clone()
        },
        held.clone(),
        post(a, b, 601),
        post(a, &account_name(), 1),
        post(&budget, a, 1),
        post(a, a, 1),
        post(a, b, 0),
        // A chain that fails as a whole, and one that does not.
        linked(post(a, b, 1)),
        post(a, b, 10_000),
        linked(post(a, b, 100)),
        post(b, a, 50),
        end(&held, Kind::PostPending, Some(401)),
        end(&held, Kind::PostPending, Some(300)),
        end(&held, Kind::VoidPending, None),
        end(&post(a, b, 1), Kind::VoidPending, None),
        linked(post(a, b, 1)),
    ];

    let results = results(&world, &call).await;

    let outcomes: Vec<Outcome> = results.iter().map(|result| result.outcome()).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Created,
            Outcome::Exists,
            Outcome::ExistsWithDifferentAmount,
            Outcome::Created,
            Outcome::ExceedsCredits,
            Outcome::AccountNotFound,
            Outcome::AccountReserved,
            Outcome::AccountsEqual,
            Outcome::AmountNotPositive,
            Outcome::LinkedEventFailed,
            Outcome::ExceedsCredits,
            Outcome::Created,
            Outcome::Created,
            Outcome::ExceedsPendingAmount,
            Outcome::Created,
            Outcome::PendingAlreadyPosted,
            Outcome::PendingNotFound,
            Outcome::LinkedEventChainOpen,
        ]
    );
    assert_eq!(units(results[4].available.clone()), 600);
    assert_eq!(results[6].account, budget);
    assert_eq!(units(results[13].available.clone()), 400);
    assert_eq!(sums(&world, a, None).await, [0, 400, 0, 1_050]);
    assert_eq!(sums(&world, b, None).await, [0, 50, 0, 400]);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_repeated_call_moves_nothing_again(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 2).await;
    let (a, b) = (wallets[0].as_str(), wallets[1].as_str());
    let held = hold(a, b, 400, 60);
    let call = [
        post(&source, a, 1_000),
        held.clone(),
        end(&held, Kind::PostPending, Some(300)),
    ];

    let first = book(&world, &call).await;
    world.clock.advance_by(time::Duration::seconds(100));
    let second = book(&world, &call).await;
    let whole = pb::NewTransfer {
        amount: None,
        ..call[2].clone()
    };
    let third = book(&world, &[whole]).await;

    assert_eq!(first, [Outcome::Created; 3]);
    assert_eq!(second, [Outcome::Exists; 3]);
    assert_eq!(third, [Outcome::ExistsWithDifferentAmount]);
    assert_eq!(sums(&world, a, None).await, [0, 300, 0, 1_000]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_is_shown_as_it_was_and_its_statement_with_balances(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 2).await;
    let (a, b) = (wallets[0].as_str(), wallets[1].as_str());
    let begin = world.clock.now().unix_timestamp();
    let held = hold(a, b, 400, 0);
    let calls = [
        vec![post(&source, a, 1_000)],
        vec![held.clone()],
        vec![end(&held, Kind::PostPending, Some(300))],
        vec![post(b, a, 50)],
    ];
    for call in &calls {
        assert_eq!(book(&world, call).await, [Outcome::Created]);
        world.clock.advance_by(time::Duration::seconds(10));
    }

    let mut history = Vec::new();
    for seconds in [-1, 0, 10, 20, 30] {
        history.push(sums(&world, a, Some(begin + seconds)).await);
    }
    let mut balances = Vec::new();
    let mut request = pb::ListTransfersRequest {
        ledger_account: a.to_owned(),
        page_size: 1,
        ..Default::default()
    };
    loop {
        let page = world.ledger().list_transfers(request.clone()).await;
        let page = page.unwrap().into_inner();
        let of_page = page.transfers.into_iter();
        balances.extend(of_page.map(|it| {
            (
                units(it.balance),
                it.rest.map_or(0, |rest| rest.units),
                it.code,
            )
        }));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }

    assert_eq!(
        history,
        [
            [0, 0, 0, 0],
            [0, 0, 0, 1_000],
            [400, 0, 0, 1_000],
            [0, 300, 0, 1_000],
            [0, 300, 0, 1_050],
        ]
    );
    let code = || "caller-7".to_owned();
    assert_eq!(
        balances,
        [
            (1_000, 0, code()),
            (1_000, 0, code()),
            (700, 100, code()),
            (750, 0, code()),
        ]
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_expires_is_given_back_once_by_several_sweepers(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 1).await;
    let a = wallets[0].as_str();
    let holds: Vec<_> = (0..20)
        .map(|number| hold(&source, a, 10, 60 + number % 2))
        .collect();
    book(&world, &holds).await;
    let ended = [
        end(&holds[0], Kind::PostPending, None),
        end(&holds[1], Kind::VoidPending, None),
    ];
    assert_eq!(book(&world, &ended).await, [Outcome::Created; 2]);

    assert_eq!(world.app.expire_round().await.unwrap(), 0);
    world.clock.advance_by(time::Duration::seconds(60));
    let late = end(&holds[2], Kind::PostPending, None);
    let late = book(&world, &[late, end(&holds[3], Kind::PostPending, None)]).await;
    let rounds = (0..4).map(|_| world.app.expire_round());
    let rounds = futures::future::join_all(rounds).await;
    let swept = book(&world, &[end(&holds[4], Kind::VoidPending, None)]).await;

    assert_eq!(late, [Outcome::PendingExpired, Outcome::Created]);
    assert!(rounds.iter().all(Result::is_ok), "{rounds:?}");
    assert_eq!(swept, [Outcome::PendingExpired]);
    // Those of 61 seconds are still held: ten, without the two that were ended.
    assert_eq!(sums(&world, a, None).await, [0, 0, 80, 20]);
    let expired = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM ledger_transfers WHERE kind = 'EXPIRE_PENDING'"#
    );
    assert_eq!(expired.fetch_one(&world.db).await.unwrap(), 9);
    let waiting = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM ledger_timeouts"#);
    assert_eq!(waiting.fetch_one(&world.db).await.unwrap(), 8);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn many_callers_on_one_account_are_gathered_and_each_gets_its_own_answer(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 2).await;
    let (hot, other) = (wallets[0].as_str(), wallets[1].as_str());
    book(&world, &[post(&source, hot, 1_000)]).await;

    // 300 want 10 each of 1,000; every third has an account that is not there.
    let calls: Vec<pb::NewTransfer> = (0..300)
        .map(|number| match number % 3 {
            0 => post(hot, &account_name(), 10),
            _ => post(hot, other, 10),
        })
        .collect();
    let answers = calls
        .iter()
        .map(|call| book(&world, std::slice::from_ref(call)));
    let answers = futures::future::join_all(answers).await;

    let mut created = Vec::new();
    for (number, (call, answer)) in calls.iter().zip(&answers).enumerate() {
        let expected = match number % 3 {
            0 => &[Outcome::AccountNotFound][..],
            _ => &[Outcome::Created, Outcome::ExceedsCredits][..],
        };
        assert!(expected.contains(&answer[0]), "{number}: {answer:?}");
        if answer[0] == Outcome::Created {
            created.push(call.name.clone());
        }
    }
    assert_eq!(created.len(), 100);
    assert_eq!(sums(&world, hot, None).await, [0, 1_000, 0, 1_000]);
    let stored = sqlx::query!(
        r#"SELECT id, xmin::text AS "xmin!" FROM ledger_transfers ORDER BY sequence OFFSET 1"#
    );
    let stored = stored.fetch_all(&world.db).await.unwrap();
    let ids: HashSet<String> = stored
        .iter()
        .map(|row| format!("transfers/{}", row.id))
        .collect();
    assert_eq!(ids, created.into_iter().collect());
    let transactions: HashSet<&str> = stored.iter().map(|row| row.xmin.as_str()).collect();
    assert!(
        transactions.len() < 50,
        "{} transactions",
        transactions.len()
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn one_of_two_transfers_with_the_same_name_wins(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 8).await;
    let name = transfer_name();

    // Of calls with one transfer and with many, which are gathered apart and meet in the database.
    let calls: Vec<Vec<pb::NewTransfer>> = wallets
        .iter()
        .enumerate()
        .map(|(number, wallet)| {
            let contested = pb::NewTransfer {
                name: name.clone(),
                ..post(&source, wallet, 10)
            };
            let others = (0..(number % 2) * 200).map(|_| post(&source, wallet, 1));
            std::iter::once(contested).chain(others).collect()
        })
        .collect();
    let answers = futures::future::join_all(calls.iter().map(|call| book(&world, call))).await;

    let of_contested: Vec<Outcome> = answers.iter().map(|answer| answer[0]).collect();
    let count = |outcome| of_contested.iter().filter(|it| **it == outcome).count();
    assert_eq!(count(Outcome::Created), 1, "{of_contested:?}");
    assert_eq!(count(Outcome::ExistsWithDifferentCreditAccount), 7);
    assert!(
        answers
            .iter()
            .flat_map(|answer| &answer[1..])
            .all(|it| *it == Outcome::Created)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_full_call_is_booked_and_one_more_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 50).await;
    let call: Vec<pb::NewTransfer> = (0..8_190)
        .map(|number| post(&source, &wallets[number % wallets.len()], 1))
        .collect();

    let outcomes = book(&world, &call).await;

    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Created));
    assert_eq!(sums(&world, &source, None).await, [0, 8_190, 0, 0]);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn transfers_need_their_own_permission(db: PgPool) {
    let world = World::start(db).await;
    let token = world
        .tokens
        .service_account("portal", &["payout.ledger.get"]);
    let caller = world.caller(Some(token));
    let mut portal = pb::ledger_service_client::LedgerServiceClient::new(caller);

    let book = portal
        .create_transfers(pb::CreateTransfersRequest::default())
        .await
        .unwrap_err();
    let open = portal
        .create_ledger_accounts(pb::CreateLedgerAccountsRequest::default())
        .await
        .unwrap_err();
    let get = portal
        .get_ledger_account(pb::GetLedgerAccountRequest {
            name: account_name(),
            read_time: None,
        })
        .await
        .unwrap_err();

    for status in [book, open] {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::PermissionDenied, "PERMISSION_MISSING".to_owned())
        );
    }
    assert_eq!(get.code(), Code::NotFound);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn the_database_lets_no_pending_transfer_end_otherwise(db: PgPool) {
    let world = World::start(db).await;
    let (source, wallets) = source_and_wallets(&world, 1).await;
    let held = hold(&source, &wallets[0], 400, 60);
    book(&world, std::slice::from_ref(&held)).await;
    let insert = |kind: &str, amount: i64, rest: &str, seconds: i64| {
        format!(
            "INSERT INTO ledger_transfers
                (id, debit_account_id, credit_account_id, amount_minor, currency, kind, rest_minor, pending_id, code,
                 create_time)
             SELECT gen_random_uuid(), debit_account_id, credit_account_id, {amount}, currency, '{kind}', {rest}, id,
                    code, create_time + {seconds} * interval '1 second'
             FROM ledger_transfers WHERE kind = 'PENDING'"
        )
    };

    for (statement, constraint) in [
        (
            insert("POST_PENDING", 40_001, "NULL", 1),
            "ledger_transfers_pending_id_fkey",
        ),
        (
            insert("POST_PENDING", 30_000, "NULL", 1),
            "ledger_transfers_pending_id_fkey",
        ),
        (
            insert("POST_PENDING", 30_000, "10001", 1),
            "ledger_transfers_pending_id_fkey",
        ),
        (
            insert("POST_PENDING", 40_001, "-1", 1),
            "ledger_transfers_rest_minor_check",
        ),
        (
            insert("VOID_PENDING", 30_000, "10000", 1),
            "ledger_transfers_rest_minor_check",
        ),
        (
            insert("POST_PENDING", 40_000, "NULL", 60),
            "ledger_transfers_pending_id_fkey",
        ),
        (
            insert("EXPIRE_PENDING", 40_000, "NULL", 59),
            "ledger_transfers_pending_id_fkey",
        ),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&world.db)
            .await;
        let refused = refused.expect_err(&statement);
        assert_eq!(
            chassis::db::constraint(&refused),
            Some(constraint),
            "{refused}"
        );
    }
    let part = sqlx::AssertSqlSafe(insert("POST_PENDING", 30_000, "10000", 1));
    sqlx::raw_sql(part).execute(&world.db).await.unwrap();
    let twice = sqlx::AssertSqlSafe(insert("EXPIRE_PENDING", 40_000, "NULL", 61));
    let twice = sqlx::raw_sql(twice).execute(&world.db).await.unwrap_err();
    assert_eq!(
        chassis::db::constraint(&twice),
        Some("ledger_transfers_pending_id_key")
    );
}
