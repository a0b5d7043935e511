//! Missed deadlines: the clock moves past the day of the first purchase, enrollment revokes everybody, payout takes all
//! money back. Its yardstick is what PostgreSQL needs for the rows alone, in one statement for each table.

use std::time::{Duration, Instant};

use tests::{process::Service, programme::outside_of};
use tokio::time::sleep;

use crate::{
    Fault,
    report::{Aim, Figure, Line, Size},
    selection::Selection,
    sql::{self, YARDSTICK},
    tell,
};

/// As many as the real programme revoked in its first year.
pub(crate) const SIZE: u64 = 189_436;
const LIMIT: Duration = Duration::from_secs(15);

/// The deadline is fifteen days after the award, at midnight.
const PAST_DEADLINE: Duration = Duration::from_secs(17 * 86_400);
/// Nothing takes longer without being stuck.
const PATIENCE: Duration = Duration::from_secs(900);

/// Awards so many places, funds them, and lets everybody miss the deadline.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let mut selection = Selection::of_places(size).await?;
    let outcome = sweep(&mut selection).await;
    let line = selection.end(outcome).await?;
    Ok(vec![line])
}

async fn sweep(selection: &mut Selection) -> Result<Line, Fault> {
    selection.freeze().await?;
    selection.draw_and_award().await?;
    let start = Instant::now();
    await_funds(selection).await?;
    tell(&format!(
        "funded {} after the award",
        Figure::Time(start.elapsed())
    ));

    let start = Instant::now();
    selection.cluster.advance_clock_by(PAST_DEADLINE).await;
    await_return(selection).await?;
    let took = start.elapsed();

    check(selection).await?;
    Ok(Line {
        name: "sweep".to_owned(),
        figure: Figure::Time(took),
        yardstick: Some(("the rows alone".to_owned(), yardstick(selection).await?)),
        aim: Aim::Max(Figure::Time(selection.size.share_of(LIMIT))),
    })
}

/// Waits until payout has funded everybody and enrollment knows.
async fn await_funds(selection: &Selection) -> Result<(), Fault> {
    let query = "SELECT count(*) FROM participations WHERE funded";
    let places = i64::try_from(selection.places)?;
    await_number(selection, Service::Enrollment, query, places).await
}

/// Waits until the ledger has all money back.
async fn await_return(selection: &Selection) -> Result<(), Fault> {
    // One row, whatever the size of the ledger.
    let query = format!(
        "SELECT coalesce(sum(credits_posted), 0)::bigint FROM ledger_accounts WHERE owner = '{}' AND kind = 'returned'",
        selection.batch()
    );
    let allotted = "SELECT credits_posted FROM ledger_accounts WHERE kind = 'batch-budget'";
    let mut connection = sql::connect(&selection.cluster, Service::Payout).await?;
    let allotted: i64 = sql::value(&mut connection, allotted).await?;
    await_number(selection, Service::Payout, &query, allotted).await
}

async fn await_number(
    selection: &Selection,
    service: Service,
    query: &str,
    expected: i64,
) -> Result<(), Fault> {
    let mut connection = sql::connect(&selection.cluster, service).await?;
    let start = Instant::now();
    loop {
        let seen: i64 = sql::value(&mut connection, query).await?;
        if seen == expected {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{seen} instead of {expected}: {query}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A quick sweep that loses money would be none.
async fn check(selection: &Selection) -> Result<(), Fault> {
    let trace = selection.programme.trace_funds(selection.batch()).await?;
    let revoked = selection.programme.batch(selection.batch()).await?.funnel;
    let revoked = revoked.unwrap_or_default().revoked_count.unsigned_abs();
    let returned = trace.returned_count.unsigned_abs();
    let nowhere = outside_of(&trace);
    if (revoked, returned, nowhere) != (selection.places, selection.places, 0) {
        return Err(format!("revoked {revoked}, returned {returned}, nowhere {nowhere}").into());
    }
    Ok(())
}

/// Does to copies what the sweep did: the participations marked, two transfers each, both their accounts emptied.
async fn yardstick(selection: &Selection) -> Result<Figure, Fault> {
    let mut enrollment = sql::connect(&selection.cluster, Service::Enrollment).await?;
    let mut payout = sql::connect(&selection.cluster, Service::Payout).await?;
    sql::copy_table(&mut enrollment, "participations").await?;
    let fill = format!("INSERT INTO {YARDSTICK}.participations SELECT * FROM participations");
    sql::execute(&mut enrollment, fill).await?;
    for table in ["participation_funds", "ledger_accounts", "ledger_transfers"] {
        sql::copy_table(&mut payout, table).await?;
    }
    let fill = format!(
        "INSERT INTO {YARDSTICK}.participation_funds SELECT * FROM participation_funds;
         INSERT INTO {YARDSTICK}.ledger_accounts SELECT * FROM ledger_accounts"
    );
    sql::execute(&mut payout, fill).await?;
    let transfers = sql::columns(&mut payout, "ledger_transfers", &[]).await?;
    let transfers = transfers.join(", ");

    let marked = format!("UPDATE {YARDSTICK}.participations SET revoke_time = now()");
    let marked = sql::timed(&mut enrollment, marked).await?;
    let booked = format!(
        "INSERT INTO {YARDSTICK}.ledger_transfers ({transfers})
         SELECT {transfers} FROM ledger_transfers WHERE code = 'return';
         UPDATE {YARDSTICK}.ledger_accounts SET debits_posted = credits_posted
         WHERE kind IN ('training-balance', 'incentive-commitment');
         UPDATE {YARDSTICK}.participation_funds SET return_time = now()"
    );
    let booked = sql::timed(&mut payout, booked).await?;
    Ok(Figure::Time(marked + booked))
}
