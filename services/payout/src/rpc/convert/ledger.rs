//! Requests to the ledger. In a long list every fault of the first broken items is named, so that the answer stays one that
//! a client can receive.

use chassis::{
    money::{Currency, Money},
    names, paging,
    status::{Refusal, Violations},
};
use proto::payout::v1 as pb;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{NO_BATCH, is_batch};
use crate::{
    app::ledger::{accounts::ACCOUNTS_MAX, transfers::LINES_MAX},
    domain::ledger::{AccountId, CallerAccount, Code, Leg, Limits, Movement, Transfer, TransferId},
};

/// How many items of a list are named with their faults: with five each they fill half of what a header may hold.
const BROKEN_ITEMS_MAX: usize = 10;

const OWNER_BYTES_MAX: usize = 200;

const NO_ACCOUNT: &str = "is not of the form `ledgerAccounts/{uuid}`";
const NO_TRANSFER: &str = "is not of the form `transfers/{uuid}`";
const NOT_FOR_KIND: &str = "is not for this kind";

pub(in crate::rpc) fn create_ledger_accounts(
    request: &pb::CreateLedgerAccountsRequest,
) -> Result<Vec<CallerAccount>, Refusal> {
    parse_items(
        "ledger_accounts",
        &request.ledger_accounts,
        ACCOUNTS_MAX,
        new_account,
    )
}

pub(in crate::rpc) fn create_transfers(
    request: &pb::CreateTransfersRequest,
) -> Result<Vec<Transfer>, Refusal> {
    parse_items("transfers", &request.transfers, LINES_MAX, new_transfer)
}

/// Reads the items of a list, of which there is at least one.
fn parse_items<I, T>(
    list: &'static str,
    items: &[I],
    count_max: usize,
    parse: impl Fn(&I, &mut ItemViolations<'_>) -> Option<T>,
) -> Result<Vec<T>, Refusal> {
    let mut violations = Violations::new();
    if !(1..=count_max).contains(&items.len()) {
        violations.add(list, format!("holds not 1 to {count_max} items"));
    }
    let mut parsed = Vec::with_capacity(items.len().min(count_max));
    let mut broken_count = 0;
    for (index, item) in items.iter().enumerate().take(count_max) {
        let mut of_item = ItemViolations {
            list,
            index,
            violations: &mut violations,
        };
        match parse(item, &mut of_item) {
            Some(item) => parsed.push(item),
            None => broken_count += 1,
        }
        if broken_count == BROKEN_ITEMS_MAX {
            break;
        }
    }
    violations.into_result()?;
    Ok(parsed)
}

/// The violations of one item.
struct ItemViolations<'a> {
    list: &'static str,
    index: usize,
    violations: &'a mut Violations,
}

impl ItemViolations<'_> {
    fn check(&mut self, holds: bool, field: &str, description: &str) -> Option<()> {
        if holds {
            return Some(());
        }
        let field = format!("{}[{}].{field}", self.list, self.index);
        self.violations.add(field, description);
        None
    }

    fn require<T>(&mut self, parsed: Option<T>, field: &str, description: &str) -> Option<T> {
        self.check(parsed.is_some(), field, description)?;
        parsed
    }

    /// Reads a name whose id the caller chooses.
    fn own_id(&mut self, name: &str, collection: &str, description: &str) -> Option<Uuid> {
        let id = self.require(names::parse_uuid(name, collection), "name", description)?;
        // The ids that the service derives for its own accounts and transfers are of versions 5 and 8: nobody takes them
        // away before.
        let is_free = matches!(id.get_version_num(), 4 | 7);
        self.check(is_free, "name", "holds no UUID of version 4 or 7")?;
        Some(id)
    }

    fn account(&mut self, name: &str, field: &str) -> Option<AccountId> {
        let id = names::parse_uuid(name, "ledgerAccounts");
        self.require(id, field, NO_ACCOUNT).map(AccountId)
    }

    fn amount(&mut self, transfer: &pb::NewTransfer) -> Option<Money> {
        let field = format!("{}[{}].amount", self.list, self.index);
        Money::from_proto(&field, transfer.amount.as_ref(), self.violations)
    }
}

fn new_account(
    account: &pb::NewLedgerAccount,
    violations: &mut ItemViolations<'_>,
) -> Option<CallerAccount> {
    let id = violations.own_id(&account.name, "ledgerAccounts", NO_ACCOUNT);
    let is_owner = (1..=OWNER_BYTES_MAX).contains(&account.owner.len());
    let owner = violations.check(is_owner, "owner", "is not of 1 to 200 bytes");
    let currency = violations.require(
        Currency::from_code(&account.currency_code),
        "currency_code",
        "is not a currency of ISO 4217",
    );
    let limits = Limits {
        debits_must_not_exceed_credits: account.debits_must_not_exceed_credits,
        credits_must_not_exceed_debits: account.credits_must_not_exceed_debits,
    };
    let may_move =
        !(limits.debits_must_not_exceed_credits && limits.credits_must_not_exceed_debits);
    let may_move = violations.check(
        may_move,
        "credits_must_not_exceed_debits",
        "excludes `debits_must_not_exceed_credits`",
    );
    let id = owner.and(may_move).and(id)?;
    Some(CallerAccount {
        id: AccountId(id),
        owner: account.owner.clone(),
        currency: currency?,
        limits,
    })
}

