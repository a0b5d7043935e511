//! The stream of every import: a header, then rows; answered in groups after their commit.
//!
//! 1. The header is checked whole and opens the import; the first answer says after which row to go on.
//! 2. Each row is read at once, so that no huge value is kept, and joins the group in hand.
//! 3. A group ends when it is full or when the stream pauses, and is committed as one transaction.
//! 4. Its results are sent; while they wait for the caller to take them, nothing more is read. So the memory of an
//!    import is one group, and a slow caller slows his own import only.
//!
//! A broken rule of the stream itself (a second header, a row number that does not ascend) ends it with a refusal; what
//! came before it is committed and answered first.

use std::{future::Future, time::Duration};

use chassis::{
    auth::Principal,
    deadline,
    idempotency::RequestKey,
    status::{Refusal, Violations},
    task,
};
use proto::r#type::v1::{ImportHeader, ImportProgress, ImportRow, ImportRowResult};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::Refused;
use crate::{
    app::{
        App,
        imports::{self, Import},
    },
    domain::import::{self, Row},
};

/// The most rows of a group: some hundred kB, some tens of milliseconds.
const GROUP_ROWS_MAX: usize = 500;
/// A stream that gives nothing for this long is answered for what it has given.
const PAUSE: Duration = Duration::from_millis(5);
/// However slowly rows drip in, a group is answered this long after its first.
const GROUP_AGE_MAX: Duration = Duration::from_millis(100);
/// Answers that wait for the caller to take them.
const ANSWERS_WAITING_MAX: usize = 2;
const SOURCE_CHARS_MAX: usize = 100;
const COLUMNS_MAX: usize = 200;

/// What one message of a stream holds.
pub(super) enum Part {
    Header(ImportHeader),
    Row(ImportRow),
}

/// What differs from import to import. Regions and vacancies are the two.
pub(super) trait Feed: Send + Sync + 'static {
    /// The gRPC method.
    const METHOD: &'static str;
    /// The columns that a file must have.
    const COLUMNS: &'static [&'static str];
    type Request: Send + 'static;
    type Response: Send + 'static;
    type Content: Send;

    fn part(request: Self::Request) -> Option<Part>;
    fn response(progress: ImportProgress) -> Self::Response;
    /// Loads what rows are read with.
    fn prepare(&mut self) -> impl Future<Output = Refused<()>> + Send;
    fn read(&self, row: &ImportRow) -> Row<Self::Content>;
    fn commit(
        &self,
        import: &Import,
        rows: Vec<Row<Self::Content>>,
    ) -> impl Future<Output = Refused<Vec<ImportRowResult>>> + Send;
}

type Answers<F> = mpsc::Sender<Result<<F as Feed>::Response, Status>>;

