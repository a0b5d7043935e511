//! The ledger's words: accounts with four running sums, transfers between two accounts, and why one is refused.
//! [`Book`] decides.

use std::borrow::Cow;

use chassis::money::{Currency, Money};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::chart::AccountKind;

mod book;

pub use book::Book;

/// The id of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub Uuid);

/// The id of a transfer, chosen by whoever orders it. The same id is booked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub Uuid);

/// An account that may not be there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// What it is for.
    pub kind: AccountKind,
    /// A resource name.
    pub owner: String,
    /// In whose statement it counts.
    pub batch: Option<String>,
    /// Its currency.
    pub currency: Currency,
}

impl NewAccount {
    /// Returns what the account must not do: be overdrawn, but for the treasury, and for claims, which never get more than
    /// they gave.
    pub fn limits(&self) -> Limits {
        let is_claim = matches!(
            self.kind,
            AccountKind::TrainingClaim | AccountKind::IncentiveClaim
        );
        Limits {
            debits_must_not_exceed_credits: self.kind != AccountKind::Treasury && !is_claim,
            credits_must_not_exceed_debits: is_claim,
        }
    }
}

/// An account that a caller opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerAccount {
    /// Its id, the caller's choice.
    pub id: AccountId,
    /// A resource name.
    pub owner: String,
    /// Its currency.
    pub currency: Currency,
    /// What it must not do.
    pub limits: Limits,
}

/// What became of an account that a caller opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Opened now.
    Opened,
    /// Opened before, by the same words.
    Repeated,
    /// The id is another owner's.
    OwnerDiffers,
    /// The id is an account in another currency.
    CurrencyDiffers,
    /// The id is an account with other limits.
    LimitsDiffer,
    /// The owner has another account in this currency.
    OwnerHasAnother,
}

/// What an account must not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Be overdrawn.
    pub debits_must_not_exceed_credits: bool,
    /// Get more than it gave.
    pub credits_must_not_exceed_debits: bool,
}

/// An account as the book holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its currency.
    pub currency: Currency,
    /// Whether it is a caller's, and none of the programme's.
    pub is_of_caller: bool,
    /// What it must not do.
    pub limits: Limits,
    /// Its sums.
    pub sums: Sums,
}

/// The running sums of an account, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Debits that wait for their posting.
    pub debits_pending: i64,
    /// Posted debits.
    pub debits_posted: i64,
    /// Credits that wait for their posting.
    pub credits_pending: i64,
    /// Posted credits.
    pub credits_posted: i64,
}

impl Opening {
    /// Says what became of an account whose id is taken by `stored`, just now or before.
    pub fn of(wanted: &CallerAccount, stored: &CallerAccount, is_new: bool) -> Opening {
        if wanted.owner != stored.owner {
            Opening::OwnerDiffers
        } else if wanted.currency != stored.currency {
            Opening::CurrencyDiffers
        } else if wanted.limits != stored.limits {
            Opening::LimitsDiffer
        } else if is_new {
            Opening::Opened
        } else {
            Opening::Repeated
        }
    }
}

impl Sums {
    /// Returns what can still be taken out: what is held counts as gone.
    pub fn available(&self) -> i64 {
        self.credits_posted
            .saturating_sub(self.debits_posted)
            .saturating_sub(self.debits_pending)
    }

    /// Returns what can still be put in where credits must not exceed debits: what is promised counts as got.
    pub fn receivable(&self) -> i64 {
        self.debits_posted
            .saturating_sub(self.credits_posted)
            .saturating_sub(self.credits_pending)
    }

    /// Returns what is there, held or not.
    pub fn balance(&self) -> i64 {
        self.credits_posted.saturating_sub(self.debits_posted)
    }
}

/// A transfer as it is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// What it does.
    pub movement: Movement,
    /// What it is for.
    pub code: Code,
    /// Whether the next line of the same call belongs to it: a chain of lines is booked whole or not at all.
    pub linked: bool,
}

/// What a transfer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Moves an amount at once.
    Post(Leg),
    /// Holds an amount until it is posted or voided.
    Hold {
        /// What is held.
        leg: Leg,
        /// After which time it expires; never when there is none.
        timeout_seconds: Option<i32>,
    },
    /// Moves what a pending transfer holds, or a part of it; the rest is given back.
    PostPending {
        /// The pending transfer.
        pending_id: TransferId,
        /// How much is moved; all of it when there is none.
        amount: Option<Money>,
    },
    /// Gives back what a pending transfer holds.
    VoidPending(TransferId),
    /// Gives back what a pending transfer holds whose time is over.
    ExpirePending(TransferId),
}

/// From where, to where, how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The account that gives.
    pub debit: AccountId,
    /// The account that gets.
    pub credit: AccountId,
    /// The amount, above zero.
    pub amount: Money,
}

