//! Payments by the thousand without a programme around them: a few persons with bank accounts, each of them the payee of
//! many participations that only payout knows of. What enrollment would tell of these is told in its place.

#![expect(clippy::unwrap_used, reason = "a test stops where it goes wrong")]

use std::time::Duration;

use chassis::{config::Secret, task::Tasks};
use messaging::{Broker, Producer, Relay, Route, outbox};
use proto::{
    enrollment::v1::{
        Award, CertificateIssued, Incentive, ParticipationsAwarded, ReviewCreated,
        incentive::Trigger,
    },
    payout::v1::{Disbursement, disbursement::State},
};
use sqlx::{PgPool, Row, postgres::PgPoolOptions};
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    cluster::{Cluster, to_timestamp},
    eventually::{check, eventually},
    fakes::BankAccount,
    keys::random_hex,
    people::{Person, Population},
    postgres::Databases,
    process::Service,
    programme::{Programme, rupiah},
    regions::Regions,
    scene::SOON,
    stack::Stack,
};

/// Whose budget all is paid from.
pub const BATCH: &str = "batches/48";
/// What each participation is paid, in rupiah.
pub const INCENTIVE: i64 = 600_000;

const TRAINING: i64 = 3_500_000;
/// What a chunk of an event holds at most.
const CHUNK: usize = 1_000;
/// Events in one transaction of the outbox.
const TOLD_AT_ONCE: usize = 2_000;
const MEMBERS: usize = 8;

/// What enrollment tells payout.
const ENROLLMENT: Producer = Producer {
    service: "enrollment",
    routes: &[
        Route {
            r#type: "bekal.enrollment.v1.ParticipationsAwarded",
            consumers: &["payout"],
        },
        Route {
            r#type: "bekal.enrollment.v1.CertificateIssued",
            consumers: &["payout"],
        },
        Route {
            r#type: "bekal.enrollment.v1.ReviewCreated",
            consumers: &["payout"],
        },
    ],
};
const TABLES: &str = include_str!("../../services/messaging/migrations/0002_messaging.sql");

/// Persons with bank accounts, and callers.
#[derive(Debug)]
pub struct Payees {
    /// The callers.
    pub programme: Programme,
    members: Vec<(Person, String)>,
}

/// A participation that only payout knows of.
#[derive(Clone, Debug)]
pub struct Participation {
    /// `participations/{uuid}`.
    pub name: String,
    /// `accounts/{uuid}` of the payee.
    pub account: String,
}

/// Awards with money for all of them that payout has not heard of yet.
pub struct Awards {
    /// Whose they are.
    pub participations: Vec<Participation>,
    events: Vec<ParticipationsAwarded>,
    now: OffsetDateTime,
    teller: Teller,
}

/// Tells events in enrollment's place: an outbox and a relay of its own.
struct Teller {
    pool: PgPool,
    relay: Relay,
    tasks: Tasks,
    databases: Databases,
}

impl Payees {
    /// Registers some persons and links their bank accounts. The cluster needs identity and payout alone.
    ///
    /// # Panics
    /// When a step is refused; so do all others.
    pub async fn set(cluster: &Cluster) -> Payees {
        let programme = Programme::of(cluster).await;
        let today = cluster.now().await.date();
        let regions = Regions::sample().unwrap().regions;
        let population = Population::new(7, today, regions).without_flaws();
        // Wallets may get no more than some dozens of payments a month.
        let people: Vec<Person> = (0..)
            .map(|index| population.person(index))
            .filter(|person| matches!(person.channel, "BNI" | "BCA"))
            .take(MEMBERS)
            .collect();
        let registered = people.iter().map(Person::registered);
        cluster.registry().add_people(registered).await;
        let accounts = people.iter().map(Person::bank_account);
        cluster.bank().add_accounts(accounts).await;
        let mut members = Vec::new();
        for person in people {
            let account = programme.register(&person).await;
            programme.link_payee(&account, &person).await.unwrap();
            members.push((person, account));
        }
        Payees { programme, members }
    }

