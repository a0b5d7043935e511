//! `ProviderService`.

use chassis::{auth::Principal, paging::PageRequest};
use proto::catalog::v1::{self as pb, provider_service_server::ProviderService};
use tonic::{Request, Response, Status};

use super::{Rpc, answers, convert};

#[tonic::async_trait]
impl ProviderService for Rpc {
    async fn create_provider(
        &self,
        request: Request<pb::CreateProviderRequest>,
    ) -> Result<Response<pb::Provider>, Status> {
        let (key, name) = convert::create_provider(Principal::of(&request)?, request.get_ref())?;
        Ok(Response::new(
            self.app
                .create_provider(&key, &name, answers::provider)
                .await?,
        ))
    }

    async fn get_provider(
        &self,
        request: Request<pb::GetProviderRequest>,
    ) -> Result<Response<pb::Provider>, Status> {
        let id = convert::id(&request.into_inner().name, "providers")?;
        Ok(Response::new(answers::provider(
            self.app.get_provider(id).await?,
        )))
    }

    async fn list_providers(
        &self,
        request: Request<pb::ListProvidersRequest>,
    ) -> Result<Response<pb::ListProvidersResponse>, Status> {
        let request = request.into_inner();
        let filter = pb::ListProvidersRequest::default();
        let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
        let (providers, next_page_token) = self.app.list_providers(&page).await?;
        Ok(Response::new(pb::ListProvidersResponse {
            providers: providers.into_iter().map(answers::provider).collect(),
            next_page_token,
        }))
    }
}
