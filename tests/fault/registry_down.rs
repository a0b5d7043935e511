//! The civil registry is down: nobody is verified and nobody is contradicted; all are asked about again by themselves.

use proto::identity::v1::person::State;
use tests::{
    cluster::Cluster,
    eventually::{check, eventually},
    fakes::{RegistryBehaviour, RegistryMode},
    people::Population,
    programme::{Programme, reason_of},
    regions::Regions,
    scene::{SOON, Scene},
};

#[tokio::test]
async fn an_outage_of_the_registry_is_no_mismatch() {
    let cluster = Cluster::builder()
        .allow_log("the registry does not answer; persons stay pending")
        .start()
        .await;
    let scene = Scene::set(&cluster, 1).await;
    let programme: &Programme = &scene.programme;
    let today = cluster.now().await.date();
    let regions = Regions::sample().unwrap().regions;
    let population = Population::new(9, today, regions).without_flaws();
    let people: Vec<_> = (5_000..5_010)
        .map(|index| population.person(index))
        .collect();
    let registered = people.iter().map(tests::people::Person::registered);
    cluster.registry().add_people(registered).await;
    let batch = scene.open_batch("48", 5).await;
    let down = RegistryBehaviour {
        mode: RegistryMode::Down,
        ..RegistryBehaviour::default()
    };

    let before = cluster.registry().statistics().await;
    cluster.registry().behave(&down).await;
    let mut accounts = Vec::new();
    for person in &people {
        let account = programme.create_account(person, "").await.unwrap();
        let submitted = programme.submit_identity(&account, person).await.unwrap();
        assert_eq!(submitted.state(), State::Pending);
        accounts.push(account);
    }
    eventually(SOON, "the registry is asked in vain", || async {
        let asked = cluster.registry().statistics().await;
        check(asked.requests > before.requests, || format!("{asked:?}"))
    })
    .await;
    for account in &accounts {
        let person = programme.person(account).await.unwrap();
        assert_eq!(person.state(), State::Pending, "{person:?}");
    }
    let early = programme.apply(&batch, &accounts[0]).await.unwrap_err();
    cluster
        .registry()
        .behave(&RegistryBehaviour::default())
        .await;

    assert_eq!(reason_of(&early).as_deref(), Some("PERSON_NOT_VERIFIED"));
    for account in &accounts {
        let person = programme.registry_answer(account).await;
        assert_eq!(person.state(), State::Verified, "{person:?}");
    }
    cluster.finish().await;
}
