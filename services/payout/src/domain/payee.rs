//! Where persons are paid: the channels, account numbers, and why an account is not linked.

use std::fmt;

use time::{Date, OffsetDateTime, UtcOffset, macros::offset};
use uuid::Uuid;

/// The longest number that the rail takes.
const NUMBER_DIGITS_MAX: usize = 34;
const NUMBER_DIGITS_MIN: usize = 5;
/// The longest phone number of E.164, without its `+`.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// How many digits of a number are shown.
const SUFFIX_DIGITS: usize = 3;

/// A way to be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The code that callers use.
    pub code: &'static str,
    /// The code under which the rail routes to it.
    pub bank_code: &'static str,
    /// What its numbers are.
    pub numbers: Numbers,
    /// What one account of it may get; none is told for banks.
    pub limits: Option<Limits>,
}

/// What one account may get, by law.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At once, in minor units: an empty wallet holds no more.
    pub payment_max_minor: i64,
    /// In a calendar month, in minor units.
    pub month_max_minor: i64,
}

/// A calendar month where the channels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// Its first moment.
    pub start: OffsetDateTime,
    /// The first moment of the next one.
    pub end: OffsetDateTime,
}

/// What the numbers of a channel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Account numbers of a bank.
    Accounts,
    /// Phone numbers; a leading 0 stands for this country calling code.
    Phones {
        /// Such as `62`.
        calling_code: &'static str,
    },
}

const PHONES: Numbers = Numbers::Phones { calling_code: "62" };

/// Of wallets whose holder is known, since July 2022: 20 million rupiah in balance, 40 million a month coming in.
const WALLET: Option<Limits> = Some(Limits {
    payment_max_minor: 2_000_000_000,
    month_max_minor: 4_000_000_000,
});

/// The channels' local time.
const OFFSET: UtcOffset = offset!(+7);

/// Returns the day of a time where the channels are.
pub fn local_date(time: OffsetDateTime) -> Date {
    time.to_offset(OFFSET).date()
}

/// Every channel.
pub const CHANNELS: &[Channel] = &[
    Channel {
        code: "BNI",
        bank_code: "009",
        numbers: Numbers::Accounts,
        limits: None,
    },
    Channel {
        code: "BCA",
        bank_code: "014",
        numbers: Numbers::Accounts,
        limits: None,
    },
    Channel {
        code: "BRI",
        bank_code: "002",
        numbers: Numbers::Accounts,
        limits: None,
    },
    Channel {
        code: "MANDIRI",
        bank_code: "008",
        numbers: Numbers::Accounts,
        limits: None,
    },
    Channel {
        code: "DANA",
        bank_code: "DANA",
        numbers: PHONES,
        limits: WALLET,
    },
    Channel {
        code: "GOPAY",
        bank_code: "GOPAY",
        numbers: PHONES,
        limits: WALLET,
    },
    Channel {
        code: "LINKAJA",
        bank_code: "LINKAJA",
        numbers: PHONES,
        limits: WALLET,
    },
    Channel {
        code: "OVO",
        bank_code: "OVO",
        numbers: PHONES,
        limits: WALLET,
    },
];

/// A number in the form that the rail knows; one account has one form. No log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountNumber(String);

/// Whether a person is paid into the account that they have linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayeeState {
    /// They are.
    Active,
    /// Not until somebody has decided: another person is paid there, or asks to be.
    HeldForReview,
    /// They are not.
    Rejected,
}

/// An account that was held, and what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayeeReview {
    /// The id of the linked account.
    pub id: Uuid,
    /// The person's account.
    pub account_id: Uuid,
    /// The channel's code.
    pub channel: String,
    /// The last digits.
    pub number_suffix: String,
    /// When it was linked.
    pub link_time: OffsetDateTime,
    /// The other persons who are paid there, or ask to be.
    pub sharing_account_ids: Vec<Uuid>,
    /// What was decided, if anything.
    pub decision: Option<Decided>,
}

/// A decision about an account that was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whether the person is paid there.
    pub is_approved: bool,
    /// Who decided.
    pub reviewer: String,
    /// Why.
    pub reason: String,
    /// When.
    pub review_time: OffsetDateTime,
}

/// Why an account is not linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefusal {
    /// The rail knows no such account.
    #[error("the rail knows no such account")]
    NotFound,
    /// The account is closed.
    #[error("the account is closed")]
    Closed,
    /// The account is blocked.
    #[error("the account is blocked")]
    Blocked,
    /// The holder is somebody else, or not verified at the wallet or here.
    #[error("the holder is somebody else, or is not verified")]
    HolderMismatched,
    /// The wallet's phone number is not the person's.
    #[error("the wallet's phone number is not the account's")]
    PhoneMismatched,
    /// Too many others are paid there, or ask to be.
    #[error("ten other persons are paid into the account or ask to be")]
    Shared,
}

