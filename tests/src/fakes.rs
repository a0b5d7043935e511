//! The outside systems, as small servers of their own: the civil registry and the bank. Here are the words that servers
//! and harness share; `fakes/registry.rs` and `fakes/bank.rs` start one and talk to its control side.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::chance::Ratio;

mod bank;
mod registry;

pub use bank::{BankAccess, FakeBank};
pub use registry::FakeRegistry;

/// A person's sex, as the registry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

/// What the civil registry knows of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredPerson {
    /// NIK.
    pub national_id: String,
    /// KK.
    pub household_id: String,
    /// The name.
    pub full_name: String,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// The sex.
    pub sex: Sex,
    /// The regency of domicile, such as `32.04`.
    pub region_code: String,
    /// Such as `JOB_SEEKER`, `STUDENT`, `CIVIL_SERVANT`.
    pub occupation: String,
    /// ISO 3166 alpha-2.
    #[serde(default = "indonesia")]
    pub citizenship: String,
    /// Has died.
    #[serde(default)]
    pub deceased: bool,
}

fn indonesia() -> String {
    "ID".to_owned()
}

/// How the registry behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryBehaviour {
    /// How long each answer takes.
    pub delay_ms: u64,
    /// What it does at all.
    pub mode: RegistryMode,
    /// The share of requests that get 503 instead of an answer.
    pub fail_ratio: Ratio,
    /// More requests than so many at once get 429; 0 means no limit.
    pub in_flight_limit: u64,
}

/// What the registry does at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryMode {
    /// Answers.
    #[default]
    Ok,
    /// Says 503 to everything.
    Down,
    /// Takes the request and never answers.
    Timeout,
    /// Says 429 to everything.
    TooManyRequests,
}

/// What the registry has been asked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryStatistics {
    /// Requests with the right key.
    pub requests: u64,
    /// Those that were answered with a result.
    pub answered: u64,
    /// The most requests at one time.
    pub in_flight_max: u64,
}

/// An account at the bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankAccount {
    /// The number; for a wallet the phone number in digits.
    pub account_no: String,
    /// The bank's code, such as `009`, or the wallet's, such as `DANA`.
    pub bank_code: String,
    /// Whose it is.
    pub holder_name: String,
    /// E.164.
    #[serde(default)]
    pub phone: String,
    /// How well the holder is known.
    #[serde(default)]
    pub kyc: Kyc,
    /// Whether it takes money.
    #[serde(default)]
    pub state: AccountState,
    /// The most that it may hold, such as `20000000.00`; none when absent.
    #[serde(default)]
    pub balance_cap: Option<String>,
}

/// How well an account's holder is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kyc {
    /// With identity card and picture.
    #[default]
    Full,
    /// With a phone number alone.
    Basic,
}

/// Whether an account takes money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccountState {
    /// Takes money.
    #[default]
    Active,
    /// Refused with case 05, "Do Not Honor".
    Blocked,
    /// Refused with case 09, "Dormant Account".
    Dormant,
    /// Refused with case 18, "Inactive Account".
    Closed,
}

/// What may go wrong with a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BankFault {
    /// The request is lost: nothing is booked, the connection hangs.
    DropRequestHang,
    /// The request is lost: nothing is booked, the connection closes.
    DropRequestClose,
    /// The reply is lost: booked, and the connection hangs.
    DropReplyHang,
    /// The reply is lost: booked, and the connection closes.
    DropReplyClose,
    /// 500, nothing booked.
    ErrorBeforeBooking,
    /// 504, and booked all the same.
    ErrorAfterBooking,
    /// The connection closes, an inquiry finds nothing, and `late_ms` later it is booked.
    BookLate,
    /// 202; paid after `pending_ms`.
    Pending,
    /// Answered after `delay_ms`.
    Delay,
    /// Refused: account blocked (case 05).
    RejectBlocked,
    /// Refused: account closed (case 18).
    RejectClosed,
    /// Refused: no such account (case 11).
    RejectNotFound,
    /// Refused: the account would hold too much (case 23).
    RejectBalanceCap,
    /// Paid, and taken back after `reverse_after_ms`.
    Reverse,
    /// Refused: account dormant (case 09).
    RejectDormant,
    /// Refused: more than the account may get (case 02).
    RejectLimit,
    /// The notice of an outcome comes twice.
    DoubleCallback,
    /// The notice of an outcome comes `callback_late_ms` late.
    LateCallback,
    /// The status inquiry is answered with 500.
    InquiryError,
    /// The status inquiry hangs.
    InquiryHang,
}

