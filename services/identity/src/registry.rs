//! The civil registry, an outside system: asked over HTTP with a time-out and a circuit breaker.
//!
//! An answer is a match or a mismatch. Anything else (no connection, time-out, 401, 429, 5xx, a body that cannot be
//! read) is an [`Outage`] and says nothing about the person.

use std::time::Duration;

use chassis::config::Secret;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use time::{Date, macros::format_description};
use tokio::time::Instant;

use crate::domain::{
    facts::{RegistryFacts, Sex},
    national_id::{HouseholdId, IdFormat},
    person::{MismatchField, RegistryAnswer, Submission},
    personal::Personal,
};

mod breaker;

pub use breaker::Allowance;
use breaker::{Breaker, Change};

/// The longest answer that is read; a real one has some 300 bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The longest code that a registry may give.
const CODE_BYTES_MAX: usize = 40;

/// Where the registry is and how it is asked.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Its address, as `http://host:port`.
    pub address: String,
    /// What it knows us by.
    pub key: Secret,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many questions may be under way.
    pub concurrency_max: usize,
}

/// Asks the registry.
#[derive(Debug)]
pub struct Registry {
    client: reqwest::Client,
    url: String,
    key: Secret,
    formats: IdFormat,
    breaker: Breaker,
}

/// The registry gave no answer. The text names the fault and never what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// The breaker is open; nothing was sent.
    #[error("the registry is not asked for the moment")]
    Paused,
    /// No connection, or it broke.
    #[error("the registry cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// An HTTP status that is no answer.
    #[error("the registry answered with the status {0}")]
    Status(StatusCode),
    /// A body that is no answer.
    #[error("the registry's answer cannot be read")]
    Unreadable,
}

#[derive(Serialize)]
struct Question<'a> {
    national_id: &'a str,
    household_id: Option<&'a str>,
    full_name: &'a str,
    birth_date: String,
}

#[derive(Deserialize)]
#[serde(tag = "result")]
enum Answer {
    #[serde(rename = "MATCH")]
    Match { person: AnsweredPerson },
    #[serde(rename = "MISMATCH")]
    Mismatch { fields: Vec<String> },
    #[serde(rename = "NOT_FOUND")]
    NotFound,
}

#[derive(Deserialize)]
struct AnsweredPerson {
    sex: Sex,
    birth_date: String,
    region_code: String,
    occupation: String,
    #[serde(default)]
    household_id: String,
    citizenship: String,
    deceased: bool,
}

