//! What is open to everybody: a Skills Week's voucher, and jobs that fit.

use std::time::Duration;

use proto::{
    enrollment::v1::voucher::State,
    jobs::v1::{Recommendation, recommendation_reason::Kind},
};

use super::{Drawn, Graduate, Run};
use crate::Fault;

/// How many graduates are looked at for one whose course leads to an advert.
const GRADUATES_ASKED: usize = 50;

/// Jobs for one graduate.
#[derive(Debug)]
pub(crate) struct Recommended {
    pub(crate) course_title: String,
    pub(crate) recommendations: Vec<Recommendation>,
}

impl Run<'_> {
    /// Gives a voucher to somebody whom the batch refused for another reason than their age.
    pub(super) async fn visit_skills_week(&mut self, drawn: &Drawn) -> Result<String, Fault> {
        let today = self.cluster.now().await.date();
        let of_age = |(account, _): &&(String, String)| {
            let birth_date = self.cast.person_of(account).birth_date;
            (today - birth_date).whole_days() > 19 * 366
        };
        let refused = drawn.refused.iter().find(of_age);
        let Some((account, reason)) = refused else {
            return Ok("nobody of age was refused by the batch".to_owned());
        };
        let courses = self.programme.courses().await?;
        let course = courses.last().ok_or("no course")?;
        let now = self.cluster.now().await;
        let week = Duration::from_secs(7 * 86_400);
        let programme = &self.programme;
        let run = programme
            .create_run(&course.name, 100, now + week, now + 2 * week)
            .await?;
        // The clocks of the services differ by what it takes to move them.
        let start = now - Duration::from_secs(3_600);
        let campaign = programme
            .create_campaign("isw-2026", start, now + week)
            .await?;
        let voucher = programme
            .claim_voucher(&campaign, account, &run.name)
            .await?;
        if voucher.state() != State::Issued {
            return Err(format!("no voucher: {voucher:?}").into());
        }
        Ok(format!(
            "issued for \"{}\" to somebody whom the batch refused ({reason})",
            course.title
        ))
    }

    /// Recommends jobs to the first graduate whose course leads to one.
    pub(super) async fn recommend(
        &mut self,
        graduates: &[Graduate],
    ) -> Result<Option<Recommended>, Fault> {
        let Some(first) = graduates.first() else {
            return Ok(None);
        };
        let mut found = (first, Vec::new());
        for graduate in graduates.iter().take(GRADUATES_ASKED) {
            let person = self.cast.person_of(&graduate.account);
            let province = person.region_code.split('.').next().unwrap_or_default();
            let wishes = ["staff", "staf", "sales"];
            self.programme
                .update_interests(&graduate.account, &wishes, &[province])
                .await?;
            let recommendations = self.programme.recommendations(&graduate.account).await?;
            let by_course = recommendations.iter().any(taught);
            if by_course || found.1.is_empty() {
                found = (graduate, recommendations);
            }
            if by_course {
                break;
            }
        }
        let (graduate, recommendations) = found;
        Ok(Some(Recommended {
            course_title: graduate.certificate.course_title.clone(),
            recommendations,
        }))
    }
}

fn taught(recommendation: &Recommendation) -> bool {
    let mut reasons = recommendation.reasons.iter();
    reasons.any(|reason| reason.kind() == Kind::Certificate)
}
