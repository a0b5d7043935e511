//! What the rail tells by itself: verified, a reason to ask, and harmless when it comes late, twice or wrong.

use payout::{
    app::notices::NoticeError,
    callbacks,
    rail::{NoticeRefusal, SignedNotice},
};
use pb::disbursement::State;
use proto::payout::v1 as pb;
use reqwest::StatusCode;
use sqlx::PgPool;
use time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    bank::{BankNotice, Fault},
    words::units,
    world::{BATCH, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

async fn one_sent(db: PgPool, faults: &[Fault]) -> (World, Participation, String) {
    let world = World::with_budget(db, 1).await;
    let person = world.many_ready(1).await[0];
    world.approve_all().await;
    world.bank.fail_next(faults);
    world.app.send_round().await.unwrap();
    let reference = world.payment(&person).await.reference;
    (world, person, reference)
}

async fn take(world: &World, notice: &BankNotice) -> Result<(), NoticeError> {
    let signed = SignedNotice {
        path: callbacks::PATH,
        timestamp: &notice.timestamp,
        partner_id: &notice.partner_id,
        signature: &notice.signature,
        body: notice.body.as_bytes(),
    };
    world.app.take_notice(&signed).await
}

/// Lets the rail take back all that a person has got, and payout hear of it.
pub(crate) async fn take_back(world: &World, person: &Participation) {
    for payment in world.payments(person).await {
        if payment.state() == State::Settled {
            world.bank.take_back(&payment.reference);
            let notice = world
                .bank
                .notice(&payment.reference, "04", world.clock.now());
            take(world, &notice).await.unwrap();
        }
    }
    world.app.inquire_round().await.unwrap();
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_notice_makes_the_inquiry_due_and_is_not_believed(db: PgPool) {
    let (world, person, reference) = one_sent(db, &[Fault::Pending]).await;
    let notice = world.bank.notice(&reference, "00", world.clock.now());

    take(&world, &notice).await.unwrap();
    let asked = world.app.inquire_round().await.unwrap().line_count;
    let while_pending = world.payment_state(&person).await;
    world.bank.settle(&reference);
    for _ in 0..3 {
        take(&world, &notice).await.unwrap();
        world.app.inquire_round().await.unwrap();
    }

    assert_eq!((asked, while_pending), (1, State::Unknown));
    assert_eq!(world.payment_state(&person).await, State::Settled);
    assert_eq!(
        world.bank.requests("36"),
        2,
        "a settled payment that is said to be paid is not asked about"
    );
    assert_eq!(world.told::<pb::DisbursementSettled>().await.len(), 1);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_the_rail_takes_back_comes_back_once_and_is_paid_to_another_account(db: PgPool) {
    let (world, person, reference) = one_sent(db, &[]).await;
    world.bank.take_back(&reference);
    let notice = world.bank.notice(&reference, "04", world.clock.now());

    for _ in 0..3 {
        take(&world, &notice).await.unwrap();
        take(&world, &notice).await.unwrap();
        world.app.inquire_round().await.unwrap();
    }
    let reversed = world.payment(&person).await;
    let trace = world.trace(BATCH).await;
    let balance = world.balance(&person).await;
    world.open_wallet(&person, "6281900000001");
    world.link(&person, "6281900000001").await.unwrap();
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    take(&world, &notice).await.unwrap();
    world.app.inquire_round().await.unwrap();

    assert_eq!(
        (reversed.state(), reversed.failure_reason.as_str()),
        (State::Failed, "REVERSED")
    );
    assert_eq!((units(trace.incentives), trace.paid_count), (0, 0));
    assert_eq!(balance, [TRAINING, 0, INCENTIVES]);
    let paid = world.payment(&person).await;
    assert_eq!(
        (paid.state(), paid.reference),
        (State::Settled, format!("{reference}-2"))
    );
    assert_eq!(units(world.trace(BATCH).await.incentives), JOB_SEARCH);
    assert_eq!(world.told::<pb::DisbursementFailed>().await.len(), 1);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_comes_back_after_the_participation_ended_goes_to_the_treasury(db: PgPool) {
    let (world, person, reference) = one_sent(db, &[]).await;
    world.revoke(&[person]).await;
    world.bank.take_back(&reference);

    take(
        &world,
        &world.bank.notice(&reference, "04", world.clock.now()),
    )
    .await
    .unwrap();
    world.app.inquire_round().await.unwrap();

    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.incentives)),
        (TRAINING + INCENTIVES, 0)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_false_notice_that_money_was_taken_back_changes_nothing(db: PgPool) {
    let (world, person, reference) = one_sent(db, &[]).await;

    take(
        &world,
        &world.bank.notice(&reference, "04", world.clock.now()),
    )
    .await
    .unwrap();
    let asked = world.app.inquire_round().await.unwrap().line_count;
    world.clock.advance_by(Duration::days(2));
    let again = world.app.inquire_round().await.unwrap().line_count;

    assert_eq!((asked, again), (1, 0));
    assert_eq!(world.payment_state(&person).await, State::Settled);
    assert_eq!(units(world.trace(BATCH).await.incentives), JOB_SEARCH);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_notice_that_the_rail_has_not_signed_just_now_is_refused(db: PgPool) {
    let (world, person, reference) = one_sent(db, &[Fault::Pending]).await;
    let now = world.clock.now();
    let good = world.bank.notice(&reference, "00", now);

    let cases = [
        (
            BankNotice {
                body: good.body.replace("\"00\"", "\"04\""),
                ..good.clone()
            },
            NoticeRefusal::Unsigned,
        ),
        (
            BankNotice {
                signature: String::new(),
                ..good.clone()
            },
            NoticeRefusal::Unsigned,
        ),
        (
            BankNotice {
                partner_id: "somebody-else".to_owned(),
                ..good.clone()
            },
            NoticeRefusal::Stranger,
        ),
        (
            world
                .bank
                .notice(&reference, "00", now - Duration::minutes(6)),
            NoticeRefusal::Stale,
        ),
        (
            world
                .bank
                .notice(&reference, "00", now + Duration::minutes(6)),
            NoticeRefusal::Stale,
        ),
    ];
    for (notice, refusal) in cases {
        assert_eq!(
            take(&world, &notice).await,
            Err(NoticeError::Refused(refusal)),
            "{notice:?}"
        );
    }
    for strange in ["", "x", &format!("{reference}-2"), &"0".repeat(32)] {
        let notice = world.bank.notice(strange, "00", now);
        assert_eq!(
            take(&world, &notice).await,
            Err(NoticeError::Unknown),
            "{strange}"
        );
    }
    assert_eq!(world.app.inquire_round().await.unwrap().line_count, 0);
    assert_eq!(world.payment_state(&person).await, State::Unknown);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn notices_are_taken_over_http_and_answered_as_snap_says(db: PgPool) {
    let (world, _, reference) = one_sent(db, &[Fault::Pending]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}{}",
        listener.local_addr().unwrap(),
        callbacks::PATH
    );
    let stop = CancellationToken::new();
    let serving = callbacks::serve(listener, world.app.clone(), stop.clone());
    let serving = chassis::task::spawn("callbacks", serving);
    let good = world.bank.notice(&reference, "00", world.clock.now());
    let post = async |notice: &BankNotice, body: String| {
        let answer = reqwest::Client::new()
            .post(&url)
            .header("X-TIMESTAMP", &notice.timestamp)
            .header("X-PARTNER-ID", &notice.partner_id)
            .header("X-SIGNATURE", &notice.signature)
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        let code = body["responseCode"].as_str().unwrap_or_default().to_owned();
        (status, code)
    };

    let taken = post(&good, good.body.clone()).await;
    let spaced = post(&good, good.body.replace(':', " : ")).await;
    let forged = post(&good, "{}".to_owned()).await;
    let huge = post(&good, "x".repeat(20_000)).await;
    let unknown = world.bank.notice("nothing", "00", world.clock.now());
    let unknown = post(&unknown, unknown.body.clone()).await;

    let expected = |status: StatusCode, code: &str| (status, code.to_owned());
    assert_eq!(taken, expected(StatusCode::OK, "2005200"));
    assert_eq!(spaced, expected(StatusCode::OK, "2005200"));
    assert_eq!(forged, expected(StatusCode::UNAUTHORIZED, "4015200"));
    assert_eq!(unknown, expected(StatusCode::NOT_FOUND, "4045201"));
    assert_eq!(huge.0, StatusCode::PAYLOAD_TOO_LARGE);
    stop.cancel();
    serving.await.unwrap();
}