/// The bank's faults, as a whole: posting new ones replaces all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BankFaults {
    /// Everything is refused with 503.
    pub down: bool,
    /// By chance, for each attempt on its own: the share of the transfers that meet a fault.
    pub ratios: Vec<(BankFault, Ratio)>,
    /// On purpose, before chance has its turn.
    pub rules: Vec<BankRule>,
    /// How long a hanging connection is held.
    pub hang_ms: u64,
    /// For `delay`.
    pub delay_ms: u64,
    /// For `book_late`.
    pub late_ms: u64,
    /// For `pending`.
    pub pending_ms: u64,
    /// For `reverse`.
    pub reverse_after_ms: u64,
    /// For `late_callback`.
    pub callback_late_ms: u64,
}

impl Default for BankFaults {
    fn default() -> BankFaults {
        BankFaults {
            down: false,
            ratios: Vec::new(),
            rules: Vec::new(),
            hang_ms: 120_000,
            delay_ms: 500,
            late_ms: 1_000,
            pending_ms: 1_000,
            reverse_after_ms: 0,
            callback_late_ms: 1_000,
        }
    }
}

/// A fault for certain transfers; an empty match means any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankRule {
    /// What goes wrong.
    pub fault: BankFault,
    /// Only this `partnerReferenceNo`.
    #[serde(default)]
    pub reference: Option<String>,
    /// Only this account.
    #[serde(default)]
    pub account_no: Option<String>,
    /// How often; for ever when absent.
    #[serde(default)]
    pub times: Option<u64>,
}

/// A transfer in the bank's own book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookEntry {
    /// The payer's `partnerReferenceNo`.
    pub reference: String,
    /// The bank's own number.
    pub bank_reference: String,
    /// The account.
    pub account_no: String,
    /// Its bank.
    pub bank_code: String,
    /// Whole rupiah and two digits, such as `600000.00`.
    pub amount: String,
    /// Always `IDR`.
    pub currency: String,
    /// The state at this moment, by SNAP's numbers: 00 paid, 03 pending, 04 taken back, 06 refused, 07 not there yet.
    pub status: String,
    /// The response code of the refusal.
    pub refused_with: Option<String>,
    /// How often the account was credited: 0 or 1, whatever is asked of the bank.
    pub credited: u32,
    /// How many requests came with this reference.
    pub attempts: u64,
}

/// A transfer in the book, as short as it can be said: for comparing by the hundred thousand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The payer's `partnerReferenceNo`.
    #[serde(rename = "r")]
    pub reference: String,
    /// As in [`BookEntry`].
    #[serde(rename = "s")]
    pub status: String,
    /// As in [`BookEntry`].
    #[serde(rename = "c")]
    pub credited: u32,
}

/// The book in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookSummary {
    /// Transfers paid and not taken back.
    pub paid: u64,
    /// Their sum in whole rupiah and two digits.
    pub paid_amount: String,
    /// Transfers refused.
    pub refused: u64,
    /// Transfers pending or not there yet.
    pub open: u64,
    /// Transfers taken back.
    pub reversed: u64,
    /// Requests by SNAP's service code: 73 tokens, 16, 18, 36.
    pub requests: std::collections::BTreeMap<String, u64>,
    /// Requests refused with 409.
    pub conflicts: u64,
    /// Notices that the payer has not taken yet.
    #[serde(default)]
    pub untold: u64,
    /// Faults played, by name.
    pub faults: std::collections::BTreeMap<String, u64>,
}

/// A small client of a fake's control side.
#[derive(Debug)]
struct Control {
    base: String,
    http: reqwest::Client,
}

impl Control {
    fn new(base: String) -> Control {
        Control {
            base,
            http: reqwest::Client::new(),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.http.get(self.url(path)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let answer = answer.expect("the fake answers its control side");
        answer.json().await.expect("the fake speaks JSON")
    }

    async fn post<T: Serialize + ?Sized>(&self, path: &str, body: &T) {
        let answer = self.http.post(self.url(path)).json(body).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.expect("the fake takes what it is told");
    }

    async fn answers(&self, path: &str) -> bool {
        self.http.get(self.url(path)).send().await.is_ok()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}
