//! The stream of an import: a header, then rows; answered in groups after their commit.
//!
//! 1. The header is checked whole and opens the import; the first answer says after which row to go on.
//! 2. Each row is read at once, so that no huge value is kept, and joins the group in hand.
//! 3. A group ends when it is full or when the stream pauses, and is committed as one transaction.
//! 4. Its results are sent; while they wait for the caller to take them, nothing more is read. So the memory of an
//!    import is one group, and a slow caller slows his own import only.
//!
//! A broken rule of the stream itself (a second header, a row number that does not ascend) ends it with a refusal; what
//! came before it is committed and answered first.

use std::time::Duration;

use chassis::{
    auth::Principal,
    deadline,
    idempotency::RequestKey,
    status::{Refusal, Violations},
    task,
};
use proto::{
    catalog::v1::{ImportCoursesRequest, ImportCoursesResponse, import_courses_request::Part},
    r#type::v1::{ImportProgress, ImportRowResult},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Refused, answers};
use crate::{
    app::{App, imports::Import},
    domain::import::{self, Row},
};

const METHOD: &str = "/bekal.catalog.v1.CourseService/ImportCourses";

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

type Answers = mpsc::Sender<Result<ImportCoursesResponse, Status>>;

/// Serves an import's stream until it ends, the caller goes or the call's time is over.
pub(super) fn serve(
    app: App,
    principal: Principal,
    stream: Streaming<ImportCoursesRequest>,
) -> ReceiverStream<Result<ImportCoursesResponse, Status>> {
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let deadline = deadline::current();
    task::spawn("import", async move {
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
    let cause = std::error::Error::source(refusal)
        .map(ToString::to_string)
        .unwrap_or_default();
    let reason = refusal.reason();
    if refusal.code() == Code::Internal {
        tracing::error!(rpc.method = METHOD, reason, cause, "import failed");
    } else {
        tracing::info!(rpc.method = METHOD, reason, cause, "import ended early");
    }
}

async fn run(
    app: &App,
    principal: &Principal,
    mut stream: Streaming<ImportCoursesRequest>,
    answers: &Answers,
) -> Refused<()> {
    let Ok(first) = stream.message().await else {
        return Ok(());
    };
    let import = open(app, principal, first.and_then(|request| request.part)).await?;
    if !answer(answers, import.resume_after, Vec::new()).await {
        return Ok(());
    }

    let mut last_row_number = 0;
    loop {
        let group = tokio::select! {
            group = next_group(&mut stream, &mut last_row_number) => group,
            () = answers.closed() => return Ok(()),
        };
        if !group.rows.is_empty() {
            let results = app.import_courses(&import, &group.rows).await?;
            let results = results.into_iter().map(answers::row_result).collect();
            if !answer(answers, 0, results).await {
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

/// Sends an answer; `false` when the caller has gone.
async fn answer(
    answers: &Answers,
    resume_after_row_number: i64,
    results: Vec<ImportRowResult>,
) -> bool {
    let progress = ImportProgress {
        resume_after_row_number,
        results,
    };
    let response = ImportCoursesResponse {
        progress: Some(progress),
    };
    answers.send(Ok(response)).await.is_ok()
}

async fn open(app: &App, principal: &Principal, first: Option<Part>) -> Refused<Import> {
    let mut violations = Violations::new();
    let header = match first {
        Some(Part::Header(header)) => header,
        Some(Part::Row(_)) | None => {
            violations.add("header", "comes first");
            return Err(Refusal::invalid(violations));
        }
    };
    let key = RequestKey::parse(
        METHOD,
        principal,
        &header,
        &header.request_id,
        &mut violations,
    );
    let source_fits = (1..=SOURCE_CHARS_MAX).contains(&header.source.chars().count())
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
    for missing in import::missing_columns(&header.columns) {
        violations.add(
            "header.columns",
            format!("`{missing}` is missing: the file is not what this import expects"),
        );
    }
    let key = violations.finish(key)?;
    Ok(app.open_import(&key, &header.source).await?)
}

/// Rows to be committed together, and how the stream ended after them.
struct Group {
    rows: Vec<Row>,
    end: Option<End>,
}

enum End {
    Finished,
    Refused(Refusal),
}

async fn next_group(
    stream: &mut Streaming<ImportCoursesRequest>,
    last_row_number: &mut i64,
) -> Group {
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
            Ok(Some(request)) => match next_row(request.part, last_row_number) {
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

fn next_row(part: Option<Part>, last_row_number: &mut i64) -> Refused<Row> {
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
    Ok(Row {
        number: row.row_number,
        course: import::read_row(&row.fields),
    })
}
