//! Freezing participations and freeing them. Holds are what is placed and lifted, by rules and by operators, each for
//! itself; a participation is frozen while any stands. Both change in one transaction, under the participation's lock,
//! together with the event that tells payout.
//!
//! 1. A list that changed marks the participations of its accounts, in the transaction of the event.
//! 2. A round takes up marks, asks identity for the facts, and applies the rules again. A mark goes with the holds that
//!    follow from it; without an answer it stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chassis::{
    auth::Principal,
    idempotency::{self, RequestKey},
    names,
};
use messaging::outbox;
use proto::enrollment::v1 as pb;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{App, awards::timestamp, participations::not_found, peers::FACTS_MAX};
use crate::{
    domain::{
        batch::batch_name,
        facts::PersonFacts,
        participation::{
            Hold, HoldKind, Participation, ParticipationState, PurchaseRefusal, compare_holds,
        },
        time_zone::Day,
    },
    error::Error,
    storage::{self, holds::Lifting, rechecks::Recheck},
};

/// Who places and lifts the holds of rules.
const SELF: &str = "serviceAccounts/enrollment";

/// For how long a round keeps others off its marks: longer than its calls can take.
const LEASE: Duration = Duration::seconds(120);

/// When marks are taken up again for which identity gave no answer.
const PAUSE: Duration = Duration::seconds(5);

impl App {
    /// Marks the participations of these accounts to be checked again.
    pub async fn on_exclusions_changed(
        &self,
        tx: &mut PgConnection,
        account_ids: &[Uuid],
    ) -> Result<(), sqlx::Error> {
        storage::rechecks::mark(tx, account_ids, self.clock.now()).await?;
        Ok(())
    }

    /// Checks everything that is marked, and returns how much it was.
    pub async fn sweep_rechecks(&self) -> Result<usize, Error> {
        let mut total = 0;
        loop {
            let count = self.recheck_participations().await?;
            total += count;
            if count == 0 {
                return Ok(total);
            }
        }
    }

    /// Applies the rules again to the next chunk of marked participations, and returns how many they were.
    pub async fn recheck_participations(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        let limit = i64::try_from(FACTS_MAX).unwrap_or(i64::MAX);
        let mut connection = self.db.acquire().await?;
        let marks = storage::rechecks::claim_due(&mut connection, now, now + LEASE, limit).await?;
        drop(connection);
        if marks.is_empty() {
            return Ok(0);
        }
        match self.broken_rules(&marks).await {
            Ok(broken) => self.apply_rules(&marks, &broken).await?,
            Err(error) => {
                let mut connection = self.db.acquire().await?;
                storage::rechecks::postpone(&mut connection, &marks, now + PAUSE).await?;
                return Err(error);
            }
        }
        Ok(marks.len())
    }

    /// Returns the reasons of the rules that the persons behind marked participations break now.
    async fn broken_rules(&self, marks: &[Recheck]) -> Result<HashMap<Uuid, Vec<String>>, Error> {
        let mut schemes = HashMap::new();
        let mut connection = self.db.acquire().await?;
        for batch_id in marks
            .iter()
            .map(|mark| &mark.batch_id)
            .collect::<BTreeSet<_>>()
        {
            let rules = self.rules.batch(&mut connection, batch_id).await?;
            schemes.insert(batch_id, rules);
        }
        drop(connection);
        // Nobody grows out of a programme: the age is that of the day of the application, in the programme's zone.
        let day_of = |mark: &Recheck| {
            let scheme = &schemes[&mark.batch_id].scheme.scheme;
            scheme.time_zone.day_of(mark.apply_time)
        };
        let mut accounts: HashMap<Day, BTreeSet<Uuid>> = HashMap::new();
        for mark in marks {
            accounts
                .entry(day_of(mark))
                .or_default()
                .insert(mark.account_id);
        }
        let mut persons = HashMap::new();
        for (day, accounts) in accounts {
            let accounts: Vec<Uuid> = accounts.into_iter().collect();
            let facts = self.peers.facts(&accounts, day).await;
            let facts = facts.map_err(|status| Error::Peer {
                part: "identity",
                status,
            })?;
            persons.insert(day, facts);
        }
        let unknown = PersonFacts::unknown();
        let broken = |mark: &Recheck| {
            let scheme = &schemes[&mark.batch_id].scheme.scheme;
            let person = persons[&day_of(mark)]
                .get(&mark.account_id)
                .unwrap_or(&unknown);
            // Who has won is a recipient; that is no offence.
            let facts = person.for_rules(&scheme.fact_kinds, &scheme.fact_defaults, false);
            (mark.participation_id, scheme.rules.broken_by(&facts))
        };
        Ok(marks.iter().map(broken).collect())
    }

