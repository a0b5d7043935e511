//! The bank goes wrong in every way at once: everybody is paid exactly once all the same.

use std::time::Duration;

use tests::{
    chance::Ratio,
    cluster::Cluster,
    eventually::{check, eventually},
    fakes::{BankFault, BankFaults},
    programme::outside_of,
    scene::{SOON, Scene, units},
};
use tokio::time::timeout;

const PAYEES: usize = 24;

#[tokio::test]
async fn whatever_the_bank_does_everybody_is_paid_once() {
    let mut cluster = Cluster::builder()
        .setting("PAYOUT_RAIL_TIMEOUT_SECONDS", "2")
        .allow_log("a payment without a clear answer")
        .allow_log("an inquiry without a clear answer")
        .allow_log("a payment was not sent")
        .start()
        .await;
    let scene = Scene::set(&cluster, PAYEES).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 100, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;
    scene.graduate(&mut cluster, &participations, &run).await;
    let some = Ratio::per_mille(120);
    let faults = BankFaults {
        ratios: vec![
            (BankFault::DropRequestHang, some),
            (BankFault::DropRequestClose, some),
            (BankFault::DropReplyClose, some),
            (BankFault::ErrorBeforeBooking, some),
            (BankFault::ErrorAfterBooking, some),
            (BankFault::BookLate, some),
            (BankFault::Pending, some),
        ],
        hang_ms: 5_000,
        ..BankFaults::default()
    };
    cluster.bank().set_faults(&faults).await;

    scene.approve_payments(24).await;
    // Inquiries come later and later; each turn is past the next of them and past the time after which "not found" counts.
    for _ in 0..30 {
        let paid = eventually(SOON, "everybody is paid", || async {
            let trace = programme.trace_funds("batches/48").await.unwrap();
            check(trace.paid_count == 24, || trace.paid_count)
        });
        if timeout(Duration::from_secs(4), paid).await.is_ok() {
            break;
        }
        cluster
            .advance_clock_by(Duration::from_secs(2 * 86_400))
            .await;
    }

    let book = cluster.bank().book().await;
    let credited: u32 = book.iter().map(|entry| entry.credited).sum();
    assert_eq!((book.len(), credited), (PAYEES, 24), "{book:#?}");
    assert!(cluster.bank().summary().await.faults.len() > 3);
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(units(trace.incentives.as_ref()), 24 * 600_000);
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
}
