//! What it takes to finish a course: presence at the right time, and evidence that keeps the scheme's rule.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::scheme::CompletionRule;

/// How long before and after the run's start a code can be redeemed.
const REDEEM_MARGIN: Duration = Duration::hours(1);

/// What a provider attests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The sessions attended, in parts of a thousand.
    pub attendance_permille: i32,
    /// The score of the test before.
    pub pre_test_score: i32,
    /// The score of the test after.
    pub post_test_score: i32,
    /// Where the practical assignment is kept.
    pub practical_assignment_uri: String,
    /// When the trainer gave feedback on it.
    pub trainer_feedback_time: OffsetDateTime,
}

/// The record that a person finished a course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The id.
    pub id: Uuid,
    /// The number that can be printed and looked up.
    pub number: String,
    /// The purchase.
    pub purchase_id: Uuid,
    /// The participation.
    pub participation_id: Uuid,
    /// Whose.
    pub account_id: Uuid,
    /// The course.
    pub course_id: Uuid,
    /// The course's title.
    pub course_title: String,
    /// Whether it is the participation's first.
    pub first: bool,
    /// What it rests on.
    pub evidence: Evidence,
    /// When it was issued.
    pub issue_time: OffsetDateTime,
}

/// What the holder of a certificate says of the course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The certificate.
    pub certificate_id: Uuid,
    /// The course.
    pub course_id: Uuid,
    /// 1 to 5.
    pub stars: i32,
    /// The text.
    pub text: String,
    /// When it was given.
    pub create_time: OffsetDateTime,
}

/// A part of the evidence that is not enough: the field and why.
pub type Shortfall = (&'static str, String);

/// Returns the time in which a code can be redeemed, both ends included.
pub fn redeem_window(run_start_time: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
    (
        run_start_time - REDEEM_MARGIN,
        run_start_time + REDEEM_MARGIN,
    )
}

impl Evidence {
    /// Returns each part that does not keep the rule; empty when the course is finished.
    pub fn shortfalls(
        &self,
        rule: CompletionRule,
        run_start_time: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Vec<Shortfall> {
        let mut shortfalls = Vec::new();
        let mut check = |holds: bool, field: &'static str, text: String| {
            if !holds {
                shortfalls.push((field, text));
            }
        };
        let least = rule.attendance_permille_min;
        check(
            self.attendance_permille >= least,
            "evidence.attendance_permille",
            format!("is below {least}"),
        );
        let least = rule.post_test_score_min;
        check(
            self.post_test_score >= least,
            "evidence.post_test_score",
            format!("is below {least}"),
        );
        check(
            self.trainer_feedback_time >= run_start_time,
            "evidence.trainer_feedback_time",
            "is before the course began".to_owned(),
        );
        check(
            self.trainer_feedback_time <= now,
            "evidence.trainer_feedback_time",
            "is in the future".to_owned(),
        );
        shortfalls
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-12-01 02:00 UTC);
    const NOW: OffsetDateTime = datetime!(2026-12-05 02:00 UTC);
    const RULE: CompletionRule = CompletionRule {
        attendance_permille_min: 800,
        post_test_score_min: 60,
    };

    fn evidence() -> Evidence {
        Evidence {
            attendance_permille: 800,
            pre_test_score: 0,
            post_test_score: 60,
            practical_assignment_uri: "https://lp.example/work/1".to_owned(),
            trainer_feedback_time: datetime!(2026-12-03 02:00 UTC),
        }
    }

    #[test]
    fn evidence_at_the_limits_is_enough() {
        assert_eq!(evidence().shortfalls(RULE, START, NOW), []);
    }

    #[test]
    fn every_missing_part_is_told() {
        let poor = Evidence {
            attendance_permille: 799,
            post_test_score: 59,
            trainer_feedback_time: START - Duration::seconds(1),
            ..evidence()
        };
        let early = Evidence {
            trainer_feedback_time: NOW + Duration::seconds(1),
            ..evidence()
        };

        let fields = |evidence: Evidence| -> Vec<&str> {
            evidence
                .shortfalls(RULE, START, NOW)
                .into_iter()
                .map(|(field, _)| field)
                .collect()
        };
        assert_eq!(
            fields(poor),
            [
                "evidence.attendance_permille",
                "evidence.post_test_score",
                "evidence.trainer_feedback_time"
            ]
        );
        assert_eq!(fields(early), ["evidence.trainer_feedback_time"]);
    }

    #[test]
    fn the_window_is_an_hour_around_the_start() {
        let (from, until) = redeem_window(START);

        assert_eq!(from, datetime!(2026-12-01 01:00 UTC));
        assert_eq!(until, datetime!(2026-12-01 03:00 UTC));
    }
}