    /// Places and lifts the holds that follow from the rules.
    async fn apply_rules(
        &self,
        marks: &[Recheck],
        broken: &HashMap<Uuid, Vec<String>>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let ids = storage::rechecks::finish(&mut tx, marks).await?;
        let participations = storage::participations::lock_all(&mut tx, &ids).await?;
        let mut standing: HashMap<Uuid, Vec<String>> = HashMap::new();
        for hold in storage::holds::list_standing(&mut tx, &ids).await? {
            if hold.kind == HoldKind::Rules {
                standing
                    .entry(hold.participation_id)
                    .or_default()
                    .push(hold.reason);
            }
        }
        let exempt = self.exemptions(&mut tx, &participations).await?;

        let none = Vec::new();
        let (mut placed, mut lifted) = (Vec::new(), Vec::new());
        for participation in &participations {
            if participation.state == ParticipationState::Revoked {
                continue;
            }
            let (place, lift) = compare_holds(
                broken.get(&participation.id).unwrap_or(&none),
                exempt.get(&participation.id).unwrap_or(&none),
                standing.get(&participation.id).unwrap_or(&none),
            );
            placed.extend(place.into_iter().map(|reason| Hold {
                participation_id: participation.id,
                kind: HoldKind::Rules,
                reason: reason.clone(),
                placed_by: SELF.to_owned(),
            }));
            lifted.extend(
                lift.into_iter()
                    .map(|reason| (participation.id, reason.as_str())),
            );
        }
        storage::holds::insert_all(&mut tx, &placed, now).await?;
        let lifting = Lifting {
            lifted_by: SELF,
            reason: None,
            time: now,
        };
        storage::holds::lift_all(&mut tx, HoldKind::Rules, &lifted, lifting).await?;
        self.settle(&mut tx, &participations).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(())
    }

    /// Returns what the persons behind participations are exempted from.
    async fn exemptions(
        &self,
        tx: &mut PgConnection,
        participations: &[Participation],
    ) -> Result<HashMap<Uuid, Vec<String>>, Error> {
        let mut by_programme: BTreeMap<String, Vec<&Participation>> = BTreeMap::new();
        for participation in participations {
            let rules = self.rules.batch(tx, &participation.batch_id).await?;
            let programme = rules.scheme.scheme.programme.clone();
            by_programme
                .entry(programme)
                .or_default()
                .push(participation);
        }
        let mut exempt = HashMap::new();
        for (programme, participations) in by_programme {
            let accounts: Vec<Uuid> = participations.iter().map(|p| p.account_id).collect();
            let found = storage::exemptions::find(tx, &programme, &accounts).await?;
            let of = |p: &&Participation| Some((p.id, found.get(&p.account_id)?.clone()));
            exempt.extend(participations.iter().filter_map(of));
        }
        Ok(exempt)
    }

