//! Requests into the domain's values, with every violation at once. The way back is `rpc/answers.rs`.

use std::fmt::Display;

use chassis::{
    auth::Principal,
    idempotency::RequestKey,
    money::Money,
    names,
    paging::{self, PageRequest},
    status::{Refusal, Violations},
};
use prost_types::Timestamp;
use proto::catalog::v1 as pb;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::Refused;
use crate::domain::{
    course::{self, CourseContent, Mode, NewCourse, Prices, PricesFault, Search, Title},
    provider::DisplayName,
    run::{self, NewRun},
    seat_hold::{HoldKey, NewHold},
    text,
};

const CREATE_PROVIDER: &str = "/bekal.catalog.v1.ProviderService/CreateProvider";
const CREATE_COURSE: &str = "/bekal.catalog.v1.CourseService/CreateCourse";
const CREATE_RUN: &str = "/bekal.catalog.v1.RunService/CreateRun";

const QUERY_CHARS_MAX: usize = 200;

/// Reads the name of what is asked for; what is no name of the collection is nothing that exists.
pub(super) fn id(name: &str, collection: &str) -> Refused<Uuid> {
    names::parse_uuid(name, collection).ok_or_else(|| Refusal::not_found(name))
}

pub(super) fn create_provider(
    principal: &Principal,
    request: &pb::CreateProviderRequest,
) -> Refused<(RequestKey, DisplayName)> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        CREATE_PROVIDER,
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let provider = violations.require(request.provider.as_ref(), "provider", "is required");
    let name = provider.and_then(|provider| {
        let parsed = DisplayName::parse(&provider.display_name);
        checked("provider.display_name", parsed, &mut violations)
    });
    violations.finish(key.zip(name))
}

pub(super) fn create_course(
    principal: &Principal,
    request: &pb::CreateCourseRequest,
) -> Refused<(RequestKey, NewCourse)> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        CREATE_COURSE,
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let course = violations.require(request.course.as_ref(), "course", "is required");
    let new = course.and_then(|course| new_course(course, &mut violations));
    violations.finish(key.zip(new))
}

fn new_course(course: &pb::Course, violations: &mut Violations) -> Option<NewCourse> {
    let provider_id = reference("course.provider", &course.provider, "providers", violations);
    let title = checked("course.title", Title::parse(&course.title), violations);
    let category = checked(
        "course.category",
        course::parse_category(&course.category),
        violations,
    );
    let mode = violations.require(mode(course.mode).flatten(), "course.mode", "is required");
    let price = Money::from_proto("course.price", course.price.as_ref(), violations);
    let public_price = Money::from_proto(
        "course.public_price",
        course.public_price.as_ref(),
        violations,
    );
    let prices = price.zip(public_price).and_then(|(price, public_price)| {
        let fault = match Prices::new(price, public_price) {
            Ok(prices) => return Some(prices),
            Err(fault) => fault,
        };
        match fault {
            PricesFault::Negative => {
                violations.check(price.minor() >= 0, "course.price", fault.to_string());
                violations.check(
                    public_price.minor() >= 0,
                    "course.public_price",
                    fault.to_string(),
                );
            }
            PricesFault::Currency | PricesFault::AbovePublic => {
                violations.add("course.price", fault.to_string())
            }
        }
        None
    });
    let uri = checked("course.uri", course::parse_uri(&course.uri), violations);
    Some(NewCourse {
        provider_id: provider_id?,
        content: CourseContent {
            title: title?,
            category: category?,
            mode: mode?,
            prices: prices?,
            uri: uri?,
        },
    })
}

pub(super) fn list_courses(
    mut request: pb::ListCoursesRequest,
) -> Refused<(Option<Uuid>, PageRequest<Uuid>)> {
    let (size, token) = (
        std::mem::take(&mut request.page_size),
        std::mem::take(&mut request.page_token),
    );
    let provider_id = listed_of("provider", &request.provider, "providers", size)?;
    Ok((provider_id, PageRequest::parse(size, &token, &request)?))
}

pub(super) fn search_courses(
    mut request: pb::SearchCoursesRequest,
) -> Refused<(Search, PageRequest<(i64, Uuid)>)> {
    let (size, token) = (
        std::mem::take(&mut request.page_size),
        std::mem::take(&mut request.page_token),
    );
    let mut violations = Violations::new();
    let words = match request.query.trim() {
        "" => Some(String::new()),
        query => checked(
            "query",
            text::one_line(query, 1..=QUERY_CHARS_MAX),
            &mut violations,
        ),
    };
    let category_fits = !request.category.chars().any(char::is_control);
    violations.check(category_fits, "category", "holds control characters");
    let mode = violations.require(mode(request.mode), "mode", "is not a mode");
    paging::check_size(size, &mut violations);
    let search = words.zip(mode).map(|(words, mode)| Search {
        words,
        category: Some(request.category.clone()).filter(|category| !category.is_empty()),
        mode,
    });
    let search = violations.finish(search)?;
    Ok((search, PageRequest::parse(size, &token, &request)?))
}

