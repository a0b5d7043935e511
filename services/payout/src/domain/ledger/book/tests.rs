//! What the book must never do, by example and by chance. `model.rs` is the naive book that chance compares it with.

use chassis::money::Money;
use proptest::prelude::{Strategy, prop_oneof, proptest};
use time::{Duration, macros::datetime};
use uuid::Uuid;

use super::*;
use crate::domain::ledger::{Code, Limits};

mod model;

const NOW: OffsetDateTime = datetime!(2026-02-03 02:00 UTC);

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
        is_of_caller: false,
        limits: Limits {
            debits_must_not_exceed_credits: number != SOURCE,
            ..Limits::default()
        },
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
        book.apply(&[post(900, SOURCE, WALLET, 1_000)], NOW),
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

    let verdicts = book.apply(
        &[
            hold(1, WALLET, SHOP, 700),
            post(2, WALLET, SHOP, 400),
            void_pending(3, 1),
        ],
        NOW,
    );

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

    book.apply(&[hold(1, WALLET, SHOP, 700), post_pending(2, 1)], NOW);

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
    book.apply(&[hold(1, WALLET, SHOP, 700), post_pending(2, 1)], NOW);

    let verdicts = book.apply(
        &[
            void_pending(3, 1),
            post_pending(4, 1),
            post_pending(2, 1),
            void_pending(5, 9),
        ],
        NOW,
    );

    assert_eq!(
        verdicts,
        [
            refused(TransferRefusal::PendingPosted),
            refused(TransferRefusal::PendingPosted),
            Verdict::Repeated,
            refused(TransferRefusal::PendingNotFound),
        ]
    );
}

#[test]
fn a_hold_that_ended_before_the_book_was_opened_has_ended() {
    let mut before = a_book();
    before.apply(&[hold(1, WALLET, SHOP, 700), void_pending(2, 1)], NOW);

    let mut book = Book::open(before.accounts.values().copied(), before.new_transfers());

    assert_eq!(
        book.apply(&[post_pending(3, 1)], NOW),
        [refused(TransferRefusal::PendingVoided)]
    );
    assert!(book.new_transfers().is_empty() && book.changed_accounts().is_empty());
}

#[test]
fn the_same_id_is_booked_once_and_never_for_something_else() {
    let mut book = a_book();

    let verdicts = book.apply(
        &[
            post(1, WALLET, SHOP, 100),
            post(1, WALLET, SHOP, 100),
            post(1, WALLET, SHOP, 200),
        ],
        NOW,
    );

    assert_eq!(
        verdicts,
        [
            Verdict::Applied,
            Verdict::Repeated,
            refused(TransferRefusal::IdReused(Difference::Amount))
        ]
    );
    assert_eq!(book.sums(account_id(SHOP)).credits_posted, 100);
}

#[test]
fn a_chain_is_booked_whole_or_not_at_all() {
    let mut book = a_book();
    let before = book.clone();

    let verdicts = book.apply(
        &[
            post(1, WALLET, SHOP, 600).linked(),
            hold(2, WALLET, SHOP, 100).linked(),
            post(3, WALLET, SHOP, 600),
            post(4, WALLET, SHOP, 1_000),
        ],
        NOW,
    );

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
    book.apply(&[hold(1, WALLET, SHOP, 1_000)], NOW);

    book.apply(
        &[void_pending(2, 1).linked(), post(3, WALLET, SHOP, 1_001)],
        NOW,
    );

    assert_eq!(book.apply(&[post_pending(4, 1)], NOW), [Verdict::Applied]);
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
            book.apply(std::slice::from_ref(&line), NOW),
            [refused(expected)],
            "{line:?}"
        );
        assert_eq!(book.new_transfers().len(), 1);
    }
}

/// Accounts of callers: 1 gives without end, 3 gets no more than it gave.
fn account_of_caller(number: u128) -> Account {
    Account {
        is_of_caller: true,
        limits: Limits {
            debits_must_not_exceed_credits: number != 1 && number != 3,
            credits_must_not_exceed_debits: number == 3,
        },
        ..account(number)
    }
}

fn of_caller(movement: Movement, id: u128) -> Transfer {
    Transfer {
        id: transfer_id(id),
        movement,
        code: Code::Caller(7),
        linked: false,
    }
}

fn caller_hold(id: u128, debit: u128, credit: u128, minor: i64, seconds: i32) -> Transfer {
    let movement = Movement::Hold {
        leg: leg(debit, credit, minor),
        timeout_seconds: Some(seconds).filter(|seconds| *seconds > 0),
    };
    of_caller(movement, id)
}

