//! The map of accounts: which kinds there are, and the ids of accounts and transfers. An id follows from what the account
//! or transfer is, so that nothing is looked up before it is used, and nothing can be booked twice.

use chassis::money::Currency;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ledger::{AccountId, NewAccount, TransferId};

/// The namespace of the ids of shared accounts: SHA-1 of it and the account's natural key.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_43a8_9c5b_4be2_a7f0_52c9_1e7d_8b36);

/// Whose the account is that all money comes from.
const TREASURY: &str = "treasury";

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// The source of all money, one per currency. Its debits are what the state has set aside.
    Treasury,
    /// Set aside for a fiscal year, not yet given to a batch.
    Appropriation,
    /// Given to a batch, not yet to its participations.
    BatchBudget,
    /// What a participation can spend on courses.
    TrainingBalance,
    /// What a participation can still be paid.
    IncentiveCommitment,
    /// What a provider got for courses of a batch's participations.
    ProviderPayable,
    /// On its way through the rail to a batch's persons.
    RailInFlight,
    /// Arrived with a batch's persons.
    Paid,
    /// Back from a batch's participations. Its debits are what was re-allocated.
    Returned,
    /// The other side of what a batch's wrongly enrolled persons owe for courses: its debits are what was claimed, its credits
    /// what of that was given up.
    TrainingClaim,
    /// The same for incentives.
    IncentiveClaim,
    /// What the person of a participation owes for courses.
    TrainingReceivable,
    /// What the person of a participation owes of incentives.
    IncentiveReceivable,
    /// Opened by a caller for money of its own; in no batch.
    Caller,
}

impl AccountKind {
    /// Every kind.
    pub const ALL: [AccountKind; 14] = [
        AccountKind::Treasury,
        AccountKind::Appropriation,
        AccountKind::BatchBudget,
        AccountKind::TrainingBalance,
        AccountKind::IncentiveCommitment,
        AccountKind::ProviderPayable,
        AccountKind::RailInFlight,
        AccountKind::Paid,
        AccountKind::Returned,
        AccountKind::TrainingClaim,
        AccountKind::IncentiveClaim,
        AccountKind::TrainingReceivable,
        AccountKind::IncentiveReceivable,
        AccountKind::Caller,
    ];

