//! Events out, and who takes them. identity takes none: it learns nothing from the other services.

use chassis::names;
use messaging::{Producer, Route};
use proto::{identity::v1 as pb, r#type::v1 as pb_type};
use time::Date;

use crate::storage::snapshots::Hit;

/// What identity tells. enrollment asks for the facts when it decides, and again about recipients whom a list names.
pub const PRODUCER: Producer = Producer {
    service: "identity",
    routes: &[
        Route {
            r#type: "bekal.identity.v1.AccountCreated",
            consumers: &[],
        },
        Route {
            r#type: "bekal.identity.v1.PersonVerified",
            consumers: &[],
        },
        Route {
            r#type: "bekal.identity.v1.PersonMismatched",
            consumers: &[],
        },
        Route {
            r#type: "bekal.identity.v1.ExclusionsChanged",
            consumers: &["enrollment"],
        },
    ],
};

/// Tells of persons whom a snapshot of a list concerns.
pub fn exclusions_changed(list: &str, snapshot_date: Date, hits: &[Hit]) -> pb::ExclusionsChanged {
    let accounts = |is_listed: bool| {
        hits.iter()
            .filter(|hit| hit.is_listed == is_listed)
            .map(|hit| names::format("accounts", hit.account_id))
            .collect()
    };
    pb::ExclusionsChanged {
        exclusion_list: list.to_owned(),
        snapshot_date: Some(date(snapshot_date)),
        listed_accounts: accounts(true),
        lifted_accounts: accounts(false),
    }
}

/// Writes a date as the contract does.
pub fn date(date: Date) -> pb_type::Date {
    pb_type::Date {
        year: date.year(),
        month: i32::from(u8::from(date.month())),
        day: i32::from(date.day()),
    }
}

#[cfg(test)]
mod tests {
    use prost::Name;

    use super::*;

    #[test]
    fn every_event_of_the_contract_has_a_route() {
        let routed: Vec<&str> = PRODUCER.routes.iter().map(|route| route.r#type).collect();

        assert_eq!(
            routed,
            [
                pb::AccountCreated::full_name(),
                pb::PersonVerified::full_name(),
                pb::PersonMismatched::full_name(),
                pb::ExclusionsChanged::full_name()
            ]
        );
    }
}
