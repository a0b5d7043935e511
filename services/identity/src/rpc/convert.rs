//! The contract and the domain, in both directions: requests here, answers in `answers`. A request gives all its
//! violations at once, and no violation repeats a value.

use chassis::{
    auth::Principal,
    config::Secret,
    idempotency::RequestKey,
    names,
    status::{Refusal, Violations},
};
use prost::Message;
use prost_types::Timestamp;
use proto::{identity::v1 as pb, r#type::v1 as pb_type};
use time::{Date, Duration, Month, OffsetDateTime};
use uuid::Uuid;

use crate::{
    app::{App, accounts::AccountRequest},
    domain::{
        account::{Email, LOGIN_BYTES_MAX, Login, Password, Phone},
        facts::{DeclaredFacts, Education},
        person::{FullName, NewPerson, Submission, is_possible_birth_date},
        personal::Personal,
    },
    storage::persons::FactChange,
};

mod answers;
mod exclusion_lists;

pub(super) use answers::fact_changes;
pub(super) use exclusion_lists::{
    create_exclusion_list, get_exclusion_list, snapshot_chunk, snapshot_header,
};

const ACCOUNTS_MAX: usize = 1_000;
const HOLDER_NAME_BYTES_MAX: usize = 1_000;
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 32..=512;

/// Who asks for a token.
pub(super) enum Credentials {
    /// An account.
    Account {
        /// Its e-mail address or phone number.
        login: Login,
        /// Its password.
        password: Password,
    },
    /// A service account.
    ServiceAccount {
        /// Its name.
        name: String,
        /// Its secret.
        secret: Secret,
    },
}

pub(super) fn issue_token(request: pb::IssueTokenRequest) -> Result<Credentials, Refusal> {
    let mut violations = Violations::new();
    let credentials = match request.credentials {
        Some(pb::issue_token_request::Credentials::Password(given)) => {
            let is_login = (1..=LOGIN_BYTES_MAX).contains(&given.login.len());
            violations.check(
                is_login,
                "password.login",
                "is empty or longer than 254 bytes",
            );
            violations
                .require(
                    Password::parse(&given.password),
                    "password.password",
                    "is not 8 to 128 characters long",
                )
                .map(|password| Credentials::Account {
                    login: Login::parse(&given.login),
                    password,
                })
        }
        Some(pb::issue_token_request::Credentials::ServiceAccount(given)) => {
            let is_name = names::parse(&given.name, "serviceAccounts").is_some();
            violations.check(
                is_name,
                "service_account.name",
                "is not of the form `serviceAccounts/{id}`",
            );
            let is_secret = SECRET_CHARS.contains(&given.secret.chars().count());
            violations.check(
                is_secret,
                "service_account.secret",
                "is not 32 to 512 characters long",
            );
            Some(Credentials::ServiceAccount {
                name: given.name,
                secret: Secret::new(given.secret),
            })
        }
        None => violations.require(None, "credentials", "are missing"),
    };
    violations.finish(credentials)
}

pub(super) fn create_account(
    app: &App,
    principal: &Principal,
    request: &pb::CreateAccountRequest,
) -> Result<(RequestKey, AccountRequest), Refusal> {
    let mut violations = Violations::new();
    let sealed = pb::CreateAccountRequest {
        password: hidden(app, request),
        ..pb::CreateAccountRequest::default()
    };
    let key = RequestKey::parse(
        "CreateAccount",
        principal,
        &sealed,
        &request.request_id,
        &mut violations,
    );

    let account = request.account.clone().unwrap_or_default();
    let email = violations.require(
        Email::parse(&account.email),
        "account.email",
        "is not an e-mail address",
    );
    let phone = optional(&account.phone, |text| {
        violations.require(
            Phone::parse(text),
            "account.phone",
            "is not a phone number in E.164, such as +6281234567890",
        )
    });
    let password = optional(&request.password, |text| {
        violations.require(
            Password::parse(text),
            "password",
            "is not 8 to 128 characters long",
        )
    });
    let asked = email.map(|email| AccountRequest {
        email,
        phone,
        password,
    });
    violations.finish(key.zip(asked))
}

pub(super) fn submit_identity(
    app: &App,
    principal: &Principal,
    request: &pb::SubmitIdentityRequest,
) -> Result<(RequestKey, NewPerson), Refusal> {
    let mut violations = Violations::new();
    let sealed = pb::SubmitIdentityRequest {
        account: hidden(app, request),
        ..pb::SubmitIdentityRequest::default()
    };
    let key = RequestKey::parse(
        "SubmitIdentity",
        principal,
        &sealed,
        &request.request_id,
        &mut violations,
    );
    let account_id = violations.require(
        names::parse_uuid(&request.account, "accounts"),
        "account",
        "is not of the form `accounts/{uuid}`",
    );

    let given = request.submission.clone().unwrap_or_default();
    let national_id = field(
        &mut violations,
        "submission.national_id",
        app.formats().national_id(&given.national_id),
    );
    let household_id = field(
        &mut violations,
        "submission.household_id",
        app.formats().household_id(&given.household_id),
    );
    let full_name = violations.require(
        FullName::parse(&given.full_name),
        "submission.full_name",
        "is empty, longer than 150 characters, or holds control characters",
    );
    let today = app.clock().now().date();
    let birth_date = violations.require(
        date(given.birth_date).filter(|birth_date| is_possible_birth_date(*birth_date, today)),
        "submission.birth_date",
        "is not a date between 1900 and today",
    );
    let declared = given.declared.map(|given| DeclaredFacts {
        education: optional(&given.education, |code| {
            violations.require(
                Education::parse(code),
                "submission.declared.education",
                "is not a known education",
            )
        }),
        disability: given.disability,
        rural: given.rural,
    });

    let submission = national_id
        .zip(household_id)
        .zip(full_name)
        .zip(birth_date)
        .map(
            |(((national_id, household_id), full_name), birth_date)| Submission {
                national_id,
                household_id,
                full_name,
                birth_date: Personal::new(birth_date),
            },
        );
    let new = account_id
        .zip(submission)
        .map(|(account_id, submission)| NewPerson {
            account_id,
            submission,
            declared,
        });
    violations.finish(key.zip(new))
}

pub(super) fn batch_get_facts(
    request: &pb::BatchGetFactsRequest,
) -> Result<(Vec<Uuid>, Date), Refusal> {
    let mut violations = Violations::new();
    let count = request.accounts.len();
    violations.check(
        (1..=ACCOUNTS_MAX).contains(&count),
        "accounts",
        "are not 1 to 1,000",
    );
    let mut account_ids = Vec::with_capacity(count.min(ACCOUNTS_MAX));
    for (i, name) in request.accounts.iter().take(ACCOUNTS_MAX).enumerate() {
        account_ids.extend(violations.require(
            names::parse_uuid(name, "accounts"),
            format!("accounts[{i}]"),
            "is not of the form `accounts/{uuid}`",
        ));
    }
    let as_of_date = violations.require(date(request.as_of_date), "as_of_date", "is not a date");
    violations.finish(as_of_date.map(|as_of_date| (account_ids, as_of_date)))
}

pub(super) fn stream_fact_changes(
    request: &pb::StreamFactChangesRequest,
) -> Result<FactChange, Refusal> {
    let mut violations = Violations::new();
    let after_time = match &request.after_time {
        None => Some(OffsetDateTime::UNIX_EPOCH),
        Some(given) => violations.require(time_of(given), "after_time", "is not a time"),
    };
    violations.finish(after_time.map(|facts_change_time| FactChange {
        facts_change_time,
        account_id: Uuid::max(),
    }))
}

/// A question about a holder.
pub(super) struct HolderQuestion {
    pub(super) account_id: Uuid,
    pub(super) holder_name: Personal<String>,
    pub(super) phone: Option<Phone>,
}

pub(super) fn attest_holder(request: &pb::AttestHolderRequest) -> Result<HolderQuestion, Refusal> {
    let mut violations = Violations::new();
    let account_id = violations.require(
        names::parse_uuid(&request.account, "accounts"),
        "account",
        "is not of the form `accounts/{uuid}`",
    );
    let is_name = (1..=HOLDER_NAME_BYTES_MAX).contains(&request.holder_name.len());
    violations.check(
        is_name,
        "holder_name",
        "is empty or longer than 1,000 bytes",
    );
    let phone = optional(&request.phone, |text| {
        violations.require(
            Phone::parse(text),
            "phone",
            "is not a phone number in E.164, such as +6281234567890",
        )
    });
    violations.finish(account_id.map(|account_id| HolderQuestion {
        account_id,
        holder_name: Personal::new(request.holder_name.clone()),
        phone,
    }))
}

/// What stands for a request with personal data in its fingerprint.
fn hidden(app: &App, request: &impl Message) -> String {
    let hash = app.vault().request_hash(&request.encode_to_vec());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn optional<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    if text.is_empty() { None } else { parse(text) }
}

fn field<T>(violations: &mut Violations, name: &str, parsed: Result<T, String>) -> Option<T> {
    parsed
        .map_err(|description| violations.add(name, description))
        .ok()
}

fn time_of(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    time.checked_add(Duration::nanoseconds(i64::from(timestamp.nanos)))
        .filter(|time| (1..=9999).contains(&time.year()))
}

fn date(date: Option<pb_type::Date>) -> Option<Date> {
    let date = date?;
    let month = Month::try_from(u8::try_from(date.month).ok()?).ok()?;
    let day = u8::try_from(date.day).ok()?;
    (1..=9999)
        .contains(&date.year)
        .then(|| Date::from_calendar_date(date.year, month, day).ok())
        .flatten()
}
