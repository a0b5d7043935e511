//! Prices and discounts as a Skills Week's feed writes them: `Rp 20.000`, `Gratis`, `0`; `50%`, `97,5%`, `-`, nothing.
//!
//! What a feed's price means was read off a published feed of 266 courses: **it is the price after the discount**. The
//! flat price of the event, Rp 20.000, stands beside `96%`, `97,5%` and `98%` as well as beside no discount; `100%` stands
//! beside `Gratis` alone; and `70%` with 89.700, `75%` with 174.750, `50%` with 249.500 give back the shop prices
//! 299.000, 699.000 and 499.000, which discounting once more would not. So the price is what a buyer pays, and the public
//! price is what it was before the discount.

/// No course costs a trillion rupiah; what says so has lost a separator.
const PRICE_UNITS_MAX: i64 = 1_000_000_000_000;
const MINOR_PER_UNIT: i64 = 100;
/// A discount is counted in hundredths of a percent.
const WHOLE: i64 = 10_000;

/// A value that was read, and how, where that was not plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The amount in hundredths: of a rupiah, or of a percent.
    pub value: i64,
    /// How an unusual spelling was read.
    pub note: Option<&'static str>,
}

/// Why a price or discount cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    /// There is no price.
    #[error("is empty; expected is a price such as `Rp 20.000` or `Gratis`")]
    Missing,
    /// It is not a price.
    #[error("is not a price such as `Rp 20.000`, `Gratis` or `0`")]
    NotAPrice,
    /// It is larger than any course costs.
    #[error("is above Rp 1.000.000.000.000")]
    TooLarge,
    /// It is not a discount.
    #[error("is not a discount such as `50%`, `97,5%`, `0` or `-`")]
    NotADiscount,
}

/// The prices of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPrices {
    /// What a buyer pays, in hundredths of a rupiah.
    pub price_minor: i64,
    /// The price before the discount, in hundredths of a rupiah.
    pub public_price_minor: i64,
    /// How the price before the discount was found, where it is not exact.
    pub note: Option<&'static str>,
}

/// A price that contradicts its discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not free, although the discount is 100%")]
pub struct NotFree;

/// Reads a price in rupiah.
///
/// # Errors
/// When it is missing or not a price: nothing is guessed where money is damaged.
pub fn read_price(text: &str) -> Result<Reading, PriceFault> {
    let text = text.trim();
    if text.is_empty() || text == "-" {
        return Err(PriceFault::Missing);
    }
    if is_free_word(text) {
        return Ok(Reading {
            value: 0,
            note: None,
        });
    }
    let number = strip_currency(text);
    let (units, cents, note) = read_amount(number).ok_or(PriceFault::NotAPrice)?;
    let units: i64 = units.parse().map_err(|_| PriceFault::TooLarge)?;
    if units > PRICE_UNITS_MAX {
        return Err(PriceFault::TooLarge);
    }
    Ok(Reading {
        value: units * MINOR_PER_UNIT + cents,
        note,
    })
}

/// Reads a discount; nothing, `-` and `0` are none.
///
/// # Errors
/// When it is not a share between 0% and 100% with up to two decimals.
pub fn read_discount(text: &str) -> Result<i64, PriceFault> {
    let text = text.trim();
    if text.is_empty() || text == "-" || text == "0" {
        return Ok(0);
    }
    if is_free_word(text) {
        return Ok(WHOLE);
    }
    // Without its sign, 50 might be a percentage or an amount: not guessed.
    let number = text
        .strip_suffix('%')
        .ok_or(PriceFault::NotADiscount)?
        .trim_end();
    let (whole, decimals) = number.split_once([',', '.']).unwrap_or((number, "0"));
    let hundredths = match decimals.len() {
        1 => 10,
        2 => 1,
        _ => return Err(PriceFault::NotADiscount),
    };
    if !is_digits(whole) || whole.len() > 3 || !is_digits(decimals) {
        return Err(PriceFault::NotADiscount);
    }
    let parse = |digits: &str| digits.parse::<i64>().map_err(|_| PriceFault::NotADiscount);
    let discount = parse(whole)? * 100 + parse(decimals)? * hundredths;
    if discount > WHOLE {
        return Err(PriceFault::NotADiscount);
    }
    Ok(discount)
}

