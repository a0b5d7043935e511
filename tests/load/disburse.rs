//! Payments through the rail: lines are batched, approved, sent to the bank and settled. Its yardsticks are the bare HTTP
//! client ordering as many transfers from the same bank, and what PostgreSQL needs for the rows alone, in one statement
//! for each step.

use std::time::{Duration, Instant};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tests::{
    cluster::Cluster,
    keys::{read_pem, sha256_hex},
    payees::{BATCH, INCENTIVE, Payees},
    process::Service,
    programme::outside_of,
};
use tokio::time::sleep;

use crate::{
    Fault,
    report::{Aim, Figure, Line, Size, grouped},
    selection::end,
    sql::{self, YARDSTICK},
    tell,
};

/// Lines, as many as the incentives of a large batch.
pub(crate) const SIZE: u64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(20 * 60);
const MEMORY_MAX: Figure = Figure::Memory(1024 * 1024);
/// Requests at the bank at once, for payout and for the bare client alike.
const AT_ONCE: usize = 64;
/// So many transfers tell how fast the bare client is.
const BARE_MAX: u64 = 50_000;
/// Nothing takes longer without being stuck.
const PATIENCE: Duration = Duration::from_secs(3 * 3_600);

const TOKEN_PATH: &str = "/openapi/v1.0/access-token/b2b";
const TRANSFER_PATH: &str = "/openapi/v1.0/transfer-interbank";
const TIMESTAMP: &str = "2026-11-24T10:00:00+07:00";

/// What the steps took, and whose processor time it was.
struct Steps {
    created: Duration,
    approved: Duration,
    settled: Duration,
    payout: Duration,
    bank: Duration,
}

/// Pays so many lines.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let cluster = Cluster::builder()
        .services(&[Service::Identity, Service::Payout])
        .setting("PAYOUT_RAIL_CONCURRENCY_MAX", &AT_ONCE.to_string())
        .setting("PAYOUT_RAIL_RATE_MAX", "100000")
        .setting("PAYOUT_REQUEST_TIMEOUT_SECONDS", "120")
        .start()
        .await;
    let outcome = disburse(&cluster, size).await;
    end(cluster, outcome).await
}

async fn disburse(cluster: &Cluster, size: Size) -> Result<Vec<Line>, Fault> {
    let start = Instant::now();
    let payees = Payees::set(cluster).await;
    payees.award(cluster, usize::try_from(size.wanted)?).await;
    make_ready(cluster).await?;
    let (count, took) = (grouped(size.wanted), start.elapsed().as_secs());
    tell(&format!("{count} lines are ready after {took} s"));

    let steps = pay(cluster, &payees, size.wanted).await?;
    check(cluster, &payees, size.wanted).await?;
    let memory = cluster.process(Service::Payout).memory_peak_kib();
    let bare = bare_client(cluster, size.wanted).await?;
    let rows = rows_alone(cluster).await?;
    tell_where_the_time_went(&steps, bare, rows);
    Ok(vec![
        Line {
            name: "disburse".to_owned(),
            figure: Figure::Time(steps.settled),
            yardstick: Some((
                "bare client + rows alone".to_owned(),
                Figure::Time(bare + rows),
            )),
            aim: Aim::Max(Figure::Time(size.share_of(LIMIT))),
        },
        Line {
            name: "disburse, memory".to_owned(),
            figure: Figure::Memory(memory.ok_or("payout has died")?),
            yardstick: None,
            aim: Aim::Max(MEMORY_MAX),
        },
    ])
}

/// Everybody has completed the first course: what payout writes at the events of that, in one statement for all.
async fn make_ready(cluster: &Cluster) -> Result<(), Fault> {
    let mut connection = sql::connect(cluster, Service::Payout).await?;
    let statements = format!(
        "UPDATE participation_funds SET certificate_time = fund_time, review_time = fund_time;
         INSERT INTO disbursements (id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency,
                                    state, due_time, create_time)
         SELECT participation_id, participation_id, account_id, batch, 'job-search', 1, {INCENTIVE} * 100, currency,
                'READY', fund_time, fund_time
         FROM participation_funds
         ORDER BY participation_id;
         VACUUM ANALYZE participation_funds;
         VACUUM ANALYZE disbursements"
    );
    for statement in statements.split(';') {
        sql::execute(&mut connection, statement).await?;
    }
    Ok(())
}

