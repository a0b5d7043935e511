//! Payments by the thousand while the bank goes wrong with every fifth, payout is killed at random, and its database and
//! broker go away: the bank's book shows every payee credited exactly once, or the payment says why not.
//!
//! A run is a function of its seed as far as the bank is concerned; when payout dies follows the seed as well, but what it
//! was doing at that moment does not.

use std::{collections::HashMap, process::Command, time::Duration};

use proto::payout::v1::disbursement::State;
use tests::{
    chance::{Ratio, below},
    cluster::{Cluster, Link},
    fakes::{BankFault, BankFaults},
    payees::{BATCH, INCENTIVE, Payees},
    process::Service,
    programme::outside_of,
    scene::units,
    stack::{checkout, setting},
};
use tokio::time::{Instant, sleep};

const DATABASE: Link = Link::Database(Service::Payout);
const BROKER: Link = Link::Broker(Service::Payout);

/// What goes wrong while payments are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Servers {
    /// The connections to them break off.
    Cut,
    /// They are stopped and started again. Nobody else may use them.
    Restarted,
}

#[tokio::test]
async fn everybody_is_paid_once_whatever_dies_seed_1() {
    pay_each_once(1, 1_200, Servers::Cut).await;
}

#[tokio::test]
async fn everybody_is_paid_once_whatever_dies_seed_2() {
    pay_each_once(2, 1_200, Servers::Cut).await;
}

