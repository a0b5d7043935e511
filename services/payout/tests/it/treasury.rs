//! Appropriations, allotments, re-allocations, and the trace.

use proto::payout::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::{
    words::{
        idr, metadata, new_allotment, new_appropriation, new_reallocation, reason, units, usd,
    },
    world::{AWARD, BATCH, World},
};

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_appropriation_tells_what_is_left_of_it(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 5_000).await;

    world.allot("dipa-2026", BATCH, 1_200).await;

    let request = pb::GetAppropriationRequest {
        name: "appropriations/dipa-2026".to_owned(),
    };
    let found = world
        .treasury()
        .get_appropriation(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (units(found.amount), units(found.available)),
        (5_000, 3_800)
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.allotted), units(trace.outstanding)),
        (1_200, 1_200)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_taken_id_and_an_absent_name_are_told(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 5_000).await;

    let taken = world
        .treasury()
        .create_appropriation(new_appropriation("dipa-2026", 9))
        .await
        .unwrap_err();
    let absent = pb::GetAppropriationRequest {
        name: "appropriations/dipa-2027".to_owned(),
    };
    let absent = world
        .treasury()
        .get_appropriation(absent)
        .await
        .unwrap_err();
    let nowhere = world
        .treasury()
        .create_allotment(new_allotment("dipa-2027", BATCH, 1))
        .await
        .unwrap_err();
    let unknown = pb::TraceFundsRequest {
        batch: "batches/1".to_owned(),
    };
    let unknown = world.treasury().trace_funds(unknown).await.unwrap_err();

    assert_eq!(
        (taken.code(), reason(&taken)),
        (Code::AlreadyExists, "APPROPRIATION_EXISTS".to_owned())
    );
    assert_eq!(
        metadata(&taken, "appropriation"),
        "appropriations/dipa-2026"
    );
    for status in [absent, nowhere, unknown] {
        assert_eq!(status.code(), Code::NotFound);
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_allotment_beyond_the_appropriation_is_refused_and_leaves_no_trace(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 5_000).await;
    let request = new_allotment("dipa-2026", BATCH, 5_001);

    let refused = world
        .treasury()
        .create_allotment(request.clone())
        .await
        .unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::FailedPrecondition, "FUNDS_INSUFFICIENT".to_owned())
    );
    assert_eq!(metadata(&refused, "available"), "IDR 5000.00");
    // The same request works once there is enough.
    world.appropriate("dipa-2026-p", 9_000).await;
    let mut again = request;
    again.allotment.as_mut().unwrap().appropriation = "appropriations/dipa-2026-p".to_owned();
    world.treasury().create_allotment(again).await.unwrap();
    assert_eq!(units(world.trace(BATCH).await.allotted), 5_001);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_of_another_currency_is_refused(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 5_000).await;
    world.allot("dipa-2026", BATCH, 1_000).await;
    let mut foreign = new_appropriation("grant-2026", 5_000);
    foreign.appropriation.as_mut().unwrap().amount = usd(5_000);
    world
        .treasury()
        .create_appropriation(foreign)
        .await
        .unwrap();

    let mut from_rupiah = new_allotment("dipa-2026", BATCH, 1);
    from_rupiah.allotment.as_mut().unwrap().amount = usd(1);
    let mut into_rupiah = new_allotment("grant-2026", BATCH, 1);
    into_rupiah.allotment.as_mut().unwrap().amount = usd(1);

    for request in [from_rupiah, into_rupiah] {
        let refused = world
            .treasury()
            .create_allotment(request)
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "CURRENCY_MISMATCHED");
        assert_eq!(metadata(&refused, "currency_code"), "IDR");
    }
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_repeat_gets_the_first_answer_and_moves_nothing(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 5_000).await;
    let request = new_allotment("dipa-2026", BATCH, 1_000);

    let calls = (0..8).map(|_| {
        let (mut treasury, request) = (world.treasury(), request.clone());
        async move {
            treasury
                .create_allotment(request)
                .await
                .unwrap()
                .into_inner()
        }
    });
    let answers = futures::future::join_all(calls).await;

    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(units(world.trace(BATCH).await.allotted), 1_000);
    let mut other = request;
    other.allotment.as_mut().unwrap().amount = idr(999);
    let reused = world.treasury().create_allotment(other).await.unwrap_err();
    assert_eq!(
        (reused.code(), reason(&reused)),
        (Code::InvalidArgument, "REQUEST_ID_REUSED".to_owned())
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn returned_money_pays_for_a_named_later_batch(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let participations = world.award(2).await;
    world.revoke(&participations[..1]).await;

    let moved = world
        .treasury()
        .create_reallocation(new_reallocation(BATCH, "batches/49", 3_000_000))
        .await;
    let too_much = world
        .treasury()
        .create_reallocation(new_reallocation(BATCH, "batches/49", 1_200_001))
        .await;
    let from_nowhere = world
        .treasury()
        .create_reallocation(new_reallocation("batches/1", BATCH, 1))
        .await;

    assert_eq!(units(moved.unwrap().into_inner().amount), 3_000_000);
    assert_eq!(
        metadata(&too_much.unwrap_err(), "available"),
        "IDR 1200000.00"
    );
    assert_eq!(reason(&from_nowhere.unwrap_err()), "FUNDS_INSUFFICIENT");
    let source = world.trace(BATCH).await;
    assert_eq!(
        (units(source.returned), units(source.reallocated)),
        (1_200_000, 3_000_000)
    );
    assert_eq!(units(source.outstanding), AWARD);
    let target = world.trace("batches/49").await;
    assert_eq!(
        (units(target.allotted), units(target.received_from_batches)),
        (3_000_000, 3_000_000)
    );
    let told: Vec<pb::FundsReallocated> = world.told().await;
    assert_eq!(
        (told.len(), told[0].target_batch.as_str()),
        (1, "batches/49")
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn re_allocations_are_listed_in_both_batches_page_by_page(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let participations = world.award(1).await;
    world.revoke(&participations).await;
    for amount in [1, 2, 3] {
        let request = new_reallocation(BATCH, "batches/49", amount);
        world.treasury().create_reallocation(request).await.unwrap();
    }

    let mut amounts = Vec::new();
    let mut page_token = String::new();
    for _ in 0..2 {
        let request = pb::ListReallocationsRequest {
            batch: "batches/49".to_owned(),
            page_size: 2,
            page_token,
        };
        let page = world
            .treasury()
            .list_reallocations(request)
            .await
            .unwrap()
            .into_inner();
        amounts.extend(
            page.reallocations
                .into_iter()
                .map(|reallocation| units(reallocation.amount)),
        );
        page_token = page.next_page_token;
    }

    assert_eq!(amounts, [1, 2, 3]);
    assert_eq!(page_token, "");
    let of_source = pb::ListReallocationsRequest {
        batch: BATCH.to_owned(),
        ..Default::default()
    };
    let of_source = world
        .treasury()
        .list_reallocations(of_source)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(of_source.reallocations.len(), 3);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn concurrent_allotments_never_overdraw_the_appropriation(db: PgPool) {
    let world = World::start(db).await;
    world.appropriate("dipa-2026", 1_000).await;

    let calls = (0..20).map(|i| {
        let mut treasury = world.treasury();
        async move {
            treasury
                .create_allotment(new_allotment("dipa-2026", &format!("batches/{i}"), 300))
                .await
        }
    });
    let outcomes = futures::future::join_all(calls).await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(reason(refused), "FUNDS_INSUFFICIENT");
    }
    world.assert_sound().await;
}
