//! The calls to identity, catalog and payout, and what their answers mean here.

use std::collections::{BTreeMap, HashMap};

use chassis::{client::Peer, money::Money, names, status};
use futures::{Stream, StreamExt};
use prost_types::Timestamp;
use proto::{
    catalog::v1::{
        ConfirmSeatRequest, HoldSeatRequest, ReleaseSeatRequest, SeatHold,
        run_service_client::RunServiceClient, seat_hold,
    },
    identity::v1::{
        BatchGetFactsRequest, FactChanges, PersonFacts as PersonFactsMessage,
        StreamFactChangesRequest, fact, person, person_service_client::PersonServiceClient,
    },
    payout::v1::{
        CaptureFundsRequest, FundsHold, HoldFundsRequest, ReleaseFundsRequest, funds_hold,
        funds_service_client::FundsServiceClient,
    },
    r#type::v1::Date,
};
use time::{Duration, OffsetDateTime};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::{
    facts::{FactValue, Facts, PersonFacts},
    purchase::{Offer, Outcome},
    time_zone::Day,
};

/// How many persons identity answers for in one call.
pub const FACTS_MAX: usize = 1_000;

/// For how long a seat is held: ample for a saga whose peers are away for a while.
const SEAT_HOLD: Duration = Duration::minutes(30);

/// The source of the facts that tell of exclusion lists.
const EXCLUSION_LIST: &str = "exclusion_list";

/// The reasons of peers that a purchase fails with, under the same name.
const SEATS_TAKEN: &str = "SEATS_TAKEN";
const RUN_ENDED: &str = "RUN_ENDED";
const BALANCE_INSUFFICIENT: &str = "BALANCE_INSUFFICIENT";
/// payout has no balance for the participation: to us it is not funded.
const BALANCE_NOT_FOUND: &str = "BALANCE_NOT_FOUND";
const PARTICIPATION_NOT_FUNDED: &str = "PARTICIPATION_NOT_FUNDED";
/// The participation is frozen: payout has learned of it, or the gate found it.
pub const PARTICIPATION_FROZEN: &str = "PARTICIPATION_FROZEN";
const HOLD_ENDED: &str = "HOLD_ENDED";
const NOT_FOUND: &str = "NOT_FOUND";

/// The services that are called. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Peers {
    identity: Peer,
    catalog: Peer,
    payout: Peer,
}

/// A peer did not say what became of the call: it is made again.
#[derive(Debug, thiserror::Error)]
#[error("{part} gave no clear answer")]
pub struct Unclear {
    /// Which.
    pub part: &'static str,
    /// What it said.
    #[source]
    pub status: Status,
}

/// Which seat a saga is about.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// The hold's id.
    pub hold_id: Uuid,
    /// The run.
    pub run_id: Uuid,
    /// For whom.
    pub account_id: Uuid,
}

/// Which money a saga is about.
#[derive(Clone, Copy, Debug)]
pub struct Funds {
    /// The hold's id.
    pub hold_id: Uuid,
    /// Whose balance.
    pub participation_id: Uuid,
    /// Who gets it.
    pub provider_id: Uuid,
    /// How much.
    pub amount: Money,
}

/// What the hold of a seat came to.
#[derive(Debug)]
pub enum Held {
    /// The seat is held, or confirmed already.
    Offer(Offer),
    /// It is not, and never will be.
    Refused(String),
}

impl Peers {
    /// Makes the callers of the three services.
    pub fn new(identity: Peer, catalog: Peer, payout: Peer) -> Peers {
        Peers {
            identity,
            catalog,
            payout,
        }
    }

    /// Returns the facts about up to [`FACTS_MAX`] persons; an account that identity does not know is left out.
    pub async fn facts(
        &self,
        accounts: &[Uuid],
        day: Day,
    ) -> Result<HashMap<Uuid, PersonFacts>, Status> {
        let request = BatchGetFactsRequest {
            accounts: accounts
                .iter()
                .map(|id| names::format("accounts", id))
                .collect(),
            as_of_date: Some(Date {
                year: day.year,
                month: day.month,
                day: day.day,
            }),
        };
        let response = PersonServiceClient::new(self.identity.clone())
            .batch_get_facts(request)
            .await?;
        let persons = response.into_inner().persons;
        Ok(persons.into_iter().filter_map(person_facts).collect())
    }

    /// Streams the accounts whose facts changed after a time, each with the version that they have now.
    pub async fn fact_changes(
        &self,
        after: OffsetDateTime,
    ) -> Result<impl Stream<Item = Result<Vec<(Uuid, OffsetDateTime)>, Status>> + use<>, Status>
    {
        let request = StreamFactChangesRequest {
            after_time: Some(Timestamp {
                seconds: after.unix_timestamp(),
                nanos: 0,
            }),
        };
        let response = PersonServiceClient::new(self.identity.clone())
            .stream_fact_changes(request)
            .await?;
        let changes = |message: Result<FactChanges, Status>| {
            changes_of(&message?).ok_or_else(|| unreadable("identity").status)
        };
        Ok(response.into_inner().map(changes))
    }

