//! Fakes of identity, catalog and payout: they keep the contract's promises about repeats and tombstones, and lose calls
//! before or after their effect when told to.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    vec::IntoIter,
};

use chassis::{names, status::Refusal};
use prost_types::Timestamp;
use proto::{
    catalog::v1::{self as catalog, SeatHold, run_service_server::RunService, seat_hold},
    identity::v1::{
        self as identity, Fact, FactChanges, PersonFacts, fact, person,
        person_service_server::PersonService, token_service_server::TokenService,
    },
    payout::v1::{self as payout, FundsHold, funds_hold, funds_service_server::FundsService},
    r#type::v1::Money,
};
use time::{OffsetDateTime, macros::datetime};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is lost on its way.
    Before,
    /// Its answer is lost.
    After,
}

/// A run of the fake catalog.
#[derive(Clone, Debug)]
pub(crate) struct FakeRun {
    pub(crate) course: Uuid,
    pub(crate) provider: Uuid,
    pub(crate) seats: i64,
    pub(crate) price_units: i64,
    pub(crate) start: OffsetDateTime,
}

#[derive(Default)]
struct State {
    persons: HashMap<String, PersonFacts>,
    change_count: i64,
    facts_calls: Vec<usize>,
    runs: HashMap<String, FakeRun>,
    seats: HashMap<String, SeatHold>,
    balances: HashMap<String, i64>,
    funds: HashMap<String, FundsHold>,
    faults: HashMap<&'static str, VecDeque<Fault>>,
    away: Vec<&'static str>,
}

/// The three peers.
#[derive(Clone, Default)]
pub(crate) struct Peers(Arc<Mutex<State>>);

