//! Vouchers: a small saga over catalog, driven like a purchase and without any money.

use chassis::{
    db,
    idempotency::{self, RequestKey},
    names,
};
use futures::{StreamExt, stream};
use proto::enrollment::v1 as pb;
use uuid::Uuid;

use super::{
    App,
    peers::{Held, Seat, Unclear},
    saga::{LEASE, first_attempt, pause},
};
use crate::{
    domain::{
        campaign::{Campaign, Voucher, VoucherNext, VoucherState},
        facts::PersonFacts,
        purchase::{Outcome, Step},
    },
    error::Error,
    keys,
    storage::{
        self,
        vouchers::{COURSE_KEY, RUN_KEY},
    },
};

/// How many vouchers one round of the sweeper takes up, and how many of them at once.
const ROUND: i64 = 200;
const AT_ONCE: usize = 16;

/// What a step came to.
struct Taken {
    outcome: Outcome,
    course_id: Option<Uuid>,
}

impl App {
    /// Gives an account a voucher for a run. The same request again returns the voucher as it is.
    pub async fn claim_voucher(
        &self,
        key: RequestKey,
        campaign_id: &str,
        account_id: Uuid,
        run_id: Uuid,
    ) -> Result<Voucher, Error> {
        if let Some(earlier) = self.earlier_answer::<pb::Voucher>(&key).await? {
            return self.earlier_voucher(&earlier).await;
        }
        let campaign = self.get_campaign(campaign_id).await?;
        let refuse = |refusal| Error::ClaimVoucher {
            campaign_id: campaign.id.clone(),
            account_id,
            refusal,
        };
        campaign.check_running(self.clock.now()).map_err(refuse)?;
        let person = self.person(account_id).await?;
        campaign.check_person(&person).map_err(refuse)?;

        let voucher = match self
            .begin_voucher(&key, &campaign, account_id, run_id)
            .await
        {
            Ok(Ok(voucher)) => voucher,
            Ok(Err(earlier)) => return self.earlier_voucher(&earlier).await,
            Err(Error::Database(error)) if db::constraint(&error) == Some(RUN_KEY) => {
                return Err(self
                    .voucher_exists(campaign_id, account_id, run_id, None)
                    .await?);
            }
            Err(error) => return Err(error),
        };
        self.drive_voucher(voucher.id).await?;
        self.get_standing_voucher(voucher.id).await
    }

    /// Returns a voucher.
    pub async fn get_voucher(&self, voucher_id: Uuid) -> Result<Voucher, Error> {
        let mut connection = self.db.acquire().await?;
        storage::vouchers::find(&mut connection, voucher_id)
            .await?
            .ok_or_else(|| Error::NotFound(names::format("vouchers", voucher_id)))
    }

