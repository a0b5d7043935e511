//! Why an event could not have its effect, and what follows from that.

use sqlx::error::DatabaseError;

use crate::Event;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an event could not have its effect. The texts end in logs and dead letters: no personal data.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// A fault of ours that passes: the event is tried again for ever and never given up.
    #[error("a passing fault")]
    Retry(#[source] Source),
    /// What it needs has not arrived: it is parked and tried again with growing delay, for some hours.
    #[error("something is missing: {0}")]
    Missing(String),
    /// It will never work: dead letter.
    #[error("rejected: {0}")]
    Reject(String),
}

impl HandleError {
    /// Calls an error a passing fault.
    pub fn retry(source: impl Into<Source>) -> HandleError {
        HandleError::Retry(source.into())
    }

    /// Answers an event of a type that the handler does not know. A newer replica may know it, so it is parked.
    pub fn unexpected(event: &Event) -> HandleError {
        HandleError::Missing(format!("a handler of {}", event.r#type))
    }
}

/// The fault of the database is `Retry`, a row or reference that is not there is `Missing`, the rest is a mistake in
/// our statement or in the event: `Reject`.
impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> HandleError {
        if matches!(error, sqlx::Error::RowNotFound) {
            return HandleError::Missing("a row".to_owned());
        }
        let reason = match error.as_database_error() {
            Some(database) => match judge(database) {
                Judgement::Passing => return HandleError::retry(error),
                Judgement::NotThere => return HandleError::Missing(reason_of(database)),
                Judgement::Mistake => reason_of(database),
            },
            None if is_misfit(&error) => "a value does not fit the statement".to_owned(),
            None => return HandleError::retry(error),
        };
        // The dead letter names only the rule; the log has the whole text.
        tracing::error!(
            error = chassis::telemetry::chain(&error),
            "a handler's statement was refused"
        );
        HandleError::Reject(reason)
    }
}

/// Says whether our code and the statement do not agree about a value; what else goes wrong on this side of the
/// connection is the connection.
fn is_misfit(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
    )
}

enum Judgement {
    Passing,
    NotThere,
    Mistake,
}

fn judge(error: &dyn DatabaseError) -> Judgement {
    let code = error.code().unwrap_or_default().into_owned();
    match code.as_bytes() {
        b"23503" => Judgement::NotThere,
        // Data, integrity, syntax and missing objects, what our triggers raise, and what this state of a transaction
        // does not allow (which is what a swallowed error leaves behind).
        [b'2', b'2' | b'3' | b'5', ..] | [b'4', b'2', ..] | [b'P', b'0', ..] if code != "25006" => {
            Judgement::Mistake
        }
        // Connections, resources, conflicts, shutdown; 25006 is a server that has become a stand-by.
        _ => Judgement::Passing,
    }
}

/// Names the rule that was broken and not the values: these may be personal.
fn reason_of(error: &dyn DatabaseError) -> String {
    let code = error.code().unwrap_or_default();
    match error.constraint() {
        Some(constraint) => format!("the database refused ({code}, {constraint})"),
        None => format!("the database refused ({code})"),
    }
}
