//! The handler of the tests.

use std::sync::{Arc, Mutex};

use messaging::{Event, HandleError, Handler};
use sqlx::PgConnection;
use tokio::sync::Notify;

use super::{Changed, execute};

/// Notes what it takes in the table `effects`, and obeys the event's note.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    pub(crate) replica: String,
    /// Told when a handler begins to wait (note "wait"), and lets it go on.
    pub(crate) begun: Arc<Notify>,
    pub(crate) go_on: Arc<Notify>,
    /// The traces that were in hand.
    pub(crate) traces: Arc<Mutex<Vec<Option<String>>>>,
}

impl Handler for Recorder {
    async fn handle(&self, tx: &mut PgConnection, event: &Event) -> Result<(), HandleError> {
        let changed = event.decode::<Changed>()?;
        self.traces
            .lock()
            .unwrap()
            .push(chassis::telemetry::current_traceparent());
        execute(
            tx,
            &format!(
                "INSERT INTO effects (subject, version, replica) VALUES ('{}', {}, '{}')",
                event.subject, changed.version, self.replica
            ),
        )
        .await?;
        match changed.note.as_str() {
            "reject" => Err(HandleError::Reject("the note says so".to_owned())),
            "panic" => panic!("the note says so"),
            "swallow" => {
                let _ = execute(tx, "SELECT 1 / 0").await;
                Ok(())
            }
            "wait" => {
                self.begun.notify_one();
                self.go_on.notified().await;
                Ok(())
            }
            parent if parent.starts_with("after ") => {
                let parent = parent.trim_start_matches("after ");
                execute(
                    tx,
                    &format!("INSERT INTO children SELECT id FROM parents WHERE id = '{parent}'"),
                )
                .await?;
                let there = "SELECT 1 / (SELECT count(*) FROM children)";
                execute(tx, there)
                    .await
                    .map_err(|_| HandleError::Missing(format!("the parent {parent}")))
            }
            _ => Ok(()),
        }
    }
}
