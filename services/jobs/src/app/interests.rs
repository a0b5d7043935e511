//! Use cases on interests.

use chassis::idempotency::{self, Claim, RequestKey};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{App, vacancies};
use crate::{domain::interests::Interests, error::Error, storage};

/// Sets what an account is looking for, whole. `answer` makes the message that repeats get again.
pub async fn update_interests<M: Message + Default>(
    app: &App,
    key: &RequestKey,
    account_id: Uuid,
    interests: &Interests,
    answer: impl FnOnce(OffsetDateTime) -> M,
) -> Result<M, Error> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let claim = idempotency::claim(&mut tx, key, now).await?;
    if let claim @ Claim::Repeat(_) = claim {
        return claim
            .answer()?
            .ok_or_else(|| Error::from(sqlx::Error::RowNotFound));
    }

    vacancies::refuse_unknown_regions(&mut tx, &interests.regions).await?;
    storage::interests::upsert(&mut tx, account_id, interests, now).await?;
    let answer = answer(now);
    idempotency::store(&mut tx, key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}
