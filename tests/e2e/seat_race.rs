//! More people want a run than it has seats: exactly as many get one, and nobody else loses a rupiah.

use futures::future::join_all;
use proto::enrollment::v1::purchase::State;
use tests::{
    cluster::Cluster,
    eventually::{check, eventually},
    programme::outside_of,
    scene::{SOON, Scene, units},
};

#[tokio::test]
async fn a_run_is_never_oversold_and_losers_keep_their_balance() {
    let cluster = Cluster::start().await;
    let scene = Scene::set(&cluster, 8).await;
    let programme = &scene.programme;
    let course = scene.priced_course().await;
    let run = scene.run_of(&course, 3, cluster.now().await).await;
    let other = scene.run_of(&course, 100, cluster.now().await).await;
    let participations = scene.awarded_batch("48").await;

    let race = participations
        .iter()
        .map(|participation| programme.buy(&participation.name, &run.name));
    let purchases: Vec<_> = join_all(race)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();

    let (bought, failed): (Vec<_>, Vec<_>) = purchases
        .iter()
        .partition(|purchase| purchase.state() == State::Completed);
    assert_eq!((bought.len(), failed.len()), (3, 5));
    let codes: std::collections::BTreeSet<_> = bought.iter().map(|one| &one.redeem_code).collect();
    assert_eq!(codes.len(), 3);
    for purchase in &failed {
        assert_eq!(purchase.failure_reason, "SEATS_TAKEN");
        let balance = programme.balance(&purchase.participation).await.unwrap();
        assert_eq!(units(balance.training_available.as_ref()), 3_500_000);
        assert_eq!(units(balance.training_held.as_ref()), 0);
    }
    eventually(SOON, "three seats are taken", || async {
        let taken = programme.run(&run.name).await.unwrap().taken_seat_count;
        check(taken == 3, || taken)
    })
    .await;
    let again = programme.buy(&failed[0].participation, &other.name).await;
    assert_eq!(again.unwrap().state(), State::Completed);
    let trace = programme.trace_funds("batches/48").await.unwrap();
    assert_eq!(
        units(trace.spent.as_ref()),
        4 * units(course.price.as_ref())
    );
    assert_eq!(outside_of(&trace), 0);
    cluster.finish().await;
}
