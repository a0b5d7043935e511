//! What the book must never do, by example and by chance.

use chassis::money::Money;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use uuid::Uuid;

use super::*;
use crate::domain::ledger::Code;

const SOURCE: u128 = 100;
const WALLET: u128 = 1;
const SHOP: u128 = 2;

fn idr(minor: i64) -> Money {
    Money::from_stored(minor, "IDR").unwrap()
}

fn account_id(number: u128) -> AccountId {
    AccountId(Uuid::from_u128(number))
}

fn transfer_id(number: u128) -> TransferId {
    TransferId(Uuid::from_u128(number))
}

fn account(number: u128) -> Account {
    Account {
        id: account_id(number),
        currency: idr(0).currency(),
        debits_must_not_exceed_credits: number != SOURCE,
        sums: Sums::default(),
    }
}

fn leg(debit: u128, credit: u128, minor: i64) -> Leg {
    Leg {
        debit: account_id(debit),
        credit: account_id(credit),
        amount: idr(minor),
    }
}

fn post(id: u128, debit: u128, credit: u128, minor: i64) -> Transfer {
    Transfer::post(transfer_id(id), Code::Purchase, leg(debit, credit, minor))
}

fn hold(id: u128, debit: u128, credit: u128, minor: i64) -> Transfer {
    Transfer::hold(transfer_id(id), Code::Purchase, leg(debit, credit, minor))
}

fn post_pending(id: u128, pending: u128) -> Transfer {
    Transfer::post_pending(transfer_id(id), Code::Purchase, transfer_id(pending))
}

fn void_pending(id: u128, pending: u128) -> Transfer {
    Transfer::void_pending(transfer_id(id), Code::Purchase, transfer_id(pending))
}

/// A wallet with 1,000 from the source, and an empty shop.
fn a_book() -> Book {
    let mut book = Book::open([account(SOURCE), account(WALLET), account(SHOP)], []);
    assert_eq!(
        book.apply(&[post(900, SOURCE, WALLET, 1_000)]),
        [Verdict::Applied]
    );
    book
}

fn refused(refusal: TransferRefusal) -> Verdict {
    Verdict::Refused(refusal)
}

#[test]
fn a_hold_keeps_the_amount_from_others_until_it_ends() {
    let mut book = a_book();

    let verdicts = book.apply(&[
        hold(1, WALLET, SHOP, 700),
        post(2, WALLET, SHOP, 400),
        void_pending(3, 1),
    ]);

    assert_eq!(
        verdicts,
        [
            Verdict::Applied,
            refused(TransferRefusal::Overdraft { available: 300 }),
            Verdict::Applied
        ]
    );
    assert_eq!(book.sums(account_id(WALLET)).available(), 1_000);
    assert_eq!(book.sums(account_id(SHOP)), Sums::default());
}

#[test]
fn a_posted_hold_moves_what_it_held() {
    let mut book = a_book();

    book.apply(&[hold(1, WALLET, SHOP, 700), post_pending(2, 1)]);

    assert_eq!(
        book.sums(account_id(WALLET)),
        Sums {
            debits_posted: 700,
            credits_posted: 1_000,
            ..Sums::default()
        }
    );
    assert_eq!(book.sums(account_id(SHOP)).balance(), 700);
}

#[test]
fn a_hold_ends_once() {
    let mut book = a_book();
    book.apply(&[hold(1, WALLET, SHOP, 700), post_pending(2, 1)]);

    let verdicts = book.apply(&[
        void_pending(3, 1),
        post_pending(4, 1),
        post_pending(2, 1),
        void_pending(5, 9),
    ]);

    assert_eq!(
        verdicts,
        [
            refused(TransferRefusal::PendingEnded),
            refused(TransferRefusal::PendingEnded),
            Verdict::Repeated,
            refused(TransferRefusal::PendingNotFound),
        ]
    );
}

#[test]
fn a_hold_that_ended_before_the_book_was_opened_has_ended() {
    let mut before = a_book();
    before.apply(&[hold(1, WALLET, SHOP, 700), void_pending(2, 1)]);

    let mut book = Book::open(before.accounts.values().copied(), before.new_transfers());

    assert_eq!(
        book.apply(&[post_pending(3, 1)]),
        [refused(TransferRefusal::PendingEnded)]
    );
    assert!(book.new_transfers().is_empty() && book.changed_accounts().is_empty());
}

#[test]
fn the_same_id_is_booked_once_and_never_for_something_else() {
    let mut book = a_book();

    let verdicts = book.apply(&[
        post(1, WALLET, SHOP, 100),
        post(1, WALLET, SHOP, 100),
        post(1, WALLET, SHOP, 200),
    ]);

    assert_eq!(
        verdicts,
        [
            Verdict::Applied,
            Verdict::Repeated,
            refused(TransferRefusal::IdReused)
        ]
    );
    assert_eq!(book.sums(account_id(SHOP)).credits_posted, 100);
}

