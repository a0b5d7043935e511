//! The ledger's words: accounts with four running sums, transfers between two accounts, and why one is refused.
//! [`Book`] decides.

use chassis::money::{Currency, Money};
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
    /// Says whether the account must not be overdrawn: every one but the treasury.
    pub fn debits_must_not_exceed_credits(&self) -> bool {
        self.kind != AccountKind::Treasury
    }
}

/// An account as the book holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its currency.
    pub currency: Currency,
    /// Whether it must not be overdrawn.
    pub debits_must_not_exceed_credits: bool,
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

impl Sums {
    /// Returns what can still be taken out: what is held counts as gone.
    pub fn available(&self) -> i64 {
        self.credits_posted
            .saturating_sub(self.debits_posted)
            .saturating_sub(self.debits_pending)
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
    Hold(Leg),
    /// Moves what a pending transfer holds.
    PostPending(TransferId),
    /// Gives back what a pending transfer holds.
    VoidPending(TransferId),
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
}

/// A transfer as it is booked. It never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Its id.
    pub id: TransferId,
    /// Its kind.
    pub kind: TransferKind,
    /// The accounts and the amount; those of the pending transfer where it ends one.
    pub leg: Leg,
    /// The pending transfer that it ends.
    pub pending_id: Option<TransferId>,
    /// What it is for.
    pub code: Code,
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
    /// The id was used for another transfer.
    #[error("the id was used for another transfer")]
    IdReused,
    /// There is no such pending transfer.
    #[error("there is no such pending transfer")]
    PendingNotFound,
    /// The pending transfer was posted or voided before.
    #[error("the pending transfer has ended")]
    PendingEnded,
    /// Another line of the chain was refused.
    #[error("another line of the chain was refused")]
    ChainBroken,
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
            movement: Movement::Hold(leg),
            code,
            linked: false,
        }
    }

    /// Orders what is held to be moved.
    pub fn post_pending(id: TransferId, code: Code, pending_id: TransferId) -> Transfer {
        Transfer {
            id,
            movement: Movement::PostPending(pending_id),
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
            Movement::PostPending(id) | Movement::VoidPending(id) => Some(id),
            Movement::Post(_) | Movement::Hold(_) => None,
        }
    }
}

impl Code {
    const ALL: [Code; 7] = [
        Code::Appropriation,
        Code::Allotment,
        Code::Award,
        Code::Purchase,
        Code::Incentive,
        Code::Return,
        Code::Reallocation,
    ];

    /// Returns its name in the database and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Appropriation => "appropriation",
            Code::Allotment => "allotment",
            Code::Award => "award",
            Code::Purchase => "purchase",
            Code::Incentive => "incentive",
            Code::Return => "return",
            Code::Reallocation => "reallocation",
        }
    }

    /// Finds a code by its name.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl TransferKind {
    const ALL: [TransferKind; 4] = [
        TransferKind::Posted,
        TransferKind::Pending,
        TransferKind::PostPending,
        TransferKind::VoidPending,
    ];

    /// Returns its name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            TransferKind::Posted => "POSTED",
            TransferKind::Pending => "PENDING",
            TransferKind::PostPending => "POST_PENDING",
            TransferKind::VoidPending => "VOID_PENDING",
        }
    }

    /// Finds a kind by its name.
    pub fn parse(name: &str) -> Option<TransferKind> {
        TransferKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}
