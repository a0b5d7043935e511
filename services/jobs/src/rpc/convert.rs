//! The contract's messages ⇄ the domain.

use std::fmt::Display;

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    money::{Currency, Money},
    names,
    paging::{self, PageRequest},
    status::{Refusal, Violations},
};
use prost_types::Timestamp;
use proto::{
    jobs::v1::{self as pb, recommendation_reason},
    r#type::v1::{ImportRowResult, ImportViolation, import_row_result},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Refused;
use crate::{
    app::{
        recommendations::Fit,
        vacancies::{SearchCursor, VacancyFilter},
    },
    domain::{
        import::{Finding, RowResult, RowState},
        interests::{self, Interests},
        recommendation::{Kind, Reason},
        region::{Region, RegionCode},
        vacancy::{SALARY_CURRENCY, Vacancy},
    },
};

const QUERY_CHARS_MAX: usize = 200;
const RECOMMENDATIONS_DEFAULT: usize = 10;
const RECOMMENDATIONS_MAX: usize = 100;
const NOT_A_CODE: &str = "is not a dotted code such as 32 or 32.73";

// === in ===

/// Reads `vacancies/{uuid}`; what is not one names nothing.
pub(super) fn vacancy_id(name: &str) -> Refused<Uuid> {
    names::parse_uuid(name, "vacancies").ok_or_else(|| {
        let mut violations = Violations::new();
        violations.add("name", "is not vacancies/{uuid}");
        Refusal::invalid(violations)
    })
}

pub(super) fn search(
    request: pb::SearchVacanciesRequest,
) -> Refused<(VacancyFilter, PageRequest<SearchCursor>)> {
    let mut violations = Violations::new();
    let words = request.query.trim();
    let words_fit = words.chars().count() <= QUERY_CHARS_MAX && !words.contains('\0');
    violations.check(words_fit, "query", "is not a text of up to 200 characters");
    let region = RegionCode::parse(&request.region);
    violations.check(
        region.is_some() || request.region.is_empty(),
        "region",
        NOT_A_CODE,
    );
    paging::check_size(request.page_size, &mut violations);
    violations.into_result()?;

    let filter = pb::SearchVacanciesRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    let page = PageRequest::parse(request.page_size, &request.page_token, &filter)?;
    let words = words.to_owned();
    Ok((VacancyFilter { words, region }, page))
}

pub(super) fn list_regions(request: pb::ListRegionsRequest) -> Refused<PageRequest<String>> {
    PageRequest::parse(
        request.page_size,
        &request.page_token,
        &pb::ListRegionsRequest::default(),
    )
}

pub(super) fn recommend(request: &pb::RecommendVacanciesRequest) -> Refused<(Uuid, usize)> {
    let mut violations = Violations::new();
    let account_id = account_id(&request.account, &mut violations);
    let count = violations.require(
        usize::try_from(request.page_size).ok(),
        "page_size",
        "is negative",
    );
    let (account_id, count) = violations.finish(account_id.zip(count))?;
    let count = match count {
        0 => RECOMMENDATIONS_DEFAULT,
        asked => asked.min(RECOMMENDATIONS_MAX),
    };
    Ok((account_id, count))
}

fn account_id(name: &str, violations: &mut Violations) -> Option<Uuid> {
    violations.require(
        names::parse_uuid(name, "accounts"),
        "account",
        "is not accounts/{uuid}",
    )
}

/// A request of `UpdateInterests`, read.
pub(super) struct UpdateInterests {
    pub(super) key: RequestKey,
    pub(super) account_id: Uuid,
    pub(super) interests: Interests,
}

impl UpdateInterests {
    pub(super) fn parse(
        principal: &Principal,
        request: &pb::UpdateInterestsRequest,
    ) -> Refused<UpdateInterests> {
        const METHOD: &str = "/bekal.jobs.v1.VacancyService/UpdateInterests";
        let mut violations = Violations::new();
        let key = RequestKey::parse(
            METHOD,
            principal,
            request,
            &request.request_id,
            &mut violations,
        );
        let account_id = account_id(&request.account, &mut violations);
        let given = violations.require(request.interests.as_ref(), "interests", "is required");
        let interests = given.map(|given| read_interests(given, &mut violations));
        let parsed = match (key, account_id, interests) {
            (Some(key), Some(account_id), Some(interests)) => Some(UpdateInterests {
                key,
                account_id,
                interests,
            }),
            (_, _, _) => None,
        };
        violations.finish(parsed)
    }
}

fn read_interests(given: &pb::Interests, violations: &mut Violations) -> Interests {
    let mut interests = Interests::default();
    for (field, count) in [
        ("keywords", given.keywords.len()),
        ("regions", given.regions.len()),
    ] {
        violations.check(
            count <= interests::COUNT_MAX,
            format!("interests.{field}"),
            "are more than 20",
        );
    }
    // What is beyond the limit is refused already and not looked at.
    for (i, text) in given.keywords.iter().take(interests::COUNT_MAX).enumerate() {
        match interests::keyword(text) {
            Ok(keyword) => interests.add_keyword(keyword),
            Err(why) => violations.add(format!("interests.keywords[{i}]"), why),
        }
    }
    for (i, text) in given.regions.iter().take(interests::COUNT_MAX).enumerate() {
        match RegionCode::parse(text) {
            Some(code) => interests.add_region(code),
            None => violations.add(format!("interests.regions[{i}]"), NOT_A_CODE),
        }
    }
    interests
}

// === out ===

pub(super) fn vacancy(vacancy: Vacancy) -> pb::Vacancy {
    let currency = Currency::from_code(SALARY_CURRENCY);
    pb::Vacancy {
        name: names::format("vacancies", vacancy.id),
        advert_count: vacancy.advert_count(),
        portal: vacancy.portal,
        title: vacancy.content.title,
        company: vacancy.content.company,
        location: vacancy.content.location,
        region: vacancy
            .region
            .map(|code| code.to_string())
            .unwrap_or_default(),
        monthly_salary: vacancy
            .content
            .salary_minor
            .zip(currency)
            .map(|(minor, currency)| Money::new(minor, currency).to_proto()),
        expire_time: vacancy.expire_time.map(timestamp),
        create_time: Some(timestamp(vacancy.create_time)),
    }
}

pub(super) fn region(region: Region) -> pb::Region {
    pb::Region {
        code: region.code.to_string(),
        display_name: region.display_name,
    }
}

pub(super) fn interests(
    account_id: Uuid,
    interests: &Interests,
    update_time: OffsetDateTime,
) -> pb::Interests {
    pb::Interests {
        name: format!("{}/interests", names::format("accounts", account_id)),
        keywords: interests.keywords.clone(),
        regions: interests
            .regions
            .iter()
            .map(RegionCode::to_string)
            .collect(),
        update_time: Some(timestamp(update_time)),
    }
}

pub(super) fn recommendation(fit: Fit) -> pb::Recommendation {
    pb::Recommendation {
        vacancy: Some(vacancy(fit.vacancy)),
        score: fit.score,
        reasons: fit.reasons.into_iter().map(reason).collect(),
    }
}

fn reason(reason: Reason) -> pb::RecommendationReason {
    let kind = match reason.kind {
        Kind::Certificate => recommendation_reason::Kind::Certificate,
        Kind::Keyword => recommendation_reason::Kind::Keyword,
        Kind::Region => recommendation_reason::Kind::Region,
    };
    pb::RecommendationReason {
        kind: kind.into(),
        matched: reason.matched,
        course_title: reason.course_title,
        weight: reason.weight,
    }
}

/// Writes the answer to a row; `collection` is that of the resource.
pub(super) fn row_result<I: Display>(result: RowResult<I>, collection: &str) -> ImportRowResult {
    let state = match result.state {
        RowState::Created => import_row_result::State::Created,
        RowState::Updated => import_row_result::State::Updated,
        RowState::Unchanged => import_row_result::State::Unchanged,
        RowState::Duplicate => import_row_result::State::Duplicate,
        RowState::Refused => import_row_result::State::Refused,
    };
    ImportRowResult {
        row_number: result.row_number,
        state: state.into(),
        name: result
            .id
            .map(|id| names::format(collection, id))
            .unwrap_or_default(),
        violations: result.violations.into_iter().map(finding).collect(),
        warnings: result.warnings.into_iter().map(finding).collect(),
    }
}

fn finding(finding: Finding) -> ImportViolation {
    ImportViolation {
        column: finding.column.to_owned(),
        description: finding.description,
    }
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or(0),
    }
}