#[test]
fn a_chain_is_booked_whole_or_not_at_all() {
    let mut book = a_book();
    let before = book.clone();

    let verdicts = book.apply(&[
        post(1, WALLET, SHOP, 600).linked(),
        hold(2, WALLET, SHOP, 100).linked(),
        post(3, WALLET, SHOP, 600),
        post(4, WALLET, SHOP, 1_000),
    ]);

    assert_eq!(
        verdicts,
        [
            refused(TransferRefusal::ChainBroken),
            refused(TransferRefusal::ChainBroken),
            refused(TransferRefusal::Overdraft { available: 300 }),
            Verdict::Applied,
        ]
    );
    assert_eq!(book.new_transfers().len(), before.new_transfers().len() + 1);
    assert_eq!(book.sums(account_id(WALLET)).available(), 0);
}

#[test]
fn a_broken_chain_leaves_its_hold_open() {
    let mut book = a_book();
    book.apply(&[hold(1, WALLET, SHOP, 1_000)]);

    book.apply(&[void_pending(2, 1).linked(), post(3, WALLET, SHOP, 1_001)]);

    assert_eq!(book.apply(&[post_pending(4, 1)]), [Verdict::Applied]);
}

#[test]
fn what_cannot_be_booked_is_refused_with_its_reason() {
    let dollars = Money::from_stored(1, "USD").unwrap();
    let in_dollars = Leg {
        amount: dollars,
        ..leg(WALLET, SHOP, 1)
    };
    for (line, expected) in [
        (post(1, WALLET, SHOP, 0), TransferRefusal::AmountNotPositive),
        (
            post(1, WALLET, SHOP, -5),
            TransferRefusal::AmountNotPositive,
        ),
        (post(1, WALLET, WALLET, 5), TransferRefusal::AccountsEqual),
        (
            post(1, WALLET, 77, 5),
            TransferRefusal::AccountNotFound(account_id(77)),
        ),
        (
            post(1, 77, SHOP, 5),
            TransferRefusal::AccountNotFound(account_id(77)),
        ),
        (
            Transfer::post(transfer_id(1), Code::Purchase, in_dollars),
            TransferRefusal::CurrencyMismatched,
        ),
        (post(1, SOURCE, WALLET, i64::MAX), TransferRefusal::Overflow),
        (
            post(1, SHOP, WALLET, 1),
            TransferRefusal::Overdraft { available: 0 },
        ),
    ] {
        let mut book = a_book();

        assert_eq!(
            book.apply(std::slice::from_ref(&line)),
            [refused(expected)],
            "{line:?}"
        );
        assert_eq!(book.new_transfers().len(), 1);
    }
}

fn any_line() -> impl Strategy<Value = Transfer> {
    let accounts = || prop_oneof![Just(SOURCE), 1..5_u128];
    let id = || 1..40_u128;
    let amount = || -1..500_i64;
    let line = prop_oneof![
        (id(), accounts(), accounts(), amount())
            .prop_map(|(id, from, to, minor)| post(id, from, to, minor)),
        (id(), accounts(), accounts(), amount())
            .prop_map(|(id, from, to, minor)| hold(id, from, to, minor)),
        (id(), id()).prop_map(|(id, pending)| post_pending(id, pending)),
        (id(), id()).prop_map(|(id, pending)| void_pending(id, pending)),
    ];
    (line, 0..4_u8).prop_map(|(line, ticket)| if ticket == 0 { line.linked() } else { line })
}

/// Computes the sums of all accounts again from what was booked.
fn recomputed(book: &Book) -> BTreeMap<AccountId, Sums> {
    let mut all: BTreeMap<AccountId, Sums> = book
        .accounts
        .keys()
        .map(|id| (*id, Sums::default()))
        .collect();
    for booked in book.new_transfers() {
        let (pending, posted) = match booked.kind {
            TransferKind::Posted => (0, 1),
            TransferKind::Pending => (1, 0),
            TransferKind::PostPending => (-1, 1),
            TransferKind::VoidPending => (-1, 0),
        };
        let minor = booked.leg.amount.minor();
        let debit = all.get_mut(&booked.leg.debit).unwrap();
        debit.debits_pending += pending * minor;
        debit.debits_posted += posted * minor;
        let credit = all.get_mut(&booked.leg.credit).unwrap();
        credit.credits_pending += pending * minor;
        credit.credits_posted += posted * minor;
    }
    all
}

proptest! {
    #[test]
    fn whatever_is_ordered_the_books_balance_and_nothing_is_overdrawn(
        calls in proptest::collection::vec(proptest::collection::vec(any_line(), 0..20), 0..10),
    ) {
        let mut book = Book::open([SOURCE, 1, 2, 3, 4].map(account), []);

        for lines in &calls {
            let verdicts = book.apply(lines);
            assert_eq!(verdicts.len(), lines.len());
        }

        let all: Vec<Account> = book.accounts.values().copied().collect();
        let total = |sum: fn(&Sums) -> i64| all.iter().map(|account| sum(&account.sums)).sum::<i64>();
        assert_eq!(total(|sums| sums.debits_posted), total(|sums| sums.credits_posted));
        assert_eq!(total(|sums| sums.debits_pending), total(|sums| sums.credits_pending));
        for account in &all {
            assert!(!account.debits_must_not_exceed_credits || account.sums.available() >= 0);
        }
        let sums: BTreeMap<AccountId, Sums> = all.iter().map(|account| (account.id, account.sums)).collect();
        assert_eq!(sums, recomputed(&book));
    }
}
