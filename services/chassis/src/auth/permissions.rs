//! Who may call stands in the contract, at the method. A method without the option is refused to everyone.

use std::{collections::BTreeMap, sync::OnceLock};

use prost_reflect::{DescriptorPool, ExtensionDescriptor, MethodDescriptor};
use uuid::Uuid;

use super::{Claims, Principal, permission_missing, token_invalid};
use crate::{names, status::Refusal};

const PERMISSION_OPTION: &str = "bekal.type.v1.permission";
const OWNER_OPTION: &str = "bekal.type.v1.owner";

/// The value of the option that lets everyone call.
const PUBLIC: &str = "public";

/// The methods of a contract, by their path `/package.Service/Method`.
#[derive(Clone, Debug, Default)]
pub struct Permissions(BTreeMap<String, Method>);

/// A method and who may call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// The full name of its service.
    pub service: String,
    /// Its own name.
    pub name: String,
    /// Says whether the request, the response or both are streams.
    pub streaming: bool,
    /// Who may call it.
    pub access: Access,
}

/// Who may call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody: the contract does not say.
    Nobody,
    /// Everyone, also without a token.
    Public,
    /// Who holds the permission.
    Holders {
        /// The permission.
        permission: String,
        /// The request field that leads to the account whose own token suffices.
        owner: Option<String>,
    },
}

impl Permissions {
    /// Reads the options of all methods in a descriptor set, which is compiled into the program.
    ///
    /// # Panics
    /// When it is not one, or does not define the options.
    pub fn from_descriptor_set(encoded: &[u8]) -> Permissions {
        let pool = DescriptorPool::decode(encoded).expect("the descriptor set is compiled in");
        let option = |name: &str| {
            pool.get_extension_by_name(name)
                .expect("the descriptor set defines the options")
        };
        let (permission, owner) = (option(PERMISSION_OPTION), option(OWNER_OPTION));

        let mut methods = BTreeMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let described = Method {
                    service: service.full_name().to_owned(),
                    name: method.name().to_owned(),
                    streaming: method.is_client_streaming() || method.is_server_streaming(),
                    access: access(&method, &permission, &owner),
                };
                methods.insert(path, described);
            }
        }
        Permissions(methods)
    }

    /// Returns the methods of the system's own contract.
    pub fn of_contract() -> &'static Permissions {
        static CONTRACT: OnceLock<Permissions> = OnceLock::new();
        CONTRACT.get_or_init(|| Permissions::from_descriptor_set(proto::FILE_DESCRIPTOR_SET))
    }

    /// Finds a method by its path.
    pub fn find(&self, path: &str) -> Option<&Method> {
        self.0.get(path)
    }

    /// Returns all methods in the order of their paths.
    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.0.values()
    }
}

impl Method {
    /// Decides about a caller by his token's claims; `None` stands for a caller without a token that counts.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, or `UNAUTHENTICATED` when a token is needed.
    pub fn admit(&self, claims: Option<&Claims>) -> Result<Principal, Refusal> {
        match (&self.access, claims) {
            (Access::Nobody, _) => Err(permission_missing("")),
            (Access::Public, None) => Ok(Principal::anonymous()),
            (Access::Public, Some(claims)) => Ok(match account_of(claims) {
                Some(account) => Principal::account(account),
                None => Principal::service(&claims.sub),
            }),
            (Access::Holders { .. }, None) => Err(token_invalid("a bearer token is required")),
            (Access::Holders { permission, owner }, Some(claims)) => {
                if claims.permits(permission) {
                    return Ok(Principal::service(&claims.sub));
                }
                match (owner, account_of(claims)) {
                    (Some(_), Some(account)) => Ok(Principal::account(account)),
                    _ => Err(permission_missing(permission)),
                }
            }
        }
    }
}

fn account_of(claims: &Claims) -> Option<Uuid> {
    names::parse_uuid(&claims.sub, "accounts")
}

fn access(
    method: &MethodDescriptor,
    permission: &ExtensionDescriptor,
    owner: &ExtensionDescriptor,
) -> Access {
    let options = method.options();
    let text = |extension: &ExtensionDescriptor| {
        let value = options.get_extension(extension);
        let text = value.as_str().unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    match text(permission) {
        None => Access::Nobody,
        Some(permission) if permission == PUBLIC => Access::Public,
        Some(permission) => Access::Holders {
            permission,
            owner: text(owner),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_tells_who_may_call() {
        let permissions = Permissions::of_contract();

        let issue = permissions
            .find("/bekal.identity.v1.TokenService/IssueToken")
            .unwrap();
        let advance = permissions
            .find("/bekal.clock.v1.ClockService/AdvanceClock")
            .unwrap();

        assert_eq!(issue.access, Access::Public);
        assert_eq!(
            advance.access,
            Access::Holders {
                permission: "clock.clock.advance".to_owned(),
                owner: None
            }
        );
        assert!(!advance.streaming);
        assert_eq!(permissions.find("/bekal.clock.v1.ClockService/Stop"), None);
    }
}
