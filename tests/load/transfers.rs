//! Transfers in full calls through gRPC, against pgbench doing one a transaction. And what growth does: the rate of the last
//! tenth, and the room that a transfer takes with its indexes.

use std::time::Instant;

use proto::payout::v1::{CreateTransfersRequest, transfer_result::Outcome};
use tests::process::Service;
use tokio::task::JoinSet;

use crate::{
    Fault,
    report::{Aim, Figure, Line, Size},
    selection::end,
    sql,
    transfer::{Bench, CALL_MAX, Spread, new_transfer},
};

/// Transfers.
pub(crate) const SIZE: u64 = 2_000_000;
const CALLERS: u64 = 4;
/// With more pgbench is not faster at one statement a transaction.
const CLIENTS: u64 = 16;
/// Transfers by pgbench, before and after, for each hundred of ours.
const PGBENCH_PERCENT: u64 = 2;
const BYTES_MAX: u64 = 400;

/// Lets callers move money by the thousand.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let bench = Bench::start().await?;
    let outcome = run(&bench, size.wanted).await;
    end(bench.cluster, outcome).await
}

async fn run(bench: &Bench, wanted: u64) -> Result<Vec<Line>, Fault> {
    let call = CALL_MAX as u64;
    let calls = wanted.div_ceil(call).max(10).next_multiple_of(CALLERS);
    let pgbench = bench.pgbench(Spread::All).await?;
    let by_pgbench = (wanted * PGBENCH_PERCENT / 100).max(CLIENTS);
    let before = pgbench.run(CLIENTS, by_pgbench).await?.rate;

    let start = Instant::now();
    let mut ended = transfer(bench, calls).await?;
    ended.sort_unstable();
    let last = *ended.last().ok_or("no call")?;
    let after = pgbench.run(CLIENTS, by_pgbench).await?.rate;
    bench.check(calls * call).await?;

    // In the order in which they ended, whoever made them.
    let tenth = ended.len() / 10;
    let of_tenth = tenth as u64 * call;
    let first_rate = Figure::rate(of_tenth, ended[tenth - 1] - start);
    let last_rate = Figure::rate(of_tenth, last - ended[ended.len() - 1 - tenth]);
    let mut connection = sql::connect(&bench.cluster, Service::Payout).await?;
    let query =
        "SELECT pg_total_relation_size('ledger_transfers') / count(*) FROM ledger_transfers";
    let bytes: i64 = sql::value(&mut connection, query).await?;
    Ok(vec![
        Line {
            name: "transfers, 8,190 a call".to_owned(),
            figure: Figure::rate(calls * call, last - start),
            // The better of the two: nobody else was in its way.
            yardstick: Some(("pgbench, 16 clients".to_owned(), before.max(after))),
            aim: Aim::ShareMin(5_000),
        },
        Line {
            name: "transfers, the last tenth".to_owned(),
            figure: last_rate,
            yardstick: Some(("the first tenth".to_owned(), first_rate)),
            aim: Aim::ShareMin(800),
        },
        Line {
            name: "transfers, room of each".to_owned(),
            figure: Figure::Bytes(bytes.unsigned_abs()),
            yardstick: None,
            aim: Aim::Max(Figure::Bytes(BYTES_MAX)),
        },
    ])
}

/// Makes full calls over one connection, and returns when each was answered.
async fn transfer(bench: &Bench, calls: u64) -> Result<Vec<Instant>, Fault> {
    let mut running = JoinSet::new();
    for caller in 0..CALLERS {
        let (mut client, accounts) = (bench.client().await, bench.accounts());
        running.spawn(async move {
            let mut ended = Vec::new();
            for index in 0..calls / CALLERS {
                let first = (caller * (calls / CALLERS) + index) * CALL_MAX as u64;
                let transfers: Result<Vec<_>, Fault> = (first..first + CALL_MAX as u64)
                    .map(|number| new_transfer(&accounts, number, Spread::All))
                    .collect();
                let request = CreateTransfersRequest {
                    transfers: transfers?,
                };
                let answer = client.create_transfers(request).await?.into_inner();
                if answer
                    .results
                    .iter()
                    .any(|it| it.outcome() != Outcome::Created)
                {
                    return Err("a transfer was not made".into());
                }
                ended.push(Instant::now());
            }
            Ok::<_, Fault>(ended)
        });
    }
    let mut ended = Vec::new();
    while let Some(of_caller) = running.join_next().await {
        ended.extend(of_caller??);
    }
    Ok(ended)
}
