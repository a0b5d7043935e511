//! A service is killed in the middle of its work: callers repeat, the work goes on, and nothing is done twice.

use proto::enrollment::v1::{Purchase, purchase::State};
use tests::{
    cluster::Cluster,
    eventually::{check, eventually},
    fakes::{BankFault, BankFaults},
    process::Service,
    programme::outside_of,
    scene::{SOON, Scene, units},
};
use tokio::task::JoinSet;

const BUYERS: usize = 12;
const SEATS: i64 = 7;

#[tokio::test]
async fn purchases_survive_the_death_of_enrollment() {
    let cluster = Cluster::start().await;
    buy_while_one_dies(cluster, Service::Enrollment).await;
}

#[tokio::test]
async fn purchases_survive_the_death_of_catalog() {
    let cluster = Cluster::builder()
        .allow_log("a purchase waits for a peer")
        .start()
        .await;
    buy_while_one_dies(cluster, Service::Catalog).await;
}

#[tokio::test]
async fn purchases_survive_the_death_of_payout() {
    let cluster = Cluster::builder()
        .allow_log("a purchase waits for a peer")
        .start()
        .await;
    buy_while_one_dies(cluster, Service::Payout).await;
}

/// Lets more people buy than there are seats, and kills a service as soon as the first seat is taken.
async fn buy_while_one_dies(mut cluster: Cluster, victim: Service) {
    let scene = Scene::set(&cluster, BUYERS).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, SEATS, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;

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
    cluster.crash(victim).await;
    let purchases: Vec<Purchase> = buyers
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();

    let (bought, failed): (Vec<_>, Vec<_>) = purchases
        .iter()
        .partition(|purchase| purchase.state() == State::Completed);
    let seats = usize::try_from(SEATS).unwrap();
    assert_eq!((bought.len(), failed.len()), (seats, BUYERS - seats));
    let codes: std::collections::BTreeSet<_> = bought.iter().map(|one| &one.redeem_code).collect();
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

#[tokio::test]
async fn a_selection_goes_on_where_it_was_after_each_death() {
    let mut cluster = Cluster::start().await;
    let scene = Scene::set(&cluster, 20).await;
    let programme = scene.programme.clone();
    let batch = scene.open_funded_batch("48").await;
    for member in &scene.members {
        programme.apply(&batch, &member.account).await.unwrap();
    }
    programme.close_batch(&batch).await.unwrap();
    let secrets = programme.commit_randomness(&batch).await.unwrap();

    let mut steps = JoinSet::new();
    let (caller, name) = (programme.clone(), batch.clone());
    steps.spawn(async move { caller.freeze_batch(&name).await });
    cluster.crash(Service::Enrollment).await;
    let frozen = steps.join_next().await.unwrap().unwrap().unwrap();
    programme.reveal_randomness(&batch, &secrets).await.unwrap();
    let (caller, name) = (programme.clone(), batch.clone());
    steps.spawn(async move { caller.draw_batch(&name).await });
    cluster.crash(Service::Enrollment).await;
    let drawn = steps.join_next().await.unwrap().unwrap().unwrap();
    let (caller, name) = (programme.clone(), batch.clone());
    steps.spawn(async move { caller.award_batch(&name).await });
    cluster.crash(Service::Enrollment).await;
    steps.join_next().await.unwrap().unwrap().unwrap();

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
    let slow = BankFaults {
        ratios: vec![(BankFault::Delay, tests::chance::Ratio::per_mille(1_000))],
        delay_ms: 1_500,
        ..BankFaults::default()
    };
    cluster.bank().set_faults(&slow).await;

    scene.approve_payments(8).await;
    eventually(SOON, "the bank has a payment in its book", || async {
        check(!cluster.bank().book().await.is_empty(), || "none")
    })
    .await;
    cluster.crash(Service::Payout).await;
    cluster.bank().set_faults(&BankFaults::default()).await;
    cluster
        .advance_clock_by(std::time::Duration::from_secs(4_000))
        .await;
    eventually(SOON, "everybody is paid", || async {
        let trace = programme.trace_funds("batches/48").await.unwrap();
        check(trace.paid_count == 8, || format!("{trace:?}"))
    })
    .await;

    let book = cluster.bank().book().await;
    assert_eq!(book.len(), PAYEES);
    assert!(book.iter().all(|entry| entry.credited == 1), "{book:#?}");
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(units(trace.incentives.as_ref()), 8 * 600_000);
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
}
