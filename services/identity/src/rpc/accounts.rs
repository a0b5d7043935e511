//! `AccountService`.

use chassis::{auth::Principal, names, paging::PageRequest, status::Refusal};
use proto::identity::v1::{self as pb, account_service_server::AccountService};
use tonic::{Request, Response, Status};

use super::{Rpc, convert};

#[tonic::async_trait]
impl AccountService for Rpc {
    async fn create_account(
        &self,
        request: Request<pb::CreateAccountRequest>,
    ) -> Result<Response<pb::Account>, Status> {
        let principal = Principal::of(&request)?.clone();
        let (key, asked) = convert::create_account(&self.app, &principal, request.get_ref())?;
        Ok(Response::new(self.app.create_account(key, asked).await?))
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::Account>, Status> {
        let name = &request.get_ref().name;
        let id = names::parse_uuid(name, "accounts").ok_or_else(|| Refusal::not_found(name))?;
        Principal::of(&request)?.authorize(id)?;
        Ok(Response::new(self.app.get_account(id).await?.into()))
    }

    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListAccountsRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (accounts, next_page_token) = self.app.list_accounts(page).await?;
        Ok(Response::new(pb::ListAccountsResponse {
            accounts: accounts.into_iter().map(pb::Account::from).collect(),
            next_page_token,
        }))
    }
}