pub(super) fn create_run(
    principal: &Principal,
    request: &pb::CreateRunRequest,
) -> Refused<(RequestKey, NewRun)> {
    let mut violations = Violations::new();
    let key = RequestKey::parse(
        CREATE_RUN,
        principal,
        request,
        &request.request_id,
        &mut violations,
    );
    let run = violations.require(request.run.as_ref(), "run", "is required");
    let new = run.and_then(|run| {
        let course_id = reference("run.course", &run.course, "courses", &mut violations);
        let seats_fit = run::SEAT_COUNT.contains(&run.seat_count);
        violations.check(
            seats_fit,
            "run.seat_count",
            "is not within 1 and 10,000,000",
        );
        let start_time = timestamp("run.start_time", run.start_time.as_ref(), &mut violations);
        let end_time = timestamp("run.end_time", run.end_time.as_ref(), &mut violations);
        if let Some((start_time, end_time)) = start_time.zip(end_time) {
            violations.check(
                start_time < end_time,
                "run.end_time",
                "is not after start_time",
            );
        }
        Some(NewRun {
            course_id: course_id?,
            seat_count: run.seat_count,
            start_time: start_time?,
            end_time: end_time?,
        })
    });
    violations.finish(key.zip(new))
}

pub(super) fn list_runs(
    mut request: pb::ListRunsRequest,
) -> Refused<(Option<Uuid>, PageRequest<Uuid>)> {
    let (size, token) = (
        std::mem::take(&mut request.page_size),
        std::mem::take(&mut request.page_token),
    );
    let course_id = listed_of("course", &request.course, "courses", size)?;
    Ok((course_id, PageRequest::parse(size, &token, &request)?))
}

pub(super) fn hold_seat(request: &pb::HoldSeatRequest) -> Refused<NewHold> {
    let mut violations = Violations::new();
    let key = hold_key(
        &request.name,
        &request.run,
        &request.account,
        &mut violations,
    );
    let expire_time = timestamp("expire_time", request.expire_time.as_ref(), &mut violations);
    violations.finish(
        key.zip(expire_time)
            .map(|(key, expire_time)| NewHold { key, expire_time }),
    )
}

pub(super) fn release_seat(request: &pb::ReleaseSeatRequest) -> Refused<HoldKey> {
    let mut violations = Violations::new();
    let key = hold_key(
        &request.name,
        &request.run,
        &request.account,
        &mut violations,
    );
    violations.finish(key)
}

fn hold_key(name: &str, run: &str, account: &str, violations: &mut Violations) -> Option<HoldKey> {
    let id = reference("name", name, "seatHolds", violations);
    let run_id = reference("run", run, "runs", violations);
    let account_id = reference("account", account, "accounts", violations);
    Some(HoldKey {
        id: id?,
        run_id: run_id?,
        account_id: account_id?,
    })
}

fn checked<T, E: Display>(
    field: &str,
    parsed: Result<T, E>,
    violations: &mut Violations,
) -> Option<T> {
    parsed
        .map_err(|fault| violations.add(field, fault.to_string()))
        .ok()
}

fn reference(
    field: &str,
    name: &str,
    collection: &str,
    violations: &mut Violations,
) -> Option<Uuid> {
    let parsed = names::parse_uuid(name, collection);
    violations.require(
        parsed,
        field,
        format!("is not a name such as {collection}/{{uuid}}"),
    )
}

/// Reads whose things a list shows, if anybody's, and checks the size of its page.
fn listed_of(field: &str, name: &str, collection: &str, size: i32) -> Refused<Option<Uuid>> {
    let mut violations = Violations::new();
    let parsed = match name {
        "" => Some(None),
        name => reference(field, name, collection, &mut violations).map(Some),
    };
    paging::check_size(size, &mut violations);
    violations.finish(parsed)
}

/// `None` when it is no mode, `Some(None)` when it is not given.
fn mode(mode: i32) -> Option<Option<Mode>> {
    Some(match pb::course::Mode::try_from(mode).ok()? {
        pb::course::Mode::Unspecified => None,
        pb::course::Mode::SelfPaced => Some(Mode::SelfPaced),
        pb::course::Mode::Webinar => Some(Mode::Webinar),
        pb::course::Mode::Offline => Some(Mode::Offline),
        pb::course::Mode::Blended => Some(Mode::Blended),
    })
}

/// Reads a time in microseconds, as it is stored.
fn timestamp(
    field: &str,
    given: Option<&Timestamp>,
    violations: &mut Violations,
) -> Option<OffsetDateTime> {
    let given = violations.require(given, field, "is required")?;
    let seconds = OffsetDateTime::from_unix_timestamp(given.seconds).ok();
    let parsed = seconds
        .filter(|_| (0..1_000_000_000).contains(&given.nanos))
        .map(|seconds| seconds + Duration::microseconds(i64::from(given.nanos / 1_000)));
    violations.require(parsed, field, "is not a time")
}
