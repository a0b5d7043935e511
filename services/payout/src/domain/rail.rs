//! What the rail's answers mean: paid, refused for a reason, or unclear. Tables decide; what no table knows is unclear,
//! because taking a payment for lost that was made pays twice.

use chassis::money::Money;
use time::Duration;

use super::payee::AccountNumber;

/// An order to pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentOrder {
    /// Our reference. The rail pays a reference once.
    pub reference: String,
    /// Where the rail routes to.
    pub bank_code: String,
    /// The account.
    pub number: AccountNumber,
    /// Whose it is, as the rail itself has told. No log shows it.
    pub holder: Holder,
    /// The amount.
    pub amount: Money,
}

/// The name of an account's holder. No log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder(pub String);

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[holder]")
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentAnswer {
    /// The payee has the money.
    Paid,
    /// Nothing was paid and nothing will be, under this reference.
    Refused(FailureReason),
    /// Nobody knows; the text says why, for the log.
    Unclear(String),
    /// It never left us: no connection, or no token.
    NotSent(String),
}

/// What the rail says of an order when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InquiryAnswer {
    /// The payee has the money.
    Paid,
    /// Nothing was paid and nothing will be.
    Refused(FailureReason),
    /// It is being worked on.
    InProgress,
    /// The rail has never heard of it, or not yet.
    NotFound,
    /// Nobody knows; the text says why, for the log.
    Unclear(String),
}

/// What the rail says of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountAnswer {
    /// It takes money.
    Open {
        /// Whose it is.
        holder: Holder,
        /// Whether the holder has shown who they are (a wallet with a phone number alone has not).
        is_verified: bool,
    },
    /// There is no such account.
    NotFound,
    /// It is closed.
    Closed,
    /// It is blocked, or sleeps.
    Blocked,
}

/// Why a payment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The account is blocked.
    AccountBlocked,
    /// The account has not been used for long.
    AccountDormant,
    /// The account is closed.
    AccountClosed,
    /// There is no such account.
    AccountNotFound,
    /// The wallet would hold more than it may.
    BalanceCapReached,
    /// The amount is more than the account may get at once or in a month.
    LimitExceeded,
    /// The holder is somebody else by now, or was renamed.
    HolderMismatched,
    /// The payee's bank cannot be reached for a while.
    PartnerUnavailable,
    /// The payer's bank did not take the order, for a reason that has nothing to do with the payee.
    OrderRejected,
    /// Payer's or payee's bank suspects a fraud.
    FraudSuspected,
    /// An authority or a law is in the way.
    ComplianceRejected,
    /// The payee has died.
    PayeeDeceased,
    /// The payee does not want the money.
    PayeeRefused,
    /// The money was paid and taken back.
    Reversed,
    /// Refused for a reason that the rail did not give, or that no table knows.
    Refused,
}

/// What comes after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Tried again by itself after so long, or at another account before.
    RetryLater(Duration),
    /// Tried again once the person has linked another account.
    FixAccount,
    /// Stands still, whatever the person links, until an operator has looked.
    Freeze,
    /// Never tried again: the money goes back to the batch.
    Refund,
}

/// SNAP's refusals of a transfer that are final: HTTP code and case of the response code, and what they mean. Every
/// other answer that is not a success is unclear.
const FINAL_REFUSALS: &[(&str, &str, FailureReason)] = &[
    ("403", "02", FailureReason::LimitExceeded),
    ("403", "03", FailureReason::FraudSuspected),
    ("403", "05", FailureReason::AccountBlocked),
    ("403", "09", FailureReason::AccountDormant),
    ("403", "18", FailureReason::AccountClosed),
    ("403", "23", FailureReason::BalanceCapReached),
    ("404", "11", FailureReason::AccountNotFound),
];

