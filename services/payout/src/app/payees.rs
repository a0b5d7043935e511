//! Linking the account that a person is paid into. The rail and identity are asked before any transaction; what they say
//! is stored and decides about waiting payments in one.

use chassis::{
    db,
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use proto::{identity::v1 as identity_pb, payout::v1 as pb};
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        payee::{AccountNumber, Channel, Decided, LinkRefusal, PayeeReview},
        rail::{AccountAnswer, Holder},
    },
    error::Error,
    storage::{
        self,
        payee_accounts::{LinkedAccount, PayeeRow},
    },
};

/// An account as it is asked to be linked.
#[derive(Clone, Debug)]
pub struct NewPayeeAccount {
    /// The person's account.
    pub account_id: Uuid,
    /// The channel.
    pub channel: &'static Channel,
    /// The number.
    pub number: AccountNumber,
}

impl App {
    /// Links an account in place of the one before. Failed payments get another attempt, and what waited for an account
    /// becomes READY. An account that another person has linked is held until somebody has decided, and so are the
    /// person's payments.
    pub async fn link_payee_account(
        &self,
        key: RequestKey,
        new: NewPayeeAccount,
    ) -> Result<pb::PayeeAccount, Error> {
        // A repeat gets its answer also while the rail is away.
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, self.clock.now())
            .await?
            .answer()?
        {
            return Ok(answer);
        }
        tx.rollback().await?;
        let holder = self.verify_holder(&new).await?;

        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let id = Uuid::now_v7();
        let row = PayeeRow {
            id,
            account_id: new.account_id,
            channel: new.channel.code.to_owned(),
            sealed: self.vault.seal(id, &new.number, &holder)?,
            number_hash: self.vault.number_hash(new.channel, &new.number),
            number_suffix: new.number.suffix().to_owned(),
            link_time: now,
        };
        let state = storage::payee_accounts::replace(&mut tx, &row)
            .await
            .map_err(|error| match db::constraint(&error) {
                Some("payee_accounts_sharers_check") => Error::Link(LinkRefusal::Shared),
                // Another first account of the same person was linked at the same time.
                Some("payee_accounts_account_id_key") => Error::Conflict,
                Some(_) | None => error.into(),
            })?;
        let participation_ids =
            storage::participation_funds::lock_of_account(&mut tx, new.account_id).await?;
        storage::disbursements::revive_failed(&mut tx, &participation_ids).await?;
        self.entitle(&mut tx, &participation_ids).await?;

        let answer = pb::PayeeAccount::from(LinkedAccount {
            account_id: row.account_id,
            channel: row.channel,
            number_suffix: row.number_suffix,
            link_time: now,
            state,
            review_reason: None,
        });
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Asks the rail whose the account is, and identity whether that is the person.
    async fn verify_holder(&self, new: &NewPayeeAccount) -> Result<Holder, Error> {
        let answer = self.rail.inquire_account(new.channel, &new.number).await?;
        let holder = match answer {
            AccountAnswer::Open {
                holder,
                is_verified: true,
            } => holder,
            AccountAnswer::Open {
                is_verified: false, ..
            } => return Err(Error::Link(LinkRefusal::HolderMismatched)),
            AccountAnswer::NotFound => return Err(Error::Link(LinkRefusal::NotFound)),
            AccountAnswer::Closed => return Err(Error::Link(LinkRefusal::Closed)),
            AccountAnswer::Blocked => return Err(Error::Link(LinkRefusal::Blocked)),
        };
        let request = identity_pb::AttestHolderRequest {
            account: names::format("accounts", new.account_id),
            holder_name: holder.0.clone(),
            phone: new.channel.phone(&new.number).unwrap_or_default(),
        };
        let attested = self.identity.clone().attest_holder(request).await;
        let attested = match attested {
            Ok(attested) => attested.into_inner(),
            // No such person is nobody's account.
            Err(status) if status.code() == tonic::Code::NotFound => {
                return Err(Error::Link(LinkRefusal::HolderMismatched));
            }
            Err(status) => return Err(Error::Identity(Box::new(status))),
        };
        if !attested.name_matches {
            return Err(Error::Link(LinkRefusal::HolderMismatched));
        }
        if !attested.phone_matches {
            return Err(Error::Link(LinkRefusal::PhoneMismatched));
        }
        Ok(holder)
    }

    /// Lists the accounts that wait for a decision, oldest first.
    pub async fn list_payee_reviews(
        &self,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<PayeeReview>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows =
            storage::payee_accounts::list_held(&mut connection, page.after, page.limit()).await?;
        Ok(page.finish(rows, |last| last.id))
    }

    /// Decides about an account that is held. The person's payments are READY already, and go into the next batch.
    pub async fn review_payee_account(
        &self,
        key: RequestKey,
        id: Uuid,
        is_approved: bool,
        reviewer: &str,
        reason: String,
    ) -> Result<pb::PayeeAccountReview, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let decided = Decided {
            is_approved,
            reviewer: reviewer.to_owned(),
            reason,
            review_time: now,
        };
        let Some(review) = storage::payee_accounts::decide(&mut tx, id, &decided).await? else {
            return Err(match storage::payee_accounts::exists(&mut tx, id).await? {
                true => Error::ReviewEnded(id),
                false => Error::NotFound(names::format("payeeAccountReviews", id)),
            });
        };
        let answer = pb::PayeeAccountReview::from(review);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns a person's linked account.
    pub async fn get_payee_account(&self, account_id: Uuid) -> Result<LinkedAccount, Error> {
        let mut connection = self.db.acquire().await?;
        let linked = storage::payee_accounts::find(&mut connection, account_id).await?;
        linked.ok_or_else(|| Error::NotFound(format!("accounts/{account_id}/payeeAccount")))
    }
}
