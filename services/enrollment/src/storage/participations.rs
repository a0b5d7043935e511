//! The table `participations`. Whoever changes a state or begins a purchase holds the row's lock.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{fixed, undecodable};
use crate::domain::participation::{Freeze, Participation};

/// A participation that is to be inserted; what all of an award have in common stands in [`AwardTerms`].
#[derive(Clone, Debug)]
pub struct NewParticipation {
    /// The id.
    pub id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// The application that won.
    pub application_id: Uuid,
    /// The region of residence, a dotted path.
    pub region: String,
    /// The household's pseudonym.
    pub household: Option<[u8; 16]>,
    /// The last moment for the first purchase, where the person lives.
    pub first_purchase_deadline: OffsetDateTime,
}

/// What all participations of an award have in common.
#[derive(Clone, Debug)]
pub struct AwardTerms<'a> {
    /// The batch.
    pub batch_id: &'a str,
    /// The programme.
    pub programme: &'a str,
    /// Whether a person takes part once only.
    pub once_only: bool,
    /// When they are awarded.
    pub award_time: OffsetDateTime,
}

struct ParticipationRow {
    participation_id: Uuid,
    batch_id: String,
    account_id: Uuid,
    application_id: Uuid,
    region: String,
    state: String,
    funded: bool,
    first_purchase_deadline: OffsetDateTime,
    award_time: OffsetDateTime,
    revoke_time: Option<OffsetDateTime>,
    pending_purchase_id: Option<Uuid>,
    frozen_from: Option<String>,
    freeze_time: Option<OffsetDateTime>,
    freeze_reasons: Vec<String>,
}

impl ParticipationRow {
    fn into_participation(self) -> Result<Participation, sqlx::Error> {
        let freeze = self.frozen_from.zip(self.freeze_time);
        let freeze = freeze.map(|(from, time)| {
            Ok::<_, sqlx::Error>(Freeze {
                from: from.parse().map_err(undecodable)?,
                time,
                reasons: self.freeze_reasons,
            })
        });
        Ok(Participation {
            id: self.participation_id,
            batch_id: self.batch_id,
            account_id: self.account_id,
            application_id: self.application_id,
            region: self.region,
            state: self.state.parse().map_err(undecodable)?,
            funded: self.funded,
            first_purchase_deadline: self.first_purchase_deadline,
            award_time: self.award_time,
            revoke_time: self.revoke_time,
            pending_purchase_id: self.pending_purchase_id,
            freeze: freeze.transpose()?,
        })
    }
}

/// Lets awards of one programme take turns until the transaction ends: each sees the recipients of those before.
pub async fn lock_programme(tx: &mut PgConnection, programme: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('award ' || $1, 0))",
        programme,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Inserts a chunk of participations. Ascending accounts make it quicker: the index of them is then written in order.
pub async fn insert_all(
    tx: &mut PgConnection,
    terms: &AwardTerms<'_>,
    new: &[NewParticipation],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = new.iter().map(|row| row.id).collect();
    let account_ids: Vec<Uuid> = new.iter().map(|row| row.account_id).collect();
    let application_ids: Vec<Uuid> = new.iter().map(|row| row.application_id).collect();
    let regions: Vec<&str> = new.iter().map(|row| row.region.as_str()).collect();
    let households: Vec<Option<&[u8]>> = new
        .iter()
        .map(|row| row.household.as_ref().map(<[u8; 16]>::as_slice))
        .collect();
    let deadlines: Vec<OffsetDateTime> =
        new.iter().map(|row| row.first_purchase_deadline).collect();
    sqlx::query!(
        "INSERT INTO participations (participation_id, batch_id, programme, once_only, account_id, application_id,
                                     region, household, state, first_purchase_deadline, award_time)
         SELECT participation_id, $1, $2, $3, account_id, application_id, region, household, 'AWARDED', deadline, $4
         FROM unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::bytea[], $10::timestamptz[])
              AS new (participation_id, account_id, application_id, region, household, deadline)",
        terms.batch_id,
        terms.programme,
        terms.once_only,
        terms.award_time,
        &ids,
        &account_ids,
        &application_ids,
        &regions as &[&str],
        &households as &[Option<&[u8]>],
        &deadlines,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Lists the batches of a programme whose awards made participants from a time on.
pub async fn list_batches_awarded_since(
    connection: &mut PgConnection,
    programme: &str,
    since: OffsetDateTime,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT batch_id
         FROM batches JOIN schemes USING (scheme_id)
         WHERE programme = $1 AND last_award_time >= $2",
        programme,
        since,
    )
    .fetch_all(connection)
    .await
}

/// Lists the recipients of a batch after a participation, each with the participation.
pub async fn list_recipients(
    connection: &mut PgConnection,
    batch_id: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT participation_id, account_id
         FROM participations
         WHERE batch_id = $1 AND participation_id > $2
         ORDER BY participation_id
         LIMIT $3",
        batch_id,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.participation_id, row.account_id))
        .collect())
}

