//! A service is killed in the middle of its work: callers repeat, the work goes on, and nothing is done twice.

use std::{collections::BTreeSet, time::Duration};

use proto::{
    enrollment::v1::{Batch, Purchase, purchase::State},
    payout::v1::disbursement,
};
use tests::{
    chance::Ratio,
    cluster::{Cluster, ClusterBuilder, Link},
    eventually::{check, eventually},
    fakes::{BankFault, BankFaults},
    process::Service,
    programme::outside_of,
    proxy::Weather,
    scene::{SOON, Scene, units},
};
use tokio::task::JoinSet;
use tonic::Status;

const BUYERS: usize = 12;
const SEATS: i64 = 7;

#[tokio::test]
async fn purchases_survive_the_death_of_enrollment() {
    let cluster = slowed().start().await;
    buy_while_one_dies(cluster, Service::Enrollment).await;
}

#[tokio::test]
async fn purchases_survive_the_death_of_catalog() {
    let cluster = slowed()
        .allow_log("a purchase waits for a peer")
        .start()
        .await;
    buy_while_one_dies(cluster, Service::Catalog).await;
}

#[tokio::test]
async fn purchases_survive_the_death_of_payout() {
    let cluster = slowed()
        .allow_log("a purchase waits for a peer")
        .start()
        .await;
    buy_while_one_dies(cluster, Service::Payout).await;
}

/// A link that is slowed down gives the time to kill in the middle of purchases.
const SLOWED: Link = Link::Peer {
    from: Service::Enrollment,
    to: Service::Payout,
};

fn slowed() -> ClusterBuilder {
    // A call whose caller dies may be dropped while its transaction begins; then the database is told to end none.
    Cluster::builder()
        .proxied(SLOWED)
        .allow_log("there is no transaction in progress")
}