/// What comes after which failure.
const REMEDIES: &[(FailureReason, Remedy)] = &[
    // Somebody spends what the wallet holds.
    (
        FailureReason::BalanceCapReached,
        Remedy::RetryLater(Duration::days(7)),
    ),
    // The limits of wallets count by the month.
    (
        FailureReason::LimitExceeded,
        Remedy::RetryLater(Duration::days(31)),
    ),
    (
        FailureReason::PartnerUnavailable,
        Remedy::RetryLater(Duration::days(1)),
    ),
    (
        FailureReason::OrderRejected,
        Remedy::RetryLater(Duration::days(1)),
    ),
    (FailureReason::AccountBlocked, Remedy::FixAccount),
    (FailureReason::AccountDormant, Remedy::FixAccount),
    (FailureReason::AccountClosed, Remedy::FixAccount),
    (FailureReason::AccountNotFound, Remedy::FixAccount),
    (FailureReason::HolderMismatched, Remedy::FixAccount),
    (FailureReason::Reversed, Remedy::FixAccount),
    (FailureReason::Refused, Remedy::FixAccount),
    // Another account of the same person would be as suspect.
    (FailureReason::FraudSuspected, Remedy::Freeze),
    (FailureReason::ComplianceRejected, Remedy::Freeze),
    (FailureReason::PayeeDeceased, Remedy::Refund),
    (FailureReason::PayeeRefused, Remedy::Refund),
];

/// A response code of SNAP: the HTTP code (three digits), the service's code (two) and the case (two).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCode<'a> {
    http: &'a str,
    service: &'a str,
    case: &'a str,
}

impl<'a> ResponseCode<'a> {
    /// Reads a code.
    pub fn parse(text: &'a str) -> Option<ResponseCode<'a>> {
        let is_code = text.len() == 7 && text.bytes().all(|digit| digit.is_ascii_digit());
        is_code.then(|| ResponseCode {
            http: &text[..3],
            service: &text[3..5],
            case: &text[5..],
        })
    }

    /// Says whether the service that this code belongs to said yes.
    pub fn is_success_of(&self, service: &str) -> bool {
        *self
            == ResponseCode {
                http: "200",
                service,
                case: "00",
            }
    }

    /// Says whether the service does not know what it was asked about.
    pub fn is_unknown_transaction_of(&self, service: &str) -> bool {
        *self
            == ResponseCode {
                http: "404",
                service,
                case: "01",
            }
    }

    /// Says whether the token was not accepted: the request was not looked at.
    pub fn is_token_refusal(&self) -> bool {
        self.http == "401" && self.case == "01"
    }

    /// Returns why a transfer was refused for good.
    pub fn final_refusal(&self) -> Option<FailureReason> {
        let row = FINAL_REFUSALS
            .iter()
            .find(|(http, case, _)| (*http, *case) == (self.http, self.case));
        row.map(|(_, _, reason)| *reason)
    }
}

/// SNAP's code of the service that pays.
pub const TRANSFER: &str = "18";
/// SNAP's code of the service that tells what became of a transfer.
pub const TRANSFER_STATUS: &str = "36";
/// SNAP's code of the service by which the rail tells of a transfer by itself.
pub const TRANSFER_NOTICE: &str = "52";
/// SNAP's code of the service that tells whose an account is.
pub const ACCOUNT_INQUIRY: &str = "16";

/// Reads the answer to an order.
pub fn read_payment(code: &str) -> PaymentAnswer {
    let unclear = || PaymentAnswer::Unclear(format!("response code {code}"));
    let Some(parsed) = ResponseCode::parse(code).filter(|parsed| parsed.service == TRANSFER) else {
        return PaymentAnswer::Unclear("no response code".to_owned());
    };
    if parsed.is_success_of(TRANSFER) {
        return PaymentAnswer::Paid;
    }
    parsed
        .final_refusal()
        .map_or_else(unclear, PaymentAnswer::Refused)
}

/// Reads the answer to an inquiry: the response code of the inquiry itself, the transfer's state, and the response code
/// that the transfer had.
pub fn read_inquiry(code: &str, transfer_state: &str, transfer_code: &str) -> InquiryAnswer {
    let unclear = || {
        InquiryAnswer::Unclear(format!(
            "response code {code}, transfer state {transfer_state}"
        ))
    };
    let Some(parsed) = ResponseCode::parse(code) else {
        return InquiryAnswer::Unclear("no response code".to_owned());
    };
    if parsed.is_unknown_transaction_of(TRANSFER_STATUS) {
        return InquiryAnswer::NotFound;
    }
    if !parsed.is_success_of(TRANSFER_STATUS) {
        return unclear();
    }
    match transfer_state {
        state if is_paid_state(state) => InquiryAnswer::Paid,
        "01" | "02" | "03" => InquiryAnswer::InProgress,
        "04" => InquiryAnswer::Refused(FailureReason::Reversed),
        "05" | "06" => {
            let reason = ResponseCode::parse(transfer_code).and_then(|code| code.final_refusal());
            InquiryAnswer::Refused(reason.unwrap_or(FailureReason::Refused))
        }
        "07" => InquiryAnswer::NotFound,
        _ => unclear(),
    }
}

/// Says whether the rail's notice of an order's state claims that the payee has the money.
pub fn is_paid_state(transfer_state: &str) -> bool {
    transfer_state == "00"
}

/// Reads a refusal of an account inquiry; `None` when it says nothing about the account.
pub fn read_account_refusal(code: &str) -> Option<AccountAnswer> {
    let parsed = ResponseCode::parse(code).filter(|parsed| parsed.service == ACCOUNT_INQUIRY)?;
    match parsed.final_refusal()? {
        FailureReason::AccountNotFound => Some(AccountAnswer::NotFound),
        FailureReason::AccountClosed => Some(AccountAnswer::Closed),
        FailureReason::AccountBlocked
        | FailureReason::AccountDormant
        | FailureReason::FraudSuspected => Some(AccountAnswer::Blocked),
        FailureReason::BalanceCapReached
        | FailureReason::LimitExceeded
        | FailureReason::HolderMismatched
        | FailureReason::PartnerUnavailable
        | FailureReason::OrderRejected
        | FailureReason::ComplianceRejected
        | FailureReason::PayeeDeceased
        | FailureReason::PayeeRefused
        | FailureReason::Reversed
        | FailureReason::Refused => None,
    }
}

/// Writes an amount as SNAP wants it, whole units and two digits, such as `600000.00`; `None` for an amount that this
/// form cannot hold.
pub fn amount_text(amount: Money) -> Option<String> {
    let per_unit = amount.currency().minor_per_unit();
    let minor = amount.minor();
    if minor < 0 || per_unit > 100 {
        return None;
    }
    let hundredths = minor % per_unit * (100 / per_unit);
    Some(format!("{}.{hundredths:02}", minor / per_unit))
}

impl FailureReason {
    const ALL: [FailureReason; 15] = [
        FailureReason::AccountBlocked,
        FailureReason::AccountDormant,
        FailureReason::AccountClosed,
        FailureReason::AccountNotFound,
        FailureReason::BalanceCapReached,
        FailureReason::LimitExceeded,
        FailureReason::HolderMismatched,
        FailureReason::PartnerUnavailable,
        FailureReason::OrderRejected,
        FailureReason::FraudSuspected,
        FailureReason::ComplianceRejected,
        FailureReason::PayeeDeceased,
        FailureReason::PayeeRefused,
        FailureReason::Reversed,
        FailureReason::Refused,
    ];

