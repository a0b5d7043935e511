//! Driving purchases: one step, one call, one small transaction, until the end or until a peer is away. No transaction is
//! open over a call. Two who drive the same purchase cannot harm: every step may be taken twice, and only one moves it on.

use futures::{StreamExt, stream};
use messaging::outbox;
use proto::enrollment::v1 as pb;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    App,
    peers::{Funds, Held, PARTICIPATION_FROZEN, Seat, Unclear},
};
use crate::{
    domain::{
        batch::batch_name,
        participation::ParticipationState,
        purchase::{Next, Offer, Outcome, Purchase, PurchaseState, Step},
    },
    error::Error,
    keys, storage,
};

/// How many purchases one round of the sweeper takes up, and how many of them at once.
const ROUND: i64 = 200;
const AT_ONCE: usize = 16;
/// For how long a round keeps other sweepers off its purchases: longer than all its calls can take.
pub(super) const LEASE: Duration = Duration::seconds(120);
const PAUSE_MAX: Duration = Duration::seconds(60);

/// What a step came to.
struct Taken {
    outcome: Outcome,
    offer: Option<Offer>,
}

impl App {
    /// Takes the purchase's steps until it ends or a peer gives no clear answer; then a later round goes on.
    pub async fn drive_purchase(&self, purchase_id: Uuid) -> Result<(), Error> {
        loop {
            let purchase = self.get_purchase(purchase_id).await?;
            if purchase.state != PurchaseState::Pending {
                return Ok(());
            }
            match self.take_step(&purchase).await {
                Ok(taken) => {
                    let next = purchase.step.after(taken.outcome);
                    if let Next::Contradiction(why) = &next {
                        tracing::error!(purchase.id = %purchase_id, step = %purchase.step, why, "a purchase is stuck");
                        return self.postpone_purchase(&purchase).await;
                    }
                    self.move_on(&purchase, next, taken.offer).await?;
                }
                Err(unclear) => {
                    tracing::warn!(
                        purchase.id = %purchase_id,
                        step = %purchase.step,
                        part = unclear.part,
                        code = ?unclear.status.code(),
                        "a purchase waits for a peer"
                    );
                    return self.postpone_purchase(&purchase).await;
                }
            }
        }
    }

