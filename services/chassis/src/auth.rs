//! Who calls, and what he may do. The server's layer decides by the method's option in the contract; a handler sees
//! only the [`Principal`] that passed.

use proto::r#type::v1::ErrorReason;
use serde::{Deserialize, Serialize};
use tonic::{Code, Request};
use uuid::Uuid;

use crate::{names, status::Refusal};

mod cache;
mod keys;
mod permissions;

pub use keys::KeyStore;
pub use permissions::{Access, Method, Permissions};

/// The `iss` of every token.
pub const ISSUER: &str = "bekal.identity";

/// The `aud` of every token.
pub const AUDIENCE: &str = "bekal";

/// The claims of a token, as identity signs them and everybody reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The resource name of the caller: `accounts/…` or `serviceAccounts/…`.
    pub sub: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// The token's own id.
    pub jti: String,
    /// What the caller may do; `catalog.*` stands for all that begins with `catalog.`.
    #[serde(default)]
    pub permissions: Vec<String>,
}

impl Claims {
    /// Says whether the token carries a permission.
    pub fn permits(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| {
            held == permission
                || held
                    .strip_suffix('*')
                    .is_some_and(|prefix| prefix.ends_with('.') && permission.starts_with(prefix))
        })
    }
}

/// The caller of a method that it may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The resource name of the caller; empty when a public method is called without a token.
    pub subject: String,
    /// Set when an account calls without holding the permission: it may act for this account alone.
    pub account: Option<Uuid>,
}

impl Principal {
    /// Makes a caller that holds the permission.
    pub fn service(subject: impl Into<String>) -> Principal {
        Principal {
            subject: subject.into(),
            account: None,
        }
    }

    /// Makes an account that acts for itself.
    pub fn account(account: Uuid) -> Principal {
        Principal {
            subject: names::format("accounts", account),
            account: Some(account),
        }
    }

    /// Makes the caller of a public method who shows no token.
    pub fn anonymous() -> Principal {
        Principal::service("")
    }

    /// Returns the caller of a request that came through the server's layers.
    ///
    /// # Errors
    /// When it did not.
    pub fn of<T>(request: &Request<T>) -> Result<&Principal, Refusal> {
        request
            .extensions()
            .get::<Principal>()
            .ok_or_else(|| Refusal::internal("the request came past the server's layers"))
    }

    /// Says whether nobody is known to call.
    pub fn is_anonymous(&self) -> bool {
        self.subject.is_empty()
    }

    /// Lets the caller act for an account: anyone who holds the permission, and the account itself.
    ///
    /// # Errors
    /// When the caller is another account, or nobody.
    pub fn authorize(&self, account: Uuid) -> Result<(), Refusal> {
        let allowed = match self.account {
            Some(own) => own == account,
            None => !self.is_anonymous(),
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::shared(
            Code::PermissionDenied,
            ErrorReason::NotOwner,
            "the request is about another account",
        ))
    }
}

/// `UNAUTHENTICATED`: no token, or none that counts. The log gets to know why.
pub(crate) fn token_invalid(why: &'static str) -> Refusal {
    Refusal::shared(
        Code::Unauthenticated,
        ErrorReason::TokenInvalid,
        "no valid bearer token",
    )
    .because(why)
}

/// `PERMISSION_DENIED`: the token lacks what the method asks for.
pub(crate) fn permission_missing(permission: &str) -> Refusal {
    Refusal::shared(
        Code::PermissionDenied,
        ErrorReason::PermissionMissing,
        "the token lacks the permission of this method",
    )
    .with("permission", permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(permissions: &[&str]) -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: "serviceAccounts/enrollment".to_owned(),
            iat: 0,
            exp: 1,
            jti: "1".to_owned(),
            permissions: permissions.iter().map(|&held| held.to_owned()).collect(),
        }
    }

    #[test]
    fn a_star_stands_for_all_below_its_prefix() {
        let held = claims(&["catalog.*", "payout.funds.hold"]);

        assert!(held.permits("catalog.runs.create"));
        assert!(held.permits("payout.funds.hold"));
        assert!(!held.permits("payout.funds.capture"));
        assert!(!held.permits("catalogue.runs.create"));
        assert!(!claims(&["*", "cat*", ""]).permits("catalog.runs.create"));
    }

    #[test]
    fn an_account_acts_for_itself_alone() {
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));

        assert!(Principal::account(own).authorize(own).is_ok());
        assert!(
            Principal::service("serviceAccounts/portal")
                .authorize(other)
                .is_ok()
        );
        let refused = Principal::account(own).authorize(other).unwrap_err();
        assert_eq!(refused.reason(), "NOT_OWNER");
        assert!(Principal::anonymous().authorize(own).is_err());
    }
}
