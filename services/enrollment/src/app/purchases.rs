//! Beginning and reading purchases. What a purchase does after its row is there stands in `saga`.

use chassis::{
    auth::Principal,
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use proto::enrollment::v1 as pb;
use time::Duration;
use uuid::Uuid;

use super::{App, participations::not_found};
use crate::{
    domain::{
        participation::PurchaseTerms,
        purchase::{Purchase, PurchaseState, Step},
    },
    error::Error,
    storage,
};

/// For how long the call that began a purchase drives it alone; then the sweeper takes part.
pub(super) const INLINE_FOR: Duration = Duration::seconds(30);

impl App {
    /// Begins a purchase and drives it as far as the peers answer. The same request again returns the purchase as it is.
    pub async fn create_purchase(
        &self,
        key: RequestKey,
        principal: &Principal,
        participation_id: Uuid,
        run_id: Uuid,
    ) -> Result<Purchase, Error> {
        let id = match self
            .begin_purchase(&key, principal, participation_id, run_id)
            .await?
        {
            Begun::New(id) => id,
            Begun::Earlier(id) => return self.get_purchase(id).await,
        };
        self.drive_purchase(id).await?;
        self.get_purchase(id).await
    }

    async fn begin_purchase(
        &self,
        key: &RequestKey,
        principal: &Principal,
        participation_id: Uuid,
        run_id: Uuid,
    ) -> Result<Begun, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let earlier: Option<pb::Purchase> =
            idempotency::claim(&mut tx, key, now).await?.answer()?;
        if let Some(earlier) = earlier {
            let id = names::parse_uuid(&earlier.name, "purchases");
            return id
                .map(Begun::Earlier)
                .ok_or(Error::Broken("a stored purchase has no name"));
        }
        // From here on the participation is ours: neither the sweeper nor another purchase comes in between.
        let participation = storage::participations::find_for_update(&mut tx, participation_id)
            .await?
            .ok_or_else(|| not_found(participation_id))?;
        principal.authorize(participation.account_id)?;
        let earlier = storage::purchases::list_earlier(&mut tx, participation_id).await?;
        let rules = self.rules.batch(&mut tx, &participation.batch_id).await?;
        let scheme = &rules.scheme.scheme;
        let holds = storage::holds::sum_up(&mut tx, &[participation_id]).await?;
        let terms = PurchaseTerms {
            next: scheme.next_purchase,
            next_days: scheme.next_purchase_days,
            zone: scheme.time_zone_of(&participation.region),
            year_end: participation.year_end(scheme, |end| end.purchase),
            unfreeze_time: holds.first().and_then(|sum| sum.last_lift_time),
        };
        participation
            .may_buy(&earlier, terms, now)
            .map_err(|refusal| Error::Purchase {
                participation_id,
                refusal,
            })?;

        let purchase = Purchase {
            id: Uuid::now_v7(),
            participation_id,
            account_id: participation.account_id,
            run_id,
            offer: None,
            state: PurchaseState::Pending,
            step: Step::HoldSeat,
            failure_reason: None,
            redeem_code: None,
            redeem_time: None,
            create_time: now,
            end_time: None,
            attempt_count: 0,
        };
        storage::purchases::insert(&mut tx, &purchase, now + INLINE_FOR).await?;
        storage::participations::set_pending(&mut tx, participation_id, Some(purchase.id)).await?;
        let id = purchase.id;
        idempotency::store(&mut tx, key, &pb::Purchase::from(purchase)).await?;
        tx.commit().await?;
        Ok(Begun::New(id))
    }

    /// Returns a purchase.
    pub async fn get_purchase(&self, purchase_id: Uuid) -> Result<Purchase, Error> {
        let mut connection = self.db.acquire().await?;
        storage::purchases::find(&mut connection, purchase_id)
            .await?
            .ok_or_else(|| Error::NotFound(names::format("purchases", purchase_id)))
    }

    /// Lists the purchases of a participation, oldest first.
    pub async fn list_purchases(
        &self,
        principal: &Principal,
        participation_id: Uuid,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Purchase>, String), Error> {
        let participation = self.get_participation(participation_id).await?;
        principal.authorize(participation.account_id)?;
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::purchases::list(&mut connection, participation_id, page.after, page.limit())
                .await?;
        Ok(page.finish(rows, |last| last.id))
    }
}

enum Begun {
    /// A purchase of this call.
    New(Uuid),
    /// That of the same request before.
    Earlier(Uuid),
}