    /// Brings the states of locked participations, up to 1,000, in line with their holds, and tells of the changes.
    pub(super) async fn settle(
        &self,
        tx: &mut PgConnection,
        participations: &[Participation],
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let ids: Vec<Uuid> = participations.iter().map(|p| p.id).collect();
        let sums: HashMap<Uuid, _> = storage::holds::sum_up(tx, &ids)
            .await?
            .into_iter()
            .map(|sum| (sum.participation_id, sum))
            .collect();

        // The later of two events about a participation counts, and of two at the same time the freeze: clocks of replicas
        // differ a little, so the times are made to follow each other.
        let (mut frozen, mut freeze_time) = (BTreeMap::<_, Vec<Uuid>>::new(), now);
        let (mut freed, mut free_time) = (Vec::new(), now);
        for participation in participations {
            let sum = sums.get(&participation.id);
            match (
                participation.state,
                sum.and_then(|sum| sum.standing.as_ref()),
            ) {
                (ParticipationState::Frozen, None) => {
                    if let Some(freeze) = &participation.freeze {
                        free_time = free_time.max(freeze.time + Duration::MICROSECOND);
                    }
                    freed.push(participation);
                }
                (
                    ParticipationState::Awarded
                    | ParticipationState::Active
                    | ParticipationState::Completed,
                    Some(reason),
                ) => {
                    let last_lift = sum.and_then(|sum| sum.last_lift_time).unwrap_or(now);
                    freeze_time = freeze_time.max(last_lift);
                    let key = (participation.batch_id.clone(), reason.clone());
                    frozen.entry(key).or_default().push(participation.id);
                }
                (ParticipationState::Frozen | ParticipationState::Revoked, _) | (_, None) => {}
            }
        }
        self.freeze_all(tx, frozen, freeze_time).await?;
        self.unfreeze_all(tx, &freed, free_time).await
    }

    /// Freezes participations, given by batch and reason.
    async fn freeze_all(
        &self,
        tx: &mut PgConnection,
        frozen: BTreeMap<(String, String), Vec<Uuid>>,
        time: OffsetDateTime,
    ) -> Result<(), Error> {
        let ids: Vec<Uuid> = frozen.values().flatten().copied().collect();
        storage::participations::freeze(tx, &ids, time).await?;
        let events: Vec<pb::ParticipationsFrozen> = frozen
            .into_iter()
            .map(|((batch_id, reason), ids)| pb::ParticipationsFrozen {
                batch: batch_name(&batch_id),
                participations: participation_names(&ids),
                reason,
                freeze_time: Some(timestamp(time)),
            })
            .collect();
        let events: Vec<_> = events
            .iter()
            .map(|event| (event.batch.as_str(), event))
            .collect();
        outbox::append_all(tx, self.clock.now(), &events).await?;
        Ok(())
    }

    async fn unfreeze_all(
        &self,
        tx: &mut PgConnection,
        freed: &[&Participation],
        time: OffsetDateTime,
    ) -> Result<(), Error> {
        let mut deadlines = Vec::with_capacity(freed.len());
        let mut by_batch: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
        for participation in freed {
            let rules = self.rules.batch(tx, &participation.batch_id).await?;
            let zone = rules.scheme.scheme.time_zone_of(&participation.region);
            let deadline = participation
                .deadline_after_freeze(zone, time)
                .ok_or(Error::Broken("a deadline lies beyond the calendar"))?;
            deadlines.push(deadline);
            by_batch
                .entry(&participation.batch_id)
                .or_default()
                .push(participation.id);
        }
        let ids: Vec<Uuid> = freed.iter().map(|participation| participation.id).collect();
        storage::participations::unfreeze(tx, &ids, &deadlines).await?;
        let events: Vec<pb::ParticipationsUnfrozen> = by_batch
            .into_iter()
            .map(|(batch_id, ids)| pb::ParticipationsUnfrozen {
                batch: batch_name(batch_id),
                participations: participation_names(&ids),
                unfreeze_time: Some(timestamp(time)),
            })
            .collect();
        let events: Vec<_> = events
            .iter()
            .map(|event| (event.batch.as_str(), event))
            .collect();
        outbox::append_all(tx, self.clock.now(), &events).await?;
        Ok(())
    }

    // === operators ===

