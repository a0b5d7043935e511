//! Applying, for many at once: the facts of all by one call, then one transaction. A single call is a batch of one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chassis::{
    Clock, db,
    idempotency::{self, BatchClaim, RequestKey},
};
use draw::Receipt;
use prost::Message;
use proto::enrollment::v1 as pb;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    applications::ApplicationView,
    apply::{Answer, Apply, ApplyError},
    peers::{FACTS_MAX, Peers},
    rules::{BatchRules, Rules},
};
use crate::{
    domain::{
        application::{Application, Decision},
        batch::{BatchState, batch_name},
        decision::AT_APPLICATION,
        facts::PersonFacts,
        time_zone::Day,
    },
    error::Error,
    keys::Keys,
    storage::{self, applications::NewApplication},
};

/// How often a batch that met another replica's in a deadlock is run.
const ATTEMPTS_MAX: u32 = 3;

/// Runs the batches of calls.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) db: PgPool,
    pub(super) clock: Clock,
    pub(super) keys: Arc<Keys>,
    pub(super) peers: Peers,
    pub(super) rules: Arc<Rules>,
}

/// What is known before the transaction.
struct Known {
    rules: HashMap<String, Arc<BatchRules>>,
    /// The facts of each call's person, in the order of the calls.
    persons: Vec<Result<PersonFacts, ApplyError>>,
}

/// An application that the rules have been applied to.
struct Decided {
    index: usize,
    row: NewApplication,
    decision: Decision,
}

impl Batches {
    /// Takes the applications of a batch of calls. One that the database cannot take fails alone.
    pub(super) async fn run(&self, calls: Vec<Apply>) -> Vec<Answer> {
        let known = match self.prepare(&calls).await {
            Ok(known) => known,
            Err(error) => return vec![Err(error); calls.len()],
        };
        match self.try_take(&calls, &known).await {
            Ok(answers) => answers,
            Err(error) if calls.len() == 1 || db::is_transient(&error) => {
                vec![Err(ApplyError::Database(Arc::new(error))); calls.len()]
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(calls.len());
                for (call, person) in calls.iter().zip(&known.persons) {
                    let alone = Known {
                        rules: known.rules.clone(),
                        persons: vec![person.clone()],
                    };
                    answers.push(
                        match self.try_take(std::slice::from_ref(call), &alone).await {
                            Ok(mut answers) => answers.pop().unwrap_or(Err(ApplyError::Conflict)),
                            Err(error) => Err(ApplyError::Database(Arc::new(error))),
                        },
                    );
                }
                answers
            }
        }
    }

    /// Loads the rules of the batches and the facts of the persons. A person whose facts cannot be had fails alone, and
    /// only if the call turns out to be no repeat.
    async fn prepare(&self, calls: &[Apply]) -> Result<Known, ApplyError> {
        let mut rules: HashMap<String, Arc<BatchRules>> = HashMap::new();
        for call in calls {
            if rules.contains_key(&call.batch_id) {
                continue;
            }
            let mut connection = self
                .db
                .acquire()
                .await
                .map_err(|e| ApplyError::Database(Arc::new(e)))?;
            match self.rules.batch(&mut connection, &call.batch_id).await {
                Ok(found) => {
                    rules.insert(call.batch_id.clone(), found);
                }
                Err(Error::NotFound(_)) => {}
                Err(Error::Database(error)) => return Err(ApplyError::Database(Arc::new(error))),
                Err(_) => return Err(ApplyError::Broken("the rules of a batch cannot be read")),
            }
        }
        let persons = self.facts(calls, &rules).await;
        Ok(Known { rules, persons })
    }

    async fn facts(
        &self,
        calls: &[Apply],
        rules: &HashMap<String, Arc<BatchRules>>,
    ) -> Vec<Result<PersonFacts, ApplyError>> {
        let now = self.clock.now();
        // Ages are those of the day in the scheme's time zone: usually the same for all calls.
        let day_of = |call: &Apply| {
            Some(
                rules
                    .get(&call.batch_id)?
                    .scheme
                    .scheme
                    .time_zone
                    .day_of(now),
            )
        };
        let mut accounts: HashMap<Day, HashSet<Uuid>> = HashMap::new();
        for call in calls {
            if let Some(day) = day_of(call) {
                accounts.entry(day).or_default().insert(call.account_id);
            }
        }
        let mut found: HashMap<(Day, Uuid), Result<PersonFacts, ApplyError>> = HashMap::new();
        for (day, ids) in accounts {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            for chunk in ids.chunks(FACTS_MAX) {
                match self.peers.facts(chunk, day).await {
                    Ok(persons) => {
                        found.extend(
                            persons
                                .into_iter()
                                .map(|(id, person)| ((day, id), Ok(person))),
                        );
                    }
                    Err(status) => {
                        let status = Arc::new(status);
                        let away = |id: &Uuid| {
                            (
                                (day, *id),
                                Err(ApplyError::IdentityAway(Arc::clone(&status))),
                            )
                        };
                        found.extend(chunk.iter().map(away));
                    }
                }
            }
        }
        let person_of = |call: &Apply| match day_of(call) {
            None => Err(ApplyError::NoBatch(call.batch_id.clone())),
            Some(day) => found
                .get(&(day, call.account_id))
                .cloned()
                .unwrap_or_else(|| Ok(PersonFacts::unknown())),
        };
        calls.iter().map(person_of).collect()
    }

