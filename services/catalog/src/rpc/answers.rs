//! The domain's values into answers.

use chassis::names;
use prost_types::Timestamp;
use proto::{
    catalog::v1 as pb,
    r#type::v1::{ImportRowResult, ImportViolation, import_row_result},
};
use time::OffsetDateTime;

use crate::{
    app::seat_holds::HeldSeat,
    domain::{
        course::{Course, CourseState, Mode},
        import::{Finding, RowResult, RowState},
        provider::Provider,
        run::Run,
        seat_hold::HoldState,
    },
};

pub(super) fn provider(provider: Provider) -> pb::Provider {
    pb::Provider {
        name: names::format("providers", provider.id),
        display_name: provider.display_name,
        create_time: time_of(provider.create_time),
    }
}

pub(super) fn course(course: Course) -> pb::Course {
    let content = course.content;
    let mode = match content.mode {
        Mode::SelfPaced => pb::course::Mode::SelfPaced,
        Mode::Webinar => pb::course::Mode::Webinar,
        Mode::Offline => pb::course::Mode::Offline,
        Mode::Blended => pb::course::Mode::Blended,
    };
    let state = match course.state {
        CourseState::Draft => pb::course::State::Draft,
        CourseState::Published => pb::course::State::Published,
        CourseState::Retired => pb::course::State::Retired,
    };
    pb::Course {
        name: names::format("courses", course.id),
        provider: names::format("providers", course.provider_id),
        title: content.title.as_str().to_owned(),
        category: content.category,
        mode: mode.into(),
        price: Some(content.prices.price().to_proto()),
        public_price: Some(content.prices.public_price().to_proto()),
        uri: content.uri,
        state: state.into(),
        rating_count: course.rating_count,
        rating_sum: course.rating_sum,
        create_time: time_of(course.create_time),
        update_time: time_of(course.update_time),
    }
}

pub(super) fn run(run: Run) -> pb::Run {
    pb::Run {
        name: names::format("runs", run.id),
        course: names::format("courses", run.course_id),
        seat_count: run.seat_count,
        taken_seat_count: run.taken_seat_count,
        start_time: time_of(run.start_time),
        end_time: time_of(run.end_time),
        provider: names::format("providers", run.provider_id),
        price: Some(run.price.to_proto()),
        create_time: time_of(run.create_time),
    }
}

pub(super) fn seat_hold(held: HeldSeat) -> pb::SeatHold {
    let HeldSeat { hold, state, run } = held;
    let state = match state {
        HoldState::Held => pb::seat_hold::State::Held,
        HoldState::Confirmed => pb::seat_hold::State::Confirmed,
        HoldState::Released => pb::seat_hold::State::Released,
        HoldState::Expired => pb::seat_hold::State::Expired,
    };
    pb::SeatHold {
        name: names::format("seatHolds", hold.id),
        run: names::format("runs", hold.run_id),
        account: names::format("accounts", hold.account_id),
        state: state.into(),
        expire_time: time_of(hold.expire_time),
        price: Some(run.price.to_proto()),
        course: names::format("courses", run.course_id),
        provider: names::format("providers", run.provider_id),
        course_title: run.course_title,
        course_category: run.course_category,
        run_start_time: time_of(run.start_time),
        run_end_time: time_of(run.end_time),
    }
}

pub(super) fn row_result(result: RowResult) -> ImportRowResult {
    let state = match result.state {
        RowState::Created => import_row_result::State::Created,
        RowState::Updated => import_row_result::State::Updated,
        RowState::Unchanged => import_row_result::State::Unchanged,
        RowState::Duplicate => import_row_result::State::Duplicate,
        RowState::Refused => import_row_result::State::Refused,
    };
    let findings = |findings: Vec<Finding>| findings.into_iter().map(violation).collect();
    ImportRowResult {
        row_number: result.row_number,
        state: state.into(),
        name: result
            .course_id
            .map(|id| names::format("courses", id))
            .unwrap_or_default(),
        violations: findings(result.violations),
        warnings: findings(result.warnings),
    }
}

fn violation(finding: Finding) -> ImportViolation {
    ImportViolation {
        column: finding.column.to_owned(),
        description: finding.description,
    }
}

fn time_of(time: OffsetDateTime) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond())
            .expect("a second has fewer nanoseconds than an i32"),
    })
}
