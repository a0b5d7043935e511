//! The funding of awards: chunks of 1,000 through the broker into payout, until the ledger has given everybody their money.
//! Its yardstick is what PostgreSQL needs for the rows alone, in one statement for each table.

use std::time::{Duration, Instant};

use tests::{
    cluster::Cluster,
    payees::{BATCH, Payees},
    process::Service,
    programme::outside_of,
};
use tokio::time::sleep;

use crate::{
    Fault,
    report::{Aim, Figure, Line, Size},
    selection::end,
    sql::{self, YARDSTICK},
};

/// As many as the largest batches have.
pub(crate) const SIZE: u64 = 800_000;
const LIMIT: Duration = Duration::from_secs(30);
/// Nothing takes longer without being stuck.
const PATIENCE: Duration = Duration::from_secs(900);

/// Funds so many awards.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let cluster = Cluster::builder()
        .services(&[Service::Identity, Service::Payout])
        .start()
        .await;
    let outcome = fund(&cluster, size).await;
    end(cluster, outcome).await
}

async fn fund(cluster: &Cluster, size: Size) -> Result<Vec<Line>, Fault> {
    let payees = Payees::set(cluster).await;
    let awards = payees.prepare(cluster, usize::try_from(size.wanted)?).await;
    let mut connection = sql::connect(cluster, Service::Payout).await?;

    let start = Instant::now();
    awards.tell().await;
    // One row, whatever the size of the ledger: the budget has given everything away.
    let query =
        "SELECT credits_posted - debits_posted FROM ledger_accounts WHERE kind = 'batch-budget'";
    loop {
        let left: i64 = sql::value(&mut connection, query).await?;
        if left == 0 {
            break;
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{left} minor units are still in the budget").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let took = start.elapsed();
    awards.end(cluster).await;

    let trace = payees.programme.trace_funds(BATCH).await?;
    let (funded, nowhere) = (trace.funded_count.unsigned_abs(), outside_of(&trace));
    if (funded, nowhere) != (size.wanted, 0) {
        return Err(format!("funded {funded}, nowhere {nowhere}").into());
    }
    Ok(vec![Line {
        name: "fund".to_owned(),
        figure: Figure::Time(took),
        yardstick: Some(("the rows alone".to_owned(), yardstick(cluster).await?)),
        aim: Aim::Max(Figure::Time(size.share_of(LIMIT))),
    }])
}

/// Writes the same rows to copies of the tables.
async fn yardstick(cluster: &Cluster) -> Result<Figure, Fault> {
    let mut connection = sql::connect(cluster, Service::Payout).await?;
    let mut took = Duration::ZERO;
    for table in ["participation_funds", "ledger_accounts", "ledger_transfers"] {
        sql::copy_table(&mut connection, table).await?;
        let columns = sql::columns(&mut connection, table, &[]).await?.join(", ");
        let fill =
            format!("INSERT INTO {YARDSTICK}.{table} ({columns}) SELECT {columns} FROM {table}");
        took += sql::timed(&mut connection, fill).await?;
    }
    Ok(Figure::Time(took))
}
