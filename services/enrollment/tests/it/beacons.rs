//! Draws by a public beacon, and draws in which a trustee is absent.

use blst::min_sig::SecretKey;
use draw::{Reveal, verify};
use enrollment::storage::MIGRATOR;
use prost_types::Timestamp;
use proto::enrollment::v1 as pb;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use time::Duration;
use tonic::{Code, Status};

use crate::world::{
    SCHEME_2023, TRUSTEES, World, assert_refused, fields, plan, request_id, secret,
};

const GENESIS: i64 = 1_700_000_000;
const PERIOD_SECONDS: i64 = 3;

/// A drand chain of our own, whose rounds come when a test wants them.
fn chain() -> SecretKey {
    SecretKey::key_gen(&[7; 32], &[]).unwrap()
}

fn beacon() -> pb::DrandBeacon {
    pb::DrandBeacon {
        public_key: chain().sk_to_pk().compress().to_vec(),
        genesis_time: Some(Timestamp {
            seconds: GENESIS,
            nanos: 0,
        }),
        period: Some(seconds(PERIOD_SECONDS)),
        lead_time: Some(seconds(60)),
        ..pb::DrandBeacon::default()
    }
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn sign(round: i64) -> Vec<u8> {
    let round = u64::try_from(round).unwrap();
    let message = Sha256::digest(round.to_be_bytes());
    let domain = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    chain().sign(&message, domain, &[]).compress().to_vec()
}

async fn record(world: &World, batch: &str, signature: Vec<u8>) -> Result<pb::Batch, Status> {
    let request = pb::RecordBeaconRequest {
        request_id: request_id(),
        name: batch.to_owned(),
        signature,
    };
    Ok(world.batches().record_beacon(request).await?.into_inner())
}

async fn verified(world: &World, batch: &str) -> draw::VerifiedDraw {
    let request = pb::DownloadDrawBundleRequest {
        name: batch.to_owned(),
    };
    let answer = world.batches().download_draw_bundle(request).await.unwrap();
    let (mut pieces, mut bundle) = (answer.into_inner(), Vec::new());
    while let Some(piece) = pieces.message().await.unwrap() {
        bundle.extend(piece.content);
    }
    verify(bundle.as_slice(), None, 2).unwrap()
}

/// Freezes a batch of two trustees, of whom so many are enough, and of a beacon.
async fn frozen_with_quorum(world: &World, quorum: i32) -> pb::Batch {
    let batch = pb::Batch {
        quota_plan: Some(plan(2)),
        trustees: TRUSTEES.map(str::to_owned).to_vec(),
        quorum,
        reveal_window: Some(seconds(3_600)),
        beacon: Some(beacon()),
        ..pb::Batch::default()
    };
    let name = world.open_new(SCHEME_2023, "48", batch).await;
    world.applicants(&name, 5).await;
    world.frozen(&name).await
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_beacon_alone_makes_the_randomness(db: PgPool) {
    let world = World::start(db).await;
    let batch = pb::Batch {
        quota_plan: Some(plan(2)),
        beacon: Some(beacon()),
        ..pb::Batch::default()
    };
    let name = world.open_new(SCHEME_2023, "48", batch).await;
    world.applicants(&name, 5).await;
    world.close(&name).await;

    let frozen = world.freeze(&name).await.unwrap();

    let round = frozen.beacon.unwrap();
    let lead = round.round_time.unwrap().seconds - frozen.freeze_time.unwrap().seconds;
    assert!((60..60 + PERIOD_SECONDS).contains(&lead), "{lead}");
    assert_refused(
        world.draw(&name).await,
        Code::FailedPrecondition,
        "BEACON_NOT_RECORDED",
    );
    assert_refused(
        record(&world, &name, sign(round.round + 1)).await,
        Code::InvalidArgument,
        "BEACON_SIGNATURE_INVALID",
    );
    for _ in 0..2 {
        let recorded = record(&world, &name, sign(round.round)).await.unwrap();
        assert_eq!(recorded.beacon.unwrap().signature, sign(round.round));
    }
    world.draw(&name).await.unwrap();
    let drawn = verified(&world, &name).await;
    assert_eq!(drawn.winner_count(), 2);
    assert!(matches!(drawn.reveal, Reveal::Drand { .. }));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_trustee_who_stays_away_does_not_hold_the_draw_up_for_ever(db: PgPool) {
    let world = World::start(db).await;
    let frozen = frozen_with_quorum(&world, 1).await;
    let (name, [present, absent]) = (frozen.name, TRUSTEES);
    let round = frozen.beacon.unwrap();
    // The round comes when no secret can come any more.
    let deadline = frozen.reveal_deadline.unwrap().seconds;
    assert!(round.round_time.unwrap().seconds >= deadline + 60);
    world
        .reveal_as(&name, present, secret(present))
        .await
        .unwrap();

    let early = world.draw(&name).await;
    let waiting = assert_refused(early, Code::FailedPrecondition, "RANDOMNESS_NOT_REVEALED");
    assert_eq!(waiting["trustees"], absent);

    world.clock.advance_by(Duration::seconds(3_601));
    let late = world.reveal_as(&name, absent, secret(absent)).await;
    assert_refused(late, Code::FailedPrecondition, "REVEAL_DEADLINE_PASSED");
    let without = world.draw(&name).await;
    assert_refused(without, Code::FailedPrecondition, "BEACON_NOT_RECORDED");
    record(&world, &name, sign(round.round)).await.unwrap();
    world.draw(&name).await.unwrap();

    let drawn = verified(&world, &name).await;
    let Reveal::CommitReveal { secrets, beacon } = drawn.reveal else {
        panic!("not the trustees' secrets");
    };
    assert_eq!(
        secrets.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
    assert!(beacon.is_some());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_named_beacon_counts_also_when_all_trustees_reveal(db: PgPool) {
    let world = World::start(db).await;
    let frozen = frozen_with_quorum(&world, 2).await;
    let (name, round) = (frozen.name, frozen.beacon.unwrap().round);
    world.reveal(&name).await;

    // Otherwise whoever reveals last could choose between an outcome that is known and another one.
    let without = world.draw(&name).await;
    assert_refused(without, Code::FailedPrecondition, "BEACON_NOT_RECORDED");
    record(&world, &name, sign(round)).await.unwrap();
    world.draw(&name).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn too_few_trustees_decide_nothing(db: PgPool) {
    let world = World::start(db).await;
    let name = frozen_with_quorum(&world, 2).await.name;
    let first = TRUSTEES[0];
    world.reveal_as(&name, first, secret(first)).await.unwrap();
    world.clock.advance_by(Duration::seconds(3_601));

    let missed = assert_refused(
        world.draw(&name).await,
        Code::FailedPrecondition,
        "QUORUM_MISSED",
    );

    assert_eq!(missed["trustees"], TRUSTEES[1]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn no_statement_changes_the_randomness(db: PgPool) {
    let world = World::start(db).await;
    let frozen = frozen_with_quorum(&world, 1).await;
    let round = frozen.beacon.unwrap().round;
    record(&world, &frozen.name, sign(round)).await.unwrap();

    for statement in [
        "UPDATE batches SET beacon_signature = decode(repeat('01', 48), 'hex')",
        "UPDATE batches SET beacon_signature = NULL",
        "UPDATE batches SET quorum = 2",
        "UPDATE batches SET beacon_lead_seconds = 1",
        "UPDATE batches SET reveal_deadline = reveal_deadline + interval '1 day'",
        "UPDATE trustee_shares SET secret = decode(repeat('01', 32), 'hex'), reveal_time = '2200-01-01'",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&world.db).await;
        assert!(refused.is_err(), "{statement}");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_wrong_plan_of_randomness_is_refused_with_all_its_faults(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::CreateBatchRequest {
        request_id: request_id(),
        batch_id: "48".to_owned(),
        batch: Some(pb::Batch {
            scheme: "schemes/prakerja-2023".to_owned(),
            quota_plan: Some(plan(2)),
            quorum: 1,
            reveal_window: Some(seconds(59)),
            beacon: Some(pb::DrandBeacon {
                public_key: vec![1; 95],
                lead_time: Some(seconds(31 * 86_400)),
                ..beacon()
            }),
            ..pb::Batch::default()
        }),
    };

    let refused = world.batches().create_batch(request).await;

    assert_eq!(
        fields(refused),
        [
            "batch.quorum",
            "batch.reveal_window",
            "batch.beacon.lead_time",
            "batch.beacon"
        ]
    );
}
