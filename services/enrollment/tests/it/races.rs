//! What happens at the same moment to one participation: whoever comes first, never both and never neither.

use std::{collections::HashMap, time::Instant};

use chassis::{auth::Principal, idempotency::RequestKey, names};
use enrollment::storage::MIGRATOR;
use proto::{enrollment::v1 as pb, payout::v1::funds_hold, r#type::v1::Date};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio::time::sleep;
use uuid::Uuid;

use crate::world::{Participant, World, plan};

use pb::participation::State;

const SCHEME_2020: &str = include_str!("../../../../deploy/schemes/prakerja-2020.toml");

/// How many of those whom the real programme revoked at once.
const REVOKED_AT_ONCE: i64 = 189_436;

/// Lets some time pass, another one in each round: none, some turns of the scheduler, or milliseconds.
async fn delay(round: usize) {
    match round % 5 {
        0 => {}
        turns @ 1..=2 => {
            for _ in 0..turns * 3 {
                tokio::task::yield_now().await;
            }
        }
        millis => {
            sleep(std::time::Duration::from_millis(
                u64::try_from(millis - 2).unwrap(),
            ))
            .await
        }
    }
}

/// Begins a purchase as a call does, without the way over gRPC: that varies by more than the delays.
async fn buy(world: &World, buyer: Participant, run: Uuid) -> bool {
    let key = RequestKey::internal("a-purchase", Uuid::now_v7(), buyer.id.as_bytes());
    let principal = Principal::account(buyer.account);
    match world
        .app
        .create_purchase(key, &principal, buyer.id, run)
        .await
    {
        Ok(_) => true,
        Err(enrollment::error::Error::Purchase { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn states(world: &World) -> HashMap<Uuid, String> {
    sqlx::query!(
        "SELECT participation_id, coalesce(frozen_from, state) AS \"state!\" FROM participations"
    )
    .fetch_all(&world.db)
    .await
    .unwrap()
    .into_iter()
    .map(|row| (row.participation_id, row.state))
    .collect()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_thousand_purchases_meet_the_sweeper_at_their_deadlines(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(1_000).await;
    let run = world.run(1_000, 1_000);
    // What matters is the beginning; the rest is done for all of them afterwards.
    world.peers.away("HoldSeat");

    let mut bought = Vec::new();
    for (round, buyer) in participants.iter().enumerate() {
        // The deadline is this moment, and the clock crosses it while both are on their way.
        sqlx::query!(
            "UPDATE participations SET first_purchase_deadline = $2 WHERE participation_id = $1",
            buyer.id,
            world.clock.now()
        )
        .execute(&world.db)
        .await
        .unwrap();
        let buying = async {
            delay(round).await;
            buy(&world, *buyer, run).await
        };
        let sweeping = async {
            delay(round / 5).await;
            world.clock.advance_by(Duration::MICROSECOND);
            delay(round / 25).await;
            world.app.revoke_overdue().await.unwrap()
        };
        let (accepted, _) = futures::join!(buying, sweeping);
        bought.push(accepted);
    }
    // Whom a sweep skipped because of his lock is found by the next one; who buys is not found by any.
    world.app.sweep_deadlines().await.unwrap();
    world.peers.back();
    world.clock.advance_by(Duration::hours(1));
    while world.app.sweep_purchases().await.unwrap() > 0 {}

    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 0);
    let states = states(&world).await;
    let mut revoked: HashMap<String, usize> = HashMap::new();
    for event in world.told::<pb::ParticipationsRevoked>().await {
        for name in event.participations {
            *revoked.entry(name).or_default() += 1;
        }
    }
    for (buyer, bought) in participants.iter().zip(&bought) {
        let told = revoked
            .get(&names::format("participations", buyer.id))
            .copied();
        let expected = if *bought {
            ("ACTIVE", None, 3_499_000)
        } else {
            ("REVOKED", Some(1), 3_500_000)
        };
        let found = (&*states[&buyer.id], told, world.peers.balance(buyer.id));
        assert_eq!(found, expected);
    }
    let count = bought.iter().filter(|bought| **bought).count();
    // Both have won at times, or nothing has met.
    assert!((50..=950).contains(&count), "{count} of 1,000 have bought");
    assert_eq!(world.peers.taken_seats(run), count);
    assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_purchase_and_a_freeze_that_meet_leave_it_bought_or_given_back(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(200).await;
    world.app.sweep_rechecks().await.unwrap();
    let run = world.run(200, 1_000);

    for (round, buyer) in participants.iter().enumerate() {
        let buying = async {
            delay(round).await;
            buy(&world, *buyer, run).await
        };
        let freezing = async {
            delay(round / 5).await;
            world
                .freeze_as("auditor", *buyer, "SHARED_DEVICE")
                .await
                .unwrap()
        };
        futures::join!(buying, freezing);
    }

    let states = states(&world).await;
    let mut count = 0;
    for buyer in &participants {
        assert_eq!(
            world.get_participation(buyer.id).await.state(),
            State::Frozen
        );
        let bought = states[&buyer.id] == "ACTIVE";
        count += usize::from(bought);
        let balance = if bought { 3_499_000 } else { 3_500_000 };
        assert_eq!(world.peers.balance(buyer.id), balance);
    }
    assert_eq!(world.peers.taken_seats(run), count);
    assert_eq!(world.peers.confirmed_seats(), count);
    assert_eq!(world.peers.funds_in(funds_hold::State::Captured), count);
    assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn two_schemes_that_award_at_once_make_nobody_a_recipient_twice(db: PgPool) {
    let world = World::start(db).await;
    let first = world.open_batch("48", 1_500).await;
    // The one scheme ends and the other follows, while a batch of the first is open.
    let last = Date {
        year: 2026,
        month: 11,
        day: 24,
    };
    world
        .end_scheme("schemes/prakerja-2023", Some(last))
        .await
        .unwrap();
    world.clock.advance_by(Duration::DAY);
    let next = SCHEME_2020
        .replace("valid_from = 2020-04-11", "valid_from = 2026-11-25")
        .replace("valid_until = 2022-12-31", "");
    let second = world.open_batch_of(&next, "9", plan(1_500)).await;
    for _ in 0..3 {
        let accounts = world.applicants(&first, 500).await;
        world.apply_all(&second, &accounts).await;
    }
    world.drawn(&first).await;
    world.drawn(&second).await;

    let (one, other) = futures::join!(world.award(&first), world.award(&second));

    assert!(one.is_ok() && other.is_ok());
    let counts = sqlx::query!(
        r#"SELECT count(*) AS "all!", count(DISTINCT account_id) AS "accounts!",
                  (SELECT count(*) FROM award_refusals WHERE reason = 'ALREADY_RECIPIENT') AS "refused!"
           FROM participations"#
    )
    .fetch_one(&world.db)
    .await
    .unwrap();
    assert_eq!(
        (counts.all, counts.accounts, counts.refused),
        (1_500, 1_500, 1_500)
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
#[ignore = "the size of the real programme's largest revocation; some seconds to make the rows"]
async fn the_real_revocation_is_swept_in_seconds(db: PgPool) {
    let world = World::start(db).await;
    world.participants(1).await;
    sqlx::query!(
        "WITH new AS (
             INSERT INTO applications (application_id, batch_id, account_id, pseudonym, signature, create_time)
             SELECT gen_random_uuid(), batch_id, gen_random_uuid(), decode(md5(i::text), 'hex'), signature, create_time
             FROM applications
             CROSS JOIN generate_series(1, $1::bigint * 2) AS i
             RETURNING application_id, batch_id, account_id)
         INSERT INTO participations (participation_id, batch_id, programme, once_only, account_id, application_id, region,
                                     state, funded, first_purchase_deadline, award_time)
         SELECT gen_random_uuid(), p.batch_id, programme, once_only, new.account_id, new.application_id, region,
                'AWARDED', true, first_purchase_deadline + (row_number() OVER () % 2) * interval '1 day', award_time
         FROM new
         CROSS JOIN participations AS p",
        REVOKED_AT_ONCE
    )
    .execute(&world.db)
    .await
    .unwrap();
    let deadline: OffsetDateTime = datetime!(2026-12-09 16:59:59 UTC);
    world.wait_until(deadline + Duration::SECOND);

    let begin = Instant::now();
    let swept = world.app.sweep_deadlines().await.unwrap();
    let took = begin.elapsed();

    assert_eq!(i64::try_from(swept).unwrap(), REVOKED_AT_ONCE + 1);
    assert!(took.as_secs() < 30, "{took:?}");
    let events = world.told::<pb::ParticipationsRevoked>().await;
    assert_eq!(events.len(), 190, "{took:?}");
}
