//! The domain's values as the contract's messages.

use chassis::names;
use proto::identity::v1 as pb;
use time::OffsetDateTime;

use crate::{
    app::persons::{Attestation, PersonFacts},
    domain::{
        account::{Account, AccountState},
        exclusion_list::ExclusionList,
        facts::{Fact, FactSource, FactValue},
        person::{Person, PersonState},
        personal::Personal,
        snapshot::{RowFault, RowField},
    },
    events,
    storage::persons::FactChange,
    tokens::IssuedToken,
};

fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or(0),
    }
}

impl From<Account> for pb::Account {
    fn from(account: Account) -> pb::Account {
        let state = match account.state {
            AccountState::Active => pb::account::State::Active,
            AccountState::Blocked => pb::account::State::Blocked,
        };
        pb::Account {
            name: names::format("accounts", account.id),
            email: account.email.into_exposed(),
            phone: account
                .phone
                .map(Personal::into_exposed)
                .unwrap_or_default(),
            state: state.into(),
            create_time: Some(timestamp(account.create_time)),
        }
    }
}

impl From<IssuedToken> for pb::Token {
    fn from(token: IssuedToken) -> pb::Token {
        pb::Token {
            access_token: token.access_token,
            expire_time: Some(timestamp(token.expire_time)),
        }
    }
}

impl From<ExclusionList> for pb::ExclusionList {
    fn from(list: ExclusionList) -> pb::ExclusionList {
        pb::ExclusionList {
            name: names::format("exclusionLists", list.id.as_str()),
            display_name: list.display_name,
            source: list.source,
            snapshot_date: list.snapshot_date.map(events::date),
            import_time: list.import_time.map(timestamp),
            entry_count: list.entry_count,
            create_time: Some(timestamp(list.create_time)),
        }
    }
}

impl From<RowFault> for pb::SnapshotFault {
    fn from(fault: RowFault) -> pb::SnapshotFault {
        let field = match fault.field {
            RowField::Listed => "listed_hashes",
            RowField::Lifted => "lifted_hashes",
        };
        pb::SnapshotFault {
            field: field.to_owned(),
            index: i32::try_from(fault.index).unwrap_or(i32::MAX),
            description: fault.description.to_owned(),
        }
    }
}

impl From<PersonState> for pb::person::State {
    fn from(state: PersonState) -> pb::person::State {
        match state {
            PersonState::Pending => pb::person::State::Pending,
            PersonState::Verified => pb::person::State::Verified,
            PersonState::Mismatched => pb::person::State::Mismatched,
        }
    }
}

impl From<Person> for pb::Person {
    fn from(person: Person) -> pb::Person {
        pb::Person {
            name: format!("accounts/{}/person", person.account_id),
            state: pb::person::State::from(person.state).into(),
            mismatch_fields: person.mismatch_fields,
            submit_time: Some(timestamp(person.submit_time)),
            verify_time: person.verify_time.map(timestamp),
        }
    }
}

impl From<PersonFacts> for pb::PersonFacts {
    fn from(person: PersonFacts) -> pb::PersonFacts {
        let state = person
            .state
            .map_or(pb::person::State::Unspecified, pb::person::State::from);
        pb::PersonFacts {
            account: names::format("accounts", person.account_id),
            state: state.into(),
            region: person.region.unwrap_or_default(),
            household: person.household.unwrap_or_default(),
            facts: person.facts.into_iter().map(pb::Fact::from).collect(),
            facts_change_time: person.facts_change_time.map(timestamp),
        }
    }
}

pub(in crate::rpc) fn fact_changes(page: &[FactChange]) -> pb::FactChanges {
    pb::FactChanges {
        account_ids: page
            .iter()
            .flat_map(|change| change.account_id.into_bytes())
            .collect(),
        change_times_unix_micros: page
            .iter()
            .map(|change| unix_micros(change.facts_change_time))
            .collect(),
    }
}

fn unix_micros(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(i64::MAX)
}

impl From<Fact> for pb::Fact {
    fn from(fact: Fact) -> pb::Fact {
        let value = match fact.value {
            FactValue::Bool(value) => pb::fact::Value::BoolValue(value),
            FactValue::Int(value) => pb::fact::Value::IntValue(value),
            FactValue::Text(value) => pb::fact::Value::StringValue(value),
        };
        let source = match fact.source {
            FactSource::Registry => "registry",
            FactSource::Declared => "declared",
            FactSource::ExclusionList => "exclusion_list",
        };
        pb::Fact {
            name: fact.name.into_owned(),
            value: Some(value),
            source: source.to_owned(),
            observe_time: fact.observe_time.map(timestamp),
        }
    }
}

impl From<Attestation> for pb::HolderAttestation {
    fn from(attestation: Attestation) -> pb::HolderAttestation {
        pb::HolderAttestation {
            name_matches: attestation.name_matches,
            phone_matches: attestation.phone_matches,
        }
    }
}