/// Returns which of these accounts take or took part in a programme.
pub async fn find_recipients(
    connection: &mut PgConnection,
    programme: &str,
    account_ids: &[Uuid],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT DISTINCT account_id FROM participations WHERE programme = $1 AND account_id = ANY($2)",
        programme,
        account_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().collect())
}

/// Returns who became a recipient in these batches.
pub async fn list_accounts(
    tx: &mut PgConnection,
    batch_ids: &[String],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let accounts = sqlx::query_scalar!(
        "SELECT account_id FROM participations WHERE batch_id = ANY($1)",
        batch_ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(accounts.into_iter().collect())
}

/// Counts, for each household with a recipient in these batches, its recipients in the programme, over all its batches.
pub async fn count_by_household(
    tx: &mut PgConnection,
    programme: &str,
    batch_ids: &[String],
) -> Result<HashMap<[u8; 16], i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT household AS "household!", count(*) AS "count!"
           FROM participations
           WHERE programme = $1
             AND household IN (SELECT household FROM participations WHERE batch_id = ANY($2))
           GROUP BY household"#,
        programme,
        batch_ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| Ok((fixed(row.household)?, row.count)))
        .collect()
}

/// Finds a participation.
pub async fn find(
    connection: &mut PgConnection,
    participation_id: Uuid,
) -> Result<Option<Participation>, sqlx::Error> {
    let row = sqlx::query_as!(
        ParticipationRow,
        r#"SELECT participation_id, batch_id, account_id, application_id, region, state, funded,
                  first_purchase_deadline, award_time, revoke_time, pending_purchase_id, frozen_from, freeze_time,
                  ARRAY(SELECT reason FROM participation_holds AS h
                        WHERE h.participation_id = p.participation_id AND lift_time IS NULL
                        ORDER BY reason) AS "freeze_reasons!"
           FROM participations AS p
           WHERE participation_id = $1"#,
        participation_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(ParticipationRow::into_participation).transpose()
}

/// Finds a participation and locks it until the transaction ends.
pub async fn find_for_update(
    tx: &mut PgConnection,
    participation_id: Uuid,
) -> Result<Option<Participation>, sqlx::Error> {
    let row = sqlx::query_as!(
        ParticipationRow,
        r#"SELECT participation_id, batch_id, account_id, application_id, region, state, funded,
                  first_purchase_deadline, award_time, revoke_time, pending_purchase_id, frozen_from, freeze_time,
                  ARRAY(SELECT reason FROM participation_holds AS h
                        WHERE h.participation_id = p.participation_id AND lift_time IS NULL
                        ORDER BY reason) AS "freeze_reasons!"
           FROM participations AS p
           WHERE participation_id = $1
           FOR NO KEY UPDATE"#,
        participation_id,
    )
    .fetch_optional(tx)
    .await?;
    row.map(ParticipationRow::into_participation).transpose()
}

/// Lists participations of a batch, oldest first; with an account, of this one only.
pub async fn list_of_batch(
    connection: &mut PgConnection,
    batch_id: &str,
    account_id: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Participation>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ParticipationRow,
        r#"SELECT participation_id, batch_id, account_id, application_id, region, state, funded,
                  first_purchase_deadline, award_time, revoke_time, pending_purchase_id, frozen_from, freeze_time,
                  ARRAY(SELECT reason FROM participation_holds AS h
                        WHERE h.participation_id = p.participation_id AND lift_time IS NULL
                        ORDER BY reason) AS "freeze_reasons!"
           FROM participations AS p
           WHERE batch_id = $1 AND ($2::uuid IS NULL OR account_id = $2) AND participation_id > $3
           ORDER BY participation_id
           LIMIT $4"#,
        batch_id,
        account_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(ParticipationRow::into_participation)
        .collect()
}

/// Lists an account's participations, oldest first.
pub async fn list_of_account(
    connection: &mut PgConnection,
    account_id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Participation>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ParticipationRow,
        r#"SELECT participation_id, batch_id, account_id, application_id, region, state, funded,
                  first_purchase_deadline, award_time, revoke_time, pending_purchase_id, frozen_from, freeze_time,
                  ARRAY(SELECT reason FROM participation_holds AS h
                        WHERE h.participation_id = p.participation_id AND lift_time IS NULL
                        ORDER BY reason) AS "freeze_reasons!"
           FROM participations AS p
           WHERE account_id = $1 AND participation_id > $2
           ORDER BY participation_id
           LIMIT $3"#,
        account_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(ParticipationRow::into_participation)
        .collect()
}

/// Marks participations as funded and returns how many of these exist.
pub async fn mark_funded(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<u64, sqlx::Error> {
    let marked = sqlx::query!(
        "UPDATE participations SET funded = true WHERE participation_id = ANY($1)",
        participation_ids,
    )
    .execute(tx)
    .await?;
    Ok(marked.rows_affected())
}

/// Notes the purchase under way. The row is locked by the caller.
pub async fn set_pending(
    tx: &mut PgConnection,
    participation_id: Uuid,
    purchase_id: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE participations SET pending_purchase_id = $2 WHERE participation_id = $1",
        participation_id,
        purchase_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// AWARDED to ACTIVE, behind a freeze if there is one; tells whether it was the first purchase.
pub async fn activate(tx: &mut PgConnection, participation_id: Uuid) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE participations
         SET state = CASE state WHEN 'FROZEN' THEN state ELSE 'ACTIVE' END,
             frozen_from = CASE state WHEN 'FROZEN' THEN 'ACTIVE' END
         WHERE participation_id = $1 AND coalesce(frozen_from, state) = 'AWARDED'",
        participation_id,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// ACTIVE to COMPLETED, behind a freeze if there is one; tells whether it was the first certificate.
pub async fn complete(tx: &mut PgConnection, participation_id: Uuid) -> Result<bool, sqlx::Error> {
    let moved = sqlx::query!(
        "UPDATE participations
         SET state = CASE state WHEN 'FROZEN' THEN state ELSE 'COMPLETED' END,
             frozen_from = CASE state WHEN 'FROZEN' THEN 'COMPLETED' END
         WHERE participation_id = $1 AND coalesce(frozen_from, state) = 'ACTIVE'",
        participation_id,
    )
    .execute(tx)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Locks participations until the transaction ends, in the order of their ids, and returns them.
pub async fn lock_all(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
) -> Result<Vec<Participation>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ParticipationRow,
        r#"SELECT participation_id, batch_id, account_id, application_id, region, state, funded,
                  first_purchase_deadline, award_time, revoke_time, pending_purchase_id, frozen_from, freeze_time,
                  ARRAY(SELECT reason FROM participation_holds AS h
                        WHERE h.participation_id = p.participation_id AND lift_time IS NULL
                        ORDER BY reason) AS "freeze_reasons!"
           FROM participations AS p
           WHERE participation_id = ANY($1)
           ORDER BY participation_id
           FOR NO KEY UPDATE"#,
        participation_ids,
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(ParticipationRow::into_participation)
        .collect()
}

/// Freezes participations. The rows are locked by the caller, who has placed a hold on each.
pub async fn freeze(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
    time: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE participations SET state = 'FROZEN', frozen_from = state, freeze_time = $2
         WHERE participation_id = ANY($1)",
        participation_ids,
        time,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives frozen participations the state behind the freeze and the deadline that holds from now on. The rows are locked
/// by the caller, who has lifted the last hold on each.
pub async fn unfreeze(
    tx: &mut PgConnection,
    participation_ids: &[Uuid],
    deadlines: &[OffsetDateTime],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE participations AS p
         SET state = p.frozen_from, frozen_from = NULL, freeze_time = NULL, first_purchase_deadline = new.deadline
         FROM unnest($1::uuid[], $2::timestamptz[]) AS new (participation_id, deadline)
         WHERE p.participation_id = new.participation_id AND p.state = 'FROZEN'",
        participation_ids,
        deadlines,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// FROZEN to REVOKED. The row is locked by the caller.
pub async fn revoke_frozen(
    tx: &mut PgConnection,
    participation_id: Uuid,
    revoked_by: &str,
    reason: &str,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE participations
         SET state = 'REVOKED', revoke_time = $4, revoked_by = $2, revoke_reason = $3, frozen_from = NULL,
             freeze_time = NULL
         WHERE participation_id = $1 AND state = 'FROZEN'",
        participation_id,
        revoked_by,
        reason,
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Revokes participations whose deadline has passed without a purchase, and returns them with their batches.
pub async fn revoke_overdue(
    tx: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<(String, Uuid)>, sqlx::Error> {
    // The lock looks at the row again: one that began a purchase meanwhile is left alone. Locked ones are skipped, and
    // taken by a later round. Ordered as the index is and no further: a whole batch has one deadline, and to sort it for
    // each chunk takes as long as to revoke.
    let rows = sqlx::query!(
        "WITH due AS MATERIALIZED (
             SELECT participation_id
             FROM participations
             WHERE state = 'AWARDED' AND first_purchase_deadline < $1 AND pending_purchase_id IS NULL
             ORDER BY first_purchase_deadline
             LIMIT $2
             FOR NO KEY UPDATE SKIP LOCKED)
         UPDATE participations AS p
         SET state = 'REVOKED', revoke_time = $1
         FROM due
         WHERE p.participation_id = due.participation_id
         RETURNING p.batch_id, p.participation_id",
        now,
        limit,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.batch_id, row.participation_id))
        .collect())
}
