//! The table `appeals`. Whoever resolves one locks the participation first, as whoever lodges it does.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::undecodable;
use crate::domain::appeal::{Appeal, AppealState, NewAppeal, Resolution, Target};

/// What stands behind the target of an appeal.
#[derive(Clone, Debug)]
pub struct Contested {
    /// Whose it is.
    pub account_id: Uuid,
    /// Its programme.
    pub programme: String,
    /// The reasons that speak against the person; none when nothing does.
    pub reasons: Vec<String>,
}

struct AppealRow {
    appeal_id: Uuid,
    account_id: Uuid,
    programme: String,
    application_id: Option<Uuid>,
    stage: Option<i16>,
    participation_id: Option<Uuid>,
    ground: String,
    document_id: Option<Uuid>,
    reasons: Vec<String>,
    state: String,
    create_time: OffsetDateTime,
    resolve_time: Option<OffsetDateTime>,
    resolved_by: Option<String>,
    resolve_reason: Option<String>,
}

impl AppealRow {
    fn into_appeal(self) -> Result<Appeal, sqlx::Error> {
        let decision = self.application_id.zip(self.stage);
        let target = match (decision, self.participation_id) {
            (Some((application_id, stage)), None) => Target::Decision {
                application_id,
                stage,
            },
            (None, Some(participation_id)) => Target::Participation(participation_id),
            (Some(_), Some(_)) | (None, None) => {
                return Err(undecodable("an appeal is against one thing"));
            }
        };
        let resolution = (|| {
            Some(Resolution {
                resolved_by: self.resolved_by?,
                reason: self.resolve_reason?,
                time: self.resolve_time?,
            })
        })();
        Ok(Appeal {
            id: self.appeal_id,
            account_id: self.account_id,
            programme: self.programme,
            new: NewAppeal {
                target,
                ground: self.ground.parse().map_err(undecodable)?,
                document_id: self.document_id,
            },
            reasons: self.reasons,
            state: self.state.parse().map_err(undecodable)?,
            create_time: self.create_time,
            resolution,
        })
    }
}

/// Finds a decision on an application.
pub async fn find_decision(
    tx: &mut PgConnection,
    application_id: Uuid,
    stage: i16,
) -> Result<Option<Contested>, sqlx::Error> {
    sqlx::query_as!(
        Contested,
        "SELECT a.account_id, s.programme, d.refusals AS reasons
         FROM decisions AS d
         JOIN applications AS a USING (application_id)
         JOIN batches AS b ON b.batch_id = a.batch_id
         JOIN schemes AS s USING (scheme_id)
         WHERE d.application_id = $1 AND d.stage = $2",
        application_id,
        stage,
    )
    .fetch_optional(tx)
    .await
}

/// Finds a participation with its standing holds. The row is locked by the caller.
pub async fn find_participation(
    tx: &mut PgConnection,
    participation_id: Uuid,
) -> Result<Option<Contested>, sqlx::Error> {
    sqlx::query_as!(
        Contested,
        r#"SELECT account_id, programme,
                  ARRAY(SELECT DISTINCT reason FROM participation_holds AS h
                        WHERE h.participation_id = p.participation_id AND lift_time IS NULL AND p.state = 'FROZEN'
                        ORDER BY reason) AS "reasons!"
           FROM participations AS p
           WHERE participation_id = $1"#,
        participation_id,
    )
    .fetch_optional(tx)
    .await
}