    /// Returns its name in the database and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::AccountBlocked => "ACCOUNT_BLOCKED",
            FailureReason::AccountDormant => "ACCOUNT_DORMANT",
            FailureReason::AccountClosed => "ACCOUNT_CLOSED",
            FailureReason::AccountNotFound => "ACCOUNT_NOT_FOUND",
            FailureReason::BalanceCapReached => "BALANCE_CAP_REACHED",
            FailureReason::LimitExceeded => "LIMIT_EXCEEDED",
            FailureReason::HolderMismatched => "HOLDER_MISMATCHED",
            FailureReason::PartnerUnavailable => "PARTNER_UNAVAILABLE",
            FailureReason::OrderRejected => "ORDER_REJECTED",
            FailureReason::FraudSuspected => "FRAUD_SUSPECTED",
            FailureReason::ComplianceRejected => "COMPLIANCE_REJECTED",
            FailureReason::PayeeDeceased => "PAYEE_DECEASED",
            FailureReason::PayeeRefused => "PAYEE_REFUSED",
            FailureReason::Reversed => "REVERSED",
            FailureReason::Refused => "REFUSED",
        }
    }

    /// Returns what comes after it. What no table knows stands still until somebody has looked.
    pub fn remedy(self) -> Remedy {
        let row = REMEDIES.iter().find(|(reason, _)| *reason == self);
        row.map_or(Remedy::Freeze, |(_, remedy)| *remedy)
    }

    /// Returns the names of the reasons that no other account cures.
    pub fn frozen_names() -> Vec<&'static str> {
        FailureReason::ALL
            .into_iter()
            .filter(|reason| reason.remedy() == Remedy::Freeze)
            .map(FailureReason::as_str)
            .collect()
    }

    /// Finds a reason by its name.
    pub fn parse(name: &str) -> Option<FailureReason> {
        FailureReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == name)
    }
}

