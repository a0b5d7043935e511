//! People register and are verified.

use proto::{
    identity::v1::{
        self as pb, account_service_client::AccountServiceClient,
        person_service_client::PersonServiceClient,
    },
    r#type::v1::Date,
};
use tonic::Status;

use super::{PATIENCE, Programme, patiently, request_id};
use crate::{
    accounts::Caller,
    eventually::{check, eventually},
    people::Person,
    process::Service,
};

impl Programme {
    /// Opens an account for a person and returns its name. Without a password they never log in themselves.
    ///
    /// # Errors
    /// When identity refuses.
    pub async fn create_account(&self, person: &Person, password: &str) -> Result<String, Status> {
        let request = pb::CreateAccountRequest {
            request_id: request_id(),
            account: Some(pb::Account {
                email: person.email.clone(),
                phone: person.phone.clone(),
                ..pb::Account::default()
            }),
            password: password.to_owned(),
        };
        let accounts = AccountServiceClient::new(self.client(Service::Identity, Caller::Frontend));
        let call = || {
            let (mut accounts, request) = (accounts.clone(), request.clone());
            async move { accounts.create_account(request).await }
        };
        Ok(patiently(call).await?.name)
    }

    /// Submits what a person says of themselves.
    ///
    /// # Errors
    /// When identity refuses.
    pub async fn submit_identity(
        &self,
        account: &str,
        person: &Person,
    ) -> Result<pb::Person, Status> {
        let told = person.declaration();
        let request = pb::SubmitIdentityRequest {
            request_id: request_id(),
            account: account.to_owned(),
            submission: Some(pb::IdentitySubmission {
                national_id: told.national_id,
                household_id: told.household_id,
                full_name: told.full_name,
                birth_date: Some(Date {
                    year: told.birth_date.year(),
                    month: u8::from(told.birth_date.month()).into(),
                    day: told.birth_date.day().into(),
                }),
                declared: Some(pb::DeclaredFacts {
                    education: person.education.to_owned(),
                    disability: person.disability,
                    rural: person.rural,
                }),
            }),
        };
        let persons = PersonServiceClient::new(self.client(Service::Identity, Caller::Frontend));
        let call = || {
            let (mut persons, request) = (persons.clone(), request.clone());
            async move { persons.submit_identity(request).await }
        };
        patiently(call).await
    }

    /// Returns a person as they are now.
    ///
    /// # Errors
    /// When identity refuses.
    pub async fn person(&self, account: &str) -> Result<pb::Person, Status> {
        let request = pb::GetPersonRequest {
            name: format!("{account}/person"),
        };
        let persons = PersonServiceClient::new(self.client(Service::Identity, Caller::Frontend));
        let call = || {
            let (mut persons, request) = (persons.clone(), request.clone());
            async move { persons.get_person(request).await }
        };
        patiently(call).await
    }

    /// Waits for the registry's answer about a person.
    pub async fn registry_answer(&self, account: &str) -> pb::Person {
        eventually(PATIENCE, "the registry has answered", || async {
            let person = self.person(account).await;
            let person = person.map_err(|status| status.to_string())?;
            let pending = person.state() == pb::person::State::Pending;
            check(!pending, || "PENDING".to_owned()).map(|()| person)
        })
        .await
    }

    /// Registers a person and waits until they are verified; returns the account's name.
    ///
    /// # Panics
    /// When the person is not verified in the end.
    pub async fn register(&self, person: &Person) -> String {
        let account = self.create_account(person, "").await;
        let account = account.expect("a new person gets an account");
        let submitted = self.submit_identity(&account, person).await;
        submitted.expect("a well-formed submission is taken");
        let person = self.registry_answer(&account).await;
        assert_eq!(person.state(), pb::person::State::Verified, "{person:?}");
        account
    }
}