impl Registry {
    /// Makes the client; connects when first used.
    ///
    /// # Errors
    /// When the TLS library cannot be set up.
    pub fn new(config: &RegistryConfig, formats: IdFormat) -> Result<Registry, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .pool_max_idle_per_host(config.concurrency_max)
            // What is asked goes to the configured address and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Registry {
            client,
            url: format!("{}/v1/persons/verify", config.address.trim_end_matches('/')),
            key: config.key.clone(),
            formats,
            breaker: Breaker::new(config.timeout * 2),
        })
    }

    /// Says how many may ask now.
    pub fn allowance(&self) -> Allowance {
        self.breaker.allowance(Instant::now())
    }

    /// Asks whether what a person says is right.
    ///
    /// # Errors
    /// When the registry gave no answer.
    pub async fn verify(&self, submission: &Submission) -> Result<RegistryAnswer, Outage> {
        let ticket = self.breaker.admit(Instant::now()).ok_or(Outage::Paused)?;
        let result = self.ask(submission).await;
        match &result {
            Ok(_) => {
                if self.breaker.succeeded(ticket) == Change::Closed {
                    tracing::info!("the registry answers again");
                }
            }
            Err(outage) => {
                if self.breaker.failed(ticket, Instant::now()) == Change::Opened {
                    tracing::warn!(
                        error = chassis::telemetry::chain(outage),
                        "the registry does not answer; persons stay pending"
                    );
                }
            }
        }
        result
    }

    async fn ask(&self, submission: &Submission) -> Result<RegistryAnswer, Outage> {
        let question = Question {
            national_id: submission.national_id.expose(),
            household_id: submission.household_id.as_ref().map(HouseholdId::expose),
            full_name: submission.full_name.expose(),
            birth_date: iso_date(*submission.birth_date.expose())?,
        };
        let mut response = self
            .client
            .post(&self.url)
            .bearer_auth(self.key.expose())
            .json(&question)
            .send()
            .await
            .map_err(Outage::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(Outage::Status(response.status()));
        }

        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Outage::Unreachable)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Outage::Unreadable);
            }
            body.extend_from_slice(&chunk);
        }
        // The parser's error may quote the body.
        let answer = serde_json::from_slice(&body).map_err(|_| Outage::Unreadable)?;
        self.read(answer).ok_or(Outage::Unreadable)
    }

    fn read(&self, answer: Answer) -> Option<RegistryAnswer> {
        match answer {
            Answer::Match { person } => self.read_person(person),
            Answer::Mismatch { fields } => read_fields(&fields).map(RegistryAnswer::Mismatch),
            Answer::NotFound => Some(RegistryAnswer::Mismatch(vec![MismatchField::NationalId])),
        }
    }

    fn read_person(&self, person: AnsweredPerson) -> Option<RegistryAnswer> {
        let AnsweredPerson {
            sex,
            birth_date,
            region_code,
            occupation,
            household_id,
            citizenship,
            deceased,
        } = person;
        let birth_date =
            Date::parse(&birth_date, format_description!("[year]-[month]-[day]")).ok()?;
        let household_id = self.formats.household_id(&household_id).ok()?;
        let is_citizenship =
            citizenship.len() == 2 && citizenship.bytes().all(|b| b.is_ascii_uppercase());
        let is_readable = is_citizenship && is_region(&region_code) && is_code(&occupation);
        is_readable.then(|| RegistryAnswer::Match {
            facts: RegistryFacts {
                birth_date: Personal::new(birth_date),
                sex,
                citizenship,
                occupation,
                region: region_code,
                deceased,
            },
            household_id,
        })
    }
}

/// Reads the contradicted fields. One that we do not know is no answer: it might hold a value in place of a name.
fn read_fields(names: &[String]) -> Option<Vec<MismatchField>> {
    let mut fields: Vec<MismatchField> = names
        .iter()
        .map(|name| MismatchField::parse(name))
        .collect::<Option<_>>()?;
    fields.sort_unstable();
    fields.dedup();
    (!fields.is_empty()).then_some(fields)
}

fn is_region(code: &str) -> bool {
    code.len() <= CODE_BYTES_MAX
        && code
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_code(code: &str) -> bool {
    !code.is_empty()
        && code.len() <= CODE_BYTES_MAX
        && code
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn iso_date(date: Date) -> Result<String, Outage> {
    date.format(format_description!("[year]-[month]-[day]"))
        .map_err(|_| Outage::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicted_fields_are_read_once_each_and_in_order() {
        let names = ["birth_date", "household_id", "birth_date"].map(str::to_owned);

        let fields = read_fields(&names).unwrap();

        assert_eq!(
            fields,
            [MismatchField::HouseholdId, MismatchField::BirthDate]
        );
        assert!(read_fields(&[]).is_none());
        assert!(read_fields(&["3204010101900001".to_owned()]).is_none());
    }

    #[test]
    fn codes_have_a_shape() {
        for code in ["32", "32.04", "32.04.01.2001", "ID.JB"] {
            assert!(is_region(code), "{code}");
        }
        for code in ["", ".", "32.", "32 04", &"1".repeat(41)] {
            assert!(!is_region(code), "{code}");
        }
        assert!(is_code("CIVIL_SERVANT"));
        assert!(!is_code("") && !is_code("Pegawai Negeri"));
    }
}