/// What a transfer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The state sets money aside.
    Appropriation,
    /// A batch is given money.
    Allotment,
    /// A participation is given money.
    Award,
    /// A course is bought.
    Purchase,
    /// An incentive is paid.
    Incentive,
    /// Unspent money goes back.
    Return,
    /// Returned money goes to another batch.
    Reallocation,
    /// A person owes what was spent and paid.
    Claim,
    /// What was spent on courses is repaid.
    TrainingRepayment,
    /// Incentives are repaid.
    IncentiveRepayment,
    /// What a person owed came back through the rail.
    ClaimReduction,
    /// What a person owes is given up.
    WriteOff,
    /// A caller's, in the caller's own numbering. All transfers between accounts of callers have it, and no others.
    Caller(u16),
}

/// The kinds of booked transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// Moved at once.
    Posted,
    /// Held.
    Pending,
    /// Moved what was held.
    PostPending,
    /// Gave back what was held.
    VoidPending,
    /// Gave back what was held for too long.
    ExpirePending,
}

/// A transfer as it is booked. It never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Its id.
    pub id: TransferId,
    /// Its kind.
    pub kind: TransferKind,
    /// The accounts and the amount; those of the pending transfer where it ends one, with what was posted of it.
    pub leg: Leg,
    /// What a pending transfer that was posted in part gave back, in minor units.
    pub rest_minor: i64,
    /// For a pending transfer: after which time it expires.
    pub timeout_seconds: Option<i32>,
    /// The pending transfer that it ends.
    pub pending_id: Option<TransferId>,
    /// What it is for.
    pub code: Code,
    /// When it was booked.
    pub create_time: OffsetDateTime,
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Booked now.
    Applied,
    /// Booked before, or by an earlier line.
    Repeated,
    /// Not booked.
    Refused(TransferRefusal),
}

/// Why a line is not booked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefusal {
    /// An account is not there.
    #[error("the account {} is not there", .0.0)]
    AccountNotFound(AccountId),
    /// An account has another currency.
    #[error("an account has another currency")]
    CurrencyMismatched,
    /// The amount is zero or less.
    #[error("the amount is not above zero")]
    AmountNotPositive,
    /// Both accounts are the same.
    #[error("both accounts are the same")]
    AccountsEqual,
    /// The debit account would be overdrawn.
    #[error("only {available} minor units are available")]
    Overdraft {
        /// What it has.
        available: i64,
    },
    /// A sum would not fit.
    #[error("a sum is too large")]
    Overflow,
    /// The account belongs to the other books: the programme's for a caller, a caller's for the programme.
    #[error("the account {} belongs to other books", .0.0)]
    AccountReserved(AccountId),
    /// The credit account would get more than it gave.
    #[error("only {available} minor units can be received")]
    Excess {
        /// What it can get.
        available: i64,
    },
    /// The id was used for another transfer.
    #[error("the id was used for another transfer")]
    IdReused(Difference),
    /// There is no such pending transfer.
    #[error("there is no such pending transfer")]
    PendingNotFound,
    /// The pending transfer was posted before.
    #[error("the pending transfer was posted")]
    PendingPosted,
    /// The pending transfer was voided before.
    #[error("the pending transfer was voided")]
    PendingVoided,
    /// The time of the pending transfer is over.
    #[error("the pending transfer has expired")]
    PendingExpired,
    /// More would be posted than is pending.
    #[error("only {available} minor units are pending")]
    PendingExceeded {
        /// What is pending.
        available: i64,
    },
    /// Another line of the chain was refused.
    #[error("another line of the chain was refused")]
    ChainBroken,
    /// The last line of the call is tied to a next one that is not there.
    #[error("the chain is open")]
    ChainOpen,
}

/// In what a transfer differs from the one that was booked under its id: the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Its kind.
    Kind,
    /// The account that gives.
    DebitAccount,
    /// The account that gets.
    CreditAccount,
    /// The currency.
    Currency,
    /// The amount.
    Amount,
    /// The pending transfer.
    PendingTransfer,
    /// The time-out.
    Timeout,
    /// What it is for.
    Code,
}

impl Transfer {
    /// Orders an amount to be moved at once.
    pub fn post(id: TransferId, code: Code, leg: Leg) -> Transfer {
        Transfer {
            id,
            movement: Movement::Post(leg),
            code,
            linked: false,
        }
    }

    /// Orders an amount to be held.
    pub fn hold(id: TransferId, code: Code, leg: Leg) -> Transfer {
        Transfer {
            id,
            movement: Movement::Hold {
                leg,
                timeout_seconds: None,
            },
            code,
            linked: false,
        }
    }

    /// Orders what is held to be moved.
    pub fn post_pending(id: TransferId, code: Code, pending_id: TransferId) -> Transfer {
        Transfer {
            id,
            movement: Movement::PostPending {
                pending_id,
                amount: None,
            },
            code,
            linked: false,
        }
    }