impl Peers {
    /// Serves all three at one address.
    pub(crate) async fn start() -> (Peers, String) {
        let peers = Peers::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = tonic::transport::Server::builder()
            .add_service(identity::person_service_server::PersonServiceServer::new(
                peers.clone(),
            ))
            .add_service(identity::token_service_server::TokenServiceServer::new(
                peers.clone(),
            ))
            .add_service(catalog::run_service_server::RunServiceServer::new(
                peers.clone(),
            ))
            .add_service(payout::funds_service_server::FundsServiceServer::new(
                peers.clone(),
            ));
        chassis::task::spawn("peers", async move {
            router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        (peers, address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets the next call of a method be lost.
    pub(crate) fn lose(&self, method: &'static str, fault: Fault) {
        self.state()
            .faults
            .entry(method)
            .or_default()
            .push_back(fault);
    }

    /// Lets all calls of a method fail until [`Peers::back`].
    pub(crate) fn away(&self, method: &'static str) {
        self.state().away.push(method);
    }

    pub(crate) fn back(&self) {
        self.state().away.clear();
    }

    /// Adds a person or changes what is known of them. Each time is another version, later than any clock of a test.
    pub(crate) fn add_person(&self, account: Uuid, person: PersonFacts) {
        let mut state = self.state();
        state.change_count += 1;
        let name = names::format("accounts", account);
        let person = PersonFacts {
            account: name.clone(),
            facts_change_time: Some(Timestamp {
                seconds: datetime!(2100-01-01 00:00 UTC).unix_timestamp() + state.change_count,
                nanos: 123_456_000,
            }),
            ..person
        };
        state.persons.insert(name, person);
    }

    /// How many accounts each call asked about.
    pub(crate) fn facts_calls(&self) -> Vec<usize> {
        self.state().facts_calls.clone()
    }

    pub(crate) fn add_run(&self, run: FakeRun) -> Uuid {
        let id = Uuid::now_v7();
        self.state().runs.insert(names::format("runs", id), run);
        id
    }

    pub(crate) fn set_balance(&self, participation: Uuid, units: i64) {
        let name = names::format("participations", participation);
        self.state().balances.insert(name, units);
    }

    pub(crate) fn balance(&self, participation: Uuid) -> i64 {
        let name = names::format("participations", participation);
        self.state()
            .balances
            .get(&name)
            .copied()
            .unwrap_or_default()
    }

    /// How many seats of a run are held or taken.
    pub(crate) fn taken_seats(&self, run: Uuid) -> usize {
        let run = names::format("runs", run);
        let state = self.state();
        state
            .seats
            .values()
            .filter(|hold| hold.run == run && is_taken(hold))
            .count()
    }

    /// How many seats are confirmed.
    pub(crate) fn confirmed_seats(&self) -> usize {
        let state = self.state();
        state
            .seats
            .values()
            .filter(|hold| hold.state() == seat_hold::State::Confirmed)
            .count()
    }

    /// Ends all holds that are not confirmed, as time does.
    pub(crate) fn expire_seats(&self) {
        for hold in self.state().seats.values_mut() {
            if hold.state() == seat_hold::State::Held {
                hold.set_state(seat_hold::State::Expired);
            }
        }
    }

    /// Ends the holds of one run that are not confirmed.
    pub(crate) fn expire_seat_of(&self, run: &str) {
        for hold in self.state().seats.values_mut() {
            if hold.run == run && hold.state() == seat_hold::State::Held {
                hold.set_state(seat_hold::State::Expired);
            }
        }
    }

    /// Forgets all holds, so that the next case counts its own.
    pub(crate) fn forget_holds(&self) {
        let mut state = self.state();
        state.seats.clear();
        state.funds.clear();
    }

    /// How many holds of money are in a state.
    pub(crate) fn funds_in(&self, wanted: funds_hold::State) -> usize {
        self.state()
            .funds
            .values()
            .filter(|hold| hold.state() == wanted)
            .count()
    }

    /// Runs a method's effect, unless the call or its answer is lost.
    fn answer<T>(
        &self,
        method: &'static str,
        effect: impl FnOnce(&mut State) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let mut state = self.state();
        if state.away.contains(&method) {
            return Err(lost());
        }
        let fault = state.faults.get_mut(method).and_then(VecDeque::pop_front);
        if fault == Some(Fault::Before) {
            return Err(lost());
        }
        let answer = effect(&mut state);
        match fault {
            Some(Fault::After) => Err(lost()),
            Some(Fault::Before) | None => answer.map(Response::new),
        }
    }
}

/// Not UNAVAILABLE, which the client would try again by itself.
fn lost() -> Status {
    Status::unknown("the call was lost")
}

fn refusal(domain: &'static str, code: Code, reason: &'static str) -> Status {
    Refusal::new(code, domain, reason, "refused").into()
}

fn is_taken(hold: &SeatHold) -> bool {
    matches!(
        hold.state(),
        seat_hold::State::Held | seat_hold::State::Confirmed
    )
}

/// A person whom every shipped scheme admits.
pub(crate) fn person() -> PersonFacts {
    PersonFacts {
        facts_change_time: None,
        account: String::new(),
        state: person::State::Verified.into(),
        region: "32.73".to_owned(),
        household: Vec::new(),
        facts: vec![
            int("age_years", 30),
            text("citizenship", "ID"),
            flag("deceased", false),
            flag("disability", false),
            text("occupation", "JOB_SEEKER"),
            text("sex", "FEMALE"),
        ],
    }
}

/// The same person with one fact changed or added.
pub(crate) fn person_with(changed: Fact) -> PersonFacts {
    let mut person = person();
    person.facts.retain(|fact| fact.name != changed.name);
    person.facts.push(changed);
    person
}

pub(crate) fn int(name: &str, value: i64) -> Fact {
    fact(name, fact::Value::IntValue(value))
}

pub(crate) fn text(name: &str, value: &str) -> Fact {
    fact(name, fact::Value::StringValue(value.to_owned()))
}

pub(crate) fn flag(name: &str, value: bool) -> Fact {
    fact(name, fact::Value::BoolValue(value))
}

fn fact(name: &str, value: fact::Value) -> Fact {
    Fact {
        name: name.to_owned(),
        source: "registry".to_owned(),
        observe_time: None,
        value: Some(value),
    }
}

#[tonic::async_trait]
impl TokenService for Peers {
    async fn issue_token(
        &self,
        _: Request<identity::IssueTokenRequest>,
    ) -> Result<Response<identity::Token>, Status> {
        Ok(Response::new(identity::Token {
            access_token: "a-token".to_owned(),
            expire_time: Some(Timestamp {
                seconds: 32_503_680_000,
                nanos: 0,
            }),
        }))
    }

    async fn get_json_web_key_set(
        &self,
        _: Request<identity::GetJsonWebKeySetRequest>,
    ) -> Result<Response<identity::JsonWebKeySet>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl PersonService for Peers {
    async fn submit_identity(
        &self,
        _: Request<identity::SubmitIdentityRequest>,
    ) -> Result<Response<identity::Person>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_person(
        &self,
        _: Request<identity::GetPersonRequest>,
    ) -> Result<Response<identity::Person>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn batch_get_facts(
        &self,
        request: Request<identity::BatchGetFactsRequest>,
    ) -> Result<Response<identity::BatchGetFactsResponse>, Status> {
        let asked = request.into_inner();
        assert!((1..=1_000).contains(&asked.accounts.len()));
        assert!(asked.as_of_date.is_some());
        self.answer("BatchGetFacts", |state| {
            state.facts_calls.push(asked.accounts.len());
            let persons = asked
                .accounts
                .iter()
                .filter_map(|name| state.persons.get(name).cloned());
            Ok(identity::BatchGetFactsResponse {
                persons: persons.collect(),
            })
        })
    }

    type StreamFactChangesStream = tokio_stream::Iter<IntoIter<Result<FactChanges, Status>>>;

    async fn stream_fact_changes(
        &self,
        request: Request<identity::StreamFactChangesRequest>,
    ) -> Result<Response<Self::StreamFactChangesStream>, Status> {
        let after = request.into_inner().after_time.unwrap();
        self.answer("StreamFactChanges", |state| {
            let mut changes = FactChanges::default();
            for person in state.persons.values() {
                let time = person.facts_change_time.unwrap();
                if time.seconds > after.seconds {
                    let id = names::parse_uuid(&person.account, "accounts").unwrap();
                    changes.account_ids.extend_from_slice(id.as_bytes());
                    changes
                        .change_times_unix_micros
                        .push(time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000);
                }
            }
            Ok(tokio_stream::iter(vec![Ok(changes)]))
        })
    }

    async fn attest_holder(
        &self,
        _: Request<identity::AttestHolderRequest>,
    ) -> Result<Response<identity::HolderAttestation>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl RunService for Peers {
    async fn create_run(
        &self,
        _: Request<catalog::CreateRunRequest>,
    ) -> Result<Response<catalog::Run>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_run(
        &self,
        _: Request<catalog::GetRunRequest>,
    ) -> Result<Response<catalog::Run>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn list_runs(
        &self,
        _: Request<catalog::ListRunsRequest>,
    ) -> Result<Response<catalog::ListRunsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn hold_seat(
        &self,
        request: Request<catalog::HoldSeatRequest>,
    ) -> Result<Response<SeatHold>, Status> {
        let asked = request.into_inner();
        self.answer("HoldSeat", |state| {
            if let Some(hold) = state.seats.get(&asked.name) {
                return Ok(hold.clone());
            }
            let run = state.runs.get(&asked.run).cloned();
            let run = run.ok_or_else(|| Status::from(Refusal::not_found(asked.run.clone())))?;
            let taken = state
                .seats
                .values()
                .filter(|hold| hold.run == asked.run && is_taken(hold))
                .count();
            if i64::try_from(taken).unwrap() >= run.seats {
                return Err(refusal(
                    "catalog.bekal",
                    Code::ResourceExhausted,
                    "SEATS_TAKEN",
                ));
            }
            let hold = SeatHold {
                name: asked.name.clone(),
                run: asked.run,
                account: asked.account,
                state: seat_hold::State::Held.into(),
                expire_time: asked.expire_time,
                price: Some(Money {
                    currency_code: "IDR".to_owned(),
                    units: run.price_units,
                    nanos: 0,
                }),
                course: names::format("courses", run.course),
                provider: names::format("providers", run.provider),
                course_title: "Barista".to_owned(),
                course_category: "Kuliner".to_owned(),
                run_start_time: Some(timestamp(run.start)),
                run_end_time: Some(timestamp(run.start + time::Duration::days(3))),
            };
            state.seats.insert(asked.name, hold.clone());
            Ok(hold)
        })
    }

    async fn confirm_seat(
        &self,
        request: Request<catalog::ConfirmSeatRequest>,
    ) -> Result<Response<SeatHold>, Status> {
        let asked = request.into_inner();
        self.answer("ConfirmSeat", |state| {
            let hold = state.seats.get_mut(&asked.name);
            let hold = hold.ok_or_else(|| Status::from(Refusal::not_found(asked.name.clone())))?;
            if !is_taken(hold) {
                return Err(refusal(
                    "catalog.bekal",
                    Code::FailedPrecondition,
                    "HOLD_ENDED",
                ));
            }
            hold.set_state(seat_hold::State::Confirmed);
            Ok(hold.clone())
        })
    }

    async fn release_seat(
        &self,
        request: Request<catalog::ReleaseSeatRequest>,
    ) -> Result<Response<SeatHold>, Status> {
        let asked = request.into_inner();
        self.answer("ReleaseSeat", |state| {
            let hold = state
                .seats
                .entry(asked.name.clone())
                .or_insert_with(|| SeatHold {
                    name: asked.name,
                    run: asked.run,
                    account: asked.account,
                    ..SeatHold::default()
                });
            hold.set_state(seat_hold::State::Released);
            Ok(hold.clone())
        })
    }
}

#[tonic::async_trait]
impl FundsService for Peers {
    async fn hold_funds(
        &self,
        request: Request<payout::HoldFundsRequest>,
    ) -> Result<Response<FundsHold>, Status> {
        let asked = request.into_inner();
        self.answer("HoldFunds", |state| {
            if let Some(hold) = state.funds.get(&asked.name) {
                return Ok(hold.clone());
            }
            let units = asked.amount.as_ref().unwrap().units;
            let balance = state
                .balances
                .get_mut(&asked.participation)
                .ok_or_else(|| {
                    refusal(
                        "payout.bekal",
                        Code::FailedPrecondition,
                        "BALANCE_NOT_FOUND",
                    )
                })?;
            if *balance < units {
                return Err(refusal(
                    "payout.bekal",
                    Code::FailedPrecondition,
                    "BALANCE_INSUFFICIENT",
                ));
            }
            *balance -= units;
            let hold = FundsHold {
                name: asked.name.clone(),
                participation: asked.participation,
                provider: asked.provider,
                amount: asked.amount,
                state: funds_hold::State::Held.into(),
                create_time: None,
            };
            state.funds.insert(asked.name, hold.clone());
            Ok(hold)
        })
    }

    async fn capture_funds(
        &self,
        request: Request<payout::CaptureFundsRequest>,
    ) -> Result<Response<FundsHold>, Status> {
        let asked = request.into_inner();
        self.answer("CaptureFunds", |state| {
            let hold = state.funds.get_mut(&asked.name);
            let hold = hold.ok_or_else(|| Status::from(Refusal::not_found(asked.name.clone())))?;
            if hold.state() == funds_hold::State::Released {
                return Err(refusal(
                    "payout.bekal",
                    Code::FailedPrecondition,
                    "HOLD_ENDED",
                ));
            }
            hold.set_state(funds_hold::State::Captured);
            Ok(hold.clone())
        })
    }

    async fn release_funds(
        &self,
        request: Request<payout::ReleaseFundsRequest>,
    ) -> Result<Response<FundsHold>, Status> {
        let asked = request.into_inner();
        self.answer("ReleaseFunds", |state| {
            let held = state.funds.get(&asked.name).map(FundsHold::state);
            match held {
                Some(funds_hold::State::Captured) => {
                    return Err(refusal(
                        "payout.bekal",
                        Code::FailedPrecondition,
                        "HOLD_ENDED",
                    ));
                }
                Some(funds_hold::State::Held) => {
                    let units = asked.amount.as_ref().unwrap().units;
                    *state.balances.get_mut(&asked.participation).unwrap() += units;
                }
                Some(funds_hold::State::Released | funds_hold::State::Unspecified) | None => {}
            }
            let hold = state
                .funds
                .entry(asked.name.clone())
                .or_insert_with(|| FundsHold {
                    name: asked.name,
                    participation: asked.participation,
                    provider: asked.provider,
                    amount: asked.amount,
                    ..FundsHold::default()
                });
            hold.set_state(funds_hold::State::Released);
            Ok(hold.clone())
        })
    }

    async fn get_balance(
        &self,
        _: Request<payout::GetBalanceRequest>,
    ) -> Result<Response<payout::Balance>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap(),
    }
}
