//! Every setting of the service. Keys and service accounts are read from their files here, so that a mistake in them is
//! one of the configuration and told with all the others.

use std::{path::PathBuf, time::Duration};

use chassis::config::{Env, ProcessConfig, Secret};

use crate::{
    domain::national_id::IdFormat,
    registry::RegistryConfig,
    service_accounts::ServiceAccounts,
    tokens::{TokenKey, TokenKeys},
    vault::Key,
};

/// What the service is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every process is told.
    pub process: ProcessConfig,
    /// `IDENTITY_COUNTRY`: whose national ids and households are taken.
    pub country: IdFormat,
    /// `IDENTITY_TOKEN_KEY_FILE`, `IDENTITY_TOKEN_PREVIOUS_KEY_FILES` (separated by commas) and
    /// `IDENTITY_TOKEN_LIFETIME_SECONDS`: the keys of the tokens, and how long a token lives.
    pub token_keys: TokenKeys,
    /// `IDENTITY_SERVICE_ACCOUNTS_FILE`: the callers that are not people.
    pub service_accounts: ServiceAccounts,
    /// `IDENTITY_MASTER_KEY`: encrypts the key of each person; 64 hexadecimal digits.
    pub master_key: Key,
    /// `IDENTITY_MATCH_KEY`: national ids and households are found again under its hash; 64 hexadecimal digits.
    pub match_key: Key,
    /// `IDENTITY_PASSWORD_HASH_CONCURRENCY_MAX`: passwords hashed at once, each on a thread with 19 MiB.
    pub password_hash_concurrency_max: usize,
    /// `IDENTITY_REGISTRY_ADDRESS`, `_KEY`, `_TIMEOUT_SECONDS`, `_CONCURRENCY_MAX`: the civil registry.
    pub registry: RegistryConfig,
}

impl Config {
    /// Reads the settings; what is wrong is recorded in `env`.
    pub fn read(env: &mut Env) -> Option<Config> {
        let process = ProcessConfig::read(env, "identity");
        let country = env.or("IDENTITY_COUNTRY", IdFormat::Indonesia);
        let token_keys = read_token_keys(env);
        let service_accounts = read_service_accounts(env);
        let master_key = env.required("IDENTITY_MASTER_KEY");
        let match_key = env.required("IDENTITY_MATCH_KEY");
        let password_hash_concurrency_max =
            env.within("IDENTITY_PASSWORD_HASH_CONCURRENCY_MAX", 2, 1..=64);
        let registry = read_registry(env);
        Some(Config {
            process: process?,
            country,
            token_keys: token_keys?,
            service_accounts: service_accounts?,
            master_key: master_key?,
            match_key: match_key?,
            password_hash_concurrency_max,
            registry: registry?,
        })
    }
}

fn read_token_keys(env: &mut Env) -> Option<TokenKeys> {
    const SIGNING: &str = "IDENTITY_TOKEN_KEY_FILE";
    const PREVIOUS: &str = "IDENTITY_TOKEN_PREVIOUS_KEY_FILES";
    let lifetime = env.within("IDENTITY_TOKEN_LIFETIME_SECONDS", 900, 60..=86_400);
    let signing: Option<PathBuf> = env.required(SIGNING);
    let signing = signing.and_then(|path| read_token_key(env, SIGNING, &path));
    let previous: String = env.or(PREVIOUS, String::new());
    let previous: Option<Vec<TokenKey>> = previous
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty())
        .map(|path| read_token_key(env, PREVIOUS, &PathBuf::from(path)))
        .collect();
    Some(TokenKeys::new(
        signing?,
        previous?,
        Duration::from_secs(lifetime),
    ))
}

fn read_token_key(env: &mut Env, setting: &str, path: &PathBuf) -> Option<TokenKey> {
    let pem = read_file(env, setting, path)?;
    TokenKey::from_pem(pem.as_bytes())
        .map_err(|why| env.reject(setting, &format!("{}: {why}", path.display())))
        .ok()
}

fn read_service_accounts(env: &mut Env) -> Option<ServiceAccounts> {
    const SETTING: &str = "IDENTITY_SERVICE_ACCOUNTS_FILE";
    let path: PathBuf = env.required(SETTING)?;
    let text = read_file(env, SETTING, &path)?;
    ServiceAccounts::from_toml(&text)
        .map_err(|mistakes| {
            for mistake in mistakes {
                env.reject(SETTING, &format!("{}:{mistake}", path.display()));
            }
        })
        .ok()
}

fn read_file(env: &mut Env, setting: &str, path: &PathBuf) -> Option<String> {
    std::fs::read_to_string(path)
        .map_err(|why| {
            env.reject(
                setting,
                &format!("{}: cannot be read: {why}", path.display()),
            )
        })
        .ok()
}