    /// Places an operator's hold. One that stands for the same reason stays as it is.
    pub async fn freeze_participation(
        &self,
        key: RequestKey,
        principal: &Principal,
        participation_id: Uuid,
        reason: String,
    ) -> Result<pb::Participation, Error> {
        let mut tx = self.db.begin().await?;
        let now = self.clock.now();
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let participation = lock(&mut tx, participation_id).await?;
        if participation.state == ParticipationState::Revoked {
            return Err(Error::ParticipationRevoked(participation_id));
        }
        let hold = Hold {
            participation_id,
            kind: HoldKind::Operator,
            reason,
            placed_by: principal.subject.clone(),
        };
        storage::holds::insert_all(&mut tx, &[hold], now).await?;
        self.settle(&mut tx, &[participation]).await?;
        let answer = answer(&mut tx, &key, participation_id).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// Lifts all operators' holds on a participation; those of rules stay.
    pub async fn unfreeze_participation(
        &self,
        key: RequestKey,
        principal: &Principal,
        participation_id: Uuid,
        reason: &str,
    ) -> Result<pb::Participation, Error> {
        let mut tx = self.db.begin().await?;
        let now = self.clock.now();
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let participation = lock(&mut tx, participation_id).await?;
        let standing = storage::holds::list_standing(&mut tx, &[participation_id]).await?;
        let placed: Vec<(Uuid, &str)> = standing
            .iter()
            .filter(|hold| hold.kind == HoldKind::Operator)
            .map(|hold| (participation_id, hold.reason.as_str()))
            .collect();
        if participation.state != ParticipationState::Frozen || placed.is_empty() {
            return Err(Error::ParticipationNotFrozen(participation_id));
        }
        let lifting = Lifting {
            lifted_by: &principal.subject,
            reason: Some(reason),
            time: now,
        };
        storage::holds::lift_all(&mut tx, HoldKind::Operator, &placed, lifting).await?;
        self.settle(&mut tx, &[participation]).await?;
        let answer = answer(&mut tx, &key, participation_id).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }

    /// FROZEN to REVOKED: the doubt was right.
    pub async fn revoke_participation(
        &self,
        key: RequestKey,
        principal: &Principal,
        participation_id: Uuid,
        reason: &str,
    ) -> Result<pb::Participation, Error> {
        let mut tx = self.db.begin().await?;
        let now = self.clock.now();
        if let Some(answer) = idempotency::claim(&mut tx, &key, now).await?.answer()? {
            return Ok(answer);
        }
        let participation = lock(&mut tx, participation_id).await?;
        if participation.state != ParticipationState::Frozen {
            return Err(Error::ParticipationNotFrozen(participation_id));
        }
        // It ends soon: at its gate it finds the freeze, or it was past it.
        if let Some(purchase_id) = participation.pending_purchase_id {
            return Err(Error::Purchase {
                participation_id,
                refusal: PurchaseRefusal::Pending { purchase_id },
            });
        }
        let subject = &principal.subject;
        storage::participations::revoke_frozen(&mut tx, participation_id, subject, reason, now)
            .await?;
        let event = pb::ParticipationsRevoked {
            batch: batch_name(&participation.batch_id),
            participations: participation_names(&[participation_id]),
            revoke_time: Some(timestamp(now)),
        };
        outbox::append(&mut tx, &event.batch, now, &event).await?;
        let answer = answer(&mut tx, &key, participation_id).await?;
        tx.commit().await?;
        self.relay.wake();
        Ok(answer)
    }
}

async fn lock(tx: &mut PgConnection, participation_id: Uuid) -> Result<Participation, Error> {
    storage::participations::find_for_update(tx, participation_id)
        .await?
        .ok_or_else(|| not_found(participation_id))
}

async fn answer(
    tx: &mut PgConnection,
    key: &RequestKey,
    participation_id: Uuid,
) -> Result<pb::Participation, Error> {
    let participation = storage::participations::find(tx, participation_id)
        .await?
        .ok_or_else(|| not_found(participation_id))?;
    let answer = pb::Participation::from(participation);
    idempotency::store(tx, key, &answer).await?;
    Ok(answer)
}

fn participation_names(ids: &[Uuid]) -> Vec<String> {
    ids.iter()
        .map(|id| names::format("participations", id))
        .collect()
}
