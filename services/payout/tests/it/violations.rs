//! A bad request is told all that is wrong with it.

use proto::payout::v1 as pb;
use sqlx::PgPool;

use crate::{
    words::{fields, idr, request_id},
    world::{BATCH, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn every_violation_of_every_method_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let (mut treasury, mut funds) = (world.treasury(), world.funds());
    let (mut disbursements, mut ledger) = (world.disbursements(), world.ledger());

    let appropriation = pb::CreateAppropriationRequest {
        request_id: "1".to_owned(),
        appropriation_id: "DIPA 2026".to_owned(),
        appropriation: Some(pb::Appropriation {
            amount: idr(0),
            ..Default::default()
        }),
    };
    let status = treasury
        .create_appropriation(appropriation)
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        [
            "request_id",
            "appropriation_id",
            "appropriation.fiscal_year",
            "appropriation.amount"
        ]
    );

    let status = treasury
        .create_allotment(pb::CreateAllotmentRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        [
            "request_id",
            "allotment.appropriation",
            "allotment.batch",
            "allotment.amount"
        ]
    );

    let status = treasury
        .create_reallocation(pb::CreateReallocationRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        [
            "request_id",
            "reallocation.source_batch",
            "reallocation.target_batch",
            "reallocation.amount"
        ]
    );
    let to_itself = pb::CreateReallocationRequest {
        request_id: request_id(),
        reallocation: Some(pb::Reallocation {
            source_batch: BATCH.to_owned(),
            target_batch: BATCH.to_owned(),
            amount: idr(1),
            ..Default::default()
        }),
    };
    let status = treasury.create_reallocation(to_itself).await.unwrap_err();
    assert_eq!(fields(&status), ["reallocation.target_batch"]);

    let trace = treasury
        .trace_funds(pb::TraceFundsRequest {
            batch: "48".to_owned(),
        })
        .await
        .unwrap_err();
    let list = treasury
        .list_reallocations(pb::ListReallocationsRequest::default())
        .await
        .unwrap_err();
    assert_eq!([fields(&trace), fields(&list)], [["batch"], ["batch"]]);

    let status = funds
        .hold_funds(pb::HoldFundsRequest {
            amount: idr(-1),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        ["name", "participation", "provider", "amount"]
    );
    let status = funds
        .release_funds(pb::ReleaseFundsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        ["name", "participation", "provider", "amount"]
    );

    let status = disbursements
        .link_payee_account(pb::LinkPayeeAccountRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        [
            "request_id",
            "account",
            "payee_account.channel",
            "payee_account.account_number"
        ]
    );
    let status = disbursements
        .review_payee_account(pb::ReviewPayeeAccountRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        ["request_id", "name", "decision", "reason"]
    );
    let status = disbursements
        .resolve_disbursement(pb::ResolveDisbursementRequest {
            reason: "x".repeat(501),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        ["request_id", "name", "resolution", "reason"]
    );
    let bad_batch = pb::CreateDisbursementBatchRequest {
        request_id: String::new(),
        currency_code: "rupiah".to_owned(),
        line_count_max: -1,
        rail: 9,
    };
    let status = disbursements
        .create_disbursement_batch(bad_batch)
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        ["request_id", "currency_code", "line_count_max", "rail"]
    );
    let status = disbursements
        .approve_disbursement_batch(pb::ApproveDisbursementBatchRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        fields(&status),
        ["request_id", "name", "line_count", "total"]
    );
    let bad_list = pb::ListDisbursementsRequest {
        account: "x".to_owned(),
        state: 77,
        ..Default::default()
    };
    let status = disbursements
        .list_disbursements(bad_list)
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["account", "state"]);
    let negative = pb::ListDisbursementsRequest {
        page_size: -1,
        ..Default::default()
    };
    let status = disbursements
        .list_disbursements(negative)
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["page_size"]);

    let accounts = ledger
        .list_ledger_accounts(pb::ListLedgerAccountsRequest::default())
        .await
        .unwrap_err();
    let transfers = ledger
        .list_transfers(pb::ListTransfersRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        [fields(&accounts), fields(&transfers)],
        [["batch"], ["ledger_account"]]
    );
    let account = ledger
        .get_ledger_account(pb::GetLedgerAccountRequest {
            name: "x".to_owned(),
            read_time: Some(prost_types::Timestamp {
                seconds: 9_999_999_999,
                nanos: 0,
            }),
        })
        .await
        .unwrap_err();
    assert_eq!(fields(&account), ["name", "read_time"]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn every_fault_of_the_first_broken_items_of_a_list_is_told(db: PgPool) {
    let world = World::start(db).await;
    let mut ledger = world.ledger();
    let derived = "018f0000-0000-8000-8000-000000000001";
    let broken = [
        pb::NewTransfer::default(),
        pb::NewTransfer {
            name: format!("transfers/{derived}"),
            amount: idr(5),
            kind: pb::transfer::Kind::Posted.into(),
            pending_transfer: "transfers/1".to_owned(),
            code: 65_536,
            timeout_seconds: 5,
            ..Default::default()
        },
        pb::NewTransfer {
            debit_account: "x".to_owned(),
            credit_account: "y".to_owned(),
            amount: idr(5),
            kind: pb::transfer::Kind::VoidPending.into(),
            timeout_seconds: -1,
            ..Default::default()
        },
        pb::NewTransfer {
            name: format!("transfers/{}", uuid::Uuid::now_v7()),
            kind: pb::transfer::Kind::Pending.into(),
            timeout_seconds: -1,
            ..Default::default()
        },
        pb::NewTransfer {
            kind: pb::transfer::Kind::ExpirePending.into(),
            ..Default::default()
        },
    ];

    let status = ledger
        .create_transfers(pb::CreateTransfersRequest {
            transfers: broken.to_vec(),
        })
        .await
        .unwrap_err();
    let empty = ledger
        .create_transfers(pb::CreateTransfersRequest::default())
        .await
        .unwrap_err();
    let too_many = ledger
        .create_transfers(pb::CreateTransfersRequest {
            transfers: vec![pb::NewTransfer::default(); 8_191],
        })
        .await
        .unwrap_err();
    let accounts = ledger
        .create_ledger_accounts(pb::CreateLedgerAccountsRequest {
            ledger_accounts: vec![pb::NewLedgerAccount {
                debits_must_not_exceed_credits: true,
                credits_must_not_exceed_debits: true,
                ..Default::default()
            }],
        })
        .await
        .unwrap_err();

    assert_eq!(
        fields(&status),
        [
            "transfers[0].name",
            "transfers[0].kind",
            "transfers[1].name",
            "transfers[1].timeout_seconds",
            "transfers[1].debit_account",
            "transfers[1].credit_account",
            "transfers[1].pending_transfer",
            "transfers[1].code",
            "transfers[2].name",
            "transfers[2].timeout_seconds",
            "transfers[2].debit_account",
            "transfers[2].credit_account",
            "transfers[2].pending_transfer",
            "transfers[2].amount",
            "transfers[3].timeout_seconds",
            "transfers[3].debit_account",
            "transfers[3].credit_account",
            "transfers[3].amount",
            "transfers[4].name",
            "transfers[4].kind",
        ]
    );
    assert_eq!(fields(&empty), ["transfers"]);
    let of_too_many = fields(&too_many);
    assert_eq!(
        (of_too_many.len(), of_too_many[0].as_str()),
        (21, "transfers")
    );
    assert_eq!(
        fields(&accounts),
        [
            "ledger_accounts[0].name",
            "ledger_accounts[0].owner",
            "ledger_accounts[0].currency_code",
            "ledger_accounts[0].credits_must_not_exceed_debits",
        ]
    );
}
