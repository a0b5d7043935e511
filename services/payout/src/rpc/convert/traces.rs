//! Traces and statements: requests in, answers out.

use chassis::{
    money::{Currency, Money},
    names,
    status::{Refusal, Violations},
};
use proto::payout::v1 as pb;

use super::answers::{timestamp, transfer_kind};
use crate::{
    domain::{
        fiscal_year::{FiscalYear, FiscalYearStatement, PublicMoney},
        trace::{ParticipationTrace, RegionTrace},
    },
    storage::traces::MovementRow,
};

pub(in crate::rpc) fn get_fiscal_year_statement(
    request: &pb::GetFiscalYearStatementRequest,
) -> Result<(FiscalYear, Currency), Refusal> {
    let mut violations = Violations::new();
    let year = violations.require(
        FiscalYear::new(request.fiscal_year),
        "fiscal_year",
        "is not a year",
    );
    let currency = violations.require(
        Currency::from_code(&request.currency_code),
        "currency_code",
        "is not a currency of ISO 4217",
    );
    violations.finish(year.zip(currency))
}

/// Tells of a region, or only that it is withheld.
pub(in crate::rpc) fn region_fund_trace(
    trace: RegionTrace,
    is_withheld: bool,
    currency: Currency,
) -> pb::RegionFundTrace {
    if is_withheld {
        return pb::RegionFundTrace {
            region: trace.region,
            suppressed: true,
            ..Default::default()
        };
    }
    let money = |minor| Some(Money::new(minor, currency).to_proto());
    pb::RegionFundTrace {
        region: trace.region,
        suppressed: false,
        allotted: money(trace.sums.allotted),
        spent: money(trace.sums.spent),
        incentives: money(trace.sums.incentives),
        returned: money(trace.sums.returned),
        outstanding: money(trace.sums.outstanding),
        funded_count: trace.funded_count,
        returned_count: trace.returned_count,
        paid_count: trace.paid_count,
    }
}

pub(in crate::rpc) fn participation_fund_trace(
    trace: ParticipationTrace,
    movements: Vec<MovementRow>,
    next_page_token: String,
) -> pb::ParticipationFundTrace {
    let money = |minor| Some(Money::new(minor, trace.currency).to_proto());
    pb::ParticipationFundTrace {
        participation: names::format("participations", trace.participation_id),
        batch: trace.batch,
        allotted: money(trace.sums.allotted),
        spent: money(trace.sums.spent),
        incentives: money(trace.sums.incentives),
        returned: money(trace.sums.returned),
        outstanding: money(trace.sums.outstanding),
        movements: movements.into_iter().map(pb::FundMovement::from).collect(),
        next_page_token,
    }
}

impl From<MovementRow> for pb::FundMovement {
    fn from(row: MovementRow) -> pb::FundMovement {
        pb::FundMovement {
            transfer: names::format("transfers", row.booked.id.0),
            create_time: Some(timestamp(row.booked.create_time)),
            amount: Some(row.booked.leg.amount.to_proto()),
            kind: transfer_kind(row.booked.kind).into(),
            code: row.booked.code.name().into_owned(),
            source_kind: row.source.as_str().to_owned(),
            target_kind: row.target.as_str().to_owned(),
        }
    }
}

impl From<FiscalYearStatement> for pb::FiscalYearStatement {
    fn from(statement: FiscalYearStatement) -> pb::FiscalYearStatement {
        let money = |minor| Some(Money::new(minor, statement.currency).to_proto());
        let balances = |of: PublicMoney| {
            Some(pb::PublicMoney {
                unallotted: money(of.unallotted),
                outstanding: money(of.outstanding),
                returned: money(of.returned),
            })
        };
        pb::FiscalYearStatement {
            fiscal_year: statement.year.number,
            start_time: Some(timestamp(statement.year.start)),
            end_time: Some(timestamp(statement.year.end)),
            opening: balances(statement.opening),
            appropriated: money(statement.flows.appropriated),
            allotted: money(statement.flows.allotted),
            spent: money(statement.flows.spent),
            incentives: money(statement.flows.incentives),
            returned: money(statement.flows.returned),
            reallocated: money(statement.flows.reallocated),
            closing: balances(statement.closing),
        }
    }
}
