//! Money: integer minor units and a currency, with checked arithmetic. No floating point comes near it.

use std::fmt;

use proto::r#type::v1 as pb;

use crate::status::Violations;

/// Billionths in a unit, the fraction of `bekal.type.v1.Money`.
const NANOS_PER_UNIT: i64 = 1_000_000_000;

/// A currency of ISO 4217 that has a minor unit (also one of the size of the unit itself, such as JPY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency {
    iso: iso_currency::Currency,
    minor_per_unit: i64,
}

impl Currency {
    /// Finds a currency by its three upper-case letters.
    pub fn from_code(code: &str) -> Option<Currency> {
        let iso = iso_currency::Currency::from_code(code)?;
        // Gold, bond market units and the like have no minor unit and are no money to pay with.
        let exponent = u32::from(iso.exponent()?);
        let minor_per_unit = 10_i64.checked_pow(exponent)?;
        (minor_per_unit <= NANOS_PER_UNIT).then_some(Currency {
            iso,
            minor_per_unit,
        })
    }

    /// Returns the three letters.
    pub fn code(self) -> &'static str {
        self.iso.code()
    }

    /// Returns how many minor units make a unit, such as 100 sen a rupiah.
    pub fn minor_per_unit(self) -> i64 {
        self.minor_per_unit
    }
}

/// An amount in minor units of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Arithmetic that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The amounts are of different currencies.
    #[error("amounts of different currencies")]
    CurrencyMismatch,
    /// The result does not fit.
    #[error("an amount is too large")]
    Overflow,
}

impl Money {
    /// Makes an amount.
    pub fn new(minor: i64, currency: Currency) -> Money {
        Money { minor, currency }
    }

    /// Makes an amount from a stored pair; `None` when the currency is not one.
    pub fn from_stored(minor: i64, currency: &str) -> Option<Money> {
        Currency::from_code(currency).map(|currency| Money { minor, currency })
    }

    /// Returns the amount in minor units.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// Returns the currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Adds.
    ///
    /// # Errors
    /// When the currencies differ or the sum does not fit.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// Subtracts.
    ///
    /// # Errors
    /// When the currencies differ or the difference does not fit.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// Multiplies by a count.
    ///
    /// # Errors
    /// When the product does not fit.
    pub fn checked_mul(self, count: i64) -> Result<Money, MoneyError> {
        let minor = self.minor.checked_mul(count).ok_or(MoneyError::Overflow)?;
        Ok(Money { minor, ..self })
    }