fn new_transfer(
    transfer: &pb::NewTransfer,
    violations: &mut ItemViolations<'_>,
) -> Option<Transfer> {
    let id = violations.own_id(&transfer.name, "transfers", NO_TRANSFER);
    let movement = movement(transfer, violations);
    let code = violations.require(
        u16::try_from(transfer.code).ok(),
        "code",
        "is not within 0 and 65,535",
    );
    Some(Transfer {
        id: TransferId(id?),
        movement: movement?,
        code: Code::Caller(code?),
        linked: transfer.linked,
    })
}

fn movement(transfer: &pb::NewTransfer, violations: &mut ItemViolations<'_>) -> Option<Movement> {
    let kind = pb::transfer::Kind::try_from(transfer.kind);
    match kind.unwrap_or(pb::transfer::Kind::Unspecified) {
        pb::transfer::Kind::Posted => {
            let timeout = check_no_timeout(transfer, violations);
            let leg = leg(transfer, violations);
            timeout.and(leg).map(Movement::Post)
        }
        pb::transfer::Kind::Pending => {
            let is_time = transfer.timeout_seconds >= 0;
            let timeout = violations.check(is_time, "timeout_seconds", "is negative");
            let leg = leg(transfer, violations);
            Some(Movement::Hold {
                leg: timeout.and(leg)?,
                timeout_seconds: Some(transfer.timeout_seconds).filter(|seconds| *seconds > 0),
            })
        }
        pb::transfer::Kind::PostPending => {
            let pending_id = pending_id(transfer, violations);
            let amount = match &transfer.amount {
                None => Some(None),
                Some(_) => violations.amount(transfer).map(Some),
            };
            Some(Movement::PostPending {
                pending_id: pending_id?,
                amount: amount?,
            })
        }
        pb::transfer::Kind::VoidPending => {
            let pending_id = pending_id(transfer, violations);
            let amount = violations.check(transfer.amount.is_none(), "amount", NOT_FOR_KIND);
            amount.and(pending_id).map(Movement::VoidPending)
        }
        pb::transfer::Kind::Unspecified | pb::transfer::Kind::ExpirePending => {
            let text = "is not POSTED, PENDING, POST_PENDING or VOID_PENDING";
            violations.require(None, "kind", text)
        }
    }
}

/// Reads what a transfer that names its accounts moves.
fn leg(transfer: &pb::NewTransfer, violations: &mut ItemViolations<'_>) -> Option<Leg> {
    let debit = violations.account(&transfer.debit_account, "debit_account");
    let credit = violations.account(&transfer.credit_account, "credit_account");
    let amount = violations.amount(transfer);
    let is_empty = transfer.pending_transfer.is_empty();
    violations.check(is_empty, "pending_transfer", NOT_FOR_KIND)?;
    Some(Leg {
        debit: debit?,
        credit: credit?,
        amount: amount?,
    })
}

/// Reads what a transfer ends, whose accounts are known by that.
fn pending_id(
    transfer: &pb::NewTransfer,
    violations: &mut ItemViolations<'_>,
) -> Option<TransferId> {
    let timeout = check_no_timeout(transfer, violations);
    let is_empty = transfer.debit_account.is_empty();
    let debit = violations.check(is_empty, "debit_account", NOT_FOR_KIND);
    let is_empty = transfer.credit_account.is_empty();
    let credit = violations.check(is_empty, "credit_account", NOT_FOR_KIND);
    let id = violations.require(
        names::parse_uuid(&transfer.pending_transfer, "transfers"),
        "pending_transfer",
        NO_TRANSFER,
    );
    timeout.and(debit).and(credit).and(id).map(TransferId)
}

fn check_no_timeout(transfer: &pb::NewTransfer, violations: &mut ItemViolations<'_>) -> Option<()> {
    let is_empty = transfer.timeout_seconds == 0;
    violations.check(is_empty, "timeout_seconds", NOT_FOR_KIND)
}

pub(in crate::rpc) fn get_ledger_account(
    request: &pb::GetLedgerAccountRequest,
    now: OffsetDateTime,
) -> Result<(AccountId, Option<OffsetDateTime>), Refusal> {
    let mut violations = Violations::new();
    let id = violations.require(
        names::parse_uuid(&request.name, "ledgerAccounts"),
        "name",
        NO_ACCOUNT,
    );
    let read_time = request.read_time.as_ref().map(|time| {
        let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
    });
    let read_time = match read_time {
        None => None,
        Some(Ok(time)) if time <= now => Some(time),
        Some(Ok(_)) => {
            violations.add("read_time", "is in the future");
            None
        }
        Some(Err(_)) => {
            violations.add("read_time", "is not a time");
            None
        }
    };
    let id = violations.finish(id)?;
    Ok((AccountId(id), read_time))
}

pub(in crate::rpc) fn list_ledger_accounts(
    request: &pb::ListLedgerAccountsRequest,
) -> Result<(Option<&str>, Option<&str>), Refusal> {
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let (batch, owner) = (given(request.batch.as_str()), given(request.owner.as_str()));
    let mut violations = Violations::new();
    violations.check(
        batch.is_some() || owner.is_some(),
        "batch",
        "is required unless `owner` is given",
    );
    violations.check(batch.is_none_or(is_batch), "batch", NO_BATCH);
    paging::check_size(request.page_size, &mut violations);
    violations.into_result()?;
    Ok((batch, owner))
}

pub(in crate::rpc) fn list_transfers(
    request: &pb::ListTransfersRequest,
) -> Result<AccountId, Refusal> {
    let mut violations = Violations::new();
    let id = violations.require(
        names::parse_uuid(&request.ledger_account, "ledgerAccounts"),
        "ledger_account",
        NO_ACCOUNT,
    );
    paging::check_size(request.page_size, &mut violations);
    violations.finish(id.map(AccountId))
}