    async fn try_take(&self, calls: &[Apply], known: &Known) -> Result<Vec<Answer>, sqlx::Error> {
        let mut attempt = 1;
        loop {
            match self.take(calls, known).await {
                Err(error)
                    if attempt < ATTEMPTS_MAX
                        && db::is_transient(&error)
                        && error.as_database_error().is_some() =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn take(&self, calls: &[Apply], known: &Known) -> Result<Vec<Answer>, sqlx::Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let keys: Vec<&RequestKey> = calls.iter().map(|call| &call.key).collect();
        let claims = idempotency::claim_all(&mut tx, &keys, now).await?;
        let fresh: Vec<usize> = (0..calls.len())
            .filter(|i| claims[*i] == BatchClaim::New)
            .collect();

        let mut answers: Vec<Option<Answer>> = vec![None; calls.len()];
        let decided = self
            .decide(&mut tx, calls, known, &fresh, now, &mut answers)
            .await?;
        self.insert(&mut tx, calls, known, decided, now, &mut answers)
            .await?;

        let stored: Vec<(&RequestKey, Vec<u8>)> = fresh
            .iter()
            .filter_map(|i| {
                Some((
                    keys[*i],
                    answers[*i].as_ref()?.as_ref().ok()?.encode_to_vec(),
                ))
            })
            .collect();
        idempotency::store_all(&mut tx, &stored).await?;
        let is_refused = |i: &&usize| !matches!(answers[**i], Some(Ok(_)));
        let refused: Vec<&RequestKey> = fresh.iter().filter(is_refused).map(|i| keys[*i]).collect();
        idempotency::release_all(&mut tx, &refused).await?;
        tx.commit().await?;

        let answer_of = |i: usize| answers[i].clone().unwrap_or(Err(ApplyError::Conflict));
        let told = |i: usize| match &claims[i] {
            BatchClaim::New => answer_of(i),
            BatchClaim::Repeat(bytes) => stored_answer(bytes),
            BatchClaim::Reused => Err(ApplyError::Reused(keys[i].request_id())),
            BatchClaim::SameAs(first) => match &claims[*first] {
                BatchClaim::Repeat(bytes) => stored_answer(bytes),
                BatchClaim::Reused => Err(ApplyError::Reused(keys[i].request_id())),
                BatchClaim::New | BatchClaim::SameAs(_) => answer_of(*first),
            },
        };
        Ok((0..calls.len()).map(told).collect())
    }

    /// Applies the rules to those calls that are no repeats; who cannot apply at all is answered.
    async fn decide(
        &self,
        tx: &mut PgConnection,
        calls: &[Apply],
        known: &Known,
        fresh: &[usize],
        now: OffsetDateTime,
        answers: &mut [Option<Answer>],
    ) -> Result<Vec<Decided>, sqlx::Error> {
        let batch_ids: HashSet<&String> = fresh.iter().map(|i| &calls[*i].batch_id).collect();
        let batch_ids: Vec<String> = batch_ids.into_iter().cloned().collect();
        // A batch that closes waits for those who are in work, and lets nobody in afterwards.
        let states: HashMap<String, BatchState> =
            storage::batches::states_for_share(tx, &batch_ids)
                .await?
                .into_iter()
                .collect();

        let mut recipients: HashMap<&str, HashSet<Uuid>> = HashMap::new();
        let mut exemptions: HashMap<&str, HashMap<Uuid, Vec<String>>> = HashMap::new();
        for batch_id in &batch_ids {
            let Some(rules) = known.rules.get(batch_id) else {
                continue;
            };
            let programme = rules.scheme.scheme.programme.as_str();
            let accounts: Vec<Uuid> = fresh.iter().map(|i| calls[*i].account_id).collect();
            if !recipients.contains_key(programme) {
                let found =
                    storage::participations::find_recipients(tx, programme, &accounts).await?;
                recipients.insert(programme, found);
                let found = storage::exemptions::find(tx, programme, &accounts).await?;
                exemptions.insert(programme, found);
            }
        }

        let mut decided = Vec::with_capacity(fresh.len());
        for &index in fresh {
            let call = &calls[index];
            let admitted = admit(
                call,
                known.rules.get(&call.batch_id),
                states.get(&call.batch_id),
                &known.persons[index],
            );
            let (rules, person) = match admitted {
                Ok(admitted) => admitted,
                Err(error) => {
                    answers[index] = Some(Err(error));
                    continue;
                }
            };
            let scheme = &rules.scheme.scheme;
            let already = recipients
                .get(scheme.programme.as_str())
                .is_some_and(|ids| ids.contains(&call.account_id));
            let exempt = exemptions
                .get(scheme.programme.as_str())
                .and_then(|by_account| by_account.get(&call.account_id))
                .map_or(&[][..], Vec::as_slice);
            let decision = Decision::make(scheme, &rules.groups, person, already, exempt, now);
            match self.new_application(call, now) {
                Some(row) => decided.push(Decided {
                    index,
                    row,
                    decision,
                }),
                None => {
                    answers[index] = Some(Err(ApplyError::Broken("a receipt cannot be signed")))
                }
            }
        }
        Ok(decided)
    }

    fn new_application(&self, call: &Apply, now: OffsetDateTime) -> Option<NewApplication> {
        let batch = batch_name(&call.batch_id);
        let pseudonym = self.keys.pseudonym(&batch, call.account_id);
        let receipt = Receipt {
            batch,
            pseudonym,
            apply_time: u64::try_from(now.unix_timestamp()).ok()?,
        };
        let signed = receipt.sign(self.keys.signing()).ok()?;
        Some(NewApplication {
            id: Uuid::now_v7(),
            batch_id: call.batch_id.clone(),
            account_id: call.account_id,
            pseudonym,
            signature: signed.signature,
        })
    }

    async fn insert(
        &self,
        tx: &mut PgConnection,
        calls: &[Apply],
        known: &Known,
        decided: Vec<Decided>,
        now: OffsetDateTime,
        answers: &mut [Option<Answer>],
    ) -> Result<(), sqlx::Error> {
        let rows: Vec<NewApplication> = decided.iter().map(|decided| decided.row.clone()).collect();
        let inserted = storage::applications::insert_all(tx, &rows, now).await?;
        let (taken, lost): (Vec<Decided>, Vec<Decided>) = decided
            .into_iter()
            .partition(|decided| inserted.contains(&decided.row.id));

        let decisions: Vec<(Uuid, &str, &Decision)> = taken
            .iter()
            .map(|decided| {
                (
                    decided.row.id,
                    decided.row.batch_id.as_str(),
                    &decided.decision,
                )
            })
            .collect();
        storage::decisions::insert_all(tx, AT_APPLICATION, &decisions).await?;
        for decided in taken {
            let Some(rules) = known.rules.get(&decided.row.batch_id) else {
                continue;
            };
            let view = ApplicationView {
                application: application(decided.row, &decided.decision, rules, now),
                scheme: Arc::clone(&rules.scheme),
            };
            answers[decided.index] = Some(Ok(view.into()));
        }

        if !lost.is_empty() {
            let (batch_ids, account_ids): (Vec<String>, Vec<Uuid>) = lost
                .iter()
                .map(|decided| (decided.row.batch_id.clone(), decided.row.account_id))
                .unzip();
            let earlier: HashMap<(String, Uuid), Uuid> =
                storage::applications::find_ids(tx, &batch_ids, &account_ids)
                    .await?
                    .into_iter()
                    .map(|(batch_id, account_id, id)| ((batch_id, account_id), id))
                    .collect();
            for decided in lost {
                let call = &calls[decided.index];
                let earlier = earlier.get(&(call.batch_id.clone(), call.account_id));
                answers[decided.index] =
                    Some(Err(earlier.map_or(ApplyError::Conflict, |id| {
                        ApplyError::AlreadyApplied(*id)
                    })));
            }
        }
        Ok(())
    }
}

/// Says whether a person can apply at all.
fn admit<'k>(
    call: &Apply,
    rules: Option<&'k Arc<BatchRules>>,
    state: Option<&BatchState>,
    person: &'k Result<PersonFacts, ApplyError>,
) -> Result<(&'k BatchRules, &'k PersonFacts), ApplyError> {
    let (Some(rules), Some(state)) = (rules, state) else {
        return Err(ApplyError::NoBatch(call.batch_id.clone()));
    };
    if *state != BatchState::Open {
        return Err(ApplyError::NotOpen(call.batch_id.clone(), *state));
    }
    let person = person.as_ref().map_err(Clone::clone)?;
    if !person.verified {
        return Err(ApplyError::NotVerified(call.account_id));
    }
    Ok((rules, person))
}

fn application(
    row: NewApplication,
    decision: &Decision,
    rules: &BatchRules,
    now: OffsetDateTime,
) -> Application {
    Application {
        id: row.id,
        batch_id: row.batch_id,
        scheme_id: rules.scheme.scheme.id.clone(),
        account_id: row.account_id,
        pseudonym: row.pseudonym,
        signature: row.signature,
        create_time: now,
        decision_stage: AT_APPLICATION,
        eligible: decision.eligible(),
        refusals: decision.refusals.clone(),
        rule_set_hash: decision.rule_set_hash.to_vec(),
        facts_hash: decision.facts.hash().to_vec(),
        decide_time: now,
        result: None,
    }
}

fn stored_answer(bytes: &[u8]) -> Answer {
    pb::Application::decode(bytes).map_err(ApplyError::StoredAnswer)
}
