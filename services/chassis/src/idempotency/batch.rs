//! The set-wise forms for gatherers: one statement for all ids of a batch.
//!
//! Ids are taken in their order, so that two batches that share some wait for each other and never deadlock.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::RequestKey;

/// What became of one claim of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchClaim {
    /// The id is ours: do the work.
    New,
    /// The work was done before; this is the encoded answer.
    Repeat(Vec<u8>),
    /// The same request stands earlier in the batch, at this index: it gets the same answer, or the same refusal.
    SameAs(usize),
    /// The id was used for something else, before or earlier in the batch.
    Reused,
}

/// Claims all ids of a batch inside its transaction, with a verdict for each in the order of `keys`.
///
/// # Errors
/// When the database fails.
pub async fn claim_all(
    tx: &mut PgConnection,
    keys: &[&RequestKey],
    now: OffsetDateTime,
) -> Result<Vec<BatchClaim>, sqlx::Error> {
    let first_of = first_indexes(keys);
    let mut firsts: Vec<&RequestKey> = first_of.values().map(|index| keys[*index]).collect();
    firsts.sort_unstable_by_key(|key| key.request_id);

    let ids: Vec<Uuid> = firsts.iter().map(|key| key.request_id).collect();
    let methods: Vec<String> = firsts.iter().map(|key| key.method.to_owned()).collect();
    let fingerprints: Vec<Vec<u8>> = firsts.iter().map(|key| key.fingerprint.to_vec()).collect();
    let claimed = sqlx::query_scalar!(
        "INSERT INTO request_ids (request_id, method, fingerprint, create_time)
         SELECT request_id, method, fingerprint, $4
         FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS claims (request_id, method, fingerprint)
         ORDER BY request_id
         ON CONFLICT (request_id) DO NOTHING
         RETURNING request_id",
        &ids,
        &methods,
        &fingerprints,
        now,
    )
    .fetch_all(&mut *tx)
    .await?;

    let mut verdicts: HashMap<Uuid, BatchClaim> = claimed
        .into_iter()
        .map(|request_id| (request_id, BatchClaim::New))
        .collect();
    let repeated: Vec<Uuid> = ids
        .into_iter()
        .filter(|request_id| !verdicts.contains_key(request_id))
        .collect();
    if !repeated.is_empty() {
        let rows = sqlx::query!(
            r#"SELECT request_id, fingerprint, answer AS "answer!"
               FROM request_ids
               WHERE request_id = ANY($1::uuid[]) AND answer IS NOT NULL"#,
            &repeated,
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in rows {
            let asked = keys[first_of[&row.request_id]];
            let verdict = if row.fingerprint == asked.fingerprint {
                BatchClaim::Repeat(row.answer)
            } else {
                BatchClaim::Reused
            };
            verdicts.insert(row.request_id, verdict);
        }
    }

    let verdict_of = |(index, key): (usize, &&RequestKey)| {
        let first = first_of[&key.request_id];
        if first == index {
            verdicts
                .get(&key.request_id)
                .cloned()
                .ok_or(sqlx::Error::RowNotFound)
        } else if keys[first].fingerprint == key.fingerprint {
            Ok(BatchClaim::SameAs(first))
        } else {
            Ok(BatchClaim::Reused)
        }
    };
    keys.iter().enumerate().map(verdict_of).collect()
}

/// Stores the encoded answers of a batch under the ids that it claimed.
///
/// # Errors
/// When the database fails.
pub async fn store_all(
    tx: &mut PgConnection,
    answers: &[(&RequestKey, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = answers.iter().map(|(key, _)| key.request_id).collect();
    let bytes: Vec<Vec<u8>> = answers.iter().map(|(_, answer)| answer.clone()).collect();
    sqlx::query!(
        "UPDATE request_ids
         SET answer = answers.answer
         FROM unnest($1::uuid[], $2::bytea[]) AS answers (request_id, answer)
         WHERE request_ids.request_id = answers.request_id",
        &ids,
        &bytes,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives back the ids of those commands of a batch that were refused, so that they leave no trace.
///
/// # Errors
/// When the database fails.
pub async fn release_all(tx: &mut PgConnection, keys: &[&RequestKey]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = keys.iter().map(|key| key.request_id).collect();
    sqlx::query!(
        "DELETE FROM request_ids WHERE request_id = ANY($1::uuid[]) AND answer IS NULL",
        &ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn first_indexes(keys: &[&RequestKey]) -> HashMap<Uuid, usize> {
    let mut first_of = HashMap::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        first_of.entry(key.request_id).or_insert(index);
    }
    first_of
}
