//! A snapshot of an exclusion list, and its stream.

use proto::{
    identity::v1::{
        self as pb, ImportSnapshotRequest, ImportSnapshotResponse,
        import_snapshot_request::Part as Asked, import_snapshot_response::Part as Answer,
        snapshot_header::Kind,
    },
    r#type::v1::Date,
};
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::world::World;

/// Creates a list and returns its name.
pub(crate) async fn a_list(world: &World, id: &str) -> String {
    let request = pb::CreateExclusionListRequest {
        request_id: Uuid::new_v4().to_string(),
        exclusion_list_id: id.to_owned(),
        exclusion_list: Some(pb::ExclusionList {
            display_name: "Daftar".to_owned(),
            source: "Kementerian".to_owned(),
            ..pb::ExclusionList::default()
        }),
    };
    let created = world.exclusion_lists().create_exclusion_list(request).await;
    created.unwrap().into_inner().name
}

/// What is to be sent.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) header: pb::SnapshotHeader,
    pub(crate) chunks: Vec<pb::SnapshotChunk>,
}

impl Snapshot {
    /// Begins a snapshot of 2 November without rows.
    pub(crate) fn of(list: &str, kind: Kind) -> Snapshot {
        Snapshot {
            header: pb::SnapshotHeader {
                request_id: Uuid::new_v4().to_string(),
                exclusion_list: list.to_owned(),
                snapshot_date: Some(day(2)),
                kind: kind.into(),
            },
            chunks: Vec::new(),
        }
    }

    pub(crate) fn on(mut self, day_of_month: i32) -> Snapshot {
        self.header.snapshot_date = Some(day(day_of_month));
        self
    }

    /// Adds a chunk.
    pub(crate) fn chunk(mut self, listed: &[Vec<u8>], lifted: &[Vec<u8>]) -> Snapshot {
        self.chunks.push(pb::SnapshotChunk {
            chunk_number: i64::try_from(self.chunks.len()).unwrap() + 1,
            listed_hashes: listed.to_vec(),
            lifted_hashes: lifted.to_vec(),
        });
        self
    }

    /// The whole stream.
    pub(crate) fn requests(&self) -> Vec<ImportSnapshotRequest> {
        let header = [Asked::Header(self.header.clone())];
        let chunks = self.chunks.iter().cloned().map(Asked::Chunk);
        let end = [Asked::End(pb::SnapshotEnd {
            chunk_count: i64::try_from(self.chunks.len()).unwrap(),
        })];
        header
            .into_iter()
            .chain(chunks)
            .chain(end)
            .map(request)
            .collect()
    }
}

/// A day of a month that has passed by the clock of the tests.
pub(crate) fn day(day: i32) -> Date {
    Date {
        year: 2024,
        month: 11,
        day,
    }
}

pub(crate) fn request(part: Asked) -> ImportSnapshotRequest {
    ImportSnapshotRequest { part: Some(part) }
}

/// What a stream was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answers {
    pub(crate) resume_after: i64,
    pub(crate) chunks: Vec<pb::SnapshotChunkResult>,
    pub(crate) result: Option<pb::SnapshotResult>,
}

/// Sends these messages; returns what they were answered, and how the stream ended.
pub(crate) async fn send(
    world: &World,
    requests: Vec<ImportSnapshotRequest>,
) -> (Answers, Result<(), Status>) {
    let mut answers = Answers::default();
    let stream = world
        .exclusion_lists()
        .import_snapshot(tokio_stream::iter(requests))
        .await;
    let ended = match stream {
        Ok(stream) => read(stream.into_inner(), &mut answers).await,
        Err(refused) => Err(refused),
    };
    (answers, ended)
}

async fn read(
    mut stream: Streaming<ImportSnapshotResponse>,
    answers: &mut Answers,
) -> Result<(), Status> {
    while let Some(response) = stream.message().await? {
        match response.part.unwrap() {
            Answer::Opening(opening) => answers.resume_after = opening.resume_after_chunk_number,
            Answer::Chunk(chunk) => answers.chunks.push(chunk),
            Answer::Result(result) => answers.result = Some(result),
        }
    }
    Ok(())
}

/// Sends a whole snapshot.
pub(crate) async fn import(world: &World, snapshot: &Snapshot) -> pb::SnapshotResult {
    let (answers, ended) = send(world, snapshot.requests()).await;
    ended.unwrap();
    answers.result.unwrap()
}

/// Returns why a snapshot is refused.
pub(crate) async fn refusal(world: &World, requests: Vec<ImportSnapshotRequest>) -> Status {
    let (answers, ended) = send(world, requests).await;
    assert_eq!(answers.result, None);
    ended.unwrap_err()
}