    /// Allots money for so many participations and makes what is told of them.
    pub async fn prepare(&self, cluster: &Cluster, count: usize) -> Awards {
        let cost = i64::try_from(count).unwrap() * (TRAINING + INCENTIVE);
        let appropriation = self.programme.appropriate("apbn-48", rupiah(cost)).await;
        let appropriation = appropriation.unwrap();
        let allotted = self.programme.allot(&appropriation, BATCH, rupiah(cost));
        allotted.await.unwrap();
        let participations: Vec<Participation> = (0..count)
            .map(|index| Participation {
                name: format!("participations/{}", Uuid::now_v7()),
                account: self.members[index % self.members.len()].1.clone(),
            })
            .collect();
        let now = cluster.now().await;
        let events = participations.chunks(CHUNK);
        Awards {
            events: events.map(|chunk| awarded(chunk, now)).collect(),
            participations,
            now,
            teller: Teller::start(cluster).await,
        }
    }

    /// Has so many participations funded.
    pub async fn award(&self, cluster: &Cluster, count: usize) -> Vec<Participation> {
        let awards = self.prepare(cluster, count).await;
        awards.tell().await;
        let participations = awards.end(cluster).await;
        let expected = i64::try_from(count).unwrap();
        eventually(soon(count), "all are funded", || async {
            let funded = self
                .programme
                .trace_funds(BATCH)
                .await
                .unwrap()
                .funded_count;
            check(funded == expected, || funded)
        })
        .await;
        participations
    }

    /// Has participations complete their first course, so that their payments are READY.
    pub async fn graduate(&self, cluster: &Cluster, participations: &[Participation]) {
        let now = cluster.now().await;
        let teller = Teller::start(cluster).await;
        for some in participations.chunks(TOLD_AT_ONCE) {
            let certificates: Vec<(&str, CertificateIssued)> = some
                .iter()
                .map(|participation| (participation.name.as_str(), certificate(participation)))
                .collect();
            teller.tell(now, &certificates).await;
            let reviews: Vec<(&str, ReviewCreated)> = some
                .iter()
                .map(|participation| (participation.name.as_str(), review(participation)))
                .collect();
            teller.tell(now, &reviews).await;
        }
        teller.end(cluster).await;
        let expected = participations.len() as u64;
        eventually(soon(participations.len()), "all are ready", || async {
            let ready = self.programme.disbursements_in(State::Ready).await.unwrap();
            check(ready == expected, || ready)
        })
        .await;
    }

    /// Has all that is due batched and approved; returns the number of lines.
    pub async fn approve_due(&self) -> i64 {
        let mut line_count = 0;
        while let Some(batch) = self.programme.batch_due("IDR").await.unwrap() {
            self.programme.approve(&batch).await.unwrap();
            line_count += batch.line_count;
        }
        line_count
    }

    /// Has every person change to another account, the `number`th of theirs.
    pub async fn change_accounts(&self, cluster: &Cluster, number: u32) {
        for (person, account) in &self.members {
            let changed = Person {
                account_number: format!("77{number:02}{:06}", person.index),
                ..person.clone()
            };
            let opened: BankAccount = changed.bank_account();
            cluster.bank().add_accounts([opened]).await;
            self.programme.link_payee(account, &changed).await.unwrap();
        }
    }

    /// Says whether no payment is about to be sent or without a clear answer, and as many are paid as the bank has paid.
    /// The money in flight tells it at one moment: a payment that is sent again changes its state meanwhile.
    pub async fn are_at_rest(&self, cluster: &Cluster) -> bool {
        let bank = cluster.bank().summary().await;
        let in_flight = self.programme.in_flight(BATCH).await.unwrap();
        let paid = self.programme.trace_funds(BATCH).await.unwrap().paid_count;
        bank.untold == 0 && in_flight == 0 && paid.unsigned_abs() == bank.paid
    }

    /// Returns all payments of all persons.
    pub async fn disbursements(&self) -> Vec<Disbursement> {
        self.programme.all_disbursements().await.unwrap()
    }
}

