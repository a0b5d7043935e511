//! A batch: opened, applied for, closed, frozen, drawn, verified, awarded, funded.

use std::{fs, path::PathBuf, process::Command};

use proto::{
    enrollment::v1::{Application, Participation, Scheme, application::State},
    r#type::v1::Money,
};
use serde_json::{Map, Value};
use tests::{
    keys::hex,
    programme::{award_cost, quota_plan},
    stack::binary,
};

use super::{BATCH, Member, Run};
use crate::{Fault, stages::for_each};

/// One in so many places is kept for people with disabilities, as the real programme aims at.
const RESERVED_SHARE: u64 = 33;

/// What the selection came to.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) places: u64,
    pub(crate) verdict: Verdict,
    pub(crate) participations: Vec<Participation>,
    /// Accepted applications.
    pub(crate) entrants: Vec<Application>,
    /// Accounts that a rule refused, with its reason.
    pub(crate) refused: Vec<(String, String)>,
}

/// What the verifier says of the public bundle, and of one receipt.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) bundle: PathBuf,
    pub(crate) fields: Map<String, Value>,
}

impl Run<'_> {
    pub(super) async fn select(
        &mut self,
        scheme: &Scheme,
        verified: &[Member],
    ) -> Result<Drawn, Fault> {
        let places = self.options.places();
        let cost = award_cost(scheme);
        let budget = cost
            .units
            .checked_mul(i64::try_from(places)?)
            .ok_or("so many places cost more than all money")?;
        let budget = Money {
            units: budget,
            ..cost
        };
        let appropriation = self
            .programme
            .appropriate("apbn-2026", budget.clone())
            .await?;
        self.open(scheme, BATCH, places).await?;
        self.programme.allot(&appropriation, BATCH, budget).await?;
        let accounts = verified.iter().map(|(_, account)| account.as_str());
        let applications = self.apply("apply", BATCH, accounts.collect()).await?;
        let (refused, entrants): (Vec<_>, Vec<_>) = applications
            .into_iter()
            .partition(|application| application.state() == State::Refused);
        self.draw("freeze", "draw", BATCH).await?;
        let verdict = self.verify_draw(&entrants).await?;
        let participations = self.award("award", "fund", BATCH).await?;
        Ok(Drawn {
            places,
            verdict,
            participations,
            entrants,
            refused: refused.into_iter().filter_map(first_reason).collect(),
        })
    }

    /// Makes a batch and opens it.
    pub(super) async fn open(
        &self,
        scheme: &Scheme,
        batch: &str,
        places: u64,
    ) -> Result<(), Fault> {
        let reserved = i64::try_from(places / RESERVED_SHARE)?;
        let plan = quota_plan(i64::try_from(places)?, reserved, &self.regions);
        let id = batch.trim_start_matches("batches/");
        self.programme.create_batch(id, scheme, plan).await?;
        self.programme.open_batch(batch).await?;
        Ok(())
    }

    /// Lets accounts apply.
    pub(super) async fn apply(
        &mut self,
        name: &'static str,
        batch: &str,
        accounts: Vec<&str>,
    ) -> Result<Vec<Application>, Fault> {
        let programme = &self.programme;
        let count = accounts.len() as u64;
        self.stages
            .run(
                self.cluster.broker(),
                name,
                (count, "applications"),
                async |bar| {
                    for_each(bar, accounts, async |account| {
                        programme.apply(batch, account).await
                    })
                    .await
                },
            )
            .await
    }

    /// Closes, freezes and draws; three trustees commit before and reveal after the freeze.
    pub(super) async fn draw(
        &mut self,
        freeze: &'static str,
        draw: &'static str,
        batch: &str,
    ) -> Result<(), Fault> {
        let programme = &self.programme;
        let broker = self.cluster.broker();
        programme.close_batch(batch).await?;
        let secrets = programme.commit_randomness(batch).await?;
        self.stages
            .run(broker, freeze, (0, "entrants"), async |bar| {
                let frozen = programme.freeze_batch(batch).await?;
                let commitment = frozen.commitment.ok_or("no commitment")?;
                bar.inc(commitment.entrant_count.unsigned_abs());
                Ok(())
            })
            .await?;
        programme.reveal_randomness(batch, &secrets).await?;
        self.stages
            .run(broker, draw, (0, "places"), async |bar| {
                programme.draw_batch(batch).await?;
                let funnel = programme.batch(batch).await?.funnel;
                bar.inc(funnel.unwrap_or_default().drawn_count.unsigned_abs());
                Ok(())
            })
            .await
    }

    /// Makes participants of the winners and waits for their money.
    pub(super) async fn award(
        &mut self,
        award: &'static str,
        fund: &'static str,
        batch: &str,
    ) -> Result<Vec<Participation>, Fault> {
        let programme = &self.programme;
        let broker = self.cluster.broker();
        self.stages
            .run(broker, award, (0, "winners"), async |bar| {
                programme.award_batch(batch).await?;
                let winners = programme.participations(batch).await?;
                bar.inc(winners.len() as u64);
                Ok(())
            })
            .await?;
        self.stages
            .run(broker, fund, (0, "balances"), async |bar| {
                let funded = programme.funded_participations(batch).await;
                bar.inc(funded.len() as u64);
                Ok(funded)
            })
            .await
    }

    /// Downloads the public bundle and lets the public's own program verify it under the published key, and the receipt of
    /// one entrant with it.
    async fn verify_draw(&mut self, entrants: &[Application]) -> Result<Verdict, Fault> {
        // Outside of the cluster's folder, which goes with the cluster.
        let bundle = self.cluster.folder().with_file_name("draw.bundle");
        let receipt_file = self.cluster.folder().join("receipt");
        let programme = &self.programme;
        let commitment = programme.batch(BATCH).await?.commitment;
        let public_key = hex(&commitment.ok_or("no commitment")?.public_key);
        let mut command = Command::new(binary("bekal-verify")?);
        command
            .arg(&bundle)
            .args(["--json", "--public-key", &public_key]);
        if let Some(receipt) = entrants.first().and_then(|entrant| entrant.receipt.clone()) {
            fs::write(&receipt_file, [receipt.encoded, receipt.signature].concat())?;
            command.arg("--receipt").arg(&receipt_file);
        }
        let fields = self
            .stages
            .run(
                self.cluster.broker(),
                "verify the draw",
                (0, "entrants"),
                async |bar| {
                    programme.download_bundle(BATCH, &bundle).await?;
                    bar.inc(entrants.len() as u64);
                    let output = command.output()?;
                    let fields: Map<String, Value> = serde_json::from_slice(&output.stdout)?;
                    if output.status.success() {
                        Ok(fields)
                    } else {
                        Err(format!("the draw is not valid: {fields:?}").into())
                    }
                },
            )
            .await?;
        Ok(Verdict { bundle, fields })
    }
}

fn first_reason(application: Application) -> Option<(String, String)> {
    let decision = application.decision?;
    let reason = decision.refusals.into_iter().next()?.reason;
    Some((application.account, reason))
}
