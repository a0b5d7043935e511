//! Holds, gathered: what concurrent callers ask is one transaction, with an answer for each. And a participation's
//! balances.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chassis::{Clock, money::Money};
use messaging::Relay;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    App, is_lost_race,
    ledger::{apply, first_refusal},
    returns::tell_late_returns,
};
use crate::{
    domain::{
        chart::{self, AccountKind},
        hold::{Decision, Hold, HoldCommand, HoldRefusal, HoldState, HolderFunds},
        ledger::{Code, NewAccount, Sums, Transfer, TransferRefusal},
    },
    error::Error,
    storage,
};

/// How often a transaction that met another one in a deadlock is run.
const ATTEMPTS_MAX: u32 = 3;

/// What a caller is told.
pub type HoldAnswer = Result<Hold, HoldError>;

/// Why a command of a batch failed.
#[derive(Clone, Debug)]
pub enum HoldError {
    /// It is refused.
    Refused(HoldRefusal),
    /// The ledger refused a line that nothing speaks against.
    Booking(TransferRefusal),
    /// The database failed.
    Database(Arc<sqlx::Error>),
}

impl From<HoldError> for Error {
    fn from(error: HoldError) -> Error {
        match error {
            HoldError::Refused(refusal) => Error::Hold(refusal),
            HoldError::Booking(refusal) => Error::Booking(refusal),
            HoldError::Database(error) => Error::SharedDatabase(error),
        }
    }
}

/// A participation's money.
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    /// The participation.
    pub participation_id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// What can be spent on courses.
    pub training_available: Money,
    /// What is held for purchases under way.
    pub training_held: Money,
    /// What is set aside for incentives that have not arrived.
    pub incentive_committed: Money,
}

impl App {
    /// Makes or ends a hold.
    pub async fn command_hold(&self, command: HoldCommand) -> Result<Hold, Error> {
        Ok(self.holds.submit(command).await??)
    }

    /// Returns a participation's balances.
    pub async fn get_balance(&self, participation_id: Uuid) -> Result<Balance, Error> {
        let mut connection = self.db.acquire().await?;
        let row = storage::participation_funds::find(&mut connection, participation_id).await?;
        let row = row
            .ok_or_else(|| Error::NotFound(format!("participations/{participation_id}/balance")))?;
        let own = |kind| chart::own_id(kind, participation_id);
        let training_id = own(AccountKind::TrainingBalance);
        let sums = storage::ledger::books::find_sums(
            &mut connection,
            &[training_id, own(AccountKind::IncentiveCommitment)],
        )
        .await?;
        let of = |wanted: bool| {
            let found = sums.iter().find(|(id, _)| (*id == training_id) == wanted);
            found.map(|(_, sums)| *sums).unwrap_or_default()
        };
        let (training, commitment): (Sums, Sums) = (of(true), of(false));
        let in_flight =
            storage::disbursements::in_flight_minor(&mut connection, participation_id).await?;
        let currency = row.funds.zero.currency();
        Ok(Balance {
            participation_id,
            account_id: row.account_id,
            training_available: Money::new(training.available(), currency),
            training_held: Money::new(training.debits_pending, currency),
            incentive_committed: Money::new(commitment.balance() + in_flight, currency),
        })
    }
}

/// Runs the batches of holds.
#[derive(Clone)]
pub(super) struct Batches {
    pub(super) db: PgPool,
    pub(super) clock: Clock,
    pub(super) relay: Relay,
}

impl Batches {
    /// Runs a batch. Commands on one hold take turns, each in a transaction after the one before; one that the database
    /// cannot take fails alone.
    pub(super) async fn run(&self, batch: Vec<HoldCommand>) -> Vec<HoldAnswer> {
        let mut answers: Vec<Option<HoldAnswer>> = vec![None; batch.len()];
        loop {
            let mut ids = HashSet::new();
            let wave: Vec<usize> = (0..batch.len())
                .filter(|index| answers[*index].is_none() && ids.insert(batch[*index].id()))
                .collect();
            if wave.is_empty() {
                break;
            }
            let commands: Vec<HoldCommand> = wave.iter().map(|index| batch[*index]).collect();
            for (index, answer) in wave.into_iter().zip(self.run_wave(&commands).await) {
                answers[index] = Some(answer);
            }
        }
        answers.into_iter().flatten().collect()
    }