/// `tests/README.md` has the command.
#[tokio::test]
#[ignore = "takes minutes to hours and restarts the servers that it is given"]
async fn everybody_is_paid_once_whatever_dies_at_full_size() {
    let number = |name: &str, default: u64| {
        setting(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let count = usize::try_from(number("BEKAL_PAYMENTS", 100_000)).unwrap();
    let first = number("BEKAL_SEED", 1);
    for seed in first..first + number("BEKAL_SEEDS", 1) {
        pay_each_once(seed, count, Servers::Restarted).await;
    }
}

#[expect(clippy::print_stderr, reason = "whoever waits for hours wants to see")]
async fn pay_each_once(seed: u64, count: usize, servers: Servers) {
    let mut cluster = cluster(seed).await;
    let payees = Payees::set(&cluster).await;
    let participations = payees.award(&cluster, count).await;
    payees.graduate(&cluster, &participations).await;
    cluster.bank().set_faults(&faults()).await;

    let start = Instant::now();
    assert_eq!(usize::try_from(payees.approve_due().await), Ok(count));
    let deaths = 4 + count / 10_000;
    for death in 0..deaths {
        let wait = below(seed, &format!("death/{death}"), 1_500);
        sleep(Duration::from_millis(200 + wait)).await;
        cluster.kill(Service::Payout);
        if death % 2 == 1 {
            break_servers(&cluster, servers).await;
        }
        cluster.start_service(Service::Payout).await;
        if death % 2 == 0 {
            break_servers(&cluster, servers).await;
        }
    }
    decide_all(&mut cluster, &payees).await;
    // What was refused or taken back goes to another account, through the same bank.
    payees.change_accounts(&cluster, 1).await;
    cluster.advance_clock_by(Duration::from_secs(86_400)).await;
    let again = payees.approve_due().await;
    decide_all(&mut cluster, &payees).await;

    let outcome = check_books(&cluster, &payees).await;
    let summary = cluster.bank().summary().await;
    eprintln!(
        "seed {seed}: {count} payments in {:?}, {deaths} deaths, {again} sent to another account; {outcome:?}; {:?}",
        start.elapsed(),
        summary.faults
    );
    assert!(outcome.settled * 10 > count * 9, "{outcome:?}");
    assert!(again > 0 && summary.faults.len() > 12, "{summary:?}");
    let complaints = cluster.discard().await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

async fn cluster(seed: u64) -> Cluster {
    let mut builder = Cluster::builder()
        .services(&[Service::Identity, Service::Payout])
        .seed(seed)
        .proxied(DATABASE)
        .proxied(BROKER)
        .setting("PAYOUT_RAIL_TIMEOUT_SECONDS", "1")
        .setting("PAYOUT_RAIL_CONCURRENCY_MAX", "64")
        .setting("PAYOUT_REQUEST_TIMEOUT_SECONDS", "120");
    for text in [
        "a payment without a clear answer",
        "an inquiry without a clear answer",
        "a payment was not sent",
        "the rail is away; payments wait",
        "notices of the rail were not taken in",
        "the round failed and is repeated",
        "is held until the fault has passed",
        "the relay starts over",
        "the consumer starts over",
        "there is no transaction in progress",
        "slow statement",
        "exceeded slow threshold",
        "database",
        "broker",
        "lapin::",
    ] {
        builder = builder.allow_log(text);
    }
    builder.start().await
}

/// Every fifth transfer goes wrong.
fn faults() -> BankFaults {
    let ratios = [
        (BankFault::DropRequestHang, 15),
        (BankFault::DropRequestClose, 25),
        (BankFault::DropReplyHang, 15),
        (BankFault::DropReplyClose, 25),
        (BankFault::ErrorBeforeBooking, 20),
        (BankFault::ErrorAfterBooking, 20),
        (BankFault::BookLate, 15),
        (BankFault::Pending, 15),
        (BankFault::Delay, 10),
        (BankFault::Reverse, 20),
        (BankFault::RejectBlocked, 5),
        (BankFault::RejectClosed, 5),
        (BankFault::RejectDormant, 5),
        (BankFault::RejectBalanceCap, 5),
        (BankFault::InquiryError, 50),
        (BankFault::InquiryHang, 10),
        (BankFault::DoubleCallback, 250),
        (BankFault::LateCallback, 250),
    ];
    BankFaults {
        ratios: ratios
            .into_iter()
            .map(|(fault, count)| (fault, Ratio::per_mille(count)))
            .collect(),
        hang_ms: 3_000,
        delay_ms: 1_500,
        late_ms: 2_000,
        pending_ms: 1_000,
        reverse_after_ms: 1_500,
        callback_late_ms: 1_500,
        ..BankFaults::default()
    }
}

async fn break_servers(cluster: &Cluster, servers: Servers) {
    match servers {
        Servers::Cut => {
            cluster.proxy(DATABASE).cut();
            cluster.proxy(BROKER).cut();
            sleep(Duration::from_millis(500)).await;
            cluster.proxy(DATABASE).heal();
            cluster.proxy(BROKER).heal();
        }
        Servers::Restarted => {
            for (command, arguments) in [("down", [].as_slice()), ("up", ["--fast"].as_slice())] {
                let folder = setting("BEKAL_LOCAL_DIR").expect("BEKAL_LOCAL_DIR names the servers");
                let done = Command::new(checkout().join("deploy/local").join(command))
                    .args(arguments)
                    .env("BEKAL_LOCAL_DIR", folder)
                    .output();
                assert!(done.is_ok_and(|done| done.status.success()), "{command}");
            }
        }
    }
}

/// Lets time pass until payout and the bank agree and have nothing more to tell each other.
async fn decide_all(cluster: &mut Cluster, payees: &Payees) {
    for _ in 0..60 {
        let start = Instant::now();
        // What is on its way comes to its end, or waits for its next inquiry.
        while start.elapsed() < Duration::from_secs(4) {
            if payees.are_at_rest(cluster).await {
                return;
            }
            sleep(Duration::from_millis(300)).await;
        }
        cluster
            .advance_clock_by(Duration::from_secs(2 * 86_400))
            .await;
    }
}

#[derive(Debug, Default)]
struct Outcome {
    settled: usize,
    failed: usize,
    unknown: usize,
    reversed: usize,
}

/// Holds payout's payments against the bank's book, line by line, and the ledger against itself.
async fn check_books(cluster: &Cluster, payees: &Payees) -> Outcome {
    let mut outcome = Outcome::default();
    // By payment: what is with the payee, over all orders of the payment.
    let mut net: HashMap<String, i64> = HashMap::new();
    for credit in cluster.bank().credits().await {
        assert!(credit.credited <= 1, "{credit:?}");
        let payment = credit.reference.split('-').next().unwrap_or_default();
        let taken_back = i64::from(credit.status == "04");
        outcome.reversed += usize::from(taken_back == 1);
        *net.entry(payment.to_owned()).or_default() += i64::from(credit.credited) - taken_back;
    }
    let mut left_over = Vec::new();
    for payment in payees.disbursements().await {
        let id = payment.name.replace("disbursements/", "").replace('-', "");
        let net = net.remove(&id).unwrap_or_default();
        match payment.state() {
            State::Settled => {
                assert_eq!(net, 1, "{payment:?}");
                outcome.settled += 1;
            }
            State::Failed => {
                assert_eq!(net, 0, "{payment:?}");
                assert!(!payment.failure_reason.is_empty(), "{payment:?}");
                outcome.failed += 1;
            }
            State::Unknown => {
                assert!((0..=1).contains(&net), "{payment:?}");
                outcome.unknown += 1;
            }
            State::Unspecified
            | State::Pending
            | State::Ready
            | State::Batched
            | State::Approved
            | State::Sent
            | State::Cancelled => left_over.push(payment),
        }
    }
    assert!(left_over.is_empty(), "{left_over:#?}");
    assert!(net.is_empty(), "nobody ordered {net:?}");

    let trace = payees.programme.trace_funds(BATCH).await.unwrap();
    let settled = i64::try_from(outcome.settled).unwrap();
    assert_eq!(units(trace.incentives.as_ref()), settled * INCENTIVE);
    assert_eq!((trace.paid_count, outside_of(&trace)), (settled, 0));
    let audit = payees.programme.audit_ledger().await.unwrap();
    assert!(audit.differing_accounts.is_empty(), "{audit:?}");
    outcome
}
