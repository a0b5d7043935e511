//! A fiscal year in the ledger: one pass over the transfers, one over the accounts.

use chassis::money::Currency;
use sqlx::PgConnection;

use super::known;
use crate::domain::fiscal_year::{FiscalYear, Flows, PublicMoney, YearReading};

/// Reads what moved before, in and after a year, and what is there now. The caller's transaction gives both statements the
/// same moment.
pub async fn read(
    tx: &mut PgConnection,
    year: &FiscalYear,
    currency: Currency,
) -> Result<YearReading, sqlx::Error> {
    // What a transfer does follows from its code. Only payments need their accounts, and of these the few that a batch has
    // one of.
    let rows = sqlx::query!(
        r#"WITH of_batches AS MATERIALIZED (
               SELECT accounts.id, accounts.kind
               FROM batch_budgets AS budgets
               JOIN ledger_accounts AS accounts ON accounts.owner = budgets.batch
               WHERE accounts.kind IN ('paid', 'returned')
           )
           SELECT CASE WHEN create_time < $2 THEN 'before' WHEN create_time < $3 THEN 'within' ELSE 'after' END AS "period!",
                  coalesce(sum(amount_minor) FILTER (WHERE code = 'appropriation'), 0)::bigint AS "appropriated!",
                  coalesce(sum(amount_minor) FILTER (WHERE code = 'allotment'), 0)::bigint AS "allotted!",
                  (coalesce(sum(amount_minor) FILTER (WHERE code = 'purchase'), 0)
                      - coalesce(sum(amount_minor) FILTER (WHERE code = 'training-repayment'), 0))::bigint AS "spent!",
                  -- A repayment of courses that does not come in was one of an incentive that then came back.
                  (coalesce(sum(amount_minor) FILTER (
                          WHERE credit.kind = 'paid' OR code = 'training-repayment' AND credit.id IS NULL
                      ), 0)
                      - coalesce(sum(amount_minor) FILTER (
                          WHERE debit.kind = 'paid' OR code = 'incentive-repayment'
                      ), 0))::bigint AS "incentives!",
                  coalesce(sum(amount_minor) FILTER (WHERE credit.kind = 'returned'), 0)::bigint AS "returned!",
                  coalesce(sum(amount_minor) FILTER (WHERE code = 'reallocation'), 0)::bigint AS "reallocated!"
           FROM ledger_transfers AS transfers
           LEFT JOIN of_batches AS debit ON debit.id = transfers.debit_account_id
           LEFT JOIN of_batches AS credit ON credit.id = transfers.credit_account_id
           WHERE transfers.currency = $1 AND transfers.kind IN ('POSTED', 'POST_PENDING')
           GROUP BY 1"#,
        currency.code(),
        year.start,
        year.end,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut reading = YearReading::default();
    for row in rows {
        let period = match row.period.as_str() {
            "before" => Some(&mut reading.before),
            "within" => Some(&mut reading.within),
            "after" => Some(&mut reading.after),
            _ => None,
        };
        *known(period, &row.period)? = Flows {
            appropriated: row.appropriated,
            allotted: row.allotted,
            spent: row.spent,
            incentives: row.incentives,
            returned: row.returned,
            reallocated: row.reallocated,
        };
    }
    let row = sqlx::query!(
        r#"SELECT coalesce(sum(balance) FILTER (WHERE kind = 'appropriation'), 0)::bigint AS "unallotted!",
                  coalesce(sum(balance) FILTER (WHERE kind IN (
                      'batch-budget', 'training-balance', 'incentive-commitment', 'rail-in-flight'
                  )), 0)::bigint AS "outstanding!",
                  coalesce(sum(balance) FILTER (WHERE kind = 'returned'), 0)::bigint AS "returned!"
           FROM (
               SELECT kind, credits_posted - debits_posted AS balance FROM ledger_accounts WHERE currency = $1
           ) AS accounts"#,
        currency.code(),
    )
    .fetch_one(tx)
    .await?;
    reading.now = PublicMoney {
        unallotted: row.unallotted,
        outstanding: row.outstanding,
        returned: row.returned,
    };
    Ok(reading)
}