impl Remedy {
    /// Returns after how long a payment is tried again by itself; `None`: it is not.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Remedy::RetryLater(delay) => Some(delay),
            Remedy::FixAccount | Remedy::Freeze | Remedy::Refund => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_and_one_remedy() {
        for reason in FailureReason::ALL {
            assert_eq!(FailureReason::parse(reason.as_str()), Some(reason));
            let rows = REMEDIES.iter().filter(|(of, _)| *of == reason);
            assert_eq!(rows.count(), 1, "{reason:?}");
        }
    }

    #[test]
    fn an_order_is_paid_refused_for_good_or_unclear() {
        for (code, expected) in [
            ("2001800", PaymentAnswer::Paid),
            (
                "4031805",
                PaymentAnswer::Refused(FailureReason::AccountBlocked),
            ),
            (
                "4031809",
                PaymentAnswer::Refused(FailureReason::AccountDormant),
            ),
            (
                "4031818",
                PaymentAnswer::Refused(FailureReason::AccountClosed),
            ),
            (
                "4041811",
                PaymentAnswer::Refused(FailureReason::AccountNotFound),
            ),
            (
                "4031823",
                PaymentAnswer::Refused(FailureReason::BalanceCapReached),
            ),
            (
                "4031803",
                PaymentAnswer::Refused(FailureReason::FraudSuspected),
            ),
        ] {
            assert_eq!(read_payment(code), expected, "{code}");
        }
        // In progress, bad request, unauthorized, duplicate, general error, time-out, another service, no code at all.
        for code in [
            "2021800", "4001800", "4011800", "4091801", "5001800", "5041800", "2003600", "200", "",
        ] {
            assert!(
                matches!(read_payment(code), PaymentAnswer::Unclear(_)),
                "{code}"
            );
        }
    }

    #[test]
    fn an_inquiry_tells_what_became_of_an_order() {
        for (code, state, transfer_code, expected) in [
            ("2003600", "00", "2001800", InquiryAnswer::Paid),
            ("2003600", "03", "2021800", InquiryAnswer::InProgress),
            (
                "2003600",
                "06",
                "4031818",
                InquiryAnswer::Refused(FailureReason::AccountClosed),
            ),
            (
                "2003600",
                "06",
                "",
                InquiryAnswer::Refused(FailureReason::Refused),
            ),
            (
                "2003600",
                "04",
                "2001800",
                InquiryAnswer::Refused(FailureReason::Reversed),
            ),
            ("2003600", "07", "", InquiryAnswer::NotFound),
            ("4043601", "07", "", InquiryAnswer::NotFound),
        ] {
            assert_eq!(
                read_inquiry(code, state, transfer_code),
                expected,
                "{code} {state}"
            );
        }
        for (code, state) in [
            ("2003600", ""),
            ("2003600", "99"),
            ("5003600", "00"),
            ("4041801", ""),
            ("", "00"),
        ] {
            assert!(
                matches!(read_inquiry(code, state, ""), InquiryAnswer::Unclear(_)),
                "{code} {state}"
            );
        }
    }

    #[test]
    fn an_account_is_refused_for_what_it_is() {
        assert_eq!(
            read_account_refusal("4041611"),
            Some(AccountAnswer::NotFound)
        );
        assert_eq!(read_account_refusal("4031618"), Some(AccountAnswer::Closed));
        assert_eq!(
            read_account_refusal("4031605"),
            Some(AccountAnswer::Blocked)
        );
        for code in ["5031600", "4011601", "4031805", ""] {
            assert_eq!(read_account_refusal(code), None, "{code}");
        }
    }

    #[test]
    fn an_amount_is_written_in_whole_units_and_two_digits() {
        for (minor, currency, expected) in [
            (60_000_000, "IDR", Some("600000.00")),
            (5, "IDR", Some("0.05")),
            (123, "USD", Some("1.23")),
            (700, "JPY", Some("700.00")),
            (-1, "IDR", None),
            (1_005, "TND", None),
        ] {
            let amount = Money::from_stored(minor, currency).unwrap();
            assert_eq!(
                amount_text(amount).as_deref(),
                expected,
                "{minor} {currency}"
            );
        }
    }
}
