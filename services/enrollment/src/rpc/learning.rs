//! `LearningService`.

use chassis::{auth::Principal, paging::PageRequest};
use proto::enrollment::v1::{self as pb, learning_service_server::LearningService};
use tonic::{Request, Response, Status};

use super::{
    Rpc,
    convert::{self, Reader},
    status,
};

#[tonic::async_trait]
impl LearningService for Rpc {
    async fn redeem_code(
        &self,
        request: Request<pb::RedeemCodeRequest>,
    ) -> Result<Response<pb::Purchase>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.LearningService/RedeemCode",
            principal,
            asked,
        );
        let key = reader.key(&asked.request_id);
        let is_code = (1..=40).contains(&asked.redeem_code.len());
        reader.check(is_code, "redeem_code", "is not 1 to 40 bytes long");
        let provider_id = reader.uuid("provider", &asked.provider, "providers");
        let course_id = reader.uuid("course", &asked.course, "courses");
        let ((key, provider_id), course_id) = reader.finish(key.zip(provider_id).zip(course_id))?;
        let purchase = self
            .app
            .redeem_code(key, &asked.redeem_code, provider_id, course_id)
            .await;
        Ok(Response::new(purchase.map_err(status)?))
    }

    async fn record_completion(
        &self,
        request: Request<pb::RecordCompletionRequest>,
    ) -> Result<Response<pb::Certificate>, Status> {
        let (key, purchase_id, evidence) =
            convert::record_completion(Principal::of(&request)?, request.get_ref())?;
        let certificate = self
            .app
            .record_completion(key, purchase_id, evidence)
            .await
            .map_err(status)?;
        Ok(Response::new(certificate))
    }

    async fn get_certificate(
        &self,
        request: Request<pb::GetCertificateRequest>,
    ) -> Result<Response<pb::Certificate>, Status> {
        let id = convert::get_uuid(&request.get_ref().name, "certificates")?;
        let certificate = self.app.get_certificate(id).await.map_err(status)?;
        Ok(Response::new(certificate.into()))
    }

    async fn list_certificates(
        &self,
        request: Request<pb::ListCertificatesRequest>,
    ) -> Result<Response<pb::ListCertificatesResponse>, Status> {
        let (principal, asked) = (Principal::of(&request)?, request.get_ref());
        let mut reader = Reader::new(
            "bekal.enrollment.v1.LearningService/ListCertificates",
            principal,
            asked,
        );
        let account_id = reader.uuid("account", &asked.account, "accounts");
        reader.page_size(asked.page_size);
        let account_id = reader.finish(account_id)?;
        principal.authorize(account_id)?;
        let filter = pb::ListCertificatesRequest {
            account: asked.account.clone(),
            ..pb::ListCertificatesRequest::default()
        };
        let page = PageRequest::parse(asked.page_size, &asked.page_token, &filter)?;
        let (certificates, next_page_token) = self
            .app
            .list_certificates(account_id, page)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::ListCertificatesResponse {
            certificates: certificates
                .into_iter()
                .map(pb::Certificate::from)
                .collect(),
            next_page_token,
        }))
    }

    async fn create_review(
        &self,
        request: Request<pb::CreateReviewRequest>,
    ) -> Result<Response<pb::Review>, Status> {
        let principal = Principal::of(&request)?;
        let (key, certificate_id, stars, text) =
            convert::create_review(principal, request.get_ref())?;
        let review = self
            .app
            .create_review(key, principal, certificate_id, stars, text)
            .await;
        Ok(Response::new(review.map_err(status)?))
    }
}