/// Finds the price before the discount. It is never below the price.
///
/// # Errors
/// When the discount is 100% and the price is not zero.
pub fn before_discount(price_minor: i64, discount: i64) -> Result<FeedPrices, NotFree> {
    let known = |public_price_minor, note| FeedPrices {
        price_minor,
        public_price_minor,
        note,
    };
    if discount == WHOLE {
        if price_minor != 0 {
            return Err(NotFree);
        }
        let note =
            "the price before the discount of 100% does not stand in the feed and was read as 0";
        return Ok(known(0, Some(note)));
    }
    if discount == 0 || price_minor == 0 {
        return Ok(known(price_minor, None));
    }
    let scaled = price_minor * WHOLE;
    let remaining = WHOLE - discount;
    // A shop price has no sen: the nearest whole rupiah, half up.
    let divisor = remaining * MINOR_PER_UNIT;
    let public_units = (scaled + divisor / 2) / divisor;
    let public_price_minor = (public_units * MINOR_PER_UNIT).max(price_minor);
    let note = (public_price_minor * remaining != scaled)
        .then_some("the price before the discount was computed and rounded to a rupiah");
    Ok(known(public_price_minor, note))
}

fn is_free_word(text: &str) -> bool {
    text.eq_ignore_ascii_case("gratis") || text.eq_ignore_ascii_case("free")
}

fn strip_currency(text: &str) -> &str {
    let starts = |sign: &str| {
        text.get(..sign.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(sign))
    };
    for sign in ["rp.", "rp", "idr"] {
        if starts(sign) {
            return text[sign.len()..].trim_start();
        }
    }
    text
}