fn post_part(id: u128, pending: u128, minor: i64) -> Transfer {
    let movement = Movement::PostPending {
        pending_id: transfer_id(pending),
        amount: Some(idr(minor)),
    };
    of_caller(movement, id)
}

fn book_of_callers() -> Book {
    Book::open([1, 2, 3, 4].map(account_of_caller), [])
}

#[test]
fn a_part_is_posted_and_the_rest_given_back() {
    let mut book = book_of_callers();
    book.apply(&[caller_hold(1, 1, 2, 700, 0)], NOW);

    let verdicts = book.apply(
        &[
            post_part(2, 1, 701),
            post_part(3, 1, 500),
            post_part(3, 1, 500),
            post_part(3, 1, 400),
            post_part(4, 1, 200),
        ],
        NOW,
    );

    assert_eq!(
        verdicts,
        [
            refused(TransferRefusal::PendingExceeded { available: 700 }),
            Verdict::Applied,
            Verdict::Repeated,
            refused(TransferRefusal::IdReused(Difference::Amount)),
            refused(TransferRefusal::PendingPosted),
        ]
    );
    assert_eq!(
        book.sums(account_id(2)),
        Sums {
            credits_posted: 500,
            ..Sums::default()
        }
    );
    assert_eq!(book.sums(account_id(1)).debits_pending, 0);
}

#[test]
fn from_its_time_on_a_pending_transfer_only_expires() {
    let mut book = book_of_callers();
    book.apply(&[caller_hold(1, 1, 2, 700, 60)], NOW);
    let pending = book.new_transfers()[0];
    let expire = Transfer::expire(transfer_id(3), &pending);

    let in_time = book.clone().apply(
        &[post_part(2, 1, 700)],
        NOW + Duration::milliseconds(59_999),
    );
    let late = book.apply(
        &[post_part(2, 1, 700), expire, post_part(4, 1, 700)],
        NOW + Duration::seconds(60),
    );

    assert_eq!(in_time, [Verdict::Applied]);
    assert_eq!(
        late,
        [
            refused(TransferRefusal::PendingExpired),
            Verdict::Applied,
            refused(TransferRefusal::PendingExpired),
        ]
    );
    assert_eq!(book.sums(account_id(1)), Sums::default());
    assert_eq!(book.ended_timeouts(), [transfer_id(1)]);
}

#[test]
fn an_account_gets_no_more_than_it_gave_where_that_is_its_limit() {
    let mut book = book_of_callers();
    let post = |id, debit, credit, minor| of_caller(Movement::Post(leg(debit, credit, minor)), id);

    let verdicts = book.apply(
        &[post(1, 3, 2, 500), post(2, 1, 3, 300), post(3, 1, 3, 201)],
        NOW,
    );

    assert_eq!(
        verdicts,
        [
            Verdict::Applied,
            Verdict::Applied,
            refused(TransferRefusal::Excess { available: 200 }),
        ]
    );
}

#[test]
fn an_open_chain_is_refused_and_what_was_before_it_is_not() {
    let mut book = a_book();

    let verdicts = book.apply(
        &[
            post(1, WALLET, SHOP, 100),
            post(2, WALLET, SHOP, 100).linked(),
            post(3, WALLET, SHOP, 100).linked(),
        ],
        NOW,
    );

    assert_eq!(
        verdicts,
        [
            Verdict::Applied,
            refused(TransferRefusal::ChainBroken),
            refused(TransferRefusal::ChainOpen),
        ]
    );
    assert_eq!(book.sums(account_id(SHOP)).credits_posted, 100);
}

#[test]
fn the_programme_and_callers_do_not_touch_each_other_s_accounts() {
    let mut book = Book::open(
        [account(SOURCE), account_of_caller(1), account_of_caller(2)],
        [],
    );
    let mixed = of_caller(Movement::Post(leg(1, SOURCE, 5)), 1);

    let verdicts = book.apply(&[mixed, post(2, SOURCE, 2, 5)], NOW);

    assert_eq!(
        verdicts,
        [
            refused(TransferRefusal::AccountReserved(account_id(SOURCE))),
            refused(TransferRefusal::AccountReserved(account_id(2))),
        ]
    );
}

