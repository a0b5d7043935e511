//! A programme, from the scheme to the next batch, a Skills Week and a job.

use proto::enrollment::v1::Scheme;
use tests::{cluster::Cluster, people::Population, programme::Programme, regions::Regions};

use self::{
    give_back::Returned, learn::Graduate, others::Recommended, prepare::Imports, select::Drawn,
};
use crate::{Fault, cast::Cast, options::Options, report::Report, stages::Stages};

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
    regions: Regions,
    cast: Cast,
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
    pub(crate) paid_amount_at_bank: String,
    pub(crate) lost_replies: u64,
    pub(crate) returned: Returned,
    pub(crate) voucher: String,
    pub(crate) recommended: Recommended,
}

impl Run<'_> {
    /// Runs the programme.
    pub(crate) async fn of(cluster: &mut Cluster, options: &Options) -> Result<Report, Fault> {
        let regions = Regions::read(&options.regions())?;
        let today = cluster.now().await.date();
        let population = Population::new(options.seed, today, regions.regions.clone());
        let mut run = Run {
            options,
            programme: Programme::of(cluster).await,
            cluster,
            stages: Stages::default(),
            regions,
            cast: Cast::new(options.seed, population),
        };
        let outcome = run.play().await?;
        Report::collect(run.cluster, &run.programme, run.stages, outcome).await
    }

    async fn play(&mut self) -> Result<Outcome, Fault> {
        let scheme = self.programme.import_scheme(&self.options.scheme()).await?;
        let imports = self.import().await?;
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
            paid_amount_at_bank: paid.amount_at_bank,
            lost_replies: paid.lost_replies,
            returned,
            voucher,
            recommended,
        })
    }
}