    /// Drives the vouchers that are due, and returns how many they were.
    pub async fn sweep_vouchers(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        let mut connection = self.db.acquire().await?;
        let due = storage::vouchers::claim_due(&mut connection, now, now + LEASE, ROUND).await?;
        drop(connection);
        let count = due.len();
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |id| async move {
                if let Err(error) = self.drive_voucher(id).await {
                    let error = chassis::telemetry::chain(&error);
                    tracing::warn!(voucher.id = %id, error, "a voucher could not be driven");
                }
            })
            .await;
        Ok(count)
    }

    async fn person(&self, account_id: Uuid) -> Result<PersonFacts, Error> {
        let day = self.campaign_zone.day_of(self.clock.now());
        let mut persons = self
            .peers
            .facts(&[account_id], day)
            .await
            .map_err(|status| Error::Peer {
                part: "identity",
                status,
            })?;
        Ok(persons
            .remove(&account_id)
            .unwrap_or_else(PersonFacts::unknown))
    }

    /// Inserts the voucher; the inner error is the answer of the same request before.
    async fn begin_voucher(
        &self,
        key: &RequestKey,
        campaign: &Campaign,
        account_id: Uuid,
        run_id: Uuid,
    ) -> Result<Result<Voucher, pb::Voucher>, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(earlier) = idempotency::claim(&mut tx, key, now).await?.answer()? {
            return Ok(Err(earlier));
        }
        let voucher = Voucher {
            id: Uuid::now_v7(),
            campaign_id: campaign.id.clone(),
            account_id,
            run_id,
            course_id: None,
            state: VoucherState::Pending,
            step: Step::HoldSeat,
            failure_reason: None,
            voucher_code: None,
            create_time: now,
            attempt_count: 0,
        };
        storage::vouchers::insert(&mut tx, &voucher, first_attempt(now)).await?;
        idempotency::store(&mut tx, key, &pb::Voucher::from(voucher.clone())).await?;
        tx.commit().await?;
        Ok(Ok(voucher))
    }

    async fn earlier_voucher(&self, earlier: &pb::Voucher) -> Result<Voucher, Error> {
        let id = names::parse_uuid(&earlier.name, "vouchers")
            .ok_or(Error::Broken("a stored voucher has no name"))?;
        self.get_standing_voucher(id).await
    }

    /// Returns a voucher, or why it was not given.
    async fn get_standing_voucher(&self, voucher_id: Uuid) -> Result<Voucher, Error> {
        let voucher = self.get_voucher(voucher_id).await?;
        // What is being given back will fail: the person is told at once.
        let Some(reason) = voucher.failure_reason.as_deref() else {
            return Ok(voucher);
        };
        match reason {
            COURSE_TAKEN => {
                let (campaign_id, account_id) = (&voucher.campaign_id, voucher.account_id);
                Err(self
                    .voucher_exists(campaign_id, account_id, voucher.run_id, voucher.course_id)
                    .await?)
            }
            "RUN_ENDED" => Err(Error::RunEnded(voucher.run_id)),
            "NOT_FOUND" => Err(Error::NotFound(names::format("runs", voucher.run_id))),
            _ => Err(Error::SeatsTaken(voucher.run_id)),
        }
    }

    async fn voucher_exists(
        &self,
        campaign_id: &str,
        account_id: Uuid,
        run_id: Uuid,
        course_id: Option<Uuid>,
    ) -> Result<Error, Error> {
        let mut connection = self.db.acquire().await?;
        let standing = storage::vouchers::find_standing(
            &mut connection,
            campaign_id,
            account_id,
            run_id,
            course_id,
        )
        .await?;
        // Nobody has it any more: who had it has failed since.
        Ok(standing.map_or(Error::Conflict, Error::VoucherExists))
    }

    async fn drive_voucher(&self, voucher_id: Uuid) -> Result<(), Error> {
        loop {
            let voucher = self.get_voucher(voucher_id).await?;
            if voucher.state != VoucherState::Pending {
                return Ok(());
            }
            let taken = match self.take_voucher_step(&voucher).await {
                Ok(taken) => taken,
                Err(unclear) => {
                    tracing::warn!(
                        voucher.id = %voucher_id,
                        step = %voucher.step,
                        code = ?unclear.status.code(),
                        "a voucher waits for catalog"
                    );
                    return self.postpone_voucher(&voucher).await;
                }
            };
            let next = voucher.after(taken.outcome);
            if let VoucherNext::Contradiction(why) = &next {
                tracing::error!(voucher.id = %voucher_id, step = %voucher.step, why, "a voucher is stuck");
                return self.postpone_voucher(&voucher).await;
            }
            self.move_voucher_on(&voucher, next, taken.course_id)
                .await?;
        }
    }

    async fn take_voucher_step(&self, voucher: &Voucher) -> Result<Taken, Unclear> {
        let seat = Seat {
            hold_id: voucher.seat_hold_id(),
            run_id: voucher.run_id,
            account_id: voucher.account_id,
        };
        let outcome = match voucher.step {
            Step::HoldSeat => {
                return Ok(match self.peers.hold_seat(seat, self.clock.now()).await? {
                    Held::Offer(offer) => Taken {
                        outcome: Outcome::Done,
                        course_id: Some(offer.course_id),
                    },
                    Held::Refused(reason) => Taken {
                        outcome: Outcome::Refused(reason),
                        course_id: None,
                    },
                });
            }
            Step::ConfirmSeat => self.peers.confirm_seat(seat).await?,
            Step::ReleaseSeat => self.peers.release_seat(seat).await?,
            Step::HoldFunds | Step::CaptureFunds | Step::ReleaseFunds | Step::Done => Outcome::Done,
        };
        Ok(Taken {
            outcome,
            course_id: None,
        })
    }

    async fn move_voucher_on(
        &self,
        voucher: &Voucher,
        next: VoucherNext,
        course_id: Option<Uuid>,
    ) -> Result<(), Error> {
        let mut connection = self.db.acquire().await?;
        let connection = &mut *connection;
        match (next, course_id) {
            (VoucherNext::Step(_), Some(course_id)) => {
                let moved =
                    storage::vouchers::advance_with_course(connection, voucher.id, course_id).await;
                match moved {
                    Err(error) if db::constraint(&error) == Some(COURSE_KEY) => {
                        storage::vouchers::refuse_course(
                            connection,
                            voucher.id,
                            course_id,
                            COURSE_TAKEN,
                        )
                        .await?;
                    }
                    moved => {
                        moved?;
                    }
                }
            }
            (VoucherNext::Step(_), None) | (VoucherNext::Contradiction(_), _) => {
                return Err(Error::Broken("a voucher cannot go on so"));
            }
            (VoucherNext::Compensate(reason), _) => {
                storage::vouchers::compensate(connection, voucher.id, voucher.step, &reason)
                    .await?;
            }
            (VoucherNext::Issue, _) => {
                storage::vouchers::issue(connection, voucher.id, &keys::random_code()?).await?;
            }
            (VoucherNext::Fail, _) => {
                storage::vouchers::fail(connection, voucher.id).await?;
            }
        }
        Ok(())
    }

    async fn postpone_voucher(&self, voucher: &Voucher) -> Result<(), Error> {
        let next = self.clock.now() + pause(voucher.attempt_count);
        let mut connection = self.db.acquire().await?;
        storage::vouchers::postpone(&mut connection, voucher.id, next).await?;
        Ok(())
    }
}

/// The failure of a voucher whose account has one for another run of the course.
const COURSE_TAKEN: &str = "VOUCHER_EXISTS";
