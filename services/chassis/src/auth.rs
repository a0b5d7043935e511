//! Who calls, and whether they may: bearer tokens (JWT, EdDSA) checked against identity's keys, and the permission that
//! each method's option in the contract asks for. A method without the option is refused to everyone.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, Value};
use proto::r#type::v1::ErrorReason;
use serde::{Deserialize, Serialize};
use tonic::{Code, Request};
use uuid::Uuid;

use crate::{names, status::Refusal};

mod keys;

pub use keys::KeyStore;

/// `iss` of every token.
pub const ISSUER: &str = "bekal.identity";
/// `aud` of every token.
pub const AUDIENCE: &str = "bekal";

const PUBLIC: &str = "public";
const PERMISSION_OPTION: &str = "bekal.type.v1.permission";
const OWNER_OPTION: &str = "bekal.type.v1.owner";

/// What a token says, as `bekal.identity.v1.TokenService` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: [`ISSUER`].
    pub iss: String,
    /// For whom: [`AUDIENCE`].
    pub aud: String,
    /// Whose it is: `accounts/…` or `serviceAccounts/…`.
    pub sub: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// Its own id.
    pub jti: String,
    /// What a service account may do; `catalog.*` stands for all that begin with `catalog.`. Accounts have none.
    #[serde(default)]
    pub permissions: Vec<String>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The caller's resource name; `anonymous` on a public method.
    pub subject: String,
    /// Set when an account calls for itself without holding the permission: only its own affairs are open to it.
    pub account: Option<Uuid>,
}

/// What one method of the contract asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// The permission; `None` refuses everyone.
    pub permission: Option<String>,
    /// Whether an account's own token is admitted.
    pub owner: bool,
    /// Whether either side streams.
    pub streaming: bool,
}

/// What every method of the contract asks for, by path (`/package.Service/Method`).
#[derive(Clone, Debug, Default)]
pub struct Permissions(HashMap<String, Method>);

// === impl Principal ===

impl Principal {
    /// The caller of a public method.
    pub fn anonymous() -> Principal {
        Principal {
            subject: "anonymous".to_owned(),
            account: None,
        }
    }

    /// Returns who makes a request.
    ///
    /// # Errors
    /// When the request did not pass the server's layers, which is a fault of ours.
    pub fn of<T>(request: &Request<T>) -> Result<&Principal, Refusal> {
        let principal = request.extensions().get::<Principal>();
        principal.ok_or_else(|| Refusal::internal("a request without a principal reached a handler"))
    }

