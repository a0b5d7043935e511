//! A batch that is applied for by the million, and its way to the award; `freeze`, `draw`, `verify` and `sweep` measure
//! parts of it.

use std::time::{Duration, Instant};

use proto::enrollment::v1::Scheme;
use tests::{
    cluster::Cluster,
    process::Service,
    programme::{Programme, TrusteeSecrets, award_cost, quota_plan, rupiah},
    regions::Regions,
    stack::checkout,
};

use crate::{
    Fault,
    report::{Size, grouped},
    seed::Seed,
    tell,
};

/// The applications that the aims of freeze, draw and verification are about.
pub(crate) const SIZE: u64 = 5_000_000;
/// So many of a thousand applications are for a place: 800,000 of 5,000,000.
const PLACES_PER_MILLE: u64 = 160;
/// One place in so many is kept for people with disabilities, as the real programme aims at.
const RESERVED_SHARE: u64 = 33;

const BATCH: &str = "batches/48";

/// The batch, its callers and its cluster.
pub(crate) struct Selection {
    pub(crate) size: Size,
    pub(crate) cluster: Cluster,
    pub(crate) programme: Programme,
    pub(crate) scheme: Scheme,
    pub(crate) places: u64,
    secrets: TrusteeSecrets,
}

impl Selection {
    /// Sets up a closed batch with so many applications; only identity and enrollment run.
    pub(crate) async fn of_applications(size: Size) -> Result<Selection, Fault> {
        let places = size.wanted * PLACES_PER_MILLE / 1_000;
        let services = [Service::Identity, Service::Enrollment];
        Selection::set_up(size, size.wanted, places, &services).await
    }

    /// Sets up a closed batch with so many places, paid for, and enough applications for all of them.
    pub(crate) async fn of_places(size: Size) -> Result<Selection, Fault> {
        // At most two of a household win: nine of fifteen.
        let applications = size.wanted * 2;
        let services = [Service::Identity, Service::Enrollment, Service::Payout];
        let selection = Selection::set_up(size, applications, size.wanted, &services).await?;
        match selection.pay_for_places().await {
            Ok(()) => Ok(selection),
            Err(fault) => selection.end(Err(fault)).await,
        }
    }

    async fn pay_for_places(&self) -> Result<(), Fault> {
        let budget = rupiah(award_cost(&self.scheme).units * i64::try_from(self.places)?);
        let appropriation = self
            .programme
            .appropriate("apbn-2026", budget.clone())
            .await?;
        self.programme.allot(&appropriation, BATCH, budget).await?;
        Ok(())
    }

    async fn set_up(
        size: Size,
        applications: u64,
        places: u64,
        services: &[Service],
    ) -> Result<Selection, Fault> {
        let start = Instant::now();
        let cluster = Cluster::builder()
            .services(services)
            // Freeze and award are one call each, however long they take.
            .setting("ENROLLMENT_REQUEST_TIMEOUT_SECONDS", "600")
            .start()
            .await;
        let programme = Programme::of(&cluster).await;
        match fill_batch(&cluster, &programme, applications, places).await {
            Ok((scheme, secrets)) => {
                let (count, took) = (grouped(applications), start.elapsed().as_secs());
                tell(&format!("{count} applications are there after {took} s"));
                Ok(Selection {
                    size,
                    cluster,
                    programme,
                    scheme,
                    places,
                    secrets,
                })
            }
            Err(fault) => end(cluster, Err(fault)).await,
        }
    }

    /// Freezes; returns how long it took, and how many were in.
    pub(crate) async fn freeze(&self) -> Result<(Duration, u64), Fault> {
        let start = Instant::now();
        let frozen = self.programme.freeze_batch(BATCH).await?;
        let took = start.elapsed();
        let commitment = frozen.commitment.ok_or("a frozen batch has a commitment")?;
        Ok((took, commitment.entrant_count.unsigned_abs()))
    }

    /// Draws, and makes participants of the winners; returns how long each took.
    pub(crate) async fn draw_and_award(&self) -> Result<(Duration, Duration), Fault> {
        self.programme
            .reveal_randomness(BATCH, &self.secrets)
            .await?;
        let start = Instant::now();
        self.programme.draw_batch(BATCH).await?;
        let drawn = start.elapsed();
        self.programme.award_batch(BATCH).await?;
        Ok((drawn, start.elapsed() - drawn))
    }

    /// Returns the batch's name.
    pub(crate) fn batch(&self) -> &'static str {
        BATCH
    }

    /// Ends everything; see [`end`].
    pub(crate) async fn end<T>(self, outcome: Result<T, Fault>) -> Result<T, Fault> {
        end(self.cluster, outcome).await
    }
}

/// Makes a batch, lets people apply for it, closes it.
async fn fill_batch(
    cluster: &Cluster,
    programme: &Programme,
    applications: u64,
    places: u64,
) -> Result<(Scheme, TrusteeSecrets), Fault> {
    let file = checkout().join("deploy/schemes/prakerja-2023.toml");
    let scheme = programme.import_scheme(&file).await?;
    let reserved = i64::try_from(places / RESERVED_SHARE)?;
    let plan = quota_plan(
        i64::try_from(places)?,
        reserved,
        &Regions::sample()?.regions,
    );
    let id = BATCH.trim_start_matches("batches/");
    programme.create_batch(id, &scheme, plan).await?;
    programme.open_batch(BATCH).await?;
    let seed = Seed::of(cluster).await?;
    seed.persons(cluster, 0..applications).await?;
    seed.applications(cluster, BATCH, 0..applications).await?;
    programme.close_batch(BATCH).await?;
    Ok((scheme, programme.commit_randomness(BATCH).await?))
}

/// Ends a cluster and shows what its services complained of; after a fault it is kept to be looked into.
pub(crate) async fn end<T>(cluster: Cluster, outcome: Result<T, Fault>) -> Result<T, Fault> {
    if outcome.is_err() {
        tell(&format!("the logs are in {}", cluster.folder().display()));
        cluster.abandon();
    } else {
        for complaint in cluster.discard().await {
            tell(&complaint);
        }
    }
    outcome
}