    /// Returns its name in the database and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountKind::Treasury => "treasury",
            AccountKind::Appropriation => "appropriation",
            AccountKind::BatchBudget => "batch-budget",
            AccountKind::TrainingBalance => "training-balance",
            AccountKind::IncentiveCommitment => "incentive-commitment",
            AccountKind::ProviderPayable => "provider-payable",
            AccountKind::RailInFlight => "rail-in-flight",
            AccountKind::Paid => "paid",
            AccountKind::Returned => "returned",
            AccountKind::TrainingClaim => "training-claim",
            AccountKind::IncentiveClaim => "incentive-claim",
            AccountKind::TrainingReceivable => "training-receivable",
            AccountKind::IncentiveReceivable => "incentive-receivable",
            AccountKind::Caller => "caller",
        }
    }

    /// Finds a kind by its name.
    pub fn parse(name: &str) -> Option<AccountKind> {
        AccountKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

/// The account that all money of a currency comes from.
pub fn treasury(currency: Currency) -> NewAccount {
    shared(AccountKind::Treasury, TREASURY, None, currency)
}

/// The account of an appropriation.
pub fn appropriation(id: &str, currency: Currency) -> NewAccount {
    shared(
        AccountKind::Appropriation,
        &format!("appropriations/{id}"),
        None,
        currency,
    )
}

/// One of the accounts that a batch has one of: its budget, what is in flight, paid, returned, or claimed.
pub fn of_batch(kind: AccountKind, batch: &str, currency: Currency) -> NewAccount {
    shared(kind, batch, Some(batch), currency)
}

/// What a provider got from a batch.
pub fn provider_payable(provider_id: Uuid, batch: &str, currency: Currency) -> NewAccount {
    shared(
        AccountKind::ProviderPayable,
        &format!("providers/{provider_id}"),
        Some(batch),
        currency,
    )
}

/// The training balance of a participation.
pub fn training_balance(participation_id: Uuid, batch: &str, currency: Currency) -> NewAccount {
    own(
        AccountKind::TrainingBalance,
        participation_id,
        batch,
        currency,
    )
}

/// The incentive commitment of a participation.
pub fn incentive_commitment(participation_id: Uuid, batch: &str, currency: Currency) -> NewAccount {
    own(
        AccountKind::IncentiveCommitment,
        participation_id,
        batch,
        currency,
    )
}

/// One of the two accounts of what the person of a participation owes.
pub fn receivable(
    kind: AccountKind,
    participation_id: Uuid,
    batch: &str,
    currency: Currency,
) -> NewAccount {
    own(kind, participation_id, batch, currency)
}

/// The id of a participation's account.
pub fn own_id(kind: AccountKind, participation_id: Uuid) -> AccountId {
    AccountId(derived(participation_id, kind.as_str()))
}

/// The id of the transfer that does `step` (`award-training`, `settle-1` …) with the thing of this id.
pub fn transfer_id(of: Uuid, step: &str) -> TransferId {
    TransferId(derived(of, step))
}

/// The id of the transfer that does `step` with the thing of this name.
pub fn transfer_id_by_name(name: &str, step: &str) -> TransferId {
    TransferId(Uuid::new_v5(
        &NAMESPACE,
        format!("transfer|{step}|{name}").as_bytes(),
    ))
}

fn shared(kind: AccountKind, owner: &str, batch: Option<&str>, currency: Currency) -> NewAccount {
    let key = [
        kind.as_str(),
        owner,
        batch.unwrap_or_default(),
        currency.code(),
    ]
    .join("|");
    NewAccount {
        id: AccountId(Uuid::new_v5(&NAMESPACE, key.as_bytes())),
        kind,
        owner: owner.to_owned(),
        batch: batch.map(str::to_owned),
        currency,
    }
}

fn own(kind: AccountKind, participation_id: Uuid, batch: &str, currency: Currency) -> NewAccount {
    NewAccount {
        id: own_id(kind, participation_id),
        kind,
        owner: format!("participations/{participation_id}"),
        batch: Some(batch.to_owned()),
        currency,
    }
}

/// Derives an id that sorts beside the one it comes from: the time of a version-7 id stays in front, so that inserts go
/// to the right edge of an index, and 74 bits of a hash follow (version 8, RFC 9562).
fn derived(base: Uuid, label: &str) -> Uuid {
    let hash = Sha256::new()
        .chain_update(label.as_bytes())
        .chain_update([0])
        .chain_update(base.as_bytes())
        .finalize();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&base.as_bytes()[..6]);
    bytes[6..].copy_from_slice(&hash[..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idr() -> Currency {
        Currency::from_code("IDR").unwrap()
    }

    #[test]
    fn kinds_have_names() {
        for kind in AccountKind::ALL {
            assert_eq!(AccountKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(AccountKind::parse("petty-cash"), None);
    }

    #[test]
    fn the_same_account_has_the_same_id_and_another_has_not() {
        let budget = of_batch(AccountKind::BatchBudget, "batches/48", idr());

        assert_eq!(
            budget,
            of_batch(AccountKind::BatchBudget, "batches/48", idr())
        );
        assert_ne!(
            budget.id,
            of_batch(AccountKind::Returned, "batches/48", idr()).id
        );
        assert_ne!(
            budget.id,
            of_batch(AccountKind::BatchBudget, "batches/49", idr()).id
        );
        let dollars = Currency::from_code("USD").unwrap();
        assert_ne!(treasury(idr()).id, treasury(dollars).id);
    }

    #[test]
    fn a_derived_id_sorts_beside_its_origin_and_differs_by_step() {
        let participation_id = Uuid::from_u128(0x0193_5f00_1122_7abc_8def_0123_4567_89ab);

        let first = transfer_id(participation_id, "award-training");
        let second = transfer_id(participation_id, "award-incentive");

        assert_eq!(first.0.as_bytes()[..6], participation_id.as_bytes()[..6]);
        assert_eq!(first.0.get_version_num(), 8);
        assert_ne!(first, second);
        let neighbour = Uuid::from_u128(participation_id.as_u128() + 1);
        assert_ne!(first, transfer_id(neighbour, "award-training"));
    }
}