impl Awards {
    /// Tells payout of them.
    pub async fn tell(&self) {
        let events: Vec<(&str, &ParticipationsAwarded)> =
            self.events.iter().map(|event| (BATCH, event)).collect();
        self.teller.tell_all(self.now, &events).await;
    }

    /// Waits until everything has been taken in.
    pub async fn end(self, cluster: &Cluster) -> Vec<Participation> {
        self.teller.end(cluster).await;
        self.participations
    }
}

impl Teller {
    async fn start(cluster: &Cluster) -> Teller {
        let stack = Stack::find().unwrap();
        let prefix = format!("teller_{}", &random_hex()[..8]);
        let databases =
            Databases::create(&stack.database_url, &prefix, &[Service::Enrollment]).await;
        let url = databases.url(Service::Enrollment);
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&url)
            .await
            .unwrap();
        sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
        let tasks = Tasks::new(&CancellationToken::new());
        let broker = Broker::new(&Secret::new(cluster.broker().url()), "teller");
        let relay = Relay::start(&tasks, pool.clone(), broker.clone(), ENROLLMENT);
        broker.ready().await;
        Teller {
            pool,
            relay,
            tasks,
            databases,
        }
    }

    async fn tell<M: prost::Message + prost::Name>(
        &self,
        now: OffsetDateTime,
        events: &[(&str, M)],
    ) {
        let events: Vec<(&str, &M)> = events
            .iter()
            .map(|(subject, event)| (*subject, event))
            .collect();
        self.tell_all(now, &events).await;
    }

    async fn tell_all<M: prost::Message + prost::Name>(
        &self,
        now: OffsetDateTime,
        events: &[(&str, &M)],
    ) {
        let mut tx = self.pool.begin().await.unwrap();
        outbox::append_all(&mut tx, now, events).await.unwrap();
        tx.commit().await.unwrap();
        self.relay.wake();
    }

    /// Waits until everything has been told and taken in.
    async fn end(self, cluster: &Cluster) {
        const QUEUE: &str = "payout.enrollment-events";
        loop {
            let waiting = sqlx::raw_sql("SELECT count(*) FROM outbox")
                .fetch_one(&self.pool)
                .await
                .unwrap();
            if waiting.get::<i64, _>(0) == 0 {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        // The broker counts once a second.
        let mut quiet = 0;
        while quiet < 5 {
            sleep(Duration::from_millis(500)).await;
            let is_waiting = cluster.broker().waiting().await.contains_key(QUEUE);
            quiet = if is_waiting { 0 } else { quiet + 1 };
        }
        self.tasks.shutdown(Duration::from_secs(10)).await.unwrap();
        self.pool.close().await;
        self.databases.drop_all(&[Service::Enrollment]).await;
    }
}

/// Long enough for so many participations on a busy machine.
fn soon(count: usize) -> Duration {
    SOON + Duration::from_millis(count as u64)
}

fn awarded(participations: &[Participation], now: OffsetDateTime) -> ParticipationsAwarded {
    ParticipationsAwarded {
        batch: BATCH.to_owned(),
        training_balance: Some(rupiah(TRAINING)),
        incentives: vec![Incentive {
            benefit: "job-search".to_owned(),
            trigger: Trigger::FirstCompletion.into(),
            amount: Some(rupiah(INCENTIVE)),
            instalment_count: 1,
            instalment_interval_days: 30,
        }],
        awards: participations
            .iter()
            .map(|participation| Award {
                participation: participation.name.clone(),
                account: participation.account.clone(),
                region: "32.04".to_owned(),
            })
            .collect(),
        award_time: Some(to_timestamp(now)),
    }
}

fn certificate(participation: &Participation) -> CertificateIssued {
    CertificateIssued {
        certificate: format!("certificates/{}", Uuid::now_v7()),
        account: participation.account.clone(),
        participation: participation.name.clone(),
        first: true,
        ..CertificateIssued::default()
    }
}

fn review(participation: &Participation) -> ReviewCreated {
    ReviewCreated {
        certificate: format!("certificates/{}", Uuid::now_v7()),
        participation: participation.name.clone(),
        stars: 5,
        first: true,
        ..ReviewCreated::default()
    }
}