/// Lets more people buy than there are seats, and kills a service as soon as the first seat is taken.
async fn buy_while_one_dies(mut cluster: Cluster, victim: Service) {
    let scene = Scene::set(&cluster, BUYERS).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, SEATS, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;

    cluster
        .proxy(SLOWED)
        .set(Weather::Slow(Duration::from_secs(1)));
    let mut buyers = JoinSet::new();
    for participation in participations {
        let (programme, run) = (programme.clone(), run.name.clone());
        buyers.spawn(async move { programme.buy(&participation.name, &run).await });
    }
    eventually(SOON, "the first seat is taken", || async {
        let taken = programme.run(&run.name).await.unwrap().taken_seat_count;
        check(taken > 0, || "none")
    })
    .await;
    cluster.kill(victim);
    // Who finds no seat may be told so at once.
    let mut purchases: Vec<Purchase> = Vec::new();
    while let Some(early) = buyers.try_join_next() {
        purchases.push(early.unwrap().unwrap());
    }
    assert!(
        purchases.iter().all(|early| early.state() == State::Failed),
        "the kill came too late: {purchases:?}"
    );
    cluster.proxy(SLOWED).heal();
    cluster.start_service(victim).await;
    purchases.extend(buyers.join_all().await.into_iter().map(Result::unwrap));

    let (bought, failed): (Vec<_>, Vec<_>) = purchases
        .iter()
        .partition(|purchase| purchase.state() == State::Completed);
    let seats = usize::try_from(SEATS).unwrap();
    assert_eq!((bought.len(), failed.len()), (seats, BUYERS - seats));
    let codes: BTreeSet<_> = bought.iter().map(|one| &one.redeem_code).collect();
    assert_eq!(codes.len(), seats);
    for purchase in failed {
        let balance = programme.balance(&purchase.participation).await.unwrap();
        assert_eq!(units(balance.training_available.as_ref()), 3_500_000);
        assert_eq!(units(balance.training_held.as_ref()), 0);
    }
    eventually(SOON, "as many seats are taken as were bought", || async {
        let taken = programme.run(&run.name).await.unwrap().taken_seat_count;
        check(taken == SEATS, || taken)
    })
    .await;
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(
        units(trace.spent.as_ref()),
        SEATS * units(course.price.as_ref())
    );
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_goes_on_where_it_was_after_each_death() {
    let link = Link::Database(Service::Enrollment);
    let mut cluster = Cluster::builder().proxied(link).start().await;
    let scene = Scene::set(&cluster, 20).await;
    let programme = scene.programme.clone();
    let batch = scene.open_funded_batch("48").await;
    for member in &scene.members {
        programme.apply(&batch, &member.account).await.unwrap();
    }
    programme.close_batch(&batch).await.unwrap();
    let secrets = programme.commit_randomness(&batch).await.unwrap();

    let (caller, name) = (programme.clone(), batch.clone());
    let freeze = async move { caller.freeze_batch(&name).await };
    let frozen = kill_during(&mut cluster, freeze).await;
    programme.reveal_randomness(&batch, &secrets).await.unwrap();
    let (caller, name) = (programme.clone(), batch.clone());
    let draw = async move { caller.draw_batch(&name).await };
    let drawn = kill_during(&mut cluster, draw).await;
    let (caller, name) = (programme.clone(), batch.clone());
    let award = async move { caller.award_batch(&name).await };
    kill_during(&mut cluster, award).await;

    assert_eq!(
        frozen.commitment, drawn.commitment,
        "one commitment for ever"
    );
    let funded = programme.funded_participations(&batch).await;
    assert_eq!(funded.len(), 20);
    let trace = programme.trace_funds(&batch).await.unwrap();
    assert_eq!((trace.funded_count, outside_of(&trace)), (20, 0));
    cluster.finish().await;
}

/// Makes a call, kills enrollment while it works on the batch, which a slow database gives the time for, and starts it
/// again; the caller repeats.
async fn kill_during<F>(cluster: &mut Cluster, step: F) -> Batch
where
    F: Future<Output = Result<Batch, Status>> + Send + 'static,
{
    let link = Link::Database(Service::Enrollment);
    cluster
        .proxy(link)
        .set(Weather::Slow(Duration::from_millis(100)));
    let mut steps = JoinSet::new();
    steps.spawn(step);
    eventually(SOON, "enrollment works on the batch", || async {
        let count = cluster
            .databases()
            .long_work_count(Service::Enrollment)
            .await;
        check(count.unwrap() > 0, || "it does not")
    })
    .await;
    cluster.kill(Service::Enrollment);
    assert!(steps.try_join_next().is_none(), "the kill came too late");
    cluster.proxy(link).heal();
    cluster.start_service(Service::Enrollment).await;
    steps.join_next().await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn payments_survive_the_death_of_payout_and_nobody_is_paid_twice() {
    const PAYEES: usize = 8;
    let mut cluster = Cluster::builder()
        .allow_log("a payment without a clear answer")
        .start()
        .await;
    let scene = Scene::set(&cluster, PAYEES).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 20, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;
    scene.graduate(&mut cluster, &participations, &run).await;
    // Booked, and neither answer nor notice comes: payout is in the middle of every payment.
    let silent = BankFaults {
        ratios: vec![
            (BankFault::DropReplyHang, Ratio::per_mille(1_000)),
            (BankFault::LateCallback, Ratio::per_mille(1_000)),
        ],
        callback_late_ms: 3_600_000,
        ..BankFaults::default()
    };
    cluster.bank().set_faults(&silent).await;

    scene.approve_payments(8).await;
    eventually(SOON, "the bank has all payments in its book", || async {
        let booked = cluster.bank().book().await.len();
        check(booked == PAYEES, || booked)
    })
    .await;
    let in_work = programme.disbursements_in(disbursement::State::Sent).await;
    cluster.crash(Service::Payout).await;
    cluster.bank().set_faults(&BankFaults::default()).await;
    cluster.advance_clock_by(Duration::from_secs(4_000)).await;
    eventually(SOON, "everybody is paid", || async {
        let trace = programme.trace_funds("batches/48").await.unwrap();
        check(trace.paid_count == 8, || format!("{trace:?}"))
    })
    .await;

    assert_eq!(in_work.unwrap(), 8, "payout was killed in the middle");
    let book = cluster.bank().book().await;
    assert_eq!(book.len(), PAYEES);
    assert!(book.iter().all(|entry| entry.credited == 1), "{book:#?}");
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(units(trace.incentives.as_ref()), 8 * 600_000);
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
}
