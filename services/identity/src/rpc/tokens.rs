//! `TokenService`.

use chassis::status::Refusal;
use proto::identity::v1::{self as pb, token_service_server::TokenService};
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Credentials},
};

#[tonic::async_trait]
impl TokenService for Rpc {
    async fn issue_token(
        &self,
        request: Request<pb::IssueTokenRequest>,
    ) -> Result<Response<pb::Token>, Status> {
        let token = match convert::issue_token(request.into_inner())? {
            Credentials::Account { login, password } => self.app.sign_in(login, password).await?,
            Credentials::ServiceAccount { name, secret } => {
                self.app.sign_in_service_account(&name, secret.expose())?
            }
        };
        Ok(Response::new(token.into()))
    }

    async fn get_json_web_key_set(
        &self,
        _request: Request<pb::GetJsonWebKeySetRequest>,
    ) -> Result<Response<pb::JsonWebKeySet>, Status> {
        let document = serde_json::to_vec(&self.app.key_set()).map_err(Refusal::internal)?;
        Ok(Response::new(pb::JsonWebKeySet { document }))
    }
}
