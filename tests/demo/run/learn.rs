//! Participants buy, learn, prove it and review. Some never buy, some drop out, some say nothing.

use std::time::Duration;

use proto::{
    catalog::v1::{Course, Run as CourseRun},
    enrollment::v1::{Certificate, Participation, Purchase, Scheme},
};
use tests::{cluster::to_time, programme::evidence};
use tonic::Status;

use super::{Drawn, Run};
use crate::{Fault, stages::for_each};

/// From the award to the first session, and how long the course is.
const UNTIL_START: Duration = Duration::from_secs(3 * 86_400);
const COURSE: Duration = Duration::from_secs(6 * 3_600);

/// The most runs that are offered.
const RUNS_MAX: usize = 100;

/// Somebody who finished a course.
#[derive(Debug)]
pub(crate) struct Graduate {
    pub(crate) account: String,
    pub(crate) certificate: Certificate,
    /// Whether they rated and reviewed the course.
    pub(crate) reviewed: bool,
}

impl Run<'_> {
    pub(super) async fn learn(
        &mut self,
        scheme: &Scheme,
        drawn: &Drawn,
    ) -> Result<Vec<Graduate>, Fault> {
        let runs = self.offer(scheme, drawn.participations.len()).await?;
        let first = runs
            .first()
            .ok_or("no course can be paid with the balance")?;
        let purchases = self.buy(&drawn.participations, &runs).await?;
        let start = to_time(first.start_time.ok_or("a run has a start")?);
        self.cluster.advance_clock(start).await;
        self.redeem(&purchases).await?;
        self.cluster.advance_clock(start + COURSE).await;
        let certificates = self.certify(&purchases, start).await?;
        self.review(certificates).await
    }

    /// Makes a run of each course that the balance can pay, with half as many seats again as there are participants.
    async fn offer(
        &mut self,
        scheme: &Scheme,
        participants: usize,
    ) -> Result<Vec<CourseRun>, Fault> {
        let balance = scheme.training_balance.clone().unwrap_or_default().units;
        let affordable = |course: &Course| {
            let price = course.price.as_ref().map_or(0, |price| price.units);
            (0..=balance).contains(&price)
        };
        let courses = self.programme.courses().await?;
        let courses: Vec<Course> = courses
            .into_iter()
            .filter(affordable)
            .take(RUNS_MAX)
            .collect();
        let seats = i64::try_from((participants * 3 / 2).div_ceil(courses.len().max(1)))?;
        let start = self.cluster.now().await + UNTIL_START;
        let programme = &self.programme;
        self.stages
            .run(
                self.cluster.broker(),
                "offer runs",
                (courses.len() as u64, "runs"),
                async |bar| {
                    for_each(bar, &courses, async |course| {
                        programme
                            .create_run(&course.name, seats.max(1), start, start + COURSE)
                            .await
                    })
                    .await
                },
            )
            .await
    }

    async fn buy(
        &mut self,
        participations: &[Participation],
        runs: &[CourseRun],
    ) -> Result<Vec<(String, Purchase)>, Fault> {
        let (programme, cast) = (&self.programme, &self.cast);
        let buyers: Vec<_> = participations
            .iter()
            .filter(|participation| !cast.is_idle(&participation.account))
            .collect();
        self.stages
            .run(
                self.cluster.broker(),
                "buy",
                (buyers.len() as u64, "purchases"),
                async |bar| {
                    for_each(bar, buyers, async |buyer| {
                        let wishes = cast.wishes(&buyer.account, runs);
                        for run in wishes {
                            // As a front end does that shows what is still free; others may be faster all the same.
                            let now = programme.run(&run.name).await?;
                            if now.taken_seat_count >= now.seat_count {
                                continue;
                            }
                            let purchase = programme.buy(&buyer.name, &run.name).await?;
                            match purchase.failure_reason.as_str() {
                                "" => return Ok((buyer.account.clone(), purchase)),
                                "SEATS_TAKEN" => {}
                                other => return Err(Status::unknown(other.to_owned())),
                            }
                        }
                        Err(Status::unknown(format!("no seat for {}", buyer.name)))
                    })
                    .await
                },
            )
            .await
    }

    async fn redeem(&mut self, purchases: &[(String, Purchase)]) -> Result<(), Fault> {
        let programme = &self.programme;
        let count = purchases.len() as u64;
        self.stages
            .run(
                self.cluster.broker(),
                "redeem codes",
                (count, "codes"),
                async |bar| {
                    for_each(bar, purchases, async |(_, purchase)| {
                        programme.redeem(purchase).await.map(drop)
                    })
                    .await
                    .map(drop)
                },
            )
            .await
    }

    async fn certify(
        &mut self,
        purchases: &[(String, Purchase)],
        start: time::OffsetDateTime,
    ) -> Result<Vec<(String, Certificate)>, Fault> {
        let (programme, cast) = (&self.programme, &self.cast);
        let finishers: Vec<_> = purchases
            .iter()
            .filter(|(account, _)| !cast.drops_out(account))
            .collect();
        self.stages
            .run(
                self.cluster.broker(),
                "certify",
                (finishers.len() as u64, "certificates"),
                async |bar| {
                    for_each(bar, finishers, async |(account, purchase)| {
                        let proof = evidence(start + COURSE / 2);
                        let certificate = programme.complete(&purchase.name, proof).await?;
                        Ok((account.clone(), certificate))
                    })
                    .await
                },
            )
            .await
    }

    async fn review(
        &mut self,
        certificates: Vec<(String, Certificate)>,
    ) -> Result<Vec<Graduate>, Fault> {
        let (programme, cast) = (&self.programme, &self.cast);
        let mut graduates: Vec<_> = certificates
            .into_iter()
            .map(|(account, certificate)| Graduate {
                reviewed: !cast.is_silent(&account),
                account,
                certificate,
            })
            .collect();
        graduates.sort_by(|left, right| left.certificate.name.cmp(&right.certificate.name));
        let reviewers = graduates.iter().filter(|graduate| graduate.reviewed);
        let reviewers: Vec<_> = reviewers.collect();
        self.stages
            .run(
                self.cluster.broker(),
                "review",
                (reviewers.len() as u64, "reviews"),
                async |bar| {
                    for_each(bar, reviewers, async |graduate| {
                        let stars = cast.stars(&graduate.account);
                        let certificate = &graduate.certificate.name;
                        programme.review(certificate, stars).await.map(drop)
                    })
                    .await
                },
            )
            .await?;
        Ok(graduates)
    }
}
