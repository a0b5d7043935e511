//! `PersonService`.

use chassis::{auth::Principal, names, status::Refusal};
use futures::{
    TryStreamExt,
    stream::{self, BoxStream},
};
use proto::identity::v1::{self as pb, person_service_server::PersonService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};
use crate::error::Error;

#[tonic::async_trait]
impl PersonService for Rpc {
    type StreamFactChangesStream = BoxStream<'static, Result<pb::FactChanges, Status>>;

    async fn submit_identity(
        &self,
        request: Request<pb::SubmitIdentityRequest>,
    ) -> Result<Response<pb::Person>, Status> {
        let principal = Principal::of(&request)?.clone();
        let (key, new) = convert::submit_identity(&self.app, &principal, request.get_ref())?;
        principal.authorize(new.account_id)?;
        Ok(Response::new(self.app.submit_identity(key, new).await?))
    }

    async fn get_person(
        &self,
        request: Request<pb::GetPersonRequest>,
    ) -> Result<Response<pb::Person>, Status> {
        let name = &request.get_ref().name;
        let id = name
            .strip_suffix("/person")
            .and_then(|account| names::parse_uuid(account, "accounts"))
            .ok_or_else(|| Refusal::not_found(name))?;
        Principal::of(&request)?.authorize(id)?;
        Ok(Response::new(self.app.get_person(id).await?.into()))
    }

    async fn batch_get_facts(
        &self,
        request: Request<pb::BatchGetFactsRequest>,
    ) -> Result<Response<pb::BatchGetFactsResponse>, Status> {
        let (account_ids, as_of_date) = convert::batch_get_facts(request.get_ref())?;
        let persons = self.app.list_facts(&account_ids, as_of_date).await?;
        Ok(Response::new(pb::BatchGetFactsResponse {
            persons: persons.into_iter().map(pb::PersonFacts::from).collect(),
        }))
    }

    async fn stream_fact_changes(
        &self,
        request: Request<pb::StreamFactChangesRequest>,
    ) -> Result<Response<Self::StreamFactChangesStream>, Status> {
        let after = convert::stream_fact_changes(request.get_ref())?;
        let app = self.app.clone();
        // A page is read when the caller takes it, so that a slow caller holds neither memory nor a connection.
        let pages = stream::try_unfold(after, move |after| {
            let app = app.clone();
            async move {
                let page = app.list_fact_changes(after).await?;
                let last = page.last().copied();
                Ok::<_, Error>(last.map(|last| (convert::fact_changes(&page), last)))
            }
        });
        Ok(Response::new(Box::pin(pages.map_err(Status::from))))
    }

    async fn attest_holder(
        &self,
        request: Request<pb::AttestHolderRequest>,
    ) -> Result<Response<pb::HolderAttestation>, Status> {
        let asked = convert::attest_holder(request.get_ref())?;
        let attestation = self
            .app
            .attest_holder(asked.account_id, &asked.holder_name, asked.phone.as_ref())
            .await?;
        Ok(Response::new(attestation.into()))
    }
}
