//! Where the money of regions and of single participations is: readings of the ledger, each of one moment.

use chassis::money::Currency;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{known, ledger::books::StoredTransfer};
use crate::domain::{
    chart::{self, AccountKind},
    ledger::{AccountId, Booked, TransferId},
    trace::{RegionTrace, TraceSums},
};

/// Tells where the money of a batch's participations is, by region. One statement, and so one moment: sums of the
/// participations' accounts, the transfers that took money back, and the payments that have left the commitments. At
/// 800,000 participations it takes some seconds.
pub async fn by_region(
    connection: &mut PgConnection,
    batch: &str,
    currency: Currency,
) -> Result<Vec<RegionTrace>, sqlx::Error> {
    let id_of = |kind| chart::of_batch(kind, batch, currency).id.0;
    let rows = sqlx::query!(
        r#"WITH of_accounts AS (
               SELECT funds.region,
                      count(*) FILTER (WHERE kind = 'training-balance') AS funded_count,
                      count(funds.return_time) FILTER (WHERE kind = 'training-balance') AS returned_count,
                      sum(credits_posted) AS credits,
                      sum(debits_posted) FILTER (WHERE kind = 'training-balance') AS training_debits,
                      sum(debits_posted) FILTER (WHERE kind = 'incentive-commitment') AS commitment_debits
               FROM participation_funds AS funds
               JOIN ledger_accounts AS accounts
                   ON accounts.owner = 'participations/' || funds.participation_id
                  AND accounts.batch = $1
                  AND kind IN ('training-balance', 'incentive-commitment')
               WHERE funds.batch = $1
               GROUP BY funds.region
           ),
           -- Back from the participations' accounts, and repaid by their persons. What was repaid of an incentive that then
           -- came back counts for courses: its transfer is the one from a training-receivable to the incentive-claim.
           of_returns AS (
               SELECT funds.region,
                      sum(amount_minor) FILTER (WHERE accounts.kind = 'training-balance') AS training,
                      sum(amount_minor) FILTER (WHERE accounts.kind = 'training-receivable') AS training_repaid,
                      sum(CASE
                          WHEN accounts.kind = 'incentive-receivable' AND credit_account_id = $2 THEN amount_minor
                          WHEN accounts.kind = 'training-receivable' AND credit_account_id = $5 THEN -amount_minor
                      END) AS incentives_repaid,
                      count(DISTINCT funds.participation_id) FILTER (
                          WHERE accounts.kind IN ('training-receivable', 'incentive-receivable') AND credit_account_id = $2
                      ) AS repayers
               FROM ledger_transfers AS transfers
               JOIN ledger_accounts AS accounts
                   ON accounts.id = transfers.debit_account_id
                  AND accounts.kind IN ('training-balance', 'training-receivable', 'incentive-receivable')
               JOIN participation_funds AS funds
                   ON funds.participation_id = split_part(accounts.owner, '/', 2)::uuid
               WHERE transfers.credit_account_id IN ($2, $5) AND funds.batch = $1
               GROUP BY funds.region
           ),
           -- Back into the commitments: payments that failed, or arrived and came back.
           of_failures AS (
               SELECT funds.region, sum(amount_minor) AS amount
               FROM ledger_transfers AS transfers
               JOIN ledger_accounts AS accounts
                   ON accounts.id = transfers.credit_account_id AND accounts.kind = 'incentive-commitment'
               JOIN participation_funds AS funds
                   ON funds.participation_id = split_part(accounts.owner, '/', 2)::uuid
               WHERE transfers.debit_account_id IN ($3, $4) AND transfers.credit_account_id NOT IN ($2, $4)
                 AND funds.batch = $1
               GROUP BY funds.region
           ),
           of_payments AS (
               SELECT funds.region,
                      sum(payments.amount_minor) FILTER (WHERE state = 'SETTLED') AS settled,
                      count(*) FILTER (WHERE state = 'SETTLED') AS settled_count,
                      count(DISTINCT payments.participation_id) FILTER (WHERE state = 'SETTLED') AS payees,
                      sum(payments.amount_minor) FILTER (WHERE state IN ('APPROVED', 'SENT', 'UNKNOWN')) AS in_flight,
                      count(DISTINCT payments.participation_id)
                          FILTER (WHERE state = 'CANCELLED' AND funds.return_time IS NULL) AS refunded
               FROM disbursements AS payments
               JOIN participation_funds AS funds USING (participation_id)
               WHERE payments.batch = $1 AND funds.batch = $1
                 AND state IN ('APPROVED', 'SENT', 'UNKNOWN', 'SETTLED', 'CANCELLED')
               GROUP BY funds.region
           ),
           -- Whose money went back, but for some.
           of_late_returns AS (
               SELECT region, count(*) AS late_count
               FROM participation_funds AS funds
               WHERE batch = $1 AND return_time IS NOT NULL AND (
                   EXISTS (
                       SELECT FROM funds_holds AS holds
                       WHERE holds.participation_id = funds.participation_id AND holds.state = 'HELD'
                         AND holds.amount_minor > 0
                   )
                   OR EXISTS (
                       SELECT FROM disbursements AS payments
                       WHERE payments.participation_id = funds.participation_id
                         AND payments.state IN ('APPROVED', 'SENT', 'UNKNOWN')
                   )
               )
               GROUP BY region
           ),
           of_purchases AS (
               SELECT funds.region, count(DISTINCT holds.participation_id) AS buyers
               FROM funds_holds AS holds
               JOIN participation_funds AS funds USING (participation_id)
               WHERE funds.batch = $1 AND holds.state = 'CAPTURED' AND holds.amount_minor > 0
               GROUP BY funds.region
           )
           SELECT of_accounts.region AS "region!", funded_count AS "funded_count!", returned_count AS "returned_count!",
                  coalesce(settled_count, 0) AS "paid_count!", coalesce(buyers, 0) AS "buyers!",
                  coalesce(payees, 0) AS "payees!", coalesce(repayers, 0) AS "repayers!",
                  coalesce(refunded, 0) AS "refunded!", coalesce(late_count, 0) AS "returning!",
                  (credits - coalesce(of_failures.amount, 0))::bigint AS "allotted!",
                  (training_debits - coalesce(of_returns.training, 0) - coalesce(training_repaid, 0))::bigint AS "spent!",
                  (coalesce(settled, 0) - coalesce(incentives_repaid, 0))::bigint AS "incentives!",
                  -- With what went from the rail straight to the treasury: it left a commitment, and is neither in flight
                  -- nor with the person.
                  (coalesce(of_returns.training, 0) + coalesce(training_repaid, 0) + coalesce(incentives_repaid, 0)
                       + commitment_debits
                       - coalesce(of_failures.amount, 0) - coalesce(settled, 0) - coalesce(in_flight, 0)
                  )::bigint AS "returned!",
                  (credits - training_debits - commitment_debits + coalesce(in_flight, 0))::bigint AS "outstanding!"
           FROM of_accounts
           LEFT JOIN of_returns USING (region)
           LEFT JOIN of_failures USING (region)
           LEFT JOIN of_payments USING (region)
           LEFT JOIN of_late_returns USING (region)
           LEFT JOIN of_purchases USING (region)
           ORDER BY of_accounts.region COLLATE "C""#,
        batch,
        id_of(AccountKind::Returned),
        id_of(AccountKind::RailInFlight),
        id_of(AccountKind::Paid),
        id_of(AccountKind::IncentiveClaim),
    )
    .fetch_all(connection)
    .await?;
    let region_of = rows.into_iter().map(|row| RegionTrace {
        region: row.region,
        sums: TraceSums {
            allotted: row.allotted,
            spent: row.spent,
            incentives: row.incentives,
            returned: row.returned,
            outstanding: row.outstanding,
        },
        funded_count: row.funded_count,
        returned_count: row.returned_count,
        paid_count: row.paid_count,
        buyers: row.buyers,
        payees: row.payees,
        repayers: row.repayers,
        refunded: row.refunded,
        returning: row.returning,
    });
    Ok(region_of.collect())
}