    /// Orders what is held to be given back.
    pub fn void_pending(id: TransferId, code: Code, pending_id: TransferId) -> Transfer {
        Transfer {
            id,
            movement: Movement::VoidPending(pending_id),
            code,
            linked: false,
        }
    }

    /// Orders a pending transfer whose time is over to give back what it holds.
    pub fn expire(id: TransferId, pending: &Booked) -> Transfer {
        Transfer {
            id,
            movement: Movement::ExpirePending(pending.id),
            code: pending.code,
            linked: false,
        }
    }

    /// Ties the next line to this one.
    #[must_use]
    pub fn linked(self) -> Transfer {
        Transfer {
            linked: true,
            ..self
        }
    }

    /// Returns the pending transfer that it ends.
    pub fn pending_id(&self) -> Option<TransferId> {
        match self.movement {
            Movement::PostPending { pending_id, .. } => Some(pending_id),
            Movement::VoidPending(id) | Movement::ExpirePending(id) => Some(id),
            Movement::Post(_) | Movement::Hold { .. } => None,
        }
    }

    /// Returns the accounts and the amount, where the line names them itself.
    pub fn leg(&self) -> Option<Leg> {
        match self.movement {
            Movement::Post(leg) | Movement::Hold { leg, .. } => Some(leg),
            Movement::PostPending { .. }
            | Movement::VoidPending(_)
            | Movement::ExpirePending(_) => None,
        }
    }

    /// Returns the currency of the amount that the line names.
    pub fn currency(&self) -> Option<Currency> {
        match self.movement {
            Movement::Post(leg) | Movement::Hold { leg, .. } => Some(leg.amount.currency()),
            Movement::PostPending { amount, .. } => amount.map(Money::currency),
            Movement::VoidPending(_) | Movement::ExpirePending(_) => None,
        }
    }
}

impl Booked {
    /// Returns when a pending transfer expires, if it does.
    pub fn expire_time(&self) -> Option<OffsetDateTime> {
        let seconds = i64::from(self.timeout_seconds?);
        self.create_time.checked_add(Duration::seconds(seconds))
    }
}

/// How the codes of callers begin in the database and in the contract.
const CALLER_CODE_PREFIX: &str = "caller-";

impl Code {
    const OF_PROGRAMME: [Code; 12] = [
        Code::Appropriation,
        Code::Allotment,
        Code::Award,
        Code::Purchase,
        Code::Incentive,
        Code::Return,
        Code::Reallocation,
        Code::Claim,
        Code::TrainingRepayment,
        Code::IncentiveRepayment,
        Code::ClaimReduction,
        Code::WriteOff,
    ];

    /// Returns its name in the database and in the contract.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Code::Appropriation => Cow::Borrowed("appropriation"),
            Code::Allotment => Cow::Borrowed("allotment"),
            Code::Award => Cow::Borrowed("award"),
            Code::Purchase => Cow::Borrowed("purchase"),
            Code::Incentive => Cow::Borrowed("incentive"),
            Code::Return => Cow::Borrowed("return"),
            Code::Reallocation => Cow::Borrowed("reallocation"),
            Code::Claim => Cow::Borrowed("claim"),
            Code::TrainingRepayment => Cow::Borrowed("training-repayment"),
            Code::IncentiveRepayment => Cow::Borrowed("incentive-repayment"),
            Code::ClaimReduction => Cow::Borrowed("claim-reduction"),
            Code::WriteOff => Cow::Borrowed("write-off"),
            Code::Caller(number) => Cow::Owned(format!("{CALLER_CODE_PREFIX}{number}")),
        }
    }

    /// Finds a code by its name.
    pub fn parse(name: &str) -> Option<Code> {
        match name.strip_prefix(CALLER_CODE_PREFIX) {
            Some(number) => number.parse().ok().map(Code::Caller),
            None => Code::OF_PROGRAMME
                .into_iter()
                .find(|code| code.name() == name),
        }
    }

    /// Says whether it is a caller's.
    pub fn is_of_caller(self) -> bool {
        matches!(self, Code::Caller(_))
    }
}

impl TransferKind {
    const ALL: [TransferKind; 5] = [
        TransferKind::Posted,
        TransferKind::Pending,
        TransferKind::PostPending,
        TransferKind::VoidPending,
        TransferKind::ExpirePending,
    ];

    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            TransferKind::Posted => "POSTED",
            TransferKind::Pending => "PENDING",
            TransferKind::PostPending => "POST_PENDING",
            TransferKind::VoidPending => "VOID_PENDING",
            TransferKind::ExpirePending => "EXPIRE_PENDING",
        }
    }

    /// Finds a kind by its name.
    pub fn parse(name: &str) -> Option<TransferKind> {
        TransferKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}