    /// Holds a seat until some time from now.
    pub async fn hold_seat(&self, seat: Seat, now: OffsetDateTime) -> Result<Held, Unclear> {
        let expire_time = now + SEAT_HOLD;
        let request = HoldSeatRequest {
            name: names::format("seatHolds", seat.hold_id),
            run: names::format("runs", seat.run_id),
            account: names::format("accounts", seat.account_id),
            expire_time: Some(Timestamp {
                seconds: expire_time.unix_timestamp(),
                nanos: 0,
            }),
        };
        match RunServiceClient::new(self.catalog.clone())
            .hold_seat(request)
            .await
        {
            Ok(response) => {
                let hold = response.into_inner();
                match hold.state() {
                    seat_hold::State::Held | seat_hold::State::Confirmed => offer(hold)
                        .map(Held::Offer)
                        .ok_or_else(|| unreadable("catalog")),
                    // It ran out while a peer was away; another purchase may try again.
                    seat_hold::State::Released
                    | seat_hold::State::Expired
                    | seat_hold::State::Unspecified => Ok(Held::Refused(SEATS_TAKEN.to_owned())),
                }
            }
            Err(status) => {
                refused("catalog", status, &[SEATS_TAKEN, RUN_ENDED, NOT_FOUND]).map(Held::Refused)
            }
        }
    }

    /// Takes a held seat.
    pub async fn confirm_seat(&self, seat: Seat) -> Result<Outcome, Unclear> {
        let name = names::format("seatHolds", seat.hold_id);
        let confirmed = RunServiceClient::new(self.catalog.clone())
            .confirm_seat(ConfirmSeatRequest { name })
            .await;
        match confirmed {
            Ok(_) => Ok(Outcome::Done),
            // The hold has run out: somebody else has the seat, or could have it.
            Err(status) => refused("catalog", status, &[HOLD_ENDED, NOT_FOUND])
                .map(|_| Outcome::Refused(SEATS_TAKEN.to_owned())),
        }
    }

    /// Gives a seat back, also one that was never held.
    pub async fn release_seat(&self, seat: Seat) -> Result<Outcome, Unclear> {
        let request = ReleaseSeatRequest {
            name: names::format("seatHolds", seat.hold_id),
            run: names::format("runs", seat.run_id),
            account: names::format("accounts", seat.account_id),
        };
        match RunServiceClient::new(self.catalog.clone())
            .release_seat(request)
            .await
        {
            Ok(_) => Ok(Outcome::Done),
            // A run that does not exist has no seat to give back.
            Err(status) => refused("catalog", status, &[NOT_FOUND]).map(|_| Outcome::Done),
        }
    }

    /// Holds money.
    pub async fn hold_funds(&self, funds: Funds) -> Result<Outcome, Unclear> {
        let request = HoldFundsRequest {
            name: names::format("fundsHolds", funds.hold_id),
            participation: names::format("participations", funds.participation_id),
            provider: names::format("providers", funds.provider_id),
            amount: Some(funds.amount.to_proto()),
        };
        match FundsServiceClient::new(self.payout.clone())
            .hold_funds(request)
            .await
        {
            Ok(response) => Ok(match response.into_inner().state() {
                funds_hold::State::Held | funds_hold::State::Captured => Outcome::Done,
                funds_hold::State::Released | funds_hold::State::Unspecified => {
                    Outcome::Refused(BALANCE_INSUFFICIENT.to_owned())
                }
            }),
            Err(status) => {
                let reasons = [
                    BALANCE_INSUFFICIENT,
                    BALANCE_NOT_FOUND,
                    CURRENCY_MISMATCHED,
                    PARTICIPATION_FROZEN,
                ];
                refused("payout", status, &reasons).map(|reason| {
                    Outcome::Refused(match reason.as_str() {
                        BALANCE_NOT_FOUND => PARTICIPATION_NOT_FUNDED.to_owned(),
                        PARTICIPATION_FROZEN => reason,
                        _ => BALANCE_INSUFFICIENT.to_owned(),
                    })
                })
            }
        }
    }