/// Returns the payments of a participation and how many orders each of them had.
pub async fn find_payments(
    connection: &mut PgConnection,
    participation_id: Uuid,
) -> Result<Vec<(Uuid, i32)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT id, attempt FROM disbursements WHERE participation_id = $1 ORDER BY id",
        participation_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.attempt)).collect())
}

/// Adds up the posted transfers from and to some accounts, and those of some ids.
pub async fn sum_movements(
    connection: &mut PgConnection,
    accounts: &[AccountId],
    transfers: &[TransferId],
) -> Result<TraceSums, sqlx::Error> {
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.0).collect();
    let transfers: Vec<Uuid> = transfers.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT debit.kind AS source, credit.kind AS target, sum(amount_minor)::bigint AS "minor!"
           FROM (
               SELECT * FROM ledger_transfers WHERE debit_account_id = ANY($1::uuid[])
               UNION
               SELECT * FROM ledger_transfers WHERE credit_account_id = ANY($1::uuid[])
               UNION
               SELECT * FROM ledger_transfers WHERE id = ANY($2::uuid[])
           ) AS movements
           JOIN ledger_accounts AS debit ON debit.id = movements.debit_account_id
           JOIN ledger_accounts AS credit ON credit.id = movements.credit_account_id
           WHERE movements.kind IN ('POSTED', 'POST_PENDING')
           GROUP BY debit.kind, credit.kind"#,
        &accounts,
        &transfers,
    )
    .fetch_all(connection)
    .await?;
    let mut sums = TraceSums::default();
    for row in rows {
        let source = known(AccountKind::parse(&row.source), &row.source)?;
        let target = known(AccountKind::parse(&row.target), &row.target)?;
        sums.add(source, target, row.minor);
    }
    Ok(sums)
}

