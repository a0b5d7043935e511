//! Creating and reading accounts. Concurrent registrations are committed together.

use std::sync::Arc;

use chassis::{
    Clock, db,
    idempotency::{self, BatchClaim, RequestKey},
    names,
    paging::PageRequest,
};
use messaging::{Relay, outbox};
use prost::Message;
use proto::identity::v1 as pb;
use sqlx::PgPool;
use uuid::Uuid;

use super::App;
use crate::{
    domain::account::{Account, CreateAccountRefusal, Email, NewAccount, Password, Phone},
    error::Error,
    storage,
};

/// How often a batch that met another replica's in a deadlock is run.
const ATTEMPTS_MAX: u32 = 3;

/// An account as it was asked for.
#[derive(Debug)]
pub struct AccountRequest {
    /// The e-mail address.
    pub email: Email,
    /// The phone number.
    pub phone: Option<Phone>,
    /// The password.
    pub password: Option<Password>,
}

/// A registration that waits for its batch.
#[derive(Debug)]
pub struct CreateAccount {
    key: RequestKey,
    new: NewAccount,
}

/// What a registration is told.
pub type CreateAccountAnswer = Result<pb::Account, BatchError>;

/// Why a registration of a batch failed. Repeats within the batch are told the same.
#[derive(Clone, Debug)]
pub enum BatchError {
    /// One of the addresses is taken.
    Refused(CreateAccountRefusal),
    /// The `request_id` was used for something else.
    Reused(Uuid),
    /// What was in the way is gone.
    Conflict,
    /// The stored answer is of another type.
    StoredAnswer(prost::DecodeError),
    /// The database failed.
    Database(Arc<sqlx::Error>),
}

impl From<BatchError> for Error {
    fn from(error: BatchError) -> Error {
        match error {
            BatchError::Refused(refusal) => Error::CreateAccount(refusal),
            BatchError::Reused(request_id) => Error::RequestIdReused(request_id),
            BatchError::Conflict => Error::Conflict,
            BatchError::StoredAnswer(error) => Error::StoredAnswer(error),
            BatchError::Database(error) => Error::Batch(error),
        }
    }
}

impl App {
    /// Creates an account. The password is hashed first, outside of the batch, which it would hold up.
    pub async fn create_account(
        &self,
        key: RequestKey,
        asked: AccountRequest,
    ) -> Result<pb::Account, Error> {
        let password_hash = match asked.password {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let new = NewAccount {
            email: asked.email,
            phone: asked.phone,
            password_hash,
        };
        let answer = self
            .create_account
            .submit(CreateAccount { key, new })
            .await?;
        Ok(answer?)
    }

    /// Returns an account.
    pub async fn get_account(&self, id: Uuid) -> Result<Account, Error> {
        let mut connection = self.db.acquire().await?;
        storage::accounts::find(&mut connection, id)
            .await?
            .ok_or_else(|| Error::NotFound(names::format("accounts", id)))
    }

    /// Lists accounts in the order of their creation.
    pub async fn list_accounts(
        &self,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Account>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let rows = storage::accounts::list(&mut connection, page.after, page.limit()).await?;
        Ok(page.finish(rows, |last| last.id))
    }
}

/// Runs the batches of registrations.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) db: PgPool,
    pub(super) clock: Clock,
    pub(super) relay: Relay,
}

impl Batches {
    /// Creates the accounts of a batch. One that the database cannot take fails alone.
    pub(super) async fn create_accounts(
        &self,
        batch: Vec<CreateAccount>,
    ) -> Vec<CreateAccountAnswer> {
        match self.try_create(&batch).await {
            Ok(answers) => answers,
            Err(error) if batch.len() == 1 || db::is_transient(&error) => {
                let error = Arc::new(error);
                batch
                    .iter()
                    .map(|_| Err(BatchError::Database(Arc::clone(&error))))
                    .collect()
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(batch.len());
                for item in batch.chunks(1) {
                    let answer = match self.try_create(item).await {
                        Ok(mut answers) => answers.pop().unwrap_or(Err(BatchError::Conflict)),
                        Err(error) => Err(BatchError::Database(Arc::new(error))),
                    };
                    answers.push(answer);
                }
                answers
            }
        }
    }