    fn combine(
        self,
        other: Money,
        operation: fn(i64, i64) -> Option<i64>,
    ) -> Result<Money, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch);
        }
        let minor = operation(self.minor, other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Money { minor, ..self })
    }

    /// Reads a message's field, or adds what is wrong with it to the violations.
    pub fn from_proto(
        field: &str,
        money: Option<&pb::Money>,
        violations: &mut Violations,
    ) -> Option<Money> {
        let money = violations.require(money, field, "is required")?;
        let parsed = Money::parse(money);
        parsed
            .map_err(|(part, why)| violations.add(format!("{field}.{part}"), why))
            .ok()
    }

    fn parse(money: &pb::Money) -> Result<Money, (&'static str, &'static str)> {
        let currency = Currency::from_code(&money.currency_code)
            .ok_or(("currency_code", "is not a currency of ISO 4217"))?;
        let nanos = i64::from(money.nanos);
        if nanos.abs() >= NANOS_PER_UNIT {
            return Err(("nanos", "is not within -999,999,999 and +999,999,999"));
        }
        if money.units.signum() * nanos.signum() < 0 {
            return Err(("nanos", "has another sign than units"));
        }
        let nanos_per_minor = NANOS_PER_UNIT / currency.minor_per_unit;
        if nanos % nanos_per_minor != 0 {
            return Err(("nanos", "is finer than the minor unit of the currency"));
        }
        let minor = money
            .units
            .checked_mul(currency.minor_per_unit)
            .and_then(|minor| minor.checked_add(nanos / nanos_per_minor))
            .ok_or(("units", "is too large"))?;
        Ok(Money { minor, currency })
    }

    /// Writes the amount as a message.
    pub fn to_proto(self) -> pb::Money {
        let per_unit = self.currency.minor_per_unit;
        let nanos = self.minor % per_unit * (NANOS_PER_UNIT / per_unit);
        pb::Money {
            currency_code: self.currency.code().to_owned(),
            units: self.minor / per_unit,
            nanos: i32::try_from(nanos).expect("a remainder is below one unit"),
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_unit = self.currency.minor_per_unit.unsigned_abs();
        let minor = self.minor.unsigned_abs();
        let sign = if self.minor < 0 { "-" } else { "" };
        write!(f, "{} {sign}{}", self.currency.code(), minor / per_unit)?;
        if per_unit > 1 {
            let width = usize::try_from(per_unit.ilog10()).unwrap_or_default();
            write!(f, ".{:0width$}", minor % per_unit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn money(code: &str, units: i64, nanos: i32) -> pb::Money {
        pb::Money {
            currency_code: code.to_owned(),
            units,
            nanos,
        }
    }

    fn read(message: &pb::Money) -> Result<Money, String> {
        let mut violations = Violations::new();
        Money::from_proto("price", Some(message), &mut violations)
            .ok_or_else(|| violations.to_string())
    }

    #[test]
    fn a_message_is_read_in_the_minor_unit_of_its_currency() {
        for (message, minor, text) in [
            (money("IDR", 3_500_000, 0), 350_000_000, "IDR 3500000.00"),
            (money("USD", 12, 340_000_000), 1234, "USD 12.34"),
            (money("USD", 0, -50_000_000), -5, "USD -0.05"),
            (money("JPY", 700, 0), 700, "JPY 700"),
            (money("TND", 1, 5_000_000), 1005, "TND 1.005"),
        ] {
            let amount = read(&message).unwrap();

            assert_eq!(amount.minor(), minor);
            assert_eq!(amount.to_string(), text);
            assert_eq!(amount.to_proto(), message);
        }
    }

    #[test]
    fn a_message_that_is_no_amount_is_refused_with_its_field() {
        for (message, expected) in [
            (money("idr", 1, 0), "price.currency_code: is not a currency"),
            (money("XAU", 1, 0), "price.currency_code: is not a currency"),
            (money("IDR", 1, 5_000_000), "price.nanos: is finer"),
            (money("JPY", 1, 500_000_000), "price.nanos: is finer"),
            (
                money("USD", 1, -10_000_000),
                "price.nanos: has another sign",
            ),
            (money("USD", 0, 1_000_000_000), "price.nanos: is not within"),
            (money("USD", 0, i32::MIN), "price.nanos: is not within"),
            (money("USD", i64::MAX, 0), "price.units: is too large"),
        ] {
            let refusal = read(&message).unwrap_err();

            assert!(refusal.starts_with(expected), "{message:?}: {refusal}");
        }
    }

    #[test]
    fn arithmetic_is_checked() {
        let rupiah = Money::from_stored(100, "IDR").unwrap();
        let dollars = Money::from_stored(100, "USD").unwrap();
        let huge = Money::from_stored(i64::MAX, "IDR").unwrap();

        assert_eq!(rupiah.checked_add(rupiah).map(Money::minor), Ok(200));
        assert_eq!(
            rupiah.checked_sub(huge).map(Money::minor),
            Ok(100 - i64::MAX)
        );
        assert_eq!(rupiah.checked_mul(3).map(Money::minor), Ok(300));
        assert_eq!(
            rupiah.checked_add(dollars),
            Err(MoneyError::CurrencyMismatch)
        );
        assert_eq!(huge.checked_add(rupiah), Err(MoneyError::Overflow));
        assert_eq!(huge.checked_mul(2), Err(MoneyError::Overflow));
    }

    proptest! {
        #[test]
        fn every_amount_survives_the_wire(minor in any::<i64>(), currency in 0..4_usize) {
            let code = ["IDR", "JPY", "USD", "BHD"][currency];
            let amount = Money::from_stored(minor, code).unwrap();

            assert_eq!(read(&amount.to_proto()), Ok(amount));
        }
    }
}
