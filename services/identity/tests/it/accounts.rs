//! `AccountService`.

use futures::future::join_all;
use proto::identity::v1 as pb;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::world::{World, fields, new_account, reason};
use proto::identity::v1::account_service_client::AccountServiceClient;

async fn create(world: &World, request: pb::CreateAccountRequest) -> Result<pb::Account, Status> {
    world
        .accounts()
        .create_account(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn count(db: &PgPool) -> i64 {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM accounts"#)
        .fetch_one(db)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_account_is_created_and_told_about(db: PgPool) {
    let world = World::start(db).await;

    let account = create(&world, new_account("Siti@Contoh.ID", "+6281234567890", ""))
        .await
        .unwrap();

    assert_eq!(account.email, "siti@contoh.id");
    assert_eq!(account.phone, "+6281234567890");
    assert_eq!(account.state(), pb::account::State::Active);
    assert_eq!(
        world.events(&account.name).await,
        ["bekal.identity.v1.AccountCreated"]
    );
    let request = pb::GetAccountRequest {
        name: account.name.clone(),
    };
    assert_eq!(
        world
            .accounts()
            .get_account(request)
            .await
            .unwrap()
            .into_inner(),
        account
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn of_fifty_registrations_with_one_email_exactly_one_succeeds(db: PgPool) {
    let world = World::start(db).await;

    let calls = (0..50).map(|i| {
        create(
            &world,
            new_account("siti@contoh.id", &format!("+628123456{i:04}"), ""),
        )
    });
    let answers = join_all(calls).await;

    let (created, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(created.len(), 1);
    for status in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::AlreadyExists, "EMAIL_TAKEN")
        );
    }
    assert_eq!(count(&world.db).await, 1);
    assert_eq!(
        world.events(&created[0].as_ref().unwrap().name).await.len(),
        1
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn each_caller_of_one_batch_gets_its_own_verdict(db: PgPool) {
    let world = World::start(db).await;
    let repeated = new_account("dewi@contoh.id", "", "");
    let other_content = pb::CreateAccountRequest {
        request_id: repeated.request_id.clone(),
        ..new_account("eka@contoh.id", "", "")
    };

    // The first call's batch waits for the table; whatever arrives meanwhile is one batch.
    let mut tx = world.db.begin().await.unwrap();
    sqlx::query!("LOCK TABLE accounts IN EXCLUSIVE MODE")
        .execute(&mut *tx)
        .await
        .unwrap();
    let first = create(&world, new_account("first@contoh.id", "", ""));
    let release = async {
        wait_for_blocked_insert(&world.db).await;
        let batch = join_all([
            create(&world, new_account("ani@contoh.id", "+6281111111111", "")),
            create(&world, new_account("ANI@contoh.id", "", "")),
            create(&world, new_account("budi@contoh.id", "+6281111111111", "")),
            create(&world, new_account("citra@contoh.id", "", "")),
            create(&world, repeated.clone()),
            create(&world, repeated.clone()),
            create(&world, other_content),
        ]);
        let unlock = async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            tx.commit().await.unwrap();
        };
        tokio::join!(batch, unlock).0
    };
    let (first, batch) = tokio::join!(first, release);

    assert!(first.is_ok());
    let said: Vec<String> = batch
        .iter()
        .map(|answer| {
            answer
                .as_ref()
                .map_or_else(reason, |account| account.email.clone())
        })
        .collect();
    assert_eq!(said[2], "PHONE_TAKEN");
    assert_eq!(said[3], "citra@contoh.id");
    let mut ani = [said[0].as_str(), said[1].as_str()];
    ani.sort_unstable();
    assert_eq!(ani, ["EMAIL_TAKEN", "ani@contoh.id"]);
    // Calls of one connection arrive in their order, so that the content of the repeated id is the first one's.
    assert_eq!(
        said[4..],
        ["dewi@contoh.id", "dewi@contoh.id", "REQUEST_ID_REUSED"]
    );
    assert_eq!(batch[4].as_ref().unwrap(), batch[5].as_ref().unwrap());
    assert_eq!(count(&world.db).await, 4);
}

async fn wait_for_blocked_insert(db: &PgPool) {
    crate::world::eventually("an insert waits for the lock", || async {
        sqlx::query_scalar!(
            r#"SELECT count(*) > 0 AS "waits!" FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'"#
        )
        .fetch_one(db)
        .await
        .unwrap()
    })
    .await;
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn two_replicas_share_the_addresses_without_a_deadlock(db: PgPool) {
    let one = World::start(db).await;
    let other = one.another().await;

    let calls = (0..200).map(|i| {
        let (world, i) = if i % 2 == 0 {
            (&one, i / 2)
        } else {
            (&other, 99 - i / 2)
        };
        create(
            world,
            new_account(
                &format!("a{i}@contoh.id"),
                &format!("+62812345{:05}", (i * 37) % 100),
                "",
            ),
        )
    });
    let answers = join_all(calls).await;

    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    }
    assert_eq!(count(&one.db).await, 100);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 100);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_repeated_request_gets_the_first_answer(db: PgPool) {
    let world = World::start(db).await;
    let request = new_account("siti@contoh.id", "+6281234567890", "kata sandi");

    let answers = join_all((0..10).map(|_| create(&world, request.clone()))).await;
    let later = create(&world, request.clone()).await.unwrap();

    assert!(answers.into_iter().all(|answer| answer.unwrap() == later));
    assert_eq!(count(&world.db).await, 1);
    assert_eq!(world.events(&later.name).await.len(), 1);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_request_id_is_good_for_one_content_and_one_caller(db: PgPool) {
    let world = World::start(db).await;
    let request = new_account("siti@contoh.id", "", "kata sandi");
    create(&world, request.clone()).await.unwrap();

    let other_password = pb::CreateAccountRequest {
        password: "kata sandi lain".to_owned(),
        ..request.clone()
    };
    let refused = create(&world, other_password).await.unwrap_err();
    let token = world.token("serviceAccounts/other", &["identity.accounts.create"]);
    let mut other_caller = AccountServiceClient::new(world.caller(Some(token)));
    let foreign = other_caller.create_account(request).await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    assert_eq!(reason(&foreign), "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_refused_registration_leaves_no_trace(db: PgPool) {
    let world = World::start(db).await;
    let taken = create(&world, new_account("siti@contoh.id", "", ""))
        .await
        .unwrap();
    let request = new_account("siti@contoh.id", "", "");

    let refused = create(&world, request.clone()).await.unwrap_err();
    let id = Uuid::parse_str(taken.name.strip_prefix("accounts/").unwrap()).unwrap();
    sqlx::query!("DELETE FROM accounts WHERE id = $1", id)
        .execute(&world.db)
        .await
        .unwrap();
    let again = create(&world, request).await;

    assert_eq!(reason(&refused), "EMAIL_TAKEN");
    assert!(again.is_ok(), "the same id may be tried again");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn every_violation_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::CreateAccountRequest {
        request_id: "1".to_owned(),
        ..new_account("siti", "0812", "short")
    };

    let refused = create(&world, request).await.unwrap_err();
    let empty = create(&world, pb::CreateAccountRequest::default())
        .await
        .unwrap_err();

    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        fields(&refused),
        ["request_id", "account.email", "account.phone", "password"]
    );
    assert_eq!(fields(&empty), ["request_id", "account.email"]);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn only_those_who_may_are_served(db: PgPool) {
    let world = World::start(db).await;
    let own = world.account("siti@contoh.id").await;
    let foreign = world.account("budi@contoh.id").await;
    let get = |name: &str| pb::GetAccountRequest {
        name: name.to_owned(),
    };

    let mut nobody = AccountServiceClient::new(world.caller(None));
    let mut siti = AccountServiceClient::new(world.caller(Some(world.token(&own, &[]))));
    let mut reader = AccountServiceClient::new(world.caller(Some(
        world.token("serviceAccounts/web", &["identity.accounts.get"]),
    )));
    let no_token = nobody.get_account(get(&own)).await.unwrap_err();
    let not_owner = siti.get_account(get(&foreign)).await.unwrap_err();
    let no_permission = siti
        .create_account(new_account("eka@contoh.id", "", ""))
        .await
        .unwrap_err();
    let no_list = reader
        .list_accounts(pb::ListAccountsRequest::default())
        .await
        .unwrap_err();

    assert_eq!(
        (no_token.code(), reason(&no_token).as_str()),
        (Code::Unauthenticated, "TOKEN_INVALID")
    );
    assert_eq!(
        (not_owner.code(), reason(&not_owner).as_str()),
        (Code::PermissionDenied, "NOT_OWNER")
    );
    assert_eq!(reason(&no_permission), "PERMISSION_MISSING");
    assert_eq!(reason(&no_list), "PERMISSION_MISSING");
    assert_eq!(
        siti.get_account(get(&own))
            .await
            .unwrap()
            .into_inner()
            .email,
        "siti@contoh.id"
    );
    assert_eq!(
        reader
            .get_account(get(&foreign))
            .await
            .unwrap()
            .into_inner()
            .email,
        "budi@contoh.id"
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn what_is_not_there_is_not_found(db: PgPool) {
    let world = World::start(db).await;

    for name in [
        format!("accounts/{}", Uuid::now_v7()),
        "accounts/1".to_owned(),
        "batches/48".to_owned(),
    ] {
        let refused = world
            .accounts()
            .get_account(pb::GetAccountRequest { name })
            .await
            .unwrap_err();

        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::NotFound, "NOT_FOUND")
        );
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn accounts_are_listed_in_pages_newest_last(db: PgPool) {
    let world = World::start(db).await;
    let mut names = Vec::new();
    for i in 0..5 {
        names.push(world.account(&format!("a{i}@contoh.id")).await);
    }

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListAccountsRequest {
            page_size: 2,
            page_token,
        };
        let page = world
            .accounts()
            .list_accounts(request)
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.accounts.into_iter().map(|account| account.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let damaged = pb::ListAccountsRequest {
        page_size: 2,
        page_token: "AAAA".to_owned(),
    };
    let refused = world.accounts().list_accounts(damaged).await.unwrap_err();

    assert_eq!(listed, names);
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
}