/// Inserts an open appeal; tells whether there was none against the same.
pub async fn insert(tx: &mut PgConnection, appeal: &Appeal) -> Result<bool, sqlx::Error> {
    let (application_id, stage, participation_id) = columns(appeal.new.target);
    let inserted = sqlx::query!(
        "INSERT INTO appeals (appeal_id, account_id, programme, application_id, stage, participation_id, ground,
                              document_id, reasons, state, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'OPEN', $10)
         ON CONFLICT DO NOTHING",
        appeal.id,
        appeal.account_id,
        appeal.programme,
        application_id,
        stage,
        participation_id,
        appeal.new.ground.to_string(),
        appeal.new.document_id,
        &appeal.reasons,
        appeal.create_time,
    )
    .execute(tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Finds the open appeal against a target.
pub async fn find_open(
    connection: &mut PgConnection,
    target: Target,
) -> Result<Option<Uuid>, sqlx::Error> {
    let (application_id, stage, participation_id) = columns(target);
    sqlx::query_scalar!(
        "SELECT appeal_id
         FROM appeals
         WHERE state = 'OPEN' AND (participation_id = $3 OR (application_id = $1 AND stage = $2))",
        application_id,
        stage,
        participation_id,
    )
    .fetch_optional(connection)
    .await
}

fn columns(target: Target) -> (Option<Uuid>, Option<i16>, Option<Uuid>) {
    match target {
        Target::Decision {
            application_id,
            stage,
        } => (Some(application_id), Some(stage), None),
        Target::Participation(participation_id) => (None, None, Some(participation_id)),
    }
}

/// Finds an appeal.
pub async fn find(
    connection: &mut PgConnection,
    appeal_id: Uuid,
) -> Result<Option<Appeal>, sqlx::Error> {
    let row = sqlx::query_as!(
        AppealRow,
        "SELECT appeal_id, account_id, programme, application_id, stage, participation_id, ground, document_id, reasons,
                state, create_time, resolve_time, resolved_by, resolve_reason
         FROM appeals
         WHERE appeal_id = $1",
        appeal_id,
    )
    .fetch_optional(connection)
    .await?;
    row.map(AppealRow::into_appeal).transpose()
}

/// Finds an appeal and locks it until the transaction ends.
pub async fn find_for_update(
    tx: &mut PgConnection,
    appeal_id: Uuid,
) -> Result<Option<Appeal>, sqlx::Error> {
    let row = sqlx::query_as!(
        AppealRow,
        "SELECT appeal_id, account_id, programme, application_id, stage, participation_id, ground, document_id, reasons,
                state, create_time, resolve_time, resolved_by, resolve_reason
         FROM appeals
         WHERE appeal_id = $1
         FOR NO KEY UPDATE",
        appeal_id,
    )
    .fetch_optional(tx)
    .await?;
    row.map(AppealRow::into_appeal).transpose()
}

/// Lists an account's appeals, oldest first.
pub async fn list_of_account(
    connection: &mut PgConnection,
    account_id: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Appeal>, sqlx::Error> {
    let rows = sqlx::query_as!(
        AppealRow,
        "SELECT appeal_id, account_id, programme, application_id, stage, participation_id, ground, document_id, reasons,
                state, create_time, resolve_time, resolved_by, resolve_reason
         FROM appeals
         WHERE account_id = $1 AND appeal_id > $2
         ORDER BY appeal_id
         LIMIT $3",
        account_id,
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(AppealRow::into_appeal).collect()
}

/// Lists the appeals that nobody has resolved yet, oldest first.
pub async fn list_open(
    connection: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Appeal>, sqlx::Error> {
    let rows = sqlx::query_as!(
        AppealRow,
        "SELECT appeal_id, account_id, programme, application_id, stage, participation_id, ground, document_id, reasons,
                state, create_time, resolve_time, resolved_by, resolve_reason
         FROM appeals
         WHERE state = 'OPEN' AND appeal_id > $1
         ORDER BY appeal_id
         LIMIT $2",
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(AppealRow::into_appeal).collect()
}

/// OPEN to GRANTED or REJECTED. The row is locked by the caller.
pub async fn resolve(
    tx: &mut PgConnection,
    appeal_id: Uuid,
    state: AppealState,
    resolution: &Resolution,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE appeals SET state = $2, resolve_time = $3, resolved_by = $4, resolve_reason = $5 WHERE appeal_id = $1",
        appeal_id,
        state.to_string(),
        resolution.time,
        resolution.resolved_by,
        resolution.reason,
    )
    .execute(tx)
    .await?;
    Ok(())
}