    async fn run_wave(&self, commands: &[HoldCommand]) -> Vec<HoldAnswer> {
        match self.try_wave(commands).await {
            Ok(answers) => answers,
            Err(error) if commands.len() == 1 || chassis::db::is_transient(&error) => {
                let error = Arc::new(error);
                commands
                    .iter()
                    .map(|_| Err(HoldError::Database(Arc::clone(&error))))
                    .collect()
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(commands.len());
                for command in commands.chunks(1) {
                    match self.try_wave(command).await {
                        Ok(answer) => answers.extend(answer),
                        Err(error) => answers.push(Err(HoldError::Database(Arc::new(error)))),
                    }
                }
                answers
            }
        }
    }

    async fn try_wave(&self, commands: &[HoldCommand]) -> Result<Vec<HoldAnswer>, sqlx::Error> {
        let mut attempt = 1;
        loop {
            match self.wave_in_transaction(commands).await {
                Err(error) if attempt < ATTEMPTS_MAX && is_lost_race(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    async fn wave_in_transaction(
        &self,
        commands: &[HoldCommand],
    ) -> Result<Vec<HoldAnswer>, sqlx::Error> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let scene = Scene::load(&mut tx, commands, now).await?;
        let decisions: Vec<Decision> = commands
            .iter()
            .map(|command| scene.decide(command))
            .collect();

        storage::ledger::insert_accounts(&mut tx, &scene.accounts(commands)).await?;
        let lines: Vec<Transfer> = decisions.iter().flat_map(lines_of).cloned().collect();
        let mut verdicts = apply(&mut tx, &lines, now).await?.into_iter();
        let answers: Vec<HoldAnswer> = commands
            .iter()
            .zip(&decisions)
            .map(|(command, decision)| {
                let booked =
                    first_refusal(verdicts.by_ref().take(lines_of(decision).len()).collect());
                scene.answer(command, decision, booked)
            })
            .collect();

        let refused: Vec<Uuid> = commands
            .iter()
            .zip(&answers)
            .filter(|(command, answer)| answer.is_err() && scene.fresh.contains(&command.id()))
            .map(|(command, _)| command.id())
            .collect();
        if !refused.is_empty() {
            storage::funds_holds::release_claims(&mut tx, &refused).await?;
        }
        let ended: Vec<(Uuid, HoldState)> = answers
            .iter()
            .flatten()
            .filter(|hold| {
                scene
                    .holds
                    .get(&hold.terms.id)
                    .is_some_and(|known| known.state != hold.state)
            })
            .map(|hold| (hold.terms.id, hold.state))
            .collect();
        if !ended.is_empty() {
            storage::funds_holds::end_all(&mut tx, &ended, now).await?;
        }
        let returns = scene.late_returns(&decisions, &answers);
        tell_late_returns(&mut tx, &returns, now).await?;
        tx.commit().await?;

        if !returns.is_empty() {
            self.relay.wake();
        }
        Ok(answers)
    }
}

/// What a wave of commands, each on another hold, is about. Everything is locked.
struct Scene {
    /// The holds that are there, also those that this wave has just claimed.
    holds: HashMap<Uuid, Hold>,
    /// The claimed ones.
    fresh: HashSet<Uuid>,
    funds: HashMap<Uuid, HolderFunds>,
}

impl Scene {
    async fn load(
        tx: &mut PgConnection,
        commands: &[HoldCommand],
        now: OffsetDateTime,
    ) -> Result<Scene, sqlx::Error> {
        let claims: Vec<_> = commands
            .iter()
            .filter_map(|command| match command {
                HoldCommand::Hold(terms) => Some((*terms, HoldState::Held)),
                HoldCommand::Release(terms) => Some((*terms, HoldState::Released)),
                HoldCommand::Capture(_) => None,
            })
            .collect();
        let fresh = match claims.is_empty() {
            true => HashSet::new(),
            false => storage::funds_holds::claim_all(tx, &claims, now).await?,
        };
        let ids: Vec<Uuid> = commands.iter().map(HoldCommand::id).collect();
        let holds = storage::funds_holds::lock_all(tx, &ids).await?;
        let participation_ids: Vec<Uuid> = holds
            .iter()
            .map(|hold| hold.terms.participation_id)
            .collect();
        let funds = storage::participation_funds::lock_all(tx, &participation_ids).await?;
        Ok(Scene {
            holds: holds
                .into_iter()
                .map(|hold| (hold.terms.id, hold))
                .collect(),
            fresh,
            funds: funds
                .into_iter()
                .map(|row| (row.participation_id, row.funds))
                .collect(),
        })
    }

    fn funds_of(&self, id: Uuid) -> Option<&HolderFunds> {
        let hold = self.holds.get(&id)?;
        self.funds.get(&hold.terms.participation_id)
    }

    fn decide(&self, command: &HoldCommand) -> Decision {
        let id = command.id();
        let known = self.holds.get(&id).filter(|_| !self.fresh.contains(&id));
        command.decide(known, self.funds_of(id))
    }

    /// The accounts that lines may credit and that may not be there yet.
    fn accounts(&self, commands: &[HoldCommand]) -> Vec<NewAccount> {
        let mut seen = BTreeSet::new();
        let mut accounts = Vec::new();
        for command in commands {
            let (Some(hold), Some(funds)) =
                (self.holds.get(&command.id()), self.funds_of(command.id()))
            else {
                continue;
            };
            let account = match command {
                HoldCommand::Hold(_) => chart::provider_payable(
                    hold.terms.provider_id,
                    &funds.batch,
                    funds.zero.currency(),
                ),
                HoldCommand::Release(_) if funds.is_returned => {
                    chart::of_batch(AccountKind::Returned, &funds.batch, funds.zero.currency())
                }
                HoldCommand::Release(_) | HoldCommand::Capture(_) => continue,
            };
            if seen.insert(account.id) {
                accounts.push(account);
            }
        }
        accounts
    }

    fn answer(
        &self,
        command: &HoldCommand,
        decision: &Decision,
        booked: Option<TransferRefusal>,
    ) -> HoldAnswer {
        if let Decision::Refuse(refusal) = decision {
            return Err(HoldError::Refused(refusal.clone()));
        }
        let id = command.id();
        let known = *self
            .holds
            .get(&id)
            .ok_or(HoldError::Refused(HoldRefusal::NotFound(id)))?;
        match (command, booked) {
            (HoldCommand::Hold(terms), Some(TransferRefusal::Overdraft { available })) => {
                let available = Money::new(available, terms.amount.currency());
                Err(HoldError::Refused(HoldRefusal::BalanceInsufficient {
                    available,
                }))
            }
            (_, Some(refusal)) => Err(HoldError::Booking(refusal)),
            (_, None) => match decision {
                Decision::Change(state, _) => Ok(Hold {
                    state: *state,
                    ..known
                }),
                Decision::Unchanged | Decision::Refuse(_) => Ok(known),
            },
        }
    }

    fn late_returns<'a>(
        &'a self,
        decisions: &[Decision],
        answers: &[HoldAnswer],
    ) -> Vec<(&'a str, Uuid, Money)> {
        let is_return = |decision: &Decision| {
            lines_of(decision)
                .iter()
                .any(|line| line.code == Code::Return)
        };
        decisions
            .iter()
            .zip(answers)
            .filter(|(decision, _)| is_return(decision))
            .filter_map(|(_, answer)| answer.as_ref().ok())
            .filter_map(|hold| {
                let funds = self.funds_of(hold.terms.id)?;
                Some((
                    funds.batch.as_str(),
                    hold.terms.participation_id,
                    hold.terms.amount,
                ))
            })
            .collect()
    }
}

fn lines_of(decision: &Decision) -> &[Transfer] {
    match decision {
        Decision::Change(_, lines) => lines,
        Decision::Unchanged | Decision::Refuse(_) => &[],
    }
}
