//! Stored decisions: explained, and made again.

use std::sync::Arc;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{App, batches::get, rules::BatchRules};
use crate::{
    domain::{
        decision::{DecisionId, StoredDecision},
        draft::DraftReplay,
        scheme::Scheme,
        scheme_file,
    },
    error::Error,
    storage,
};

/// How many applications' decisions are made again at once.
const REPLAY_PAGE: i64 = 2_000;

/// How many differences are named; more would only repeat what is wrong.
const DIFFERENCES_MAX: usize = 1_000;

/// A decision with the rules that it was made by.
#[derive(Debug)]
pub struct DecisionView {
    /// The decision.
    pub decision: StoredDecision,
    /// The rules.
    pub rules: Arc<BatchRules>,
}

/// How decisions came out when they were made again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// How many were made again so far.
    pub replayed: i64,
    /// How many of them came out as they are stored.
    pub agreed: i64,
    /// Those that did not since the last report, with the fields that differ.
    pub differences: Vec<(DecisionId, Vec<&'static str>)>,
}

/// Where the reports on a draft go.
pub type DraftReplays = mpsc::Sender<Result<DraftReplay, Error>>;

/// A draft of a scheme that is to be applied to a batch.
pub struct Draft {
    app: App,
    batch_id: String,
    /// The names of the batch's reserved groups.
    groups: Vec<String>,
    scheme: Arc<Scheme>,
}

/// Where the reports go. The receiver is gone when the caller has left.
pub type Replays = mpsc::Sender<Result<Replay, Error>>;

impl App {
    /// Returns a decision and its rules.
    pub async fn get_decision(&self, id: DecisionId) -> Result<DecisionView, Error> {
        let mut connection = self.db.acquire().await?;
        let decision = storage::decisions::find(&mut connection, id)
            .await?
            .ok_or_else(|| Error::NotFound(id.to_string()))?;
        let rules = self
            .rules
            .batch(&mut connection, &decision.batch_id)
            .await?;
        Ok(DecisionView { decision, rules })
    }

    /// Makes one decision again.
    pub async fn replay_decision(&self, id: DecisionId) -> Result<Replay, Error> {
        let view = self.get_decision(id).await?;
        Ok(replay(&view.rules, &[view.decision]))
    }

    /// Returns the rules of a batch whose decisions are to be made again, or that there is no such batch.
    pub async fn open_replay(&self, batch_id: &str) -> Result<Arc<BatchRules>, Error> {
        let mut connection = self.db.acquire().await?;
        self.rules.batch(&mut connection, batch_id).await
    }

    /// Makes all decisions of a batch again, page by page, with a report after each; what fails is the last report.
    pub async fn replay_decisions(
        self,
        batch_id: String,
        rules: Arc<BatchRules>,
        replays: Replays,
    ) {
        let (mut total, mut named, mut after) = (Replay::default(), 0, Uuid::nil());
        loop {
            let page = match self.replay_page(&batch_id, &rules, after).await {
                Ok(page) => page,
                // The caller may be gone by now; then nobody misses the error.
                Err(error) => return drop(replays.send(Err(error)).await),
            };
            let Some((last, page)) = page else { break };
            after = last;
            total.replayed += page.replayed;
            total.agreed += page.agreed;
            total.differences = page.differences;
            total.differences.truncate(DIFFERENCES_MAX - named);
            named += total.differences.len();
            if replays.send(Ok(total.clone())).await.is_err() {
                return;
            }
        }
        total.differences.clear();
        drop(replays.send(Ok(total)).await);
    }

    /// Reads a draft that is to be applied to a batch, or says what is wrong with it.
    pub async fn open_draft(
        &self,
        batch_id: String,
        file_name: &str,
        content: &str,
    ) -> Result<Draft, Error> {
        let scheme = Arc::new(scheme_file::parse(file_name, content)?);
        let mut connection = self.db.acquire().await?;
        let batch = get(&mut connection, &batch_id).await?;
        let groups = batch.quota_plan.reserved_groups.into_iter();
        Ok(Draft {
            app: self.clone(),
            batch_id,
            groups: groups.map(|group| group.name).collect(),
            scheme,
        })
    }

    async fn replay_page(
        &self,
        batch_id: &str,
        rules: &Arc<BatchRules>,
        after: Uuid,
    ) -> Result<Option<(Uuid, Replay)>, Error> {
        let mut connection = self.db.acquire().await?;
        let decisions =
            storage::decisions::list_of_batch(&mut connection, batch_id, after, REPLAY_PAGE)
                .await?;
        drop(connection);
        let Some(last) = decisions.last().map(|decision| decision.id.application_id) else {
            return Ok(None);
        };
        let rules = Arc::clone(rules);
        let work = tokio::task::spawn_blocking(move || replay(&rules, &decisions));
        let replay = work.await.map_err(|_| Error::Broken("a replay panicked"))?;
        Ok(Some((last, replay)))
    }
}

impl Draft {
    /// Applies the draft to the newest decision on each application, page by page, with a report after each; what fails is
    /// the last report.
    pub async fn replay(self, replays: DraftReplays) {
        let (mut so_far, mut after) = (DraftReplay::default(), Uuid::nil());
        loop {
            match self.page(so_far.clone(), after).await {
                Ok(None) => break,
                Ok(Some((last, replay))) => (after, so_far) = (last, replay),
                // The caller may be gone by now; then nobody misses the error.
                Err(error) => return drop(replays.send(Err(error)).await),
            }
            let progress = DraftReplay {
                total: so_far.total,
                ..DraftReplay::default()
            };
            if replays.send(Ok(progress)).await.is_err() {
                return;
            }
        }
        drop(replays.send(Ok(so_far)).await);
    }

    async fn page(
        &self,
        mut so_far: DraftReplay,
        after: Uuid,
    ) -> Result<Option<(Uuid, DraftReplay)>, Error> {
        let mut connection = self.app.db.acquire().await?;
        let decisions =
            storage::decisions::list_of_batch(&mut connection, &self.batch_id, after, REPLAY_PAGE)
                .await?;
        drop(connection);
        let Some(last) = decisions.last().map(|decision| decision.id.application_id) else {
            return Ok(None);
        };
        let (scheme, groups) = (Arc::clone(&self.scheme), self.groups.clone());
        let work = tokio::task::spawn_blocking(move || {
            // They come by application and stage: the last of each application is the newest.
            for of_one in decisions.chunk_by(|a, b| a.id.application_id == b.id.application_id) {
                if let Some(newest) = of_one.last() {
                    so_far.add(&scheme, &groups, newest);
                }
            }
            so_far
        });
        let replay = work.await.map_err(|_| Error::Broken("a replay panicked"))?;
        Ok(Some((last, replay)))
    }
}

fn replay(rules: &BatchRules, decisions: &[StoredDecision]) -> Replay {
    let mut replay = Replay::default();
    for decision in decisions {
        let fields = decision.replay(&rules.scheme.scheme, &rules.groups);
        replay.replayed += 1;
        if fields.is_empty() {
            replay.agreed += 1;
        } else {
            replay.differences.push((decision.id, fields));
        }
    }
    replay
}