#[test]
fn another_transfer_under_the_same_id_is_told_in_what_it_differs() {
    let first = caller_hold(1, 1, 2, 700, 60);
    let dollars = Money::from_stored(700, "USD").unwrap();
    let in_dollars = Leg {
        amount: dollars,
        ..leg(1, 2, 700)
    };
    let movement = Movement::Hold {
        leg: in_dollars,
        timeout_seconds: Some(60),
    };
    for (line, expected) in [
        (
            of_caller(Movement::Post(leg(1, 2, 700)), 1),
            Difference::Kind,
        ),
        (caller_hold(1, 4, 2, 700, 60), Difference::DebitAccount),
        (caller_hold(1, 1, 4, 700, 60), Difference::CreditAccount),
        (caller_hold(1, 1, 2, 699, 60), Difference::Amount),
        (caller_hold(1, 1, 2, 700, 61), Difference::Timeout),
        (of_caller(movement, 1), Difference::Currency),
        (
            Transfer {
                code: Code::Caller(8),
                ..first.clone()
            },
            Difference::Code,
        ),
    ] {
        let mut book = book_of_callers();

        let verdicts = book.apply(&[first.clone(), line], NOW);

        assert_eq!(
            verdicts,
            [
                Verdict::Applied,
                refused(TransferRefusal::IdReused(expected))
            ]
        );
    }
    let mut book = book_of_callers();
    let holds = [caller_hold(1, 1, 2, 5, 0), caller_hold(2, 1, 2, 5, 0)];
    book.apply(&holds, NOW);
    let verdicts = book.apply(&[post_part(3, 1, 5), post_part(3, 2, 5)], NOW);
    assert_eq!(
        verdicts[1],
        refused(TransferRefusal::IdReused(Difference::PendingTransfer))
    );
}

fn any_line() -> impl Strategy<Value = Transfer> {
    let number = || 1..6_u128;
    let id = || 1..40_u128;
    let amount = || -1..500_i64;
    let line = prop_oneof![
        3 => (id(), number(), number(), amount()).prop_map(|(id, from, to, minor)| {
            of_caller(Movement::Post(leg(from, to, minor)), id)
        }),
        3 => (id(), number(), number(), amount(), 0..30_i32)
            .prop_map(|(id, from, to, minor, seconds)| caller_hold(id, from, to, minor, seconds)),
        2 => (id(), id()).prop_map(|(id, pending)| {
            let pending_id = transfer_id(pending);
            of_caller(Movement::PostPending { pending_id, amount: None }, id)
        }),
        2 => (id(), id(), amount()).prop_map(|(id, pending, minor)| post_part(id, pending, minor)),
        1 => (id(), id())
            .prop_map(|(id, pending)| of_caller(Movement::VoidPending(transfer_id(pending)), id)),
    ];
    (line, 0..4_u8).prop_map(|(line, ticket)| if ticket == 0 { line.linked() } else { line })
}

proptest! {
    #[test]
    fn whatever_is_ordered_the_book_says_and_does_what_the_naive_one_does(
        calls in proptest::collection::vec(
            (proptest::collection::vec(any_line(), 0..20), 0..20_i64),
            0..12,
        ),
    ) {
        let mut now = NOW;
        let mut book = book_of_callers();
        let mut model = model::Model::new([1, 2, 3, 4].map(account_of_caller));

        for (number, (lines, seconds)) in calls.iter().enumerate() {
            now += Duration::seconds(*seconds);
            // Every other call begins with the sweeper, and finds the books as they were written.
            if number % 2 == 0 {
                let due: Vec<Transfer> = book
                    .new_transfers()
                    .iter()
                    .filter(|booked| booked.expire_time().is_some_and(|time| time <= now))
                    .map(|booked| Transfer::expire(TransferId(Uuid::from_u128(1_000 + booked.id.0.as_u128())), booked))
                    .collect();
                assert_eq!(book.apply(&due, now), model.apply(&due, now));
            }
            assert_eq!(book.apply(lines, now), model.apply(lines, now));
            for id in (1..5).map(account_id) {
                assert_eq!(book.sums(id), model.sums(id), "{id:?}");
            }
        }

        let all: Vec<Account> = book.accounts.values().copied().collect();
        let total = |sum: fn(&Sums) -> i64| all.iter().map(|account| sum(&account.sums)).sum::<i64>();
        assert_eq!(total(|sums| sums.debits_posted), total(|sums| sums.credits_posted));
        assert_eq!(total(|sums| sums.debits_pending), total(|sums| sums.credits_pending));
        for account in &all {
            assert!(!account.limits.debits_must_not_exceed_credits || account.sums.available() >= 0);
            assert!(!account.limits.credits_must_not_exceed_debits || account.sums.receivable() >= 0);
        }
    }
}