    /// Drives the purchases that are due, and returns how many they were.
    pub async fn sweep_purchases(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        let mut connection = self.db.acquire().await?;
        let due = storage::purchases::claim_due(&mut connection, now, now + LEASE, ROUND).await?;
        drop(connection);
        let count = due.len();
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |id| async move {
                if let Err(error) = self.drive_purchase(id).await {
                    let error = chassis::telemetry::chain(&error);
                    tracing::warn!(purchase.id = %id, error, "a purchase could not be driven");
                }
            })
            .await;
        Ok(count)
    }

    async fn take_step(&self, purchase: &Purchase) -> Result<Taken, Unclear> {
        let seat = Seat {
            hold_id: purchase.seat_hold_id(),
            run_id: purchase.run_id,
            account_id: purchase.account_id,
        };
        let outcome = match (purchase.step, funds(purchase)) {
            (Step::HoldSeat, _) => {
                return Ok(match self.peers.hold_seat(seat, self.clock.now()).await? {
                    Held::Offer(offer) => Taken {
                        outcome: Outcome::Done,
                        offer: Some(offer),
                    },
                    Held::Refused(reason) => Taken {
                        outcome: Outcome::Refused(reason),
                        offer: None,
                    },
                });
            }
            (Step::HoldFunds, Some(funds)) => self.peers.hold_funds(funds).await?,
            (Step::ConfirmSeat, _) => self.peers.confirm_seat(seat).await?,
            (Step::CaptureFunds, Some(funds)) => self.peers.capture_funds(funds).await?,
            (Step::ReleaseFunds, Some(funds)) => self.peers.release_funds(funds).await?,
            (Step::ReleaseSeat, _) => self.peers.release_seat(seat).await?,
            (Step::HoldFunds | Step::CaptureFunds | Step::ReleaseFunds, None) | (Step::Done, _) => {
                Outcome::Refused("the step lacks what it needs".to_owned())
            }
        };
        Ok(Taken {
            outcome,
            offer: None,
        })
    }

    async fn move_on(
        &self,
        purchase: &Purchase,
        next: Next,
        offer: Option<Offer>,
    ) -> Result<(), Error> {
        // Whether this call or another one has moved it does not matter: the loop looks again.
        match (next, offer) {
            (Next::Step(_), Some(offer)) => {
                let mut connection = self.db.acquire().await?;
                storage::purchases::advance_with_offer(&mut connection, purchase.id, &offer)
                    .await?;
            }
            (Next::Step(Step::CaptureFunds), None) => self.pass_gate(purchase).await?,
            (Next::Step(step), None) => {
                let mut connection = self.db.acquire().await?;
                storage::purchases::advance(&mut connection, purchase.id, purchase.step, step)
                    .await?;
            }
            (Next::Compensate(step, reason), _) => {
                let mut connection = self.db.acquire().await?;
                storage::purchases::compensate(
                    &mut connection,
                    purchase.id,
                    purchase.step,
                    step,
                    &reason,
                )
                .await?;
            }
            (Next::Complete, _) => self.complete_purchase(purchase).await?,
            (Next::Fail, _) => self.fail_purchase(purchase).await?,
            (Next::Contradiction(_), _) => {
                return Err(Error::Broken("a contradiction moves nothing"));
            }
        }
        Ok(())
    }

    /// The last look before the money is taken: under the participation's lock, so that a freeze comes before it and turns
    /// the purchase back, or after it and finds it bought.
    async fn pass_gate(&self, purchase: &Purchase) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        let participation =
            storage::participations::find_for_update(&mut tx, purchase.participation_id)
                .await?
                .ok_or(Error::Broken("a purchase has no participation"))?;
        if participation.state == ParticipationState::Frozen {
            storage::purchases::compensate(
                &mut tx,
                purchase.id,
                purchase.step,
                Step::ReleaseFunds,
                PARTICIPATION_FROZEN,
            )
            .await?;
        } else {
            storage::purchases::advance(&mut tx, purchase.id, purchase.step, Step::CaptureFunds)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn complete_purchase(&self, purchase: &Purchase) -> Result<(), Error> {
        let now = self.clock.now();
        let code = keys::random_code()?;
        let mut tx = self.db.begin().await?;
        // The participation's lock comes first, as when a purchase begins.
        let participation =
            storage::participations::find_for_update(&mut tx, purchase.participation_id)
                .await?
                .ok_or(Error::Broken("a purchase has no participation"))?;
        if !storage::purchases::complete(&mut tx, purchase.id, &code, now).await? {
            return Ok(());
        }
        storage::participations::set_pending(&mut tx, participation.id, None).await?;
        if storage::participations::activate(&mut tx, participation.id).await? {
            let event = pb::ParticipationActivated {
                participation: format!("participations/{}", participation.id),
                batch: batch_name(&participation.batch_id),
                account: format!("accounts/{}", participation.account_id),
            };
            outbox::append(&mut tx, &event.participation, now, &event).await?;
        }
        tx.commit().await?;
        self.relay.wake();
        Ok(())
    }

    async fn fail_purchase(&self, purchase: &Purchase) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        storage::participations::find_for_update(&mut tx, purchase.participation_id).await?;
        if storage::purchases::fail(&mut tx, purchase.id, self.clock.now()).await? {
            storage::participations::set_pending(&mut tx, purchase.participation_id, None).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn postpone_purchase(&self, purchase: &Purchase) -> Result<(), Error> {
        let next = self.clock.now() + pause(purchase.attempt_count);
        let mut connection = self.db.acquire().await?;
        storage::purchases::postpone(&mut connection, purchase.id, next).await?;
        Ok(())
    }
}

/// Returns the money that a purchase is about, once its price is known.
fn funds(purchase: &Purchase) -> Option<Funds> {
    let offer = purchase.offer.as_ref()?;
    Some(Funds {
        hold_id: purchase.funds_hold_id(),
        participation_id: purchase.participation_id,
        provider_id: offer.provider_id,
        amount: offer.price,
    })
}

/// How long to wait after so many tries: 1, 2, 4 … seconds.
pub(super) fn pause(attempt_count: i32) -> Duration {
    let doublings = u32::try_from(attempt_count).unwrap_or_default().min(6);
    (Duration::SECOND * 2_i32.pow(doublings)).min(PAUSE_MAX)
}

/// When a saga that nobody drives is taken up.
pub(super) fn first_attempt(now: OffsetDateTime) -> OffsetDateTime {
    now + super::purchases::INLINE_FOR
}
