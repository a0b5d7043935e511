//! Refusals and how they look outside: the only place that builds a [`tonic::Status`].
//!
//! What a caller may know is in the code, the reason, its metadata and the message. The source is for the log alone:
//! it travels inside the status to the server's layer, which logs the whole chain once and sends none of it.

use std::{borrow::Cow, error::Error, fmt, sync::Arc, time::Duration};

use proto::r#type::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{db, telemetry};

mod violations;

pub use violations::Violations;

/// The `ErrorInfo` domain of the reasons that all services share.
pub const DOMAIN: &str = "bekal";

/// What every reason is prefixed with in its enum, and not on the wire.
const REASON_PREFIX: &str = "ERROR_REASON_";

/// A call that is refused or has failed: code, reason, and all that the caller is told.
#[derive(Debug)]
pub struct Refusal(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    domain: Cow<'static, str>,
    reason: Cow<'static, str>,
    message: String,
    metadata: Vec<(&'static str, String)>,
    violations: Violations,
    retry_after: Option<Duration>,
    localized: Option<(String, String)>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Refusal {
    /// Makes a refusal. `reason` is the enum value's name, with or without its prefix `ERROR_REASON_`.
    pub fn new(
        code: Code,
        domain: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Refusal {
        Refusal(Box::new(Parts {
            code,
            domain: Cow::Borrowed(domain),
            reason: Cow::Borrowed(reason.strip_prefix(REASON_PREFIX).unwrap_or(reason)),
            message: message.into(),
            metadata: Vec::new(),
            violations: Violations::default(),
            retry_after: None,
            localized: None,
            source: None,
        }))
    }

    /// Makes a refusal for a reason that all services share.
    pub fn shared(code: Code, reason: ErrorReason, message: impl Into<String>) -> Refusal {
        Refusal::new(code, DOMAIN, reason.as_str_name(), message)
    }

    /// `INVALID_ARGUMENT` with every violation.
    pub fn invalid(violations: Violations) -> Refusal {
        let mut refusal = Refusal::shared(
            Code::InvalidArgument,
            ErrorReason::InvalidRequest,
            violations.to_string(),
        );
        refusal.0.violations = violations;
        refusal
    }

    /// `NOT_FOUND`: there is no such resource, or none that the caller may know of.
    pub fn not_found(name: impl Into<String>) -> Refusal {
        Refusal::shared(Code::NotFound, ErrorReason::NotFound, "no such resource")
            .with("name", name)
    }

    /// `ABORTED`: a concurrent change won; the caller repeats the whole operation.
    pub fn conflict() -> Refusal {
        Refusal::shared(
            Code::Aborted,
            ErrorReason::Conflict,
            "a concurrent change won; repeat the whole operation",
        )
    }

    /// `INTERNAL`: a fault of ours. The caller gets a generic text and the trace id.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Refusal {
        Refusal::shared(Code::Internal, ErrorReason::Internal, "internal error").because(source)
    }

    /// `UNAVAILABLE`: a part that is needed (`database`, `identity` …) is away.
    pub fn unavailable(
        part: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Refusal {
        Refusal::shared(
            Code::Unavailable,
            ErrorReason::PartUnavailable,
            format!("{part} is unavailable"),
        )
        .with("part", part)
        .retry_after(Duration::from_secs(1))
        .because(source)
    }

    /// `RESOURCE_EXHAUSTED`: load is shed.
    pub fn overloaded() -> Refusal {
        Refusal::shared(
            Code::ResourceExhausted,
            ErrorReason::Overloaded,
            "too many calls at once",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// `DEADLINE_EXCEEDED`: whether the work was done is not known.
    pub fn deadline_exceeded() -> Refusal {
        Refusal::shared(
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            "not answered in time; the outcome is unknown, repeat with the same request_id",
        )
    }

    /// `UNAVAILABLE`: this instance is going down; another one answers.
    pub fn draining() -> Refusal {
        Refusal::shared(
            Code::Unavailable,
            ErrorReason::Draining,
            "this instance is going down",
        )
        .retry_after(Duration::from_millis(100))
    }

    /// What a fault of the database means: away → `UNAVAILABLE`, a lost race → `ABORTED`, too slow → `DEADLINE_EXCEEDED`,
    /// anything else → `INTERNAL`. A constraint that can be broken is looked at before this.
    pub fn database(error: sqlx::Error) -> Refusal {
        match db::fault(&error) {
            db::Fault::Away => Refusal::unavailable("database", error),
            db::Fault::LostRace => Refusal::conflict().because(error),
            db::Fault::TooSlow => Refusal::deadline_exceeded().because(error),
            db::Fault::Other => Refusal::internal(error),
        }
    }

    /// What a peer's answer means to our own caller, where it is not handled: away → `UNAVAILABLE`, too slow →
    /// `DEADLINE_EXCEEDED`, a lost race → `ABORTED`, shed load → `RESOURCE_EXHAUSTED`, anything else is a fault of ours.
    pub fn peer(part: &'static str, status: Status) -> Refusal {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "every other answer of a peer means that we asked wrongly"
        )]
        match status.code() {
            Code::Unavailable => Refusal::unavailable(part, status),
            Code::DeadlineExceeded => Refusal::deadline_exceeded().because(status),
            Code::Aborted => Refusal::conflict().because(status),
            Code::ResourceExhausted => Refusal::overloaded().because(status),
            _ => Refusal::internal(status),
        }
    }

    /// Adds metadata of the reason, as its comment in the contract lists it.
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Refusal {
        self.0.metadata.push((key, value.into()));
        self
    }

    /// Adds the fields that a refusal with another reason than `INVALID_REQUEST` is about.
    pub fn with_violations(mut self, violations: Violations) -> Refusal {
        self.0.violations = violations;
        self
    }

    /// Tells the caller when a retry may help.
    pub fn retry_after(mut self, delay: Duration) -> Refusal {
        self.0.retry_after = Some(delay);
        self
    }

    /// Adds the text that a person will read, in the locale (`id-ID`) that it is written in.
    pub fn localized(mut self, locale: impl Into<String>, text: impl Into<String>) -> Refusal {
        self.0.localized = Some((locale.into(), text.into()));
        self
    }

    /// Keeps the cause for the log. It is never sent.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Refusal {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the canonical code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the reason as it is sent, without the prefix of its enum.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason, self.0.message)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let parts = *refusal.0;
        let mut metadata: std::collections::HashMap<String, String> = parts
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        if parts.code == Code::Internal
            && let Some(trace_id) = telemetry::current_trace_id()
        {
            metadata.insert("trace_id".to_owned(), trace_id);
        }

        let mut details = ErrorDetails::new();
        details.set_error_info(parts.reason, parts.domain, metadata);
        if !parts.violations.is_empty() {
            details.set_bad_request(parts.violations);
        }
        if let Some(delay) = parts.retry_after {
            details.set_retry_info(Some(delay));
        }
        if let Some((locale, text)) = parts.localized {
            details.set_localized_message(locale, text);
        }

        let mut status = Status::with_error_details(parts.code, parts.message, details);
        if let Some(source) = parts.source {
            status.set_source(Arc::from(source));
        }
        status
    }
}

/// `UNIMPLEMENTED`: the contract has no such method.
pub(crate) fn unimplemented() -> Status {
    Status::unimplemented("no such method")
}

/// Returns the reason that a peer gave for its refusal.
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_reason_metadata_and_delay() {
        let refusal = Refusal::new(
            Code::FailedPrecondition,
            "payout.bekal",
            "ERROR_REASON_FUNDS_SHORT",
            "the batch has no money left",
        )
        .with("batch", "batches/48")
        .retry_after(Duration::from_secs(3))
        .localized("id-ID", "Dana gelombang ini sudah habis.");

        let status = Status::from(refusal);
        let details = status.get_error_details();

        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason_of(&status).as_deref(), Some("FUNDS_SHORT"));
        let info = details.error_info().unwrap();
        assert_eq!(info.domain, "payout.bekal");
        assert_eq!(info.metadata["batch"], "batches/48");
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_secs(3))
        );
        assert_eq!(details.localized_message().unwrap().locale, "id-ID");
    }

    #[test]
    fn every_violation_is_told() {
        let mut violations = Violations::new();
        violations.add("name", "is required");
        violations.check(3 > 4, "price", "is above the public price");

        let status = Status::from(violations.into_result().unwrap_err());

        let bad_request = status.get_details_bad_request().unwrap();
        let fields: Vec<&str> = bad_request
            .field_violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, ["name", "price"]);
        assert_eq!(reason_of(&status).as_deref(), Some("INVALID_REQUEST"));
    }

    #[test]
    fn the_cause_of_a_fault_is_kept_and_not_sent() {
        let refusal = Refusal::internal("column courses.prize does not exist");

        let status = Status::from(refusal);

        assert_eq!(status.message(), "internal error");
        assert!(!String::from_utf8_lossy(status.details()).contains("courses"));
        assert!(status.source().unwrap().to_string().contains("courses"));
    }

    #[test]
    fn a_database_that_is_away_is_not_a_bug() {
        let away = Refusal::database(sqlx::Error::PoolTimedOut);
        let bug = Refusal::database(sqlx::Error::RowNotFound);

        assert_eq!(away.code(), Code::Unavailable);
        assert_eq!(away.reason(), "PART_UNAVAILABLE");
        assert_eq!(bug.code(), Code::Internal);
    }
}
