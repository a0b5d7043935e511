//! Appeals: lodging, reading and resolving them. A granted one exempts the person from the rules that it was against, and
//! lifts the holds that stand for them.

use chassis::{
    auth::Principal,
    idempotency::{self, RequestKey},
    names,
    paging::PageRequest,
};
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{
        appeal::{Appeal, AppealState, NewAppeal, Resolution, Target},
        participation::{Hold, HoldKind},
    },
    error::Error,
    storage::{self, holds::Lifting},
};

impl App {
    /// Lodges an appeal against what speaks against the person at this moment.
    pub async fn create_appeal(
        &self,
        key: RequestKey,
        principal: &Principal,
        new: NewAppeal,
    ) -> Result<pb::Appeal, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let contested = match new.target {
            Target::Decision {
                application_id,
                stage,
            } => storage::appeals::find_decision(&mut tx, application_id, stage).await?,
            Target::Participation(id) => {
                // Under the lock, so that the holds are those that stand.
                storage::participations::lock_all(&mut tx, &[id]).await?;
                storage::appeals::find_participation(&mut tx, id).await?
            }
        };
        let contested = contested.ok_or_else(|| Error::NotFound(name(new.target)))?;
        principal.authorize(contested.account_id)?;
        if contested.reasons.is_empty() {
            return Err(Error::NothingToAppeal(name(new.target)));
        }
        let appeal = Appeal {
            id: Uuid::now_v7(),
            account_id: contested.account_id,
            programme: contested.programme,
            new,
            reasons: contested.reasons,
            state: AppealState::Open,
            create_time: now,
            resolution: None,
        };
        if !storage::appeals::insert(&mut tx, &appeal).await? {
            let open = storage::appeals::find_open(&mut tx, new.target).await?;
            // Nobody has it any more: what was open was resolved since.
            return Err(open.map_or(Error::Conflict, Error::AppealExists));
        }
        let answer = pb::Appeal::from(appeal);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Returns an appeal.
    pub async fn get_appeal(&self, appeal_id: Uuid) -> Result<Appeal, Error> {
        let mut connection = self.db.acquire().await?;
        storage::appeals::find(&mut connection, appeal_id)
            .await?
            .ok_or_else(|| not_found(appeal_id))
    }

    /// Lists an account's appeals, or those that are open of all; oldest first.
    pub async fn list_appeals(
        &self,
        account_id: Option<Uuid>,
        page: PageRequest<Uuid>,
    ) -> Result<(Vec<Appeal>, String), Error> {
        let mut connection = self.db.acquire().await?;
        let (after, limit) = (page.after, page.limit());
        let rows = match account_id {
            Some(account_id) => {
                storage::appeals::list_of_account(&mut connection, account_id, after, limit).await?
            }
            None => storage::appeals::list_open(&mut connection, after, limit).await?,
        };
        Ok(page.finish(rows, |last| last.id))
    }

    /// OPEN to GRANTED or REJECTED.
    pub async fn resolve_appeal(
        &self,
        key: RequestKey,
        principal: &Principal,
        appeal_id: Uuid,
        state: AppealState,
        reason: String,
    ) -> Result<pb::Appeal, Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let missing = || not_found(appeal_id);
        let appeal = storage::appeals::find(&mut tx, appeal_id)
            .await?
            .ok_or_else(missing)?;
        let participation_ids = match appeal.new.target {
            Target::Participation(id) => vec![id],
            Target::Decision { .. } => Vec::new(),
        };
        if state == AppealState::Granted {
            // What else the account is frozen for is looked at again, with what it is exempted from then. The marks come
            // before the lock, as where they are taken away.
            storage::rechecks::mark(&mut tx, &[appeal.account_id], now).await?;
        }
        // The participation's lock comes before the appeal's, as when one is lodged; then the state is looked at.
        let participations = storage::participations::lock_all(&mut tx, &participation_ids).await?;
        let mut appeal = storage::appeals::find_for_update(&mut tx, appeal_id)
            .await?
            .ok_or_else(missing)?;
        let standing = storage::holds::list_standing(&mut tx, &participation_ids).await?;
        let account = names::format("accounts", appeal.account_id);
        appeal
            .may_resolve(&principal.subject, &account, &standing)
            .map_err(|refusal| Error::ResolveAppeal { appeal_id, refusal })?;

        let resolution = Resolution {
            resolved_by: principal.subject.clone(),
            reason,
            time: now,
        };
        storage::appeals::resolve(&mut tx, appeal_id, state, &resolution).await?;
        if state == AppealState::Granted {
            storage::exemptions::insert_all(&mut tx, appeal_id, &appeal.reasons, now).await?;
            lift(&mut tx, &appeal, &standing, &resolution).await?;
            self.settle(&mut tx, &participations).await?;
        }
        appeal.state = state;
        appeal.resolution = Some(resolution);
        let answer = pb::Appeal::from(appeal);
        idempotency::store(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

/// Lifts the holds that a granted appeal is against.
async fn lift(
    tx: &mut PgConnection,
    appeal: &Appeal,
    standing: &[Hold],
    resolution: &Resolution,
) -> Result<(), sqlx::Error> {
    let lifting = Lifting {
        lifted_by: &resolution.resolved_by,
        reason: Some(&resolution.reason),
        time: resolution.time,
    };
    for kind in [HoldKind::Rules, HoldKind::Operator] {
        let lifted: Vec<(Uuid, &str)> = standing
            .iter()
            .filter(|hold| hold.kind == kind && appeal.is_against(hold))
            .map(|hold| (hold.participation_id, hold.reason.as_str()))
            .collect();
        storage::holds::lift_all(tx, kind, &lifted, lifting).await?;
    }
    Ok(())
}

fn not_found(appeal_id: Uuid) -> Error {
    Error::NotFound(names::format("appeals", appeal_id))
}

fn name(target: Target) -> String {
    match target {
        Target::Decision { application_id, .. } => names::format("applications", application_id),
        Target::Participation(id) => names::format("participations", id),
    }
}
