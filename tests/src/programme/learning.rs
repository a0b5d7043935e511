//! Participants buy courses, learn, prove it and say what they think of it.

use proto::enrollment::v1::{
    self as pb, learning_service_client::LearningServiceClient,
    participation_service_client::ParticipationServiceClient,
};
use time::OffsetDateTime;
use tonic::Status;

use super::{PATIENCE, Programme, patiently, request_id};
use crate::{
    accounts::Caller,
    cluster::{Client, to_timestamp},
    eventually::{check, eventually},
    process::Service,
};

impl Programme {
    /// Returns all participations of a batch.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn participations(&self, batch: &str) -> Result<Vec<pb::Participation>, Status> {
        let mut client = ParticipationServiceClient::new(self.frontend());
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListParticipationsRequest {
                batch: batch.to_owned(),
                page_size: 1_000,
                page_token,
                ..pb::ListParticipationsRequest::default()
            };
            let page = client.list_participations(request).await?.into_inner();
            all.extend(page.participations);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            page_token = page.next_page_token;
        }
    }

    /// Returns a participation as it is now.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn participation(&self, name: &str) -> Result<pb::Participation, Status> {
        let request = pb::GetParticipationRequest {
            name: name.to_owned(),
        };
        let mut client = ParticipationServiceClient::new(self.frontend());
        Ok(client.get_participation(request).await?.into_inner())
    }

    /// Waits until all participations of a batch are funded, and returns them.
    pub async fn funded_participations(&self, batch: &str) -> Vec<pb::Participation> {
        eventually(PATIENCE, "the participations are funded", || async {
            let all = self.participations(batch).await;
            let all = all.map_err(|status| status.to_string())?;
            let waiting = all.iter().filter(|one| !one.funded).count();
            check(waiting == 0, || format!("{waiting} are not")).map(|()| all)
        })
        .await
    }

    /// Buys a seat in a run and waits for the end of the purchase, which may be a failure.
    ///
    /// # Errors
    /// When enrollment refuses to begin.
    pub async fn buy(&self, participation: &str, run: &str) -> Result<pb::Purchase, Status> {
        let purchase = self.begin_purchase(participation, run).await?;
        Ok(self.ended(purchase).await)
    }

    /// Begins to buy a seat in a run; the purchase is PENDING when a peer is away.
    ///
    /// # Errors
    /// When enrollment refuses to begin.
    pub async fn begin_purchase(
        &self,
        participation: &str,
        run: &str,
    ) -> Result<pb::Purchase, Status> {
        let request = pb::CreatePurchaseRequest {
            request_id: request_id(),
            participation: participation.to_owned(),
            run: run.to_owned(),
        };
        let client = ParticipationServiceClient::new(self.frontend());
        let call = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.create_purchase(request).await }
        };
        patiently(call).await
    }

    /// Waits for the end of a purchase.
    pub async fn ended(&self, purchase: pb::Purchase) -> pb::Purchase {
        if purchase.state() != pb::purchase::State::Pending {
            return purchase;
        }
        eventually(PATIENCE, "the purchase has ended", || async {
            let purchase = self.purchase(&purchase.name).await;
            let purchase = purchase.map_err(|status| status.to_string())?;
            let pending = purchase.state() == pb::purchase::State::Pending;
            check(!pending, || "PENDING".to_owned()).map(|()| purchase)
        })
        .await
    }

    /// Returns a purchase as it is now.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn purchase(&self, name: &str) -> Result<pb::Purchase, Status> {
        let request = pb::GetPurchaseRequest {
            name: name.to_owned(),
        };
        let mut client = ParticipationServiceClient::new(self.frontend());
        Ok(client.get_purchase(request).await?.into_inner())
    }

    /// Shows a purchase's code at its provider's door.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn redeem(&self, purchase: &pb::Purchase) -> Result<pb::Purchase, Status> {
        let request = pb::RedeemCodeRequest {
            request_id: request_id(),
            redeem_code: purchase.redeem_code.clone(),
            provider: purchase.provider.clone(),
            course: purchase.course.clone(),
        };
        let client = LearningServiceClient::new(self.provider());
        let call = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.redeem_code(request).await }
        };
        patiently(call).await
    }

    /// Hands a provider's evidence in.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn complete(
        &self,
        purchase: &str,
        evidence: pb::CompletionEvidence,
    ) -> Result<pb::Certificate, Status> {
        let request = pb::RecordCompletionRequest {
            request_id: request_id(),
            purchase: purchase.to_owned(),
            evidence: Some(evidence),
        };
        let client = LearningServiceClient::new(self.provider());
        let call = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.record_completion(request).await }
        };
        patiently(call).await
    }

    /// Rates and reviews the course of a certificate.
    ///
    /// # Errors
    /// When enrollment refuses.
    pub async fn review(&self, certificate: &str, stars: i32) -> Result<pb::Review, Status> {
        let request = pb::CreateReviewRequest {
            request_id: request_id(),
            certificate: certificate.to_owned(),
            review: Some(pb::Review {
                stars,
                text: "Materinya jelas dan latihannya cukup.".to_owned(),
                ..pb::Review::default()
            }),
        };
        let client = LearningServiceClient::new(self.frontend());
        let call = || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.create_review(request).await }
        };
        patiently(call).await
    }

    fn frontend(&self) -> Client {
        self.client(Service::Enrollment, Caller::Frontend)
    }

    fn provider(&self) -> Client {
        self.client(Service::Enrollment, Caller::Provider)
    }
}

/// Returns evidence that keeps every scheme's rule, for a course on which the trainer gave feedback at this time.
pub fn evidence(feedback_time: OffsetDateTime) -> pb::CompletionEvidence {
    pb::CompletionEvidence {
        attendance_permille: 1_000,
        pre_test_score: 45,
        post_test_score: 80,
        practical_assignment_uri: "https://example.org/assignments/1".to_owned(),
        trainer_feedback_time: Some(to_timestamp(feedback_time)),
    }
}