impl PayeeState {
    const ALL: [PayeeState; 3] = [
        PayeeState::Active,
        PayeeState::HeldForReview,
        PayeeState::Rejected,
    ];

    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            PayeeState::Active => "ACTIVE",
            PayeeState::HeldForReview => "HELD_FOR_REVIEW",
            PayeeState::Rejected => "REJECTED",
        }
    }

    /// Finds a state by its name.
    pub fn parse(name: &str) -> Option<PayeeState> {
        PayeeState::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Channel {
    /// Finds a channel by its code.
    pub fn find(code: &str) -> Option<&'static Channel> {
        CHANNELS.iter().find(|channel| channel.code == code)
    }

    /// Reads a number of this channel; `None` when it cannot be one.
    pub fn number(&self, text: &str) -> Option<AccountNumber> {
        if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        match self.numbers {
            Numbers::Accounts => (NUMBER_DIGITS_MIN..=NUMBER_DIGITS_MAX)
                .contains(&text.len())
                .then(|| AccountNumber(text.to_owned())),
            Numbers::Phones { calling_code } => {
                // One 0 stands for the country; two would be a way to dial abroad.
                let digits = match text.strip_prefix('0') {
                    Some(national) if !national.starts_with('0') => {
                        format!("{calling_code}{national}")
                    }
                    Some(_) | None => text.to_owned(),
                };
                let is_phone = PHONE_DIGITS.contains(&digits.len()) && !digits.starts_with('0');
                is_phone.then_some(AccountNumber(digits))
            }
        }
    }

    /// Returns a wallet's phone number in E.164; `None` for a bank account.
    pub fn phone(&self, number: &AccountNumber) -> Option<String> {
        match self.numbers {
            Numbers::Accounts => None,
            Numbers::Phones { .. } => Some(format!("+{}", number.0)),
        }
    }
}

impl Limits {
    /// Says whether an account that got so much in this month may get so much more.
    pub fn allow(&self, month_minor: i64, payment_minor: i64) -> bool {
        payment_minor <= self.payment_max_minor
            && month_minor.saturating_add(payment_minor) <= self.month_max_minor
    }
}

impl Month {
    /// Returns the month of a time.
    pub fn of(time: OffsetDateTime) -> Month {
        let first = |date: Date| {
            let day = date.replace_day(1).unwrap_or(date);
            day.midnight().assume_offset(OFFSET)
        };
        let start = first(local_date(time));
        // 31 days after a month's first day are in the next one, and not in the one after that.
        let end = first((start + time::Duration::days(31)).date());
        Month { start, end }
    }
}

impl AccountNumber {
    /// Takes back a number that was stored.
    pub fn from_stored(digits: String) -> AccountNumber {
        AccountNumber(digits)
    }

    /// Returns the digits, for the rail alone.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the last three digits.
    pub fn suffix(&self) -> &str {
        &self.0[self.0.len().saturating_sub(SUFFIX_DIGITS)..]
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[number]")
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn read(channel: &str, text: &str) -> Option<String> {
        let number = Channel::find(channel).unwrap().number(text)?;
        Some(number.expose().to_owned())
    }

    #[test]
    fn a_wallet_gets_no_more_than_the_law_lets_it() {
        let limits = Channel::find("GOPAY").unwrap().limits.unwrap();

        assert!(limits.allow(0, 2_000_000_000));
        assert!(!limits.allow(0, 2_000_000_001));
        assert!(limits.allow(3_940_000_000, 60_000_000));
        assert!(!limits.allow(3_940_000_001, 60_000_000));
        assert!(!limits.allow(i64::MAX, 1));
    }

    #[test]
    fn a_month_begins_where_the_channels_are() {
        for (time, start, end) in [
            (
                datetime!(2026-01-31 16:59:59 UTC),
                datetime!(2025-12-31 17:00 UTC),
                datetime!(2026-01-31 17:00 UTC),
            ),
            (
                datetime!(2026-01-31 17:00 UTC),
                datetime!(2026-01-31 17:00 UTC),
                datetime!(2026-02-28 17:00 UTC),
            ),
        ] {
            assert_eq!(Month::of(time), Month { start, end }, "{time}");
        }
    }

    #[test]
    fn one_wallet_has_one_number() {
        assert_eq!(
            read("DANA", "081234567890").as_deref(),
            Some("6281234567890")
        );
        assert_eq!(
            read("DANA", "6281234567890").as_deref(),
            Some("6281234567890")
        );
        for text in [
            "",
            "+6281234567890",
            "0012345678",
            "0812",
            "6281234567890123",
            "0812345678x",
        ] {
            assert_eq!(read("DANA", text), None, "{text}");
        }
    }

    #[test]
    fn an_account_number_keeps_its_zeros() {
        assert_eq!(read("BNI", "0012345678").as_deref(), Some("0012345678"));
        for text in ["1234", "12 34567", &"1".repeat(35)] {
            assert_eq!(read("BNI", text), None, "{text}");
        }
        assert!(Channel::find("bni").is_none());
    }

    #[test]
    fn a_number_is_shown_by_its_last_digits_alone() {
        let channel = Channel::find("OVO").unwrap();
        let number = channel.number("6289912345678").unwrap();

        assert_eq!(format!("{number:?}"), "[number]");
        assert_eq!(number.suffix(), "678");
        assert_eq!(channel.phone(&number).as_deref(), Some("+6289912345678"));
    }
}