    async fn try_create(
        &self,
        batch: &[CreateAccount],
    ) -> Result<Vec<CreateAccountAnswer>, sqlx::Error> {
        let mut attempt = 1;
        loop {
            match self.create_in_transaction(batch).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_lost_race(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    async fn create_in_transaction(
        &self,
        batch: &[CreateAccount],
    ) -> Result<Vec<CreateAccountAnswer>, sqlx::Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let keys: Vec<&RequestKey> = batch.iter().map(|item| &item.key).collect();
        let claims = idempotency::claim_all(&mut tx, &keys, now).await?;

        let is_new = |index: &usize| claims[*index] == BatchClaim::New;
        let mut fresh: Vec<(Uuid, usize)> = (0..batch.len())
            .filter(is_new)
            .map(|index| (Uuid::now_v7(), index))
            .collect();
        // Two replicas' batches that share addresses wait for each other in the same order.
        fresh.sort_by_key(|(_, index)| &batch[*index].new.email);
        let rows: Vec<(Uuid, &NewAccount)> = fresh
            .iter()
            .map(|(id, index)| (*id, &batch[*index].new))
            .collect();
        let created = storage::accounts::insert_all(&mut tx, &rows, now).await?;

        let mut answers: Vec<Option<CreateAccountAnswer>> = vec![None; batch.len()];
        let (kept, lost): (Vec<_>, Vec<_>) = fresh.iter().partition(|(id, _)| created.contains(id));
        for (id, index) in &kept {
            let account = Account::created(*id, &batch[*index].new, now);
            answers[*index] = Some(Ok(pb::Account::from(account)));
        }
        if !lost.is_empty() {
            let refused: Vec<&NewAccount> =
                lost.iter().map(|(_, index)| &batch[*index].new).collect();
            let taken = storage::accounts::find_taken(&mut tx, &refused).await?;
            for (_, index) in &lost {
                answers[*index] = Some(Err(verdict(&batch[*index].new, |text| {
                    taken.contains(text)
                })));
            }
            let released: Vec<&RequestKey> = lost.iter().map(|(_, index)| keys[*index]).collect();
            idempotency::release_all(&mut tx, &released).await?;
        }
        self.tell(&mut tx, &kept, &keys, &answers).await?;
        tx.commit().await?;

        if !kept.is_empty() {
            self.relay.wake();
        }
        let answers_of = |index: usize| match &claims[index] {
            BatchClaim::New => answers[index].clone().unwrap_or(Err(BatchError::Conflict)),
            BatchClaim::SameAs(first) => {
                answer_of_repeat(&claims[*first], &answers[*first], keys[*first])
            }
            BatchClaim::Repeat(_) | BatchClaim::Reused => {
                answer_of_repeat(&claims[index], &None, keys[index])
            }
        };
        Ok((0..batch.len()).map(answers_of).collect())
    }

    /// Stores the answers and appends the events of the accounts that were created.
    async fn tell(
        &self,
        tx: &mut sqlx::PgConnection,
        kept: &[(Uuid, usize)],
        keys: &[&RequestKey],
        answers: &[Option<CreateAccountAnswer>],
    ) -> Result<(), sqlx::Error> {
        let accounts: Vec<(&RequestKey, &pb::Account)> = kept
            .iter()
            .filter_map(|(_, index)| Some((keys[*index], answers[*index].as_ref()?.as_ref().ok()?)))
            .collect();
        let stored: Vec<(&RequestKey, Vec<u8>)> = accounts
            .iter()
            .map(|(key, account)| (*key, account.encode_to_vec()))
            .collect();
        idempotency::store_all(tx, &stored).await?;

        let events: Vec<pb::AccountCreated> = accounts
            .iter()
            .map(|(_, account)| pb::AccountCreated {
                account: account.name.clone(),
            })
            .collect();
        let events: Vec<(&str, &pb::AccountCreated)> = events
            .iter()
            .map(|event| (event.account.as_str(), event))
            .collect();
        outbox::append_all(tx, self.clock.now(), &events).await
    }
}

fn answer_of_repeat(
    claim: &BatchClaim,
    answer: &Option<CreateAccountAnswer>,
    key: &RequestKey,
) -> CreateAccountAnswer {
    match claim {
        BatchClaim::Repeat(bytes) => {
            pb::Account::decode(bytes.as_slice()).map_err(BatchError::StoredAnswer)
        }
        BatchClaim::Reused => Err(BatchError::Reused(key.request_id())),
        BatchClaim::New | BatchClaim::SameAs(_) => {
            answer.clone().unwrap_or(Err(BatchError::Conflict))
        }
    }
}

/// Which of a refused account's addresses is taken. Neither: who had it has rolled back since.
fn verdict(new: &NewAccount, is_taken: impl Fn(&str) -> bool) -> BatchError {
    if is_taken(new.email.expose()) {
        BatchError::Refused(CreateAccountRefusal::EmailTaken)
    } else if new
        .phone
        .as_ref()
        .is_some_and(|phone| is_taken(phone.expose()))
    {
        BatchError::Refused(CreateAccountRefusal::PhoneTaken)
    } else {
        BatchError::Conflict
    }
}

/// A deadlock with another replica's batch, or a serialization failure; not a database that is away.
fn is_lost_race(error: &sqlx::Error) -> bool {
    db::is_transient(error) && error.as_database_error().is_some()
}
