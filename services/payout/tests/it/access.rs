//! Who may call.

use proto::payout::v1::{
    self as pb, disbursement_service_client::DisbursementServiceClient,
    funds_service_client::FundsServiceClient, treasury_service_client::TreasuryServiceClient,
};
use sqlx::PgPool;
use tonic::Code;
use uuid::Uuid;

use crate::{
    words::{hold_request, link_request, new_allotment, reason},
    world::{BATCH, Participation, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_call_without_a_token_is_refused_unless_it_is_public(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let mut anonymous = TreasuryServiceClient::new(world.caller(None));

    let refused = anonymous
        .create_allotment(new_allotment("dipa-2026", BATCH, 1))
        .await
        .unwrap_err();
    let trace = anonymous
        .trace_funds(pb::TraceFundsRequest {
            batch: BATCH.to_owned(),
        })
        .await;

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::Unauthenticated, "TOKEN_INVALID".to_owned())
    );
    assert!(trace.is_ok());
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_caller_without_the_permission_is_refused(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participation = world.award(1).await[0];
    let token = world
        .tokens
        .service_account("portal", &["payout.balances.get"]);

    let mut portal = FundsServiceClient::new(world.caller(Some(token)));
    let refused = portal
        .hold_funds(hold_request(&participation, 1))
        .await
        .unwrap_err();
    let mut owner = FundsServiceClient::new(world.owner(participation.account_id));
    let owner_refused = owner
        .hold_funds(hold_request(&participation, 1))
        .await
        .unwrap_err();

    for status in [refused, owner_refused] {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::PermissionDenied, "PERMISSION_MISSING".to_owned())
        );
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_person_sees_their_own_money_and_nobody_else_s(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    let payment = world.payment(&people[0]).await;
    let calls = |account_id: Uuid| {
        let caller = world.owner(account_id);
        (
            FundsServiceClient::new(caller.clone()),
            DisbursementServiceClient::new(caller),
        )
    };
    let balance = pb::GetBalanceRequest {
        name: format!("{}/balance", people[0].name()),
    };
    let payee = pb::GetPayeeAccountRequest {
        name: format!("{}/payeeAccount", people[0].account()),
    };
    let get = pb::GetDisbursementRequest {
        name: payment.name.clone(),
    };
    let list = pb::ListDisbursementsRequest {
        account: people[0].account(),
        ..Default::default()
    };
    let list_mine = pb::ListDisbursementsRequest::default();

    let (mut funds, mut disbursements) = calls(people[0].account_id);
    assert!(funds.get_balance(balance.clone()).await.is_ok());
    assert_eq!(
        disbursements
            .get_payee_account(payee.clone())
            .await
            .unwrap()
            .into_inner()
            .channel,
        "DANA"
    );
    assert_eq!(
        disbursements
            .get_disbursement(get.clone())
            .await
            .unwrap()
            .into_inner(),
        payment
    );
    for request in [&list, &list_mine] {
        let mine = disbursements
            .list_disbursements(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(mine.disbursements, std::slice::from_ref(&payment));
    }

    let (mut funds, mut disbursements) = calls(people[1].account_id);
    let other_s = [
        funds.get_balance(balance).await.unwrap_err(),
        disbursements.get_payee_account(payee).await.unwrap_err(),
        disbursements.get_disbursement(get).await.unwrap_err(),
        disbursements.list_disbursements(list).await.unwrap_err(),
        disbursements
            .link_payee_account(link_request(&people[0].account(), "DANA", "6281900000009"))
            .await
            .unwrap_err(),
    ];
    for status in other_s {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::PermissionDenied, "NOT_OWNER".to_owned())
        );
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_is_not_there_is_not_found(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let nobody = Participation::new();

    let balance = pb::GetBalanceRequest {
        name: format!("{}/balance", nobody.name()),
    };
    let payee = pb::GetPayeeAccountRequest {
        name: format!("{}/payeeAccount", nobody.account()),
    };
    let payment = pb::GetDisbursementRequest {
        name: format!("disbursements/{}", Uuid::now_v7()),
    };
    let batch = pb::GetDisbursementBatchRequest {
        name: "disbursementBatches/1".to_owned(),
    };
    let statuses = [
        world.funds().get_balance(balance).await.unwrap_err(),
        world
            .disbursements()
            .get_payee_account(payee)
            .await
            .unwrap_err(),
        world
            .disbursements()
            .get_disbursement(payment)
            .await
            .unwrap_err(),
        world
            .disbursements()
            .get_disbursement_batch(batch)
            .await
            .unwrap_err(),
    ];

    for status in statuses {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::NotFound, "NOT_FOUND".to_owned())
        );
    }
}