/// Serves an import's stream until it ends, the caller goes or the call's time is over.
pub(super) fn serve<F: Feed>(
    app: App,
    principal: Principal,
    stream: Streaming<F::Request>,
    feed: F,
) -> ReceiverStream<Result<F::Response, Status>> {
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let deadline = deadline::current();
    task::spawn("import", async move {
        let work = run(&app, &principal, stream, feed, &answers);
        let ended = match deadline {
            Some(deadline) => timeout_at(deadline, work)
                .await
                .unwrap_or_else(|_| Err(Refusal::deadline_exceeded())),
            None => work.await,
        };
        if let Err(refusal) = ended {
            log::<F>(&refusal);
            // The caller may have gone.
            let _ = answers.send(Err(Status::from(refusal))).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// The server's layer logs what fails before the first answer; a stream fails after it.
fn log<F: Feed>(refusal: &Refusal) {
    let cause = std::error::Error::source(refusal)
        .map(ToString::to_string)
        .unwrap_or_default();
    let reason = refusal.reason();
    if refusal.code() == Code::Internal {
        tracing::error!(rpc.method = F::METHOD, reason, cause, "import failed");
    } else {
        tracing::info!(rpc.method = F::METHOD, reason, cause, "import ended early");
    }
}

async fn run<F: Feed>(
    app: &App,
    principal: &Principal,
    mut stream: Streaming<F::Request>,
    mut feed: F,
    answers: &Answers<F>,
) -> Refused<()> {
    let Ok(first) = stream.message().await else {
        return Ok(());
    };
    let import = open::<F>(app, principal, first.and_then(F::part)).await?;
    feed.prepare().await?;
    let greeting = ImportProgress {
        resume_after_row_number: import.resume_after,
        results: Vec::new(),
    };
    if answers.send(Ok(F::response(greeting))).await.is_err() {
        return Ok(());
    }

    let mut last_row_number = 0;
    loop {
        let group = tokio::select! {
            group = next_group(&feed, &mut stream, &mut last_row_number) => group,
            () = answers.closed() => return Ok(()),
        };
        if !group.rows.is_empty() {
            let results = feed.commit(&import, group.rows).await?;
            let progress = ImportProgress {
                resume_after_row_number: 0,
                results,
            };
            if answers.send(Ok(F::response(progress))).await.is_err() {
                return Ok(());
            }
        }
        match group.end {
            None => {}
            Some(End::Finished) => return Ok(()),
            Some(End::Refused(refusal)) => return Err(refusal),
        }
    }
}

async fn open<F: Feed>(app: &App, principal: &Principal, first: Option<Part>) -> Refused<Import> {
    let mut violations = Violations::new();
    let header = match first {
        Some(Part::Header(header)) => Some(header),
        Some(Part::Row(_)) | None => None,
    };
    let Some(header) = header else {
        violations.add("header", "comes first");
        return Err(Refusal::invalid(violations));
    };

    let key = RequestKey::parse(
        F::METHOD,
        principal,
        &header,
        &header.request_id,
        &mut violations,
    );
    let source_chars = header.source.chars().count();
    let source_fits = (1..=SOURCE_CHARS_MAX).contains(&source_chars)
        && !header.source.chars().any(char::is_control);
    violations.check(
        source_fits,
        "header.source",
        "is not a text of 1 to 100 characters",
    );
    violations.check(
        header.columns.len() <= COLUMNS_MAX,
        "header.columns",
        "are more than 200",
    );
    for missing in import::missing_columns(&header.columns, F::COLUMNS) {
        violations.add(
            "header.columns",
            format!("`{missing}` is missing: the file is not what this import expects"),
        );
    }
    let key = violations.finish(key)?;
    Ok(imports::open_import(app, &key, &header.source).await?)
}

/// Rows to be committed together, and whether the stream ended after them.
struct Group<T> {
    rows: Vec<Row<T>>,
    end: Option<End>,
}

enum End {
    Finished,
    Refused(Refusal),
}

async fn next_group<F: Feed>(
    feed: &F,
    stream: &mut Streaming<F::Request>,
    last_row_number: &mut i64,
) -> Group<F::Content> {
    let mut rows = Vec::new();
    let mut full_at: Option<Instant> = None;
    while rows.len() < GROUP_ROWS_MAX {
        let received = match full_at {
            None => stream.message().await,
            Some(full_at) if Instant::now() >= full_at => break,
            Some(_) => match timeout(PAUSE, stream.message()).await {
                Ok(received) => received,
                Err(_) => break,
            },
        };
        let end = match received {
            Ok(Some(request)) => match next_row(feed, F::part(request), last_row_number) {
                Ok(row) => {
                    rows.push(row);
                    full_at.get_or_insert_with(|| Instant::now() + GROUP_AGE_MAX);
                    continue;
                }
                Err(refusal) => End::Refused(refusal),
            },
            // A stream that was cut ends like one that was finished: what came is committed, the rest comes again.
            Ok(None) | Err(_) => End::Finished,
        };
        return Group {
            rows,
            end: Some(end),
        };
    }
    Group { rows, end: None }
}

fn next_row<F: Feed>(
    feed: &F,
    part: Option<Part>,
    last_row_number: &mut i64,
) -> Refused<Row<F::Content>> {
    let mut violations = Violations::new();
    let row = match part {
        Some(Part::Row(row)) => row,
        Some(Part::Header(_)) => {
            violations.add("header", "comes once, first");
            return Err(Refusal::invalid(violations));
        }
        None => {
            violations.add("row", "is required");
            return Err(Refusal::invalid(violations));
        }
    };
    if row.row_number <= *last_row_number {
        let text = format!(
            "is {}, not above the row before, {last_row_number}",
            row.row_number
        );
        violations.add("row.row_number", text);
        return Err(Refusal::invalid(violations));
    }
    *last_row_number = row.row_number;
    Ok(feed.read(&row))
}
