//! identity as payout sees it: whether a holder is the person.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use proto::identity::v1::{
    self as pb,
    person_service_server::{PersonService, PersonServiceServer},
    token_service_server::{TokenService, TokenServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub(crate) struct Identity {
    /// Name and phone number by account.
    people: Arc<Mutex<HashMap<String, (String, String)>>>,
}

impl Identity {
    /// Starts it and returns its address as well.
    pub(crate) async fn start() -> (Identity, String) {
        let identity = Identity::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(PersonServiceServer::new(identity.clone()))
            .add_service(TokenServiceServer::new(identity.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        chassis::task::spawn("identity", async move { server.await.unwrap() });
        (identity, address)
    }

    pub(crate) fn add(&self, account: &str, name: &str, phone: &str) {
        self.people
            .lock()
            .unwrap()
            .insert(account.to_owned(), (name.to_owned(), phone.to_owned()));
    }
}

#[tonic::async_trait]
impl PersonService for Identity {
    async fn attest_holder(
        &self,
        request: Request<pb::AttestHolderRequest>,
    ) -> Result<Response<pb::HolderAttestation>, Status> {
        let request = request.into_inner();
        let people = self.people.lock().unwrap();
        let person = people.get(&request.account);
        Ok(Response::new(pb::HolderAttestation {
            name_matches: person.is_some_and(|(name, _)| *name == request.holder_name),
            phone_matches: request.phone.is_empty()
                || person.is_some_and(|(_, phone)| *phone == request.phone),
        }))
    }

    async fn submit_identity(
        &self,
        _request: Request<pb::SubmitIdentityRequest>,
    ) -> Result<Response<pb::Person>, Status> {
        Err(Status::unimplemented("payout never asks"))
    }

    async fn get_person(
        &self,
        _request: Request<pb::GetPersonRequest>,
    ) -> Result<Response<pb::Person>, Status> {
        Err(Status::unimplemented("payout never asks"))
    }

    type StreamFactChangesStream = tokio_stream::Empty<Result<pb::FactChanges, Status>>;

    async fn stream_fact_changes(
        &self,
        _request: Request<pb::StreamFactChangesRequest>,
    ) -> Result<Response<Self::StreamFactChangesStream>, Status> {
        Err(Status::unimplemented("payout never asks"))
    }

    async fn batch_get_facts(
        &self,
        _request: Request<pb::BatchGetFactsRequest>,
    ) -> Result<Response<pb::BatchGetFactsResponse>, Status> {
        Err(Status::unimplemented("payout never asks"))
    }
}

#[tonic::async_trait]
impl TokenService for Identity {
    async fn issue_token(
        &self,
        _request: Request<pb::IssueTokenRequest>,
    ) -> Result<Response<pb::Token>, Status> {
        Ok(Response::new(pb::Token {
            access_token: "of-payout".to_owned(),
            expire_time: Some(prost_types::Timestamp {
                seconds: 4_000_000_000,
                nanos: 0,
            }),
        }))
    }

    async fn get_json_web_key_set(
        &self,
        _request: Request<pb::GetJsonWebKeySetRequest>,
    ) -> Result<Response<pb::JsonWebKeySet>, Status> {
        Err(Status::unimplemented("the tests have keys of their own"))
    }
}