/// A transfer with the kinds of its accounts.
#[derive(Clone, Copy, Debug)]
pub struct MovementRow {
    /// The transfer.
    pub booked: Booked,
    /// Its place in the order of bookings.
    pub sequence: i64,
    /// What the account is for that gave.
    pub source: AccountKind,
    /// What the account is for that got it.
    pub target: AccountKind,
}

/// Lists the transfers from and to some accounts, and those of some ids, oldest first.
pub async fn list_movements(
    connection: &mut PgConnection,
    accounts: &[AccountId],
    transfers: &[TransferId],
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<MovementRow>, sqlx::Error> {
    let accounts: Vec<Uuid> = accounts.iter().map(|id| id.0).collect();
    let transfers: Vec<Uuid> = transfers.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT movements.id AS "id!", sequence AS "sequence!", movements.kind AS "kind!",
                  debit_account_id AS "debit_account_id!", credit_account_id AS "credit_account_id!",
                  amount_minor AS "amount_minor!", movements.currency AS "currency!", rest_minor, timeout_seconds,
                  pending_id, code AS "code!", create_time AS "create_time!", debit.kind AS source, credit.kind AS target
           FROM (
               SELECT * FROM ledger_transfers WHERE debit_account_id = ANY($1::uuid[])
               UNION
               SELECT * FROM ledger_transfers WHERE credit_account_id = ANY($1::uuid[])
               UNION
               SELECT * FROM ledger_transfers WHERE id = ANY($2::uuid[])
           ) AS movements
           JOIN ledger_accounts AS debit ON debit.id = movements.debit_account_id
           JOIN ledger_accounts AS credit ON credit.id = movements.credit_account_id
           WHERE $3::bigint IS NULL OR sequence > $3
           ORDER BY sequence
           LIMIT $4"#,
        &accounts,
        &transfers,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let stored = StoredTransfer {
                id: row.id,
                kind: row.kind,
                debit_account_id: row.debit_account_id,
                credit_account_id: row.credit_account_id,
                amount_minor: row.amount_minor,
                currency: row.currency,
                rest_minor: row.rest_minor,
                timeout_seconds: row.timeout_seconds,
                pending_id: row.pending_id,
                code: row.code,
                create_time: row.create_time,
            };
            Ok(MovementRow {
                booked: stored.try_into()?,
                sequence: row.sequence,
                source: known(AccountKind::parse(&row.source), &row.source)?,
                target: known(AccountKind::parse(&row.target), &row.target)?,
            })
        })
        .collect()
}
