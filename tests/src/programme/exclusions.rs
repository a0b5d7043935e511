//! The keepers of exclusion lists.

use aws_lc_rs::hmac;
use proto::{
    identity::v1::{
        self as pb, exclusion_list_service_client::ExclusionListServiceClient,
        import_snapshot_request::Part, snapshot_header::Kind,
    },
    r#type::v1::Date,
};
use time::OffsetDateTime;
use tonic::Status;

use super::{Programme, request_id};
use crate::{
    accounts::Caller,
    cluster::{Client, Cluster},
    people::Person,
    process::Service,
};

/// A list, and the key under which identity knows national ids.
#[derive(Debug)]
pub struct ExclusionList {
    client: Client,
    name: String,
    match_key: hmac::Key,
}

impl Programme {
    /// Creates a list that names nobody.
    ///
    /// # Errors
    /// When identity refuses.
    ///
    /// # Panics
    /// When the cluster's identity has no match key.
    pub async fn create_exclusion_list(
        &self,
        cluster: &Cluster,
        id: &str,
    ) -> Result<ExclusionList, Status> {
        let client = self.client(Service::Identity, Caller::Operator1);
        let request = pb::CreateExclusionListRequest {
            request_id: request_id(),
            exclusion_list_id: id.to_owned(),
            exclusion_list: Some(pb::ExclusionList {
                display_name: id.to_owned(),
                source: "A ministry".to_owned(),
                ..pb::ExclusionList::default()
            }),
        };
        let created = ExclusionListServiceClient::new(client.clone())
            .create_exclusion_list(request)
            .await?;
        let key = cluster.setting(Service::Identity, "IDENTITY_MATCH_KEY");
        let key = key
            .and_then(|digits| crate::keys::from_hex(&digits))
            .expect("identity has a match key");
        Ok(ExclusionList {
            client,
            name: created.into_inner().name,
            match_key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }
}

impl ExclusionList {
    /// Hands in a full snapshot of today that names these people.
    ///
    /// # Errors
    /// When identity refuses.
    pub async fn import(
        &self,
        today: OffsetDateTime,
        people: &[&Person],
    ) -> Result<pb::SnapshotResult, Status> {
        let today = today.date();
        let header = pb::SnapshotHeader {
            request_id: request_id(),
            exclusion_list: self.name.clone(),
            snapshot_date: Some(Date {
                year: today.year(),
                month: i32::from(u8::from(today.month())),
                day: i32::from(today.day()),
            }),
            kind: Kind::Full.into(),
        };
        let chunk = pb::SnapshotChunk {
            chunk_number: 1,
            listed_hashes: people.iter().map(|person| self.hash(person)).collect(),
            lifted_hashes: Vec::new(),
        };
        let parts = [
            Part::Header(header),
            Part::Chunk(chunk),
            Part::End(pb::SnapshotEnd { chunk_count: 1 }),
        ];
        let parts = parts.map(|part| pb::ImportSnapshotRequest { part: Some(part) });
        let mut answers = ExclusionListServiceClient::new(self.client.clone())
            .import_snapshot(futures::stream::iter(parts))
            .await?
            .into_inner();
        let mut result = None;
        while let Some(answer) = answers.message().await? {
            if let Some(pb::import_snapshot_response::Part::Result(last)) = answer.part {
                result = Some(last);
            }
        }
        result.ok_or_else(|| Status::unknown("a snapshot ends without a result"))
    }

    /// The contract's hash of a national id.
    fn hash(&self, person: &Person) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.match_key);
        context.update(b"national id\0");
        context.update(person.national_id.as_bytes());
        context.sign().as_ref().to_vec()
    }
}
