//! `PersonService`.

use chassis::{auth::Principal, names, status::Refusal};
use proto::identity::v1::{self as pb, person_service_server::PersonService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};

#[tonic::async_trait]
impl PersonService for Rpc {
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
