//! What happened to public money in a fiscal year.

use chassis::money::Currency;
use time::{Date, Month, OffsetDateTime, UtcOffset, macros::offset};

/// Where the programme's days and years begin: western Indonesia, which knows no summer time.
pub const PROGRAMME_OFFSET: UtcOffset = offset!(+7);

/// A fiscal year: a calendar year of the programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiscalYear {
    /// Its number.
    pub number: i32,
    /// Its first moment.
    pub start: OffsetDateTime,
    /// The first moment of the next one.
    pub end: OffsetDateTime,
}

impl FiscalYear {
    /// Returns the year of this number; `None` when it is none that money is booked in.
    pub fn new(number: i32) -> Option<FiscalYear> {
        let first = |year| {
            let date = Date::from_calendar_date(year, Month::January, 1).ok()?;
            Some(date.midnight().assume_offset(PROGRAMME_OFFSET))
        };
        (1_900..9_999).contains(&number).then_some(())?;
        Some(FiscalYear {
            number,
            start: first(number)?,
            end: first(number + 1)?,
        })
    }
}

/// Balances of public money that has not reached a provider or a person, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublicMoney {
    /// In appropriations.
    pub unallotted: i64,
    /// In the batches.
    pub outstanding: i64,
    /// Back from the batches.
    pub returned: i64,
}

/// What moved in some time, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Set aside by the state.
    pub appropriated: i64,
    /// From appropriations to batches.
    pub allotted: i64,
    /// To providers, less what persons repaid of it.
    pub spent: i64,
    /// Arrived with persons, less what came back from them through the rail or was repaid.
    pub incentives: i64,
    /// Back to the treasury.
    pub returned: i64,
    /// From there to later batches.
    pub reallocated: i64,
}

impl Flows {
    /// Returns the balances that these flows alone lead to.
    pub fn balances(&self) -> PublicMoney {
        PublicMoney {
            unallotted: self.appropriated - self.allotted,
            outstanding: self.allotted + self.reallocated
                - self.spent
                - self.incentives
                - self.returned,
            returned: self.returned - self.reallocated,
        }
    }
}

impl PublicMoney {
    /// Returns the balances as they were before some flows.
    #[must_use]
    pub fn before(&self, flows: &Flows) -> PublicMoney {
        let change = flows.balances();
        PublicMoney {
            unallotted: self.unallotted - change.unallotted,
            outstanding: self.outstanding - change.outstanding,
            returned: self.returned - change.returned,
        }
    }
}

/// What is read of the ledger for a year's statement, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct YearReading {
    /// What moved before the year.
    pub before: Flows,
    /// What moved in the year.
    pub within: Flows,
    /// What moved after the year.
    pub after: Flows,
    /// The balances of the accounts now.
    pub now: PublicMoney,
}

/// The statement of a fiscal year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiscalYearStatement {
    /// The year.
    pub year: FiscalYear,
    /// The currency.
    pub currency: Currency,
    /// The balances at its beginning, from the transfers before.
    pub opening: PublicMoney,
    /// What moved in it.
    pub flows: Flows,
    /// The balances at its end, from the accounts.
    pub closing: PublicMoney,
}

impl FiscalYearStatement {
    /// Makes the statement. Its two ends come from different sides, so that it closes only when the ledger is sound.
    pub fn new(year: FiscalYear, currency: Currency, reading: &YearReading) -> FiscalYearStatement {
        FiscalYearStatement {
            year,
            currency,
            opening: reading.before.balances(),
            flows: reading.within,
            closing: reading.now.before(&reading.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_year_begins_and_ends_at_midnight_in_western_indonesia() {
        let year = FiscalYear::new(2020).unwrap();

        assert_eq!(year.start, datetime!(2019-12-31 17:00 UTC));
        assert_eq!(year.end, datetime!(2020-12-31 17:00 UTC));
        assert_eq!(FiscalYear::new(2021).unwrap().start, year.end);
        for wrong in [i32::MIN, 0, 9_999, i32::MAX] {
            assert_eq!(FiscalYear::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_statement_of_a_sound_ledger_closes_and_the_next_one_opens_with_its_end() {
        let flows = |of: i64| Flows {
            appropriated: 100 * of,
            allotted: 70 * of,
            spent: 20 * of,
            incentives: 5 * of,
            returned: 30 * of,
            reallocated: 10 * of,
        };
        let currency = Currency::from_code("IDR").unwrap();
        let now = flows(6).balances();
        let statement = |number, before, within, after| {
            let reading = YearReading {
                before: flows(before),
                within: flows(within),
                after: flows(after),
                now,
            };
            FiscalYearStatement::new(FiscalYear::new(number).unwrap(), currency, &reading)
        };

        let (first, second) = (statement(2020, 1, 2, 3), statement(2021, 3, 3, 0));

        assert_eq!(first.closing.before(&first.flows), first.opening);
        assert_eq!(first.closing, second.opening);
        assert_eq!(second.closing, now);
    }
}