/// Reads digits with separators: dots between thousands and a comma before sen, as written in Indonesia; a comma between
/// thousands is told apart by its three digits. Returns the digits of the whole, the sen, and how it was read.
fn read_amount(text: &str) -> Option<(String, i64, Option<&'static str>)> {
    // `20.000,-` is the usual mark of a whole amount.
    let text = text.strip_suffix(",-").unwrap_or(text);
    let (whole, cents) = match text.rsplit_once(',') {
        Some((whole, cents)) if cents.len() == 2 && is_digits(cents) => {
            (whole, cents.parse().ok()?)
        }
        Some(_) | None => (text, 0),
    };
    let separator = match (whole.contains('.'), whole.contains(',')) {
        (true, true) => return None,
        (false, false) => return is_digits(whole).then(|| (whole.to_owned(), cents, None)),
        (true, false) => '.',
        (false, true) => ',',
    };

    let mut groups = whole.split(separator);
    let first = groups.next()?;
    if !is_digits(first) || !groups.all(|group| group.len() == 3 && is_digits(group)) {
        return None;
    }
    let digits = whole.replace(separator, "");
    let note = if first.len() > 3 {
        Some("a separator of thousands is missing; the digits were read as they stand")
    } else if separator == ',' {
        Some("the comma was read as a separator of thousands")
    } else {
        None
    };
    Some((digits, cents, note))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;

    #[test]
    fn prices_are_read_as_they_are_published() {
        for (text, units) in [
            ("Rp 20.000", 20_000),
            ("Rp 1.000.000", 1_000_000),
            ("Rp20.000", 20_000),
            ("rp. 20.000", 20_000),
            ("IDR 20.000", 20_000),
            ("Rp 20.000,-", 20_000),
            ("Rp 20.000,00", 20_000),
            ("Rp 425000", 425_000),
            ("20000", 20_000),
            ("\u{a0}Rp\u{a0}20.000 ", 20_000),
            ("Gratis", 0),
            ("GRATIS", 0),
            ("0", 0),
            ("Rp 0", 0),
        ] {
            let expected = Reading {
                value: units * 100,
                note: None,
            };
            assert_eq!(read_price(text), Ok(expected), "{text}");
        }
        assert_eq!(read_price("Rp 20.000,50").unwrap().value, 2_000_050);
    }

    #[test]
    fn unusual_prices_are_read_with_a_note() {
        for (text, units) in [
            ("Rp20,000", 20_000),
            ("Rp 1250.000", 1_250_000),
            ("Rp 1,000,000", 1_000_000),
        ] {
            let reading = read_price(text).unwrap();

            assert_eq!(reading.value, units * 100, "{text}");
            assert!(reading.note.is_some(), "{text}");
        }
    }

    #[test]
    fn damaged_prices_are_refused() {
        for (text, fault) in [
            ("", PriceFault::Missing),
            (" ", PriceFault::Missing),
            ("-", PriceFault::Missing),
            ("Rp 2O.000", PriceFault::NotAPrice),
            ("Rp", PriceFault::NotAPrice),
            ("Rp -20.000", PriceFault::NotAPrice),
            ("-20000", PriceFault::NotAPrice),
            ("Rp 20.00", PriceFault::NotAPrice),
            ("Rp 20.0000", PriceFault::NotAPrice),
            ("Rp 20..000", PriceFault::NotAPrice),
            ("Rp .000", PriceFault::NotAPrice),
            ("Rp 1.000,000", PriceFault::NotAPrice),
            ("Rp 20.000 - Rp 50.000", PriceFault::NotAPrice),
            ("20 ribu", PriceFault::NotAPrice),
            ("$ 20", PriceFault::NotAPrice),
            ("٢٠", PriceFault::NotAPrice),
            ("Rp 1.000.000.000.001", PriceFault::TooLarge),
            ("99999999999999999999999", PriceFault::TooLarge),
        ] {
            assert_eq!(read_price(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn discounts_are_read_as_they_are_published() {
        for (text, hundredths) in [
            ("", 0),
            ("-", 0),
            ("0", 0),
            ("0%", 0),
            ("50%", 5_000),
            ("97,5%", 9_750),
            ("83,13%", 8_313),
            ("66.6%", 6_660),
            ("50 %", 5_000),
            ("100%", 10_000),
            ("GRATIS", 10_000),
        ] {
            assert_eq!(read_discount(text), Ok(hundredths), "{text}");
        }
        for text in [
            "50",
            "101%",
            "100,01%",
            "-5%",
            "%",
            "5O%",
            "1,234%",
            "5%%",
            "lima puluh",
            "0005%",
        ] {
            assert_eq!(read_discount(text), Err(PriceFault::NotADiscount), "{text}");
        }
    }

    #[test]
    fn the_price_before_the_discount_is_found() {
        for (price, discount, public_price, exact) in [
            (20_000, 0, 20_000, true),
            (89_700, 7_000, 299_000, true),
            (174_750, 7_500, 699_000, true),
            (249_500, 5_000, 499_000, true),
            (20_000, 9_750, 800_000, true),
            (42_000, 8_313, 248_963, false),
            (200_000, 6_660, 598_802, false),
            (0, 5_000, 0, true),
        ] {
            let prices = before_discount(price * 100, discount).unwrap();

            assert_eq!(
                prices.public_price_minor,
                public_price * 100,
                "{price} {discount}"
            );
            assert_eq!(prices.note.is_none(), exact, "{price} {discount}");
        }
    }

    #[test]
    fn a_whole_discount_leaves_nothing_to_pay() {
        let free = before_discount(0, 10_000).unwrap();

        assert_eq!((free.price_minor, free.public_price_minor), (0, 0));
        assert!(free.note.is_some());
        assert_eq!(before_discount(2_000_000, 10_000), Err(NotFree));
    }

    proptest! {
        #[test]
        fn the_price_is_never_above_the_price_before_the_discount(
            price in 0..=PRICE_UNITS_MAX * MINOR_PER_UNIT,
            discount in 0..WHOLE,
        ) {
            let prices = before_discount(price, discount).unwrap();

            assert!(prices.public_price_minor >= price);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = read_price(&text);
            let _ = read_discount(&text);
        }
    }
}
