//! The table `applications`, read together with the newest decision and the draw's result.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{draws, fixed};
use crate::domain::application::Application;

/// An application that is to be inserted.
#[derive(Clone, Debug)]
pub struct NewApplication {
    /// The id.
    pub id: Uuid,
    /// The batch.
    pub batch_id: String,
    /// Whose.
    pub account_id: Uuid,
    /// The name in the list of entrants.
    pub pseudonym: [u8; 16],
    /// The signature of the receipt.
    pub signature: [u8; 64],
}

struct ApplicationRow {
    application_id: Uuid,
    batch_id: String,
    scheme_id: String,
    account_id: Uuid,
    pseudonym: Vec<u8>,
    signature: Vec<u8>,
    create_time: OffsetDateTime,
    stage: i16,
    eligible: bool,
    refusals: Vec<String>,
    rule_set_hash: Vec<u8>,
    facts_hash: Vec<u8>,
    decide_time: OffsetDateTime,
    drawn: bool,
}

impl ApplicationRow {
    fn into_application(self) -> Result<Application, sqlx::Error> {
        Ok(Application {
            id: self.application_id,
            batch_id: self.batch_id,
            scheme_id: self.scheme_id,
            account_id: self.account_id,
            pseudonym: fixed(self.pseudonym)?,
            signature: fixed(self.signature)?,
            create_time: self.create_time,
            decision_stage: self.stage,
            eligible: self.eligible,
            refusals: self.refusals,
            rule_set_hash: self.rule_set_hash,
            facts_hash: self.facts_hash,
            decide_time: self.decide_time,
            result: None,
        })
    }
}

/// Turns rows into applications and adds what the draws said.
async fn with_results(
    connection: &mut PgConnection,
    rows: Vec<ApplicationRow>,
) -> Result<Vec<Application>, sqlx::Error> {
    let mut asked = Vec::new();
    for row in rows.iter().filter(|row| row.drawn) {
        asked.push((row.batch_id.as_str(), fixed(row.pseudonym.clone())?));
    }
    let outcomes = if asked.is_empty() {
        HashMap::new()
    } else {
        draws::find_outcomes(connection, &asked).await?
    };
    rows.into_iter()
        .map(|row| {
            let mut application = row.into_application()?;
            application.result = outcomes.get(&application.pseudonym).copied();
            Ok(application)
        })
        .collect()
}

/// Inserts applications and returns the ids of those whose person had none for the batch.
pub async fn insert_all(
    tx: &mut PgConnection,
    new: &[NewApplication],
    now: OffsetDateTime,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let ids: Vec<Uuid> = new.iter().map(|row| row.id).collect();
    let batch_ids: Vec<String> = new.iter().map(|row| row.batch_id.clone()).collect();
    let account_ids: Vec<Uuid> = new.iter().map(|row| row.account_id).collect();
    let pseudonyms: Vec<Vec<u8>> = new.iter().map(|row| row.pseudonym.to_vec()).collect();
    let signatures: Vec<Vec<u8>> = new.iter().map(|row| row.signature.to_vec()).collect();
    // In the order of the key, so that two replicas' batches wait for each other and do not deadlock.
    let inserted = sqlx::query_scalar!(
        "INSERT INTO applications (application_id, batch_id, account_id, pseudonym, signature, create_time)
         SELECT application_id, batch_id, account_id, pseudonym, signature, $6
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[], $5::bytea[])
              AS new (application_id, batch_id, account_id, pseudonym, signature)
         ORDER BY batch_id, account_id
         ON CONFLICT (batch_id, account_id) DO NOTHING
         RETURNING application_id",
        &ids,
        &batch_ids,
        &account_ids,
        &pseudonyms,
        &signatures,
        now,
    )
    .fetch_all(tx)
    .await?;
    Ok(inserted.into_iter().collect())
}

/// Finds the ids of applications by batch and account.
pub async fn find_ids(
    tx: &mut PgConnection,
    batch_ids: &[String],
    account_ids: &[Uuid],
) -> Result<Vec<(String, Uuid, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT batch_id, account_id, application_id
         FROM applications
         JOIN unnest($1::text[], $2::uuid[]) AS asked (batch_id, account_id) USING (batch_id, account_id)",
        batch_ids,
        account_ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.batch_id, row.account_id, row.application_id))
        .collect())
}

/// Finds an application.
pub async fn find(
    connection: &mut PgConnection,
    application_id: Uuid,
) -> Result<Option<Application>, sqlx::Error> {
    let row = sqlx::query_as!(
        ApplicationRow,
        r#"SELECT a.application_id, a.batch_id, b.scheme_id, a.account_id, a.pseudonym, a.signature, a.create_time,
                  d.stage AS "stage!", d.eligible AS "eligible!", d.refusals AS "refusals!", d.rule_set_hash AS "rule_set_hash!",
                  d.facts_hash AS "facts_hash!", d.decide_time AS "decide_time!",
                  b.draw_time IS NOT NULL AS "drawn!"
           FROM applications AS a
           JOIN batches AS b USING (batch_id)
           CROSS JOIN LATERAL (SELECT * FROM decisions WHERE application_id = a.application_id
                               ORDER BY stage DESC LIMIT 1) AS d
           WHERE a.application_id = $1"#,
        application_id,
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(with_results(connection, row).await?.pop())
}

/// Lists applications of a batch, oldest first; with an account, of this one only.
pub async fn list_of_batch(
    connection: &mut PgConnection,
    batch_id: &str,
    account_id: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Application>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ApplicationRow,
        r#"SELECT a.application_id, a.batch_id, b.scheme_id, a.account_id, a.pseudonym, a.signature, a.create_time,
                  d.stage AS "stage!", d.eligible AS "eligible!", d.refusals AS "refusals!", d.rule_set_hash AS "rule_set_hash!",
                  d.facts_hash AS "facts_hash!", d.decide_time AS "decide_time!",
                  b.draw_time IS NOT NULL AS "drawn!"
           FROM applications AS a
           JOIN batches AS b USING (batch_id)
           CROSS JOIN LATERAL (SELECT * FROM decisions WHERE application_id = a.application_id
                               ORDER BY stage DESC LIMIT 1) AS d
           WHERE a.batch_id = $1 AND ($2::uuid IS NULL OR a.account_id = $2) AND a.application_id > $3
           ORDER BY a.application_id
           LIMIT $4"#,
        batch_id,
        account_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(&mut *connection)
    .await?;
    with_results(connection, rows).await
}

/// Lists an account's applications, oldest first.
pub async fn list_of_account(
    connection: &mut PgConnection,
    account_id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Application>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ApplicationRow,
        r#"SELECT a.application_id, a.batch_id, b.scheme_id, a.account_id, a.pseudonym, a.signature, a.create_time,
                  d.stage AS "stage!", d.eligible AS "eligible!", d.refusals AS "refusals!", d.rule_set_hash AS "rule_set_hash!",
                  d.facts_hash AS "facts_hash!", d.decide_time AS "decide_time!",
                  b.draw_time IS NOT NULL AS "drawn!"
           FROM applications AS a
           JOIN batches AS b USING (batch_id)
           CROSS JOIN LATERAL (SELECT * FROM decisions WHERE application_id = a.application_id
                               ORDER BY stage DESC LIMIT 1) AS d
           WHERE a.account_id = $1 AND a.application_id > $2
           ORDER BY a.application_id
           LIMIT $3"#,
        account_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(&mut *connection)
    .await?;
    with_results(connection, rows).await
}