    /// Takes held money for the provider.
    pub async fn capture_funds(&self, funds: Funds) -> Result<Outcome, Unclear> {
        let name = names::format("fundsHolds", funds.hold_id);
        let captured = FundsServiceClient::new(self.payout.clone())
            .capture_funds(CaptureFundsRequest { name })
            .await;
        match captured {
            Ok(_) => Ok(Outcome::Done),
            Err(status) => refused("payout", status, &[HOLD_ENDED, NOT_FOUND])
                .map(|_| Outcome::Refused(BALANCE_INSUFFICIENT.to_owned())),
        }
    }

    /// Gives money back, also such as was never held.
    pub async fn release_funds(&self, funds: Funds) -> Result<Outcome, Unclear> {
        let request = ReleaseFundsRequest {
            name: names::format("fundsHolds", funds.hold_id),
            participation: names::format("participations", funds.participation_id),
            provider: names::format("providers", funds.provider_id),
            amount: Some(funds.amount.to_proto()),
        };
        match FundsServiceClient::new(self.payout.clone())
            .release_funds(request)
            .await
        {
            Ok(response) => released(response.get_ref()),
            // Nothing can be held of a balance that is not there any more.
            Err(status) if status::reason_of(&status).as_deref() == Some(BALANCE_NOT_FOUND) => {
                Ok(Outcome::Done)
            }
            Err(status) => refused("payout", status, &[HOLD_ENDED]).map(Outcome::Refused),
        }
    }
}

/// A course in another currency than the balance cannot be paid from it.
const CURRENCY_MISMATCHED: &str = "CURRENCY_MISMATCHED";

fn released(hold: &FundsHold) -> Result<Outcome, Unclear> {
    match hold.state() {
        funds_hold::State::Released => Ok(Outcome::Done),
        funds_hold::State::Held | funds_hold::State::Captured | funds_hold::State::Unspecified => {
            Ok(Outcome::Refused(HOLD_ENDED.to_owned()))
        }
    }
}

/// Returns the reason of a definite refusal; every other answer leaves open what became of the call.
fn refused(part: &'static str, status: Status, definite: &[&str]) -> Result<String, Unclear> {
    match status::reason_of(&status) {
        Some(reason) if definite.contains(&reason.as_str()) => Ok(reason),
        None if status.code() == Code::NotFound && definite.contains(&NOT_FOUND) => {
            Ok(NOT_FOUND.to_owned())
        }
        Some(_) | None => Err(Unclear { part, status }),
    }
}

fn unreadable(part: &'static str) -> Unclear {
    let status = status::Refusal::internal("an answer without its required fields").into();
    Unclear { part, status }
}

fn offer(hold: SeatHold) -> Option<Offer> {
    let mut violations = status::Violations::new();
    let price = Money::from_proto("price", hold.price.as_ref(), &mut violations);
    Some(Offer {
        course_id: names::parse_uuid(&hold.course, "courses")?,
        provider_id: names::parse_uuid(&hold.provider, "providers")?,
        course_title: hold.course_title,
        course_category: hold.course_category,
        price: price?,
        run_start_time: time_of(hold.run_start_time?)?,
        run_end_time: time_of(hold.run_end_time?)?,
    })
}

fn time_of(timestamp: Timestamp) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    time.checked_add(Duration::nanoseconds(i64::from(timestamp.nanos)))
}

fn changes_of(message: &FactChanges) -> Option<Vec<(Uuid, OffsetDateTime)>> {
    let (ids, []) = message.account_ids.as_chunks::<16>() else {
        return None;
    };
    let times = &message.change_times_unix_micros;
    if ids.len() != times.len() {
        return None;
    }
    let change = |(id, micros): (&[u8; 16], &i64)| {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*micros) * 1_000);
        Some((Uuid::from_bytes(*id), time.ok()?))
    };
    ids.iter().zip(times).map(change).collect()
}

fn person_facts(message: PersonFactsMessage) -> Option<(Uuid, PersonFacts)> {
    let account_id = names::parse_uuid(&message.account, "accounts")?;
    let verified = message.state() == person::State::Verified;
    let mut facts = Facts::default();
    let mut list_snapshots = BTreeMap::new();
    for fact in message.facts {
        if let (EXCLUSION_LIST, Some(time)) = (fact.source.as_str(), fact.observe_time) {
            list_snapshots.insert(fact.name.clone(), time_of(time)?);
        }
        let value = match fact.value {
            Some(fact::Value::BoolValue(value)) => FactValue::Bool(value),
            Some(fact::Value::IntValue(value)) => FactValue::Int(value),
            Some(fact::Value::StringValue(value)) => FactValue::Text(value),
            None => continue,
        };
        facts.insert(fact.name, value);
    }
    let person = PersonFacts {
        verified,
        region: message.region,
        household: <[u8; 16]>::try_from(message.household).ok(),
        facts,
        change_time: message.facts_change_time.and_then(time_of),
        list_snapshots,
    };
    Some((account_id, person))
}
