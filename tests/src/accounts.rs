//! The service accounts of a test stack: who calls, and what each may do. Nobody holds more than its part needs; the
//! maker and the checker of money are two, and only trustees touch the randomness of a draw.

use std::fmt::Write;

use crate::{
    keys::{random_hex, sha256_hex},
    process::Service,
};

/// Somebody who calls the system with a service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A service that calls its peers.
    Service(Service),
    /// The front end, which acts for people.
    Frontend,
    /// The operator who makes: batches, allotments, disbursement batches.
    Operator1,
    /// The operator who checks: approves what the first one made.
    Operator2,
    /// A keeper of a share of the draw's randomness, numbered from 1 to 3.
    Trustee(u8),
    /// A training provider's system.
    Provider,
    /// A job portal's system.
    Portal,
    /// The harness itself, which moves the clocks.
    Stack,
}

/// All callers that a stack knows.
pub const CALLERS: &[Caller] = &[
    Caller::Service(Service::Catalog),
    Caller::Service(Service::Enrollment),
    Caller::Service(Service::Payout),
    Caller::Service(Service::Jobs),
    Caller::Frontend,
    Caller::Operator1,
    Caller::Operator2,
    Caller::Trustee(1),
    Caller::Trustee(2),
    Caller::Trustee(3),
    Caller::Provider,
    Caller::Portal,
    Caller::Stack,
];

const OPERATOR: &[&str] = &[
    "catalog.courses.*",
    "catalog.providers.*",
    "catalog.runs.*",
    "enrollment.appeals.*",
    "enrollment.applications.get",
    "enrollment.applications.list",
    "enrollment.batches.*",
    "enrollment.campaigns.*",
    "enrollment.certificates.list",
    "enrollment.decisions.*",
    "enrollment.participations.*",
    "enrollment.purchases.get",
    "enrollment.purchases.list",
    "enrollment.schemes.*",
    "enrollment.randomness.record",
    "identity.accounts.list",
    "identity.exclusionLists.*",
    "jobs.regions.*",
    "payout.allotments.*",
    "payout.appropriations.*",
    "payout.balances.*",
    "payout.clawbacks.*",
    "payout.disbursementBatches.*",
    "payout.disbursements.*",
    "payout.failures.*",
    "payout.fiscalYearStatements.*",
    "payout.ledger.*",
    "payout.participationFunds.*",
    "payout.payeeAccountReviews.*",
    "payout.paymentFiles.*",
    "payout.reallocations.*",
    "payout.reconciliations.*",
    "payout.statements.*",
];

impl Caller {
    /// Returns the account's id, the last part of its resource name.
    pub fn id(self) -> String {
        match self {
            Caller::Service(service) => service.name().to_owned(),
            Caller::Frontend => "frontend".to_owned(),
            Caller::Operator1 => "operator-1".to_owned(),
            Caller::Operator2 => "operator-2".to_owned(),
            Caller::Trustee(number) => format!("trustee-{number}"),
            Caller::Provider => "provider".to_owned(),
            Caller::Portal => "portal".to_owned(),
            Caller::Stack => "stack".to_owned(),
        }
    }

    /// Returns the account's resource name.
    pub fn name(self) -> String {
        format!("serviceAccounts/{}", self.id())
    }

    /// Returns what the account may do; `catalog.*` stands for all that begin with `catalog.`.
    pub fn permissions(self) -> &'static [&'static str] {
        match self {
            Caller::Service(Service::Enrollment) => {
                &["identity.facts.*", "catalog.seats.*", "payout.funds.*"]
            }
            Caller::Service(Service::Payout) => &["identity.persons.attest"],
            Caller::Service(Service::Identity | Service::Catalog | Service::Jobs) => &[],
            Caller::Frontend => &[
                "identity.accounts.*",
                "identity.persons.get",
                "identity.persons.submit",
                "enrollment.applications.*",
                "enrollment.certificates.list",
                "enrollment.participations.*",
                "enrollment.purchases.*",
                "enrollment.reviews.*",
                "enrollment.vouchers.*",
                "payout.balances.get",
                "payout.clawbacks.get",
                "payout.disbursements.*",
                "payout.participationFunds.*",
                "payout.payeeAccounts.*",
                "jobs.interests.*",
                "jobs.vacancies.get",
                "jobs.vacancies.recommend",
                "jobs.vacancies.search",
            ],
            Caller::Operator1 | Caller::Operator2 => OPERATOR,
            Caller::Trustee(_) => &["enrollment.randomness.*"],
            Caller::Provider => &["enrollment.codes.*", "enrollment.completions.*"],
            Caller::Portal => &["jobs.vacancies.import"],
            Caller::Stack => &["clock.*"],
        }
    }
}

/// The secrets of one stack's service accounts.
#[derive(Debug)]
pub struct Secrets {
    by_caller: Vec<(Caller, String)>,
}

impl Secrets {
    /// Makes a fresh secret for every caller.
    pub fn generate() -> Secrets {
        Secrets {
            by_caller: CALLERS
                .iter()
                .map(|caller| (*caller, random_hex()))
                .collect(),
        }
    }

    /// Returns a caller's secret.
    pub fn of(&self, caller: Caller) -> &str {
        let found = self.by_caller.iter().find(|(known, _)| *known == caller);
        let (_, secret) = found.expect("every caller is in CALLERS");
        secret
    }

    /// Writes the file that identity reads: name, hash of the secret, permissions.
    pub fn to_toml(&self) -> String {
        let mut text = String::from("# Made by the harness for one run.\n");
        for (caller, secret) in &self.by_caller {
            let write = writeln!(
                text,
                "\n[[service_account]]\nname = \"{}\"\nsecret_sha256 = \"{}\"\npermissions = {:?}",
                caller.name(),
                sha256_hex(secret),
                caller.permissions()
            );
            write.expect("a String takes every text");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_toml_and_holds_no_secret() {
        let secrets = Secrets::generate();

        let text = secrets.to_toml();
        let document: toml::Table = toml::from_str(&text).unwrap();

        let accounts = document["service_account"].as_array().unwrap();
        assert_eq!(accounts.len(), CALLERS.len());
        assert_eq!(
            accounts[4]["name"].as_str(),
            Some("serviceAccounts/frontend")
        );
        assert!(!text.contains(secrets.of(Caller::Frontend)));
    }
}
