//! Events out, and who takes them. identity takes none: it learns nothing from the other services.

use messaging::{Producer, Route};

/// What identity tells. Nobody needs it yet: enrollment asks for the facts when it decides.
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
    ],
};

#[cfg(test)]
mod tests {
    use prost::Name;
    use proto::identity::v1 as pb;

    use super::*;

    #[test]
    fn every_event_of_the_contract_has_a_route() {
        let routed: Vec<&str> = PRODUCER.routes.iter().map(|route| route.r#type).collect();

        assert_eq!(
            routed,
            [
                pb::AccountCreated::full_name(),
                pb::PersonVerified::full_name(),
                pb::PersonMismatched::full_name()
            ]
        );
    }
}
