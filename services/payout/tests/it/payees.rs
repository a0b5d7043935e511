//! Linking the account that a person is paid into.

use proto::payout::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::{
    words::{link_request, reason},
    world::{Participation, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_linked_account_shows_three_digits_and_is_stored_unreadable(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world.open_wallet(&person, "6281234567890");

    // A leading 0 stands for the country.
    let linked = world.link(&person, "081234567890").await.unwrap();

    assert_eq!(linked.name, format!("{}/payeeAccount", person.account()));
    assert_eq!(
        (
            linked.channel.as_str(),
            linked.account_number_suffix.as_str()
        ),
        ("DANA", "890")
    );
    assert_eq!(linked.account_number, "");
    let request = pb::GetPayeeAccountRequest {
        name: linked.name.clone(),
    };
    assert_eq!(
        world
            .disbursements()
            .get_payee_account(request)
            .await
            .unwrap()
            .into_inner(),
        linked
    );
    let stored = sqlx::query_scalar!(
        r#"SELECT row_to_json(payee_accounts)::text AS "row!" FROM payee_accounts"#
    );
    let stored = stored.fetch_one(&world.db).await.unwrap();
    assert!(
        !stored.contains("81234567") && !stored.contains("SITI"),
        "{stored}"
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_bank_account_is_linked_by_the_holder_s_name_alone(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world.bank.open_account("009", "0012345678", "SITI AMINAH");
    world
        .identity
        .add(&person.account(), "SITI AMINAH", "+628990000001");

    let request = link_request(&person.account(), "BNI", "0012345678");
    let linked = world
        .disbursements()
        .link_payee_account(request)
        .await
        .unwrap()
        .into_inner();

    assert_eq!(linked.account_number_suffix, "678");
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_that_cannot_be_paid_is_refused_with_its_reason(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world
        .identity
        .add(&person.account(), "SITI AMINAH", "+6281200000001");
    world.bank.refused_account("DANA", "6281200000002", "40318");
    world.bank.refused_account("DANA", "6281200000003", "40305");
    world.bank.refused_account("DANA", "6281200000004", "40309");
    world
        .bank
        .open_account("DANA", "6281200000005", "BUDI SANTOSO");
    world
        .bank
        .open_account("DANA", "6281200000006", "SITI AMINAH");
    world
        .bank
        .open_basic_account("DANA", "6281200000001", "SITI AMINAH");

    for (number, expected) in [
        ("6281200000009", "PAYEE_ACCOUNT_NOT_FOUND"),
        ("6281200000002", "PAYEE_ACCOUNT_CLOSED"),
        ("6281200000003", "PAYEE_ACCOUNT_BLOCKED"),
        ("6281200000004", "PAYEE_ACCOUNT_BLOCKED"),
        ("6281200000005", "HOLDER_MISMATCHED"),
        ("6281200000006", "PHONE_MISMATCHED"),
        ("6281200000001", "HOLDER_MISMATCHED"),
    ] {
        let status = world.link(&person, number).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, expected),
            "{number}"
        );
        assert!(!status.message().contains("SITI") && !status.message().contains("62812"));
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_account_in_force_belongs_to_one_person(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let (first, second) = (Participation::new(), Participation::new());
    world.open_wallet(&first, "6281200000001");
    world.open_wallet(&second, "6281200000001");
    world.link(&first, "6281200000001").await.unwrap();

    let shared = world.link(&second, "081200000001").await.unwrap_err();

    assert_eq!(
        (shared.code(), reason(&shared)),
        (Code::AlreadyExists, "PAYEE_ACCOUNT_SHARED".to_owned())
    );
    // Once the first person is paid elsewhere, it is free.
    world.open_wallet(&first, "6281200000002");
    world.link(&first, "6281200000002").await.unwrap();
    world
        .identity
        .add(&second.account(), "SITI AMINAH", "+6281200000001");
    world.link(&second, "6281200000001").await.unwrap();
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn two_persons_who_link_one_account_at_once_do_not_both_get_it(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let people: Vec<Participation> = (0..6).map(|_| Participation::new()).collect();
    for person in &people {
        world.open_wallet(person, "6281200000001");
    }

    let outcomes = futures::future::join_all(
        people
            .iter()
            .map(|person| world.link(person, "6281200000001")),
    )
    .await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(reason(refused), "PAYEE_ACCOUNT_SHARED");
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_repeat_gets_the_first_answer_also_while_the_bank_is_away(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let person = Participation::new();
    world.open_wallet(&person, "6281200000001");
    let request = link_request(&person.account(), "DANA", "6281200000001");
    let first = world
        .disbursements()
        .link_payee_account(request.clone())
        .await
        .unwrap()
        .into_inner();

    world.bank.set_down(true);
    let repeat = world
        .disbursements()
        .link_payee_account(request.clone())
        .await
        .unwrap()
        .into_inner();
    let fresh = world.link(&person, "6281200000001").await.unwrap_err();
    let mut other = request;
    other.payee_account.as_mut().unwrap().account_number = "6281200000002".to_owned();
    let other = world
        .disbursements()
        .link_payee_account(other)
        .await
        .unwrap_err();

    assert_eq!(repeat, first);
    assert_eq!(
        (fresh.code(), reason(&fresh)),
        (Code::Unavailable, "PART_UNAVAILABLE".to_owned())
    );
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
}