async fn pay(cluster: &Cluster, payees: &Payees, count: u64) -> Result<Steps, Fault> {
    let processor_time = || {
        let payout = cluster.process(Service::Payout).processor_time();
        payout.zip(cluster.bank().processor_time())
    };
    let before = processor_time().ok_or("payout or the bank has died")?;
    let start = Instant::now();
    let (mut created, mut approved) = (Duration::ZERO, Duration::ZERO);
    let mut line_count = 0;
    loop {
        let step = Instant::now();
        let Some(batch) = payees.programme.batch_due("IDR").await? else {
            break;
        };
        created += step.elapsed();
        let step = Instant::now();
        payees.programme.approve(&batch).await?;
        approved += step.elapsed();
        line_count += batch.line_count.unsigned_abs();
    }
    if line_count != count {
        return Err(format!("{line_count} instead of {count} lines were approved").into());
    }
    await_paid(cluster, count).await?;
    let settled = start.elapsed();
    let after = processor_time().ok_or("payout or the bank has died")?;
    Ok(Steps {
        created,
        approved,
        settled,
        payout: after.0 - before.0,
        bank: after.1 - before.1,
    })
}

/// Waits until the ledger has all payments as paid.
async fn await_paid(cluster: &Cluster, count: u64) -> Result<(), Fault> {
    // One row, whatever the size of the ledger.
    let query = "SELECT coalesce(sum(credits_posted), 0)::bigint FROM ledger_accounts
                 WHERE owner = 'batches/48' AND kind = 'paid'";
    let expected = i64::try_from(count)? * INCENTIVE * 100;
    let mut connection = sql::connect(cluster, Service::Payout).await?;
    let start = Instant::now();
    loop {
        let paid: i64 = sql::value(&mut connection, query).await?;
        if paid == expected {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{paid} instead of {expected} is paid").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Quick payments that pay nobody, or somebody twice, would be none.
async fn check(cluster: &Cluster, payees: &Payees, count: u64) -> Result<(), Fault> {
    let summary = cluster.bank().summary().await;
    let doubled = cluster
        .bank()
        .credits()
        .await
        .iter()
        .any(|credit| credit.credited != 1);
    let trace = payees.programme.trace_funds(BATCH).await?;
    let nowhere = outside_of(&trace);
    if (
        summary.paid,
        trace.paid_count.unsigned_abs(),
        doubled,
        nowhere,
    ) != (count, count, false, 0)
    {
        return Err(format!(
            "the bank paid {}, payout knows of {}, doubled: {doubled}, nowhere {nowhere}",
            summary.paid, trace.paid_count
        )
        .into());
    }
    Ok(())
}

fn tell_where_the_time_went(steps: &Steps, bare: Duration, rows: Duration) {
    let time = |time| Figure::Time(time);
    tell(&format!("create batches    {}", time(steps.created)));
    tell(&format!("approve batches   {}", time(steps.approved)));
    tell(&format!(
        "send and settle   {} (beside approvals, and on after the last)",
        time(steps.settled)
    ));
    tell(&format!(
        "processor time    payout {}, bank {}",
        time(steps.payout),
        time(steps.bank)
    ));
    tell(&format!(
        "yardsticks        bare client {}, rows alone {}",
        time(bare),
        time(rows)
    ));
}

/// Orders transfers as payout does, without a database; returns what as many as all lines would take.
async fn bare_client(cluster: &Cluster, count: u64) -> Result<Duration, Fault> {
    let accounts = cluster.bank().accounts().await;
    let account = accounts.first().ok_or("the bank has no account")?;
    let access = cluster.bank().access();
    let base = cluster.bank().address();
    let http = reqwest::Client::new();
    let token = token(cluster, &http).await?;
    let key = hmac::Key::new(hmac::HMAC_SHA512, access.client_secret.as_bytes());
    let ordered = count.min(BARE_MAX);
    let start = Instant::now();
    let paid = stream::iter(0..ordered)
        .map(|number| {
            let body = json!({
                "partnerReferenceNo": format!("bare-{number}"),
                "amount": { "value": "600000.00", "currency": "IDR" },
                "beneficiaryAccountName": account.holder_name,
                "beneficiaryAccountNo": account.account_no,
                "beneficiaryBankCode": account.bank_code,
                "sourceAccountNo": "0099000000001",
                "transactionDate": TIMESTAMP,
            });
            let body = body.to_string();
            let message = format!(
                "POST:{TRANSFER_PATH}:{token}:{}:{TIMESTAMP}",
                sha256_hex(&body)
            );
            let request = http
                .post(format!("{base}{TRANSFER_PATH}"))
                .header("Content-Type", "application/json")
                .bearer_auth(&token)
                .header("X-TIMESTAMP", TIMESTAMP)
                .header(
                    "X-SIGNATURE",
                    STANDARD.encode(hmac::sign(&key, message.as_bytes())),
                )
                .header("X-PARTNER-ID", &access.client_id)
                .header("X-EXTERNAL-ID", format!("9{number:035}"))
                .header("CHANNEL-ID", "95051")
                .body(body);
            async move {
                let answer = request.send().await?.error_for_status()?;
                answer.bytes().await
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter(|answer| std::future::ready(answer.is_ok()))
        .count()
        .await;
    let took = start.elapsed();
    if u64::try_from(paid)? != ordered {
        return Err(format!("the bare client had {paid} of {ordered} transfers paid").into());
    }
    Ok(Duration::from_nanos(u64::try_from(
        took.as_nanos() * u128::from(count) / u128::from(ordered),
    )?))
}

async fn token(cluster: &Cluster, http: &reqwest::Client) -> Result<String, Fault> {
    let access = cluster.bank().access();
    let pem = std::fs::read_to_string(&access.private_key_file)?;
    let key = RsaKeyPair::from_pkcs8(&read_pem(&pem).ok_or("the key is no PEM text")?)?;
    let mut signature = vec![0; key.public_modulus_len()];
    let message = format!("{}|{TIMESTAMP}", access.client_id);
    let random = SystemRandom::new();
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        message.as_bytes(),
        &mut signature,
    )?;
    let request = http
        .post(format!("{}{TOKEN_PATH}", cluster.bank().address()))
        .header("X-CLIENT-KEY", &access.client_id)
        .header("X-TIMESTAMP", TIMESTAMP)
        .header("X-SIGNATURE", STANDARD.encode(signature))
        .json(&json!({ "grantType": "client_credentials" }));
    let answer: Value = request.send().await?.json().await?;
    let token = answer["accessToken"].as_str().ok_or("no token")?;
    Ok(token.to_owned())
}

/// Does to copies what the payments did: four states of each line, two transfers, their accounts, an event.
async fn rows_alone(cluster: &Cluster) -> Result<Duration, Fault> {
    let mut connection = sql::connect(cluster, Service::Payout).await?;
    for table in [
        "disbursements",
        "ledger_accounts",
        "ledger_transfers",
        "outbox",
    ] {
        sql::copy_table(&mut connection, table).await?;
    }
    let fill = format!(
        "INSERT INTO {YARDSTICK}.disbursements SELECT * FROM disbursements;
         UPDATE {YARDSTICK}.disbursements SET state = 'READY', settle_time = NULL;
         INSERT INTO {YARDSTICK}.ledger_accounts SELECT * FROM ledger_accounts"
    );
    sql::execute(&mut connection, fill).await?;
    let vacuum = format!("VACUUM ANALYZE {YARDSTICK}.disbursements");
    sql::execute(&mut connection, vacuum).await?;
    let transfers = sql::columns(&mut connection, "ledger_transfers", &[]).await?;
    let transfers = transfers.join(", ");
    let rows = format!(
        "UPDATE {YARDSTICK}.disbursements SET state = 'BATCHED';
         UPDATE {YARDSTICK}.disbursements SET state = 'APPROVED';
         UPDATE {YARDSTICK}.disbursements SET state = 'SENT', next_inquiry_time = now();
         UPDATE {YARDSTICK}.disbursements SET state = 'SETTLED', next_inquiry_time = NULL, settle_time = now();
         INSERT INTO {YARDSTICK}.ledger_transfers ({transfers})
         SELECT {transfers} FROM ledger_transfers WHERE code = 'incentive';
         UPDATE {YARDSTICK}.ledger_accounts SET debits_posted = debits_posted WHERE kind = 'incentive-commitment';
         INSERT INTO {YARDSTICK}.outbox (id, type, subject, time, body)
         SELECT id, 'x', 'disbursements/' || id, now(), decode(repeat('07', 200), 'hex') FROM disbursements"
    );
    sql::timed(&mut connection, rows).await
}
