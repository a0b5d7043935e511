//! From presence to certificate and review.

use chassis::{
    auth::Principal,
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use messaging::outbox;
use proto::enrollment::v1 as pb;
use uuid::Uuid;

use super::{App, awards::timestamp};
use crate::{
    domain::{
        code,
        completion::{Certificate, Evidence, Review, redeem_window},
        purchase::{Offer, Purchase, PurchaseState},
    },
    error::Error,
    keys, storage,
};

impl App {
    /// Redeems a purchase's code at its provider.
    pub async fn redeem_code(
        &self,
        key: RequestKey,
        redeem_code: &str,
        provider_id: Uuid,
        course_id: Uuid,
    ) -> Result<pb::Purchase, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let mut purchase =
            storage::purchases::find_by_code_for_update(&mut tx, &code::normalize(redeem_code))
                .await?
                .ok_or(Error::RedeemCodeNotFound)?;
        let offer = offer_of(&purchase)?;
        if offer.provider_id != provider_id {
            return Err(Error::RedeemCodeOtherProvider);
        }
        if offer.course_id != course_id {
            return Err(Error::RedeemCodeOtherCourse);
        }
        if purchase.state != PurchaseState::Completed {
            return Err(Error::PurchaseCancelled);
        }
        if let Some(redeem_time) = purchase.redeem_time {
            return Err(Error::RedeemCodeUsed(redeem_time));
        }
        let (start, end) = redeem_window(offer.run_start_time);
        if !(start..=end).contains(&now) {
            return Err(Error::RedeemWindowClosed { start, end });
        }
        storage::purchases::redeem(&mut tx, purchase.id, now).await?;
        purchase.redeem_time = Some(now);
        let answer = pb::Purchase::from(purchase);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Takes a provider's evidence and issues the certificate when it keeps the scheme's rule.
    pub async fn record_completion(
        &self,
        key: RequestKey,
        purchase_id: Uuid,
        evidence: Evidence,
    ) -> Result<pb::Certificate, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let not_found = || Error::NotFound(names::format("purchases", purchase_id));
        let purchase = storage::purchases::find(&mut tx, purchase_id)
            .await?
            .ok_or_else(not_found)?;
        // Certificates of one participation take turns: one of them is the first.
        let participation =
            storage::participations::find_for_update(&mut tx, purchase.participation_id)
                .await?
                .ok_or(Error::Broken("a purchase has no participation"))?;
        let purchase = storage::purchases::find_for_update(&mut tx, purchase_id)
            .await?
            .ok_or_else(not_found)?;
        if purchase.redeem_time.is_none() {
            return Err(Error::CodeNotRedeemed(purchase_id));
        }
        if let Some(earlier) = storage::certificates::find_of_purchase(&mut tx, purchase_id).await?
        {
            if earlier.evidence != evidence {
                return Err(Error::CertificateExists(earlier.id));
            }
            let answer = pb::Certificate::from(earlier);
            idempotency::store(&mut tx, &key, &answer).await?;
            tx.commit().await?;
            return Ok(answer);
        }

        let offer = offer_of(&purchase)?;
        let rules = self.rules.batch(&mut tx, &participation.batch_id).await?;
        // The feedback is the last part of a course; the provider's report may take a day longer.
        let last = participation.year_end(&rules.scheme.scheme, |end| end.completion);
        if let Some(deadline) = last.filter(|last| *last < evidence.trainer_feedback_time) {
            return Err(Error::CompletionTooLate {
                participation_id: participation.id,
                deadline,
            });
        }
        let shortfalls =
            evidence.shortfalls(rules.scheme.scheme.completion, offer.run_start_time, now);
        if !shortfalls.is_empty() {
            return Err(Error::EvidenceInsufficient(shortfalls));
        }
        let certificate = Certificate {
            id: Uuid::now_v7(),
            number: format!("BK-{}", keys::random_code()?),
            purchase_id,
            participation_id: purchase.participation_id,
            account_id: purchase.account_id,
            course_id: offer.course_id,
            course_title: offer.course_title.clone(),
            first: storage::participations::complete(&mut tx, purchase.participation_id).await?,
            evidence,
            issue_time: now,
        };
        storage::certificates::insert(&mut tx, &certificate).await?;
        let event = issued(&certificate, offer);
        outbox::append(&mut tx, &event.certificate, now, &event).await?;
        let answer = pb::Certificate::from(certificate);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Returns a certificate.
    pub async fn get_certificate(&self, certificate_id: Uuid) -> Result<Certificate, Error> {
        let mut connection = self.db.acquire().await?;
        storage::certificates::find(&mut connection, certificate_id)
            .await?
            .ok_or_else(|| Error::NotFound(names::format("certificates", certificate_id)))
    }

    /// Lists an account's certificates, oldest first.
    pub async fn list_certificates(
        &self,
        account_id: Uuid,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Certificate>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::certificates::list(&mut connection, account_id, page.after, page.limit())
                .await?;
        Ok(page.finish(rows, |last| last.id))
    }

    /// Rates and reviews a course.
    pub async fn create_review(
        &self,
        key: RequestKey,
        principal: &Principal,
        certificate_id: Uuid,
        stars: i32,
        text: String,
    ) -> Result<pb::Review, Error> {
        let certificate = self.get_certificate(certificate_id).await?;
        principal.authorize(certificate.account_id)?;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let participation = storage::participations::find(&mut tx, certificate.participation_id)
            .await?
            .ok_or(Error::Broken("a certificate has no participation"))?;
        let rules = self.rules.batch(&mut tx, &participation.batch_id).await?;
        let last = participation.year_end(&rules.scheme.scheme, |end| end.review);
        if let Some(deadline) = last.filter(|last| *last < now) {
            return Err(Error::ReviewTooLate {
                participation_id: participation.id,
                deadline,
            });
        }
        let review = Review {
            certificate_id,
            course_id: certificate.course_id,
            stars,
            text,
            create_time: now,
        };
        if !storage::reviews::insert(&mut tx, &review).await? {
            return Err(Error::ReviewExists(certificate_id));
        }
        let event = pb::ReviewCreated {
            certificate: names::format("certificates", certificate_id),
            participation: names::format("participations", certificate.participation_id),
            course: names::format("courses", certificate.course_id),
            stars,
            first: certificate.first,
        };
        outbox::append(&mut tx, &event.certificate, now, &event).await?;
        let answer = pb::Review::from(review);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

fn offer_of(purchase: &Purchase) -> Result<&Offer, Error> {
    purchase
        .offer
        .as_ref()
        .ok_or(Error::Broken("a purchase with a code has no course"))
}

fn issued(certificate: &Certificate, offer: &Offer) -> pb::CertificateIssued {
    pb::CertificateIssued {
        certificate: names::format("certificates", certificate.id),
        account: names::format("accounts", certificate.account_id),
        participation: names::format("participations", certificate.participation_id),
        course: names::format("courses", certificate.course_id),
        course_title: certificate.course_title.clone(),
        course_category: offer.course_category.clone(),
        first: certificate.first,
        issue_time: Some(timestamp(certificate.issue_time)),
    }
}
