//! The stream of a snapshot: a header, chunks and an end; each message is answered after its commit.
//!
//! 1. The header is checked whole and opens the import; its answer says after which chunk to go on.
//! 2. A chunk is stored and answered. While the answer waits for the caller to take it, nothing more is read. So the
//!    memory of an import is a chunk or two, and a slow caller slows his own import only.
//! 3. The end makes the snapshot take effect. That goes on also when the caller goes; the answer waits for a repeat.
//!
//! A broken rule of the stream ends it with a refusal; what came before it is stored and answered.

use chassis::{
    auth::Principal,
    deadline,
    status::{Refusal, Violations},
    task, telemetry,
};
use proto::identity::v1::{
    self as pb, ImportSnapshotRequest, ImportSnapshotResponse,
    import_snapshot_request::Part as Asked, import_snapshot_response::Part as Answer,
};
use tokio::{sync::mpsc, time::timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::convert;
use crate::app::{App, snapshots::Import};

const METHOD: &str = "/bekal.identity.v1.ExclusionListService/ImportSnapshot";

/// Answers that wait for the caller to take them.
const ANSWERS_WAITING_MAX: usize = 2;

type Answers = mpsc::Sender<Result<ImportSnapshotResponse, Status>>;

/// Serves an import's stream until it ends, the caller goes or the call's time is over.
pub(super) fn serve(
    app: App,
    principal: Principal,
    stream: Streaming<ImportSnapshotRequest>,
) -> ReceiverStream<Result<ImportSnapshotResponse, Status>> {
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let deadline = deadline::current();
    task::spawn("snapshot-import", async move {
        let work = run(&app, &principal, stream, &answers);
        let ended = match deadline {
            Some(deadline) => timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(Refusal::deadline_exceeded())),
            None => work.await,
        };
        if let Err(refusal) = ended {
            log(&refusal);
            // The caller may have gone.
            let _ = answers.send(Err(Status::from(refusal))).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// The server's layer logs what fails before the first answer; a stream fails after it.
fn log(refusal: &Refusal) {
    let reason = refusal.reason();
    let error = telemetry::chain(refusal);
    if refusal.code() == Code::Internal {
        tracing::error!(rpc.method = METHOD, reason, error, "import failed");
    } else {
        tracing::info!(rpc.method = METHOD, reason, error, "import ended early");
    }
}

async fn run(
    app: &App,
    principal: &Principal,
    mut stream: Streaming<ImportSnapshotRequest>,
    answers: &Answers,
) -> Result<(), Refusal> {
    let Ok(first) = stream.message().await else {
        return Ok(());
    };
    let import = open(app, principal, first.and_then(|request| request.part)).await?;
    let opening = Answer::Opening(pb::SnapshotOpening {
        resume_after_chunk_number: import.resume_after,
    });
    let mut has_caller = answer(answers, opening).await;
    while has_caller {
        let received = tokio::select! {
            received = stream.message() => received,
            () = answers.closed() => return Ok(()),
        };
        // A stream that was cut ends like one that was finished without its end: what is stored stays.
        let Ok(Some(request)) = received else {
            return Ok(());
        };
        let (done, is_last) = match request.part {
            Some(Asked::Chunk(chunk)) => (Answer::Chunk(store(app, &import, chunk).await?), false),
            Some(Asked::End(end)) => (
                Answer::Result(app.end_import(&import, end.chunk_count).await?),
                true,
            ),
            Some(Asked::Header(_)) => return Err(violation("header", "comes once, first")),
            None => return Err(violation("part", "is required")),
        };
        has_caller = answer(answers, done).await && !is_last;
    }
    Ok(())
}

/// Sends an answer; `false` when the caller has gone.
async fn answer(answers: &Answers, part: Answer) -> bool {
    let response = ImportSnapshotResponse { part: Some(part) };
    answers.send(Ok(response)).await.is_ok()
}

async fn open(app: &App, principal: &Principal, first: Option<Asked>) -> Result<Import, Refusal> {
    let header = match first {
        Some(Asked::Header(header)) => header,
        Some(Asked::Chunk(_) | Asked::End(_)) | None => {
            return Err(violation("header", "comes first"));
        }
    };
    let today = app.clock().now().date();
    let (key, snapshot) = convert::snapshot_header(METHOD, principal, &header, today)?;
    Ok(app.open_import(key, snapshot).await?)
}

async fn store(
    app: &App,
    import: &Import,
    chunk: pb::SnapshotChunk,
) -> Result<pb::SnapshotChunkResult, Refusal> {
    let (chunk, faults) = convert::snapshot_chunk(import.kind, chunk)?;
    app.import_chunk(import, &chunk).await?;
    Ok(pb::SnapshotChunkResult {
        chunk_number: chunk.number,
        accepted_count: i32::try_from(chunk.row_count()).unwrap_or(i32::MAX),
        faults: faults.into_iter().map(pb::SnapshotFault::from).collect(),
    })
}

fn violation(field: &str, description: &str) -> Refusal {
    let mut violations = Violations::new();
    violations.add(field, description);
    Refusal::invalid(violations)
}
