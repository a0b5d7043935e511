//! Every setting of the service; the README has them as a table.

use chassis::config::{Env, Mistakes, ProcessConfig};

use crate::{domain::time_zone::TimeZone, keys::SecretBytes};

/// What this service is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every process is told.
    pub process: ProcessConfig,
    /// `ENROLLMENT_SIGNING_SEED`: 64 hexadecimal digits, from which the Ed25519 key of commitments and receipts is made.
    pub signing_seed: SecretBytes,
    /// `ENROLLMENT_PSEUDONYM_KEY`: 64 hexadecimal digits; the key of the pseudonyms. It must stay the same for as long as
    /// any batch is not drawn.
    pub pseudonym_key: SecretBytes,
    /// `ENROLLMENT_CATALOG_ADDRESS`: catalog, as `http://host:port`.
    pub catalog_address: String,
    /// `ENROLLMENT_PAYOUT_ADDRESS`: payout, as `http://host:port`.
    pub payout_address: String,
    /// `ENROLLMENT_CAMPAIGN_TIME_ZONE`: the IANA zone in which a person's age counts on the day of a voucher.
    pub campaign_time_zone: TimeZone,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Returns every mistake.
    pub fn read(mut env: Env) -> Result<Config, Mistakes> {
        let process = ProcessConfig::read(&mut env, "enrollment");
        let signing_seed = secret(&mut env, "ENROLLMENT_SIGNING_SEED");
        let pseudonym_key = secret(&mut env, "ENROLLMENT_PSEUDONYM_KEY");
        let catalog_address = env.required("ENROLLMENT_CATALOG_ADDRESS");
        let payout_address = env.required("ENROLLMENT_PAYOUT_ADDRESS");
        let zone: String = env.or("ENROLLMENT_CAMPAIGN_TIME_ZONE", "Asia/Jakarta".to_owned());
        let campaign_time_zone = TimeZone::find(&zone);
        if campaign_time_zone.is_none() {
            env.reject(
                "ENROLLMENT_CAMPAIGN_TIME_ZONE",
                "is not a name of the IANA time zone database",
            );
        }
        if let Some(process) = &process
            && process.service_account_secret.is_none()
        {
            env.reject("ENROLLMENT_SERVICE_ACCOUNT_SECRET", "missing");
        }
        let config = (|| {
            Some(Config {
                process: process?,
                signing_seed: signing_seed?,
                pseudonym_key: pseudonym_key?,
                catalog_address: catalog_address?,
                payout_address: payout_address?,
                campaign_time_zone: campaign_time_zone?,
            })
        })();
        env.finish(config)
    }
}

/// Reads 64 hexadecimal digits; what was given instead is not shown, whatever the setting's name.
fn secret(env: &mut Env, name: &str) -> Option<SecretBytes> {
    let text: String = env.required(name)?;
    let parsed = text.parse();
    if parsed.is_err() {
        env.reject(
            name,
            "is not 64 hexadecimal digits (the value is not shown)",
        );
    }
    parsed.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<(&'static str, String)> {
        [
            ("ENROLLMENT_LISTEN_ADDRESS", "127.0.0.1:7003"),
            (
                "ENROLLMENT_DATABASE_URL",
                "postgres://enrollment@db/enrollment",
            ),
            ("ENROLLMENT_BROKER_URL", "amqp://mq"),
            ("ENROLLMENT_IDENTITY_ADDRESS", "http://identity:7001"),
            (
                "ENROLLMENT_SERVICE_ACCOUNT_SECRET",
                "a secret of some length, at least 32 bytes",
            ),
            ("ENROLLMENT_CATALOG_ADDRESS", "http://catalog:7002"),
            ("ENROLLMENT_PAYOUT_ADDRESS", "http://payout:7004"),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.to_owned()))
        .chain([
            ("ENROLLMENT_SIGNING_SEED", "0a".repeat(32)),
            ("ENROLLMENT_PSEUDONYM_KEY", "0b".repeat(32)),
        ])
        .collect()
    }

    #[test]
    fn complete_settings_are_read() {
        let config = Config::read(Env::from_pairs(settings())).unwrap();

        assert_eq!(config.catalog_address, "http://catalog:7002");
        assert_eq!(config.campaign_time_zone.name(), "Asia/Jakarta");
    }

    #[test]
    fn every_mistake_is_told_and_no_secret_is_shown() {
        let mut pairs = settings();
        pairs.retain(|(name, _)| {
            *name != "ENROLLMENT_PAYOUT_ADDRESS" && *name != "ENROLLMENT_SERVICE_ACCOUNT_SECRET"
        });
        pairs.push(("ENROLLMENT_SIGNING_SEED", "not hex at all".to_owned()));
        pairs.push(("ENROLLMENT_CAMPAIGN_TIME_ZONE", "Asia/Batavia".to_owned()));

        let mistakes = Config::read(Env::from_pairs(pairs))
            .unwrap_err()
            .to_string();

        for name in [
            "SIGNING_SEED",
            "PAYOUT_ADDRESS",
            "SERVICE_ACCOUNT_SECRET",
            "CAMPAIGN_TIME_ZONE",
        ] {
            assert!(mistakes.contains(name), "{name}: {mistakes}");
        }
        assert!(!mistakes.contains("not hex at all"));
    }
}