    /// Checks that the caller may act for this account: any account with the permission, its own without.
    ///
    /// # Errors
    /// PERMISSION_DENIED, NOT_OWNER.
    pub fn authorize(&self, account: Uuid) -> Result<(), Refusal> {
        match self.account {
            Some(own) if own != account => Err(Refusal::shared(
                Code::PermissionDenied,
                ErrorReason::NotOwner,
                "the account may act for itself alone",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

// === impl Permissions ===

impl Permissions {
    /// Reads the options of all methods in an encoded `FileDescriptorSet`.
    ///
    /// # Panics
    /// When the set is not one: it is compiled into the process.
    pub fn from_descriptor_set(encoded: &[u8]) -> Permissions {
        let pool = DescriptorPool::decode(encoded).expect("the contract's descriptor set is compiled in");
        let option = |name| pool.get_extension_by_name(name).expect("the contract declares its options");
        let (permission, owner) = (option(PERMISSION_OPTION), option(OWNER_OPTION));
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        Permissions(
            methods
                .map(|method| {
                    let options = method.options();
                    let text = |extension| match options.get_extension(extension).as_ref() {
                        Value::String(text) if !text.is_empty() => Some(text.clone()),
                        _ => None,
                    };
                    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                    let wants = Method {
                        permission: text(&permission),
                        owner: text(&owner).is_some(),
                        streaming: method.is_client_streaming() || method.is_server_streaming(),
                    };
                    (path, wants)
                })
                .collect(),
        )
    }

    /// Returns what a method asks for; an unknown one refuses everyone.
    pub fn of(&self, path: &str) -> Method {
        self.0.get(path).cloned().unwrap_or_default()
    }
}

impl Method {
    /// Says whether everyone may call, also without a token.
    pub fn is_public(&self) -> bool {
        self.permission.as_deref() == Some(PUBLIC)
    }

    /// Decides whether the bearer of a token may call.
    ///
    /// # Errors
    /// PERMISSION_DENIED, PERMISSION_MISSING.
    pub fn admit(&self, claims: &Claims) -> Result<Principal, Refusal> {
        let account = names::parse_uuid(&claims.sub, "accounts");
        let holds = self
            .permission
            .as_deref()
            .is_some_and(|wanted| claims.permissions.iter().any(|held| covers(held, wanted)));
        if holds {
            return Ok(Principal {
                subject: claims.sub.clone(),
                account: None,
            });
        }
        if self.owner && self.permission.is_some() && account.is_some() {
            return Ok(Principal {
                subject: claims.sub.clone(),
                account,
            });
        }
        Err(Refusal::shared(
            Code::PermissionDenied,
            ErrorReason::PermissionMissing,
            "the caller may not call this method",
        )
        .with("permission", self.permission.clone().unwrap_or_default()))
    }
}

/// Says whether a held permission, maybe with a `*` at its end, covers a wanted one.
fn covers(held: &str, wanted: &str) -> bool {
    match held.strip_suffix('*') {
        Some(head) if head.is_empty() || head.ends_with('.') => wanted.starts_with(head),
        Some(_) | None => held == wanted,
    }
}

/// UNAUTHENTICATED: there is no token, or none that counts.
pub(crate) fn token_invalid(why: &'static str) -> Refusal {
    Refusal::shared(Code::Unauthenticated, ErrorReason::TokenInvalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(sub: &str, permissions: &[&str]) -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: sub.to_owned(),
            iat: 0,
            exp: 0,
            jti: String::new(),
            permissions: permissions.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    #[test]
    fn a_star_covers_what_begins_alike_at_a_dot() {
        for (held, wanted, expected) in [
            ("catalog.runs.create", "catalog.runs.create", true),
            ("catalog.*", "catalog.runs.create", true),
            ("catalog.runs.*", "catalog.runs.create", true),
            ("*", "catalog.runs.create", true),
            ("catalog.run*", "catalog.runs.create", false),
            ("catalog.courses.*", "catalog.runs.create", false),
            ("", "catalog.runs.create", false),
        ] {
            assert_eq!(covers(held, wanted), expected, "{held}");
        }
    }

    #[test]
    fn the_contract_says_who_may_call() {
        let permissions = Permissions::from_descriptor_set(proto::FILE_DESCRIPTOR_SET);

        let freeze = permissions.of("/bekal.enrollment.v1.BatchService/FreezeBatch");
        assert_eq!(freeze.permission.as_deref(), Some("enrollment.batches.freeze"));
        assert!(!freeze.owner && !freeze.streaming);
        assert!(permissions.of("/bekal.identity.v1.TokenService/IssueToken").is_public());
        assert!(permissions.of("/bekal.catalog.v1.CourseService/ImportCourses").streaming);
        assert_eq!(permissions.of("/bekal.catalog.v1.CourseService/Nothing"), Method::default());
    }

    #[test]
    fn an_account_is_admitted_to_its_own_affairs_alone() {
        let account = Uuid::now_v7();
        let own = claims(&names::format("accounts", account), &[]);
        let method = Method {
            permission: Some("enrollment.applications.create".to_owned()),
            owner: true,
            streaming: false,
        };

        let principal = method.admit(&own).unwrap();

        assert!(principal.authorize(account).is_ok());
        let refusal = principal.authorize(Uuid::now_v7()).unwrap_err();
        assert_eq!(refusal.reason(), "NOT_OWNER");
    }

    #[test]
    fn a_method_without_a_permission_is_refused_to_everyone() {
        let all = claims("serviceAccounts/operator", &["*"]);

        let refusal = Method::default().admit(&all).unwrap_err();

        assert_eq!(refusal.reason(), "PERMISSION_MISSING");
    }

    #[test]
    fn a_service_account_cannot_pass_as_an_owner() {
        let method = Method {
            permission: Some("jobs.interests.update".to_owned()),
            owner: true,
            streaming: false,
        };

        assert!(method.admit(&claims("serviceAccounts/portal", &["jobs.vacancies.*"])).is_err());
    }
}
