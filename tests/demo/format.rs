//! Figures as a person reads them.

use std::time::Duration;

use proto::r#type::v1::Money;

/// Writes a number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes an amount with its currency.
pub(crate) fn amount(money: Option<&Money>) -> String {
    let Some(money) = money else {
        return "-".to_owned();
    };
    let sign = if money.units < 0 { "-" } else { "" };
    let units = grouped(money.units.unsigned_abs());
    format!("{} {sign}{units}", money.currency_code)
}

/// Writes a time in seconds, to a tenth.
pub(crate) fn seconds(took: Duration) -> String {
    let tenths = took.as_millis().div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// Returns how many a second that is.
pub(crate) fn rate(count: u64, took: Duration) -> u64 {
    let rate = u128::from(count) * 1_000 / took.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
