//! What journeys and faults have in common: a loaded scheme, people, an awarded batch with its money, courses to buy.

#![expect(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

use std::time::Duration;

use proto::{
    catalog::v1::{Course, Run},
    enrollment::v1::{Participation, Scheme, purchase},
    r#type::v1::Money,
};
use time::OffsetDateTime;

use crate::{
    cluster::{Cluster, to_time},
    eventually::eventually,
    people::{Person, Population},
    programme::{Programme, Source, award_cost, evidence, quota_plan, rupiah},
    regions::{Region, Regions},
    stack::checkout,
};

/// Long enough for every event to have its effect on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// A person with an account.
#[derive(Clone, Debug)]
pub struct Member {
    /// The person.
    pub person: Person,
    /// The account's name.
    pub account: String,
}

/// A programme that has begun: the scheme of 2023, the shipped courses, verified people.
#[derive(Debug)]
pub struct Scene {
    /// The callers.
    pub programme: Programme,
    /// The scheme of 2023.
    pub scheme: Scheme,
    /// The shipped regions.
    pub regions: Vec<Region>,
    /// Verified people, all of them eligible.
    pub members: Vec<Member>,
}

impl Scene {
    /// Sets the scene with this many people, all of them eligible, all with an account at the bank.
    ///
    /// # Panics
    /// When a step is refused; so do all others.
    pub async fn set(cluster: &Cluster, count: usize) -> Scene {
        let programme = Programme::of(cluster).await;
        let scheme = programme
            .import_scheme(&checkout().join("deploy/schemes/prakerja-2023.toml"))
            .await
            .unwrap();
        let regions = Regions::sample().unwrap().regions;
        let today = cluster.now().await.date();
        let population = Population::new(7, today, regions.clone()).without_flaws();
        let people = eligible(&population, today, count);
        let registered = people.iter().map(Person::registered);
        cluster.registry().add_people(registered).await;
        let accounts = people.iter().map(Person::bank_account);
        cluster.bank().add_accounts(accounts).await;
        let mut members = Vec::new();
        for person in people {
            let account = programme.register(&person).await;
            members.push(Member { person, account });
        }
        Scene {
            programme,
            scheme,
            regions,
            members,
        }
    }

    /// Runs a batch in which every member wins a place.
    pub async fn awarded_batch(&self, batch_id: &str) -> Vec<Participation> {
        let batch = self.open_funded_batch(batch_id).await;
        for member in &self.members {
            let application = self.programme.apply(&batch, &member.account).await.unwrap();
            assert!(application.decision.unwrap().eligible);
        }
        self.programme.select(&batch).await.unwrap();
        self.programme.funded_participations(&batch).await
    }

    /// Opens a batch with a place for every member, and an allotment that pays for all of them.
    pub async fn open_funded_batch(&self, batch_id: &str) -> String {
        let places = i64::try_from(self.members.len()).unwrap();
        let budget = rupiah(award_cost(&self.scheme).units * places);
        let id = format!("apbn-{batch_id}");
        let appropriation = self
            .programme
            .appropriate(&id, budget.clone())
            .await
            .unwrap();
        let batch = self.open_batch(batch_id, places).await;
        let allotted = self.programme.allot(&appropriation, &batch, budget).await;
        allotted.unwrap();
        batch
    }

    /// Makes a batch and opens it.
    pub async fn open_batch(&self, batch_id: &str, places: i64) -> String {
        let plan = quota_plan(places, 0, &self.regions);
        let batch = self
            .programme
            .create_batch(batch_id, &self.scheme, plan)
            .await
            .unwrap();
        self.programme.open_batch(&batch).await.unwrap();
        batch
    }

    /// Imports the shipped courses and returns one that costs something.
    pub async fn priced_course(&self) -> Course {
        let file = checkout().join("deploy/samples/courses.json");
        let source = Source::json("skills-week", &file).unwrap();
        self.programme.import_courses(source).await.unwrap();
        let courses = self.programme.courses().await.unwrap();
        let priced = courses
            .into_iter()
            .find(|course| units(course.price.as_ref()) > 0);
        priced.expect("the sample has a course with a price")
    }

    /// Makes a run of a course that begins in two days and lasts six hours.
    pub async fn run_of(&self, course: &Course, seats: i64, now: OffsetDateTime) -> Run {
        let start = now + 2 * DAY;
        let end = start + Duration::from_secs(6 * 3_600);
        self.programme
            .create_run(&course.name, seats, start, end)
            .await
            .unwrap()
    }

    /// Takes participants from the purchase of a seat to a linked account. Afterwards the course is over by the clock.
    pub async fn graduate(
        &self,
        cluster: &mut Cluster,
        participations: &[Participation],
        run: &Run,
    ) {
        let programme = &self.programme;
        let start = to_time(run.start_time.unwrap());
        let mut purchases = Vec::new();
        for participation in participations {
            let bought = programme.buy(&participation.name, &run.name).await.unwrap();
            assert_eq!(bought.state(), purchase::State::Completed, "{bought:?}");
            purchases.push(bought);
        }
        cluster.advance_clock(start).await;
        for purchase in &purchases {
            programme.redeem(purchase).await.unwrap();
        }
        cluster.advance_clock(to_time(run.end_time.unwrap())).await;
        for purchase in &purchases {
            let done = programme.complete(&purchase.name, evidence(start)).await;
            programme.review(&done.unwrap().name, 4).await.unwrap();
        }
        for participation in participations {
            let Member { person, account } = self.member_of(participation);
            programme.link_payee(account, person).await.unwrap();
        }
    }

    /// Puts so many payments into batches and approves them.
    pub async fn approve_payments(&self, count: i64) {
        let mut approved = 0;
        while approved < count {
            let due = eventually(SOON, "payments are due", || async {
                let due = self.programme.batch_due("IDR").await.unwrap();
                due.ok_or_else(|| format!("{approved} of {count} so far"))
            })
            .await;
            self.programme.approve(&due).await.unwrap();
            approved += due.line_count;
        }
    }

    /// Returns the member whose participation it is.
    pub fn member_of(&self, participation: &Participation) -> &Member {
        let member = self
            .members
            .iter()
            .find(|member| member.account == participation.account);
        member.expect("all participants are members")
    }
}

/// Returns an amount's units.
pub fn units(money: Option<&Money>) -> i64 {
    money.map_or(0, |money| money.units)
}

/// Returns people whom no rule refuses, of different households.
fn eligible(population: &Population, today: time::Date, count: usize) -> Vec<Person> {
    let mut households = std::collections::BTreeSet::new();
    (0..)
        .map(|index| population.person(index))
        .filter(|person| {
            let age_years = (today - person.birth_date).whole_days() / 366;
            let may_work = matches!(person.occupation, "JOB_SEEKER" | "LAID_OFF" | "EMPLOYEE");
            (19..=60).contains(&age_years) && may_work
        })
        .filter(|person| households.insert(person.household_id.clone()))
        .take(count)
        .collect()
}
