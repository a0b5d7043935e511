//! A programme, from the scheme to the next batch, a Skills Week and a job.

use std::time::{Duration, Instant};

use proto::enrollment::v1::Scheme;
use tests::{cluster::Cluster, people::Population, programme::Programme, regions::Region};

use self::{
    give_back::Returned, learn::Graduate, others::Recommended, pay::Paid, prepare::Imports,
    select::Drawn,
};
use crate::{
    Fault,
    cast::Cast,
    options::{Input, Options},
    report::Report,
    stages::Stages,
};

mod give_back;
mod learn;
mod others;
mod pay;
mod prepare;
mod select;

/// The batch that everything is about (*gelombang 48* was the first of the scheme of 2023), and the one after it.
pub(crate) const BATCH: &str = "batches/48";
const NEXT_BATCH: &str = "batches/49";

/// What a run knows on its way.
pub(crate) struct Run<'a> {
    options: &'a Options,
    cluster: &'a mut Cluster,
    programme: Programme,
    stages: Stages,
    regions: Vec<Region>,
    cast: Cast,
    start: Instant,
}

/// Somebody with an account.
type Member = (u64, String);

/// What came of each part of the run.
pub(crate) struct Outcome {
    pub(crate) scheme: Scheme,
    pub(crate) imports: Imports,
    pub(crate) registered: u64,
    pub(crate) verified: u64,
    pub(crate) drawn: Drawn,
    pub(crate) bought: u64,
    pub(crate) completed: u64,
    pub(crate) paid: Paid,
    pub(crate) returned: Returned,
    pub(crate) voucher: String,
    /// `None` when nobody graduated.
    pub(crate) recommended: Option<Recommended>,
    pub(crate) took: Duration,
}

impl Run<'_> {
    /// Runs the programme.
    pub(crate) async fn of(
        cluster: &mut Cluster,
        options: &Options,
        input: Input,
    ) -> Result<Report, Fault> {
        let start = Instant::now();
        let today = cluster.now().await.date();
        let regions = input.regions.regions.clone();
        let population = Population::new(options.seed, today, regions);
        let mut run = Run {
            options,
            programme: Programme::of(cluster).await,
            cluster,
            stages: Stages::default(),
            start,
            regions: input.regions.regions.clone(),
            cast: Cast::new(options.seed, population),
        };
        let outcome = run.play(input).await?;
        Report::collect(run.cluster, &run.programme, run.stages, outcome).await
    }

    async fn play(&mut self, input: Input) -> Result<Outcome, Fault> {
        let scheme = self.programme.import_scheme(&self.options.scheme()).await?;
        if scheme.currency_code != "IDR" {
            return Err("--scheme: the bank of this demo takes IDR alone".into());
        }
        let imports = self.import(input).await?;
        let members = self.register().await?;
        let verified = self.verify(&members).await?;
        let drawn = self.select(&scheme, &verified).await?;
        let graduates = self.learn(&scheme, &drawn).await?;
        let paid = self.pay(&scheme, &graduates).await?;
        let returned = self.give_back(&scheme, &drawn).await?;
        let voucher = self.visit_skills_week(&drawn).await?;
        let recommended = self.recommend(&graduates).await?;
        Ok(Outcome {
            scheme,
            imports,
            registered: members.len() as u64,
            verified: verified.len() as u64,
            drawn,
            bought: self.stages.count("buy"),
            completed: graduates.len() as u64,
            paid,
            returned,
            voucher,
            recommended,
            took: self.start.elapsed(),
        })
    }
}