fn read_registry(env: &mut Env) -> Option<RegistryConfig> {
    const ADDRESS: &str = "IDENTITY_REGISTRY_ADDRESS";
    let address: Option<String> = env.required(ADDRESS);
    let address = address.filter(|address| {
        let is_address =
            reqwest::Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_address {
            env.reject(ADDRESS, "is not of the form http://host:port");
        }
        is_address
    });
    let key: Option<Secret> = env.required("IDENTITY_REGISTRY_KEY");
    let timeout = env.within("IDENTITY_REGISTRY_TIMEOUT_SECONDS", 5, 1..=60);
    let concurrency_max = env.within("IDENTITY_REGISTRY_CONCURRENCY_MAX", 32, 1..=1_000);
    Some(RegistryConfig {
        address: address?,
        key: key?,
        timeout: Duration::from_secs(timeout),
        concurrency_max,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use uuid::Uuid;

    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    fn file(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    fn read(pairs: Vec<(&str, String)>) -> Result<Config, String> {
        let mut env = Env::from_pairs(pairs);
        let config = Config::read(&mut env);
        env.finish(config).map_err(|mistakes| mistakes.to_string())
    }

    fn complete(folder: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("IDENTITY_LISTEN_ADDRESS", "127.0.0.1:7001".to_owned()),
            ("IDENTITY_DATABASE_URL", "postgres://db/identity".to_owned()),
            ("IDENTITY_BROKER_URL", "amqp://mq".to_owned()),
            ("IDENTITY_TOKEN_KEY_FILE", file(folder, "token.pem", PEM)),
            (
                "IDENTITY_SERVICE_ACCOUNTS_FILE",
                file(folder, "accounts.toml", ""),
            ),
            ("IDENTITY_MASTER_KEY", "0a".repeat(32)),
            ("IDENTITY_MATCH_KEY", "0b".repeat(32)),
            (
                "IDENTITY_REGISTRY_ADDRESS",
                "http://registry:8080".to_owned(),
            ),
            ("IDENTITY_REGISTRY_KEY", "open sesame".to_owned()),
        ]
    }

    #[test]
    fn a_complete_configuration_has_the_documented_defaults() {
        let config = read(complete(&folder())).unwrap();

        assert_eq!(config.country, IdFormat::Indonesia);
        assert_eq!(config.password_hash_concurrency_max, 2);
        assert_eq!(config.registry.timeout, Duration::from_secs(5));
        assert_eq!(config.registry.concurrency_max, 32);
        let text = format!("{config:?}");
        assert!(
            !text.contains("0a0a") && !text.contains("0b0b") && !text.contains("sesame"),
            "{text}"
        );
    }

    #[test]
    fn every_missing_setting_is_told() {
        let mistakes = read(Vec::new()).unwrap_err();

        for name in [
            "IDENTITY_LISTEN_ADDRESS",
            "IDENTITY_DATABASE_URL",
            "IDENTITY_BROKER_URL",
            "IDENTITY_TOKEN_KEY_FILE",
            "IDENTITY_SERVICE_ACCOUNTS_FILE",
            "IDENTITY_MASTER_KEY",
            "IDENTITY_MATCH_KEY",
            "IDENTITY_REGISTRY_ADDRESS",
            "IDENTITY_REGISTRY_KEY",
        ] {
            assert!(
                mistakes.contains(&format!("{name}: missing")),
                "{name}: {mistakes}"
            );
        }
    }

    #[test]
    fn a_mistake_in_a_file_names_the_file_and_the_line_and_no_secret() {
        let folder = folder();
        let accounts = file(
            &folder,
            "wrong.toml",
            "[[service_account]]\nname = \"demo\"\nsecret = \"open sesame\"\n",
        );
        let key = file(&folder, "wrong.pem", "open sesame");
        let mut pairs = complete(&folder);
        pairs.extend([
            ("IDENTITY_SERVICE_ACCOUNTS_FILE", accounts.clone()),
            ("IDENTITY_TOKEN_KEY_FILE", key.clone()),
            (
                "IDENTITY_TOKEN_PREVIOUS_KEY_FILES",
                format!("{}/absent.pem", folder.display()),
            ),
            ("IDENTITY_MASTER_KEY", "open sesame".to_owned()),
            ("IDENTITY_REGISTRY_ADDRESS", "registry:8080".to_owned()),
            ("IDENTITY_COUNTRY", "XX".to_owned()),
        ]);

        let mistakes = read(pairs).unwrap_err();

        for expected in [
            format!("IDENTITY_SERVICE_ACCOUNTS_FILE: {accounts}:3: unknown field `secret`"),
            format!("IDENTITY_TOKEN_KEY_FILE: {key}: is not an Ed25519 private key"),
            format!(
                "IDENTITY_TOKEN_PREVIOUS_KEY_FILES: {}/absent.pem: cannot be read",
                folder.display()
            ),
            "IDENTITY_MASTER_KEY: not valid".to_owned(),
            "IDENTITY_REGISTRY_ADDRESS: is not of the form".to_owned(),
            "IDENTITY_COUNTRY".to_owned(),
        ] {
            assert!(mistakes.contains(&expected), "{expected}: {mistakes}");
        }
        assert!(!mistakes.contains("sesame"), "{mistakes}");
    }
}
