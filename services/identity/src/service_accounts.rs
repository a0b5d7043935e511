//! Service accounts: the callers that are not people. They come from a file that operators keep.
//!
//! ```toml
//! [[service_account]]
//! name = "serviceAccounts/demo"
//! secret_sha256 = "…64 hexadecimal digits…"
//! permissions = ["catalog.*", "identity.accounts.create"]
//! ```

use std::collections::BTreeMap;

use aws_lc_rs::{constant_time, digest};
use serde::Deserialize;
use toml::Spanned;

use crate::vault;

const PERMISSION_BYTES_MAX: usize = 100;

/// The service accounts by name.
#[derive(Clone, Debug, Default)]
pub struct ServiceAccounts(BTreeMap<String, ServiceAccount>);

/// A service account.
#[derive(Clone)]
pub struct ServiceAccount {
    secret_sha256: [u8; 32],
    permissions: Vec<String>,
}

impl std::fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    service_account: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    secret_sha256: Spanned<String>,
    permissions: Vec<Spanned<String>>,
}

impl ServiceAccounts {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Every mistake with its line, as `12: what is wrong`. A syntax mistake hides those after it.
    pub fn from_toml(text: &str) -> Result<ServiceAccounts, Vec<String>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            // Not the error's whole text: it quotes the line, and the line may hold a secret's hash.
            vec![format!("{line}: {}", error.message())]
        })?;

        let mut accounts = BTreeMap::new();
        let mut mistakes = Vec::new();
        let mut reject = |position: usize, why: &str| {
            mistakes.push(format!("{}: {why}", line_of(text, position)));
        };
        for entry in file.service_account {
            let position = entry.name.span().start;
            let name = entry.name.into_inner();
            if chassis::names::parse(&name, "serviceAccounts").is_none() {
                reject(position, "`name` is not of the form `serviceAccounts/<id>`");
            }
            let hash = vault::hex_bytes(entry.secret_sha256.as_ref());
            if hash.is_none() {
                reject(
                    entry.secret_sha256.span().start,
                    "`secret_sha256` is not 64 hexadecimal digits",
                );
            }
            for permission in &entry.permissions {
                if !is_permission(permission.as_ref()) {
                    reject(
                        permission.span().start,
                        "a permission is not `<service>.<resource>.<verb>`, nor a beginning of one and `.*`",
                    );
                }
            }
            let account = ServiceAccount {
                secret_sha256: hash.unwrap_or_default(),
                permissions: entry
                    .permissions
                    .into_iter()
                    .map(Spanned::into_inner)
                    .collect(),
            };
            if accounts.insert(name, account).is_some() {
                reject(
                    position,
                    "`name` stands for another service account already",
                );
            }
        }
        if mistakes.is_empty() {
            Ok(ServiceAccounts(accounts))
        } else {
            Err(mistakes)
        }
    }

    /// Returns the permissions of the service account that has this name and this secret. The answer takes as long
    /// whether the name, the secret or nothing is wrong.
    pub fn permissions_of(&self, name: &str, secret: &str) -> Option<&[String]> {
        let hash = digest::digest(&digest::SHA256, secret.as_bytes());
        let account = self.0.get(name);
        let expected = account.map_or([0; 32], |account| account.secret_sha256);
        let is_right = constant_time::verify_slices_are_equal(&expected, hash.as_ref()).is_ok();
        account
            .filter(|_| is_right)
            .map(|account| account.permissions.as_slice())
    }
}

fn is_permission(text: &str) -> bool {
    let stem = text.strip_suffix(".*").unwrap_or(text);
    let is_wildcard = stem.len() < text.len();
    let parts = stem.split('.').count();
    text.len() <= PERMISSION_BYTES_MAX
        && (if is_wildcard { parts < 3 } else { parts == 3 })
        && stem.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
}

fn line_of(text: &str, position: usize) -> usize {
    let before = &text.as_bytes()[..position.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "1c4c4ad28a2ac3bcff1af73a1dd2f1e6d9d9d3ba5d1f1e8a4cf9f39ab9e2b37c";

    #[test]
    fn every_mistake_names_its_line() {
        let text = "\n[[service_account]]\nname = \"accounts/demo\"\nsecret_sha256 = \"beef\"\n\
            permissions = [\n  \"catalog.*\",\n  \"cat*\",\n  \"catalog.courses\",\n]\n";

        let mistakes = ServiceAccounts::from_toml(text).unwrap_err();

        assert_eq!(
            mistakes,
            [
                "3: `name` is not of the form `serviceAccounts/<id>`",
                "4: `secret_sha256` is not 64 hexadecimal digits",
                "7: a permission is not `<service>.<resource>.<verb>`, nor a beginning of one and `.*`",
                "8: a permission is not `<service>.<resource>.<verb>`, nor a beginning of one and `.*`",
            ]
        );
    }

    #[test]
    fn an_unknown_key_and_a_repeated_name_are_mistakes() {
        let unknown = format!(
            "[[service_account]]\nname = \"serviceAccounts/demo\"\nsecret_sha256 = \"{HASH}\"\n\
             permission = [\"catalog.*\"]\n"
        );
        let entry = format!(
            "[[service_account]]\nname = \"serviceAccounts/demo\"\nsecret_sha256 = \"{HASH}\"\npermissions = []\n"
        );

        let mistakes = ServiceAccounts::from_toml(&unknown).unwrap_err();
        let repeated = ServiceAccounts::from_toml(&format!("{entry}{entry}")).unwrap_err();

        assert!(
            mistakes[0].starts_with("4: unknown field `permission`"),
            "{mistakes:?}"
        );
        assert!(!mistakes[0].contains(HASH));
        assert_eq!(
            repeated,
            ["6: `name` stands for another service account already"]
        );
    }

    #[test]
    fn a_permission_is_three_parts_or_a_beginning() {
        for text in ["catalog.*", "catalog.courses.*", "identity.accounts.create"] {
            assert!(is_permission(text), "{text}");
        }
        for text in [
            "",
            "*",
            ".*",
            "cat*",
            "catalog",
            "catalog.courses",
            "a.b.c.*",
            "a.b.c.d",
            "a..c",
            "a.b.*.c",
            "a.b.c ",
        ] {
            assert!(!is_permission(text), "{text}");
        }
    }

    #[test]
    fn name_and_secret_must_both_be_right() {
        let secret = "demo-secret-demo-secret-demo-secret";
        let hash = digest::digest(&digest::SHA256, secret.as_bytes());
        let digits: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let accounts = ServiceAccounts::from_toml(&format!(
            "[[service_account]]\nname = \"serviceAccounts/demo\"\nsecret_sha256 = \"{digits}\"\n\
             permissions = [\"catalog.*\"]\n"
        ))
        .unwrap();

        assert_eq!(
            accounts
                .permissions_of("serviceAccounts/demo", secret)
                .unwrap(),
            ["catalog.*"]
        );
        assert!(
            accounts
                .permissions_of("serviceAccounts/demo", "wrong")
                .is_none()
        );
        assert!(
            accounts
                .permissions_of("serviceAccounts/other", secret)
                .is_none()
        );
        assert!(!format!("{accounts:?}").contains(&digits));
    }
}
