//! Single transfers of many callers through gRPC, each durable and with its own answer, against pgbench doing the same in
//! copies of the tables: two balances and a transfer, by one statement a transaction. Between many accounts, and with one
//! hot account that every transfer takes from.

use proto::{
    payout::v1::{
        CreateLedgerAccountsRequest, CreateTransfersRequest, NewLedgerAccount, NewTransfer,
        ledger_account_result, ledger_service_client::LedgerServiceClient, transfer::Kind,
        transfer_result::Outcome,
    },
    r#type::v1::Money,
};
use tests::{
    accounts::Caller,
    cluster::{Client, Cluster},
    process::Service,
};
use uuid::Uuid;

use crate::{
    Fault,
    apply::{each_stream, step},
    pgbench::Pgbench,
    report::{Aim, Figure, Line, Size, median},
    selection::end,
    sql::{self, YARDSTICK},
};

/// Transfers of each kind, in all rounds.
pub(crate) const SIZE: u64 = 60_000;
const ROUNDS: u64 = 3;
/// pgbench gets no faster with more than 64.
const CALLERS: u64 = 256;
const CLIENTS: u64 = 64;
/// On the hot account pgbench does a fifth as many: they take turns there.
const HOT_SHARE: u64 = 5;

const ACCOUNTS: u64 = 10_000;
/// What the contract takes in one call.
pub(crate) const CALL_MAX: usize = 8_190;

/// A running payout with accounts.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    accounts: Vec<String>,
}

/// Between which accounts money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    All,
    FromOne,
}

/// Lets callers move money, side by side with pgbench.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let bench = Bench::start().await?;
    let outcome = rounds(&bench, size.wanted / ROUNDS).await;
    end(bench.cluster, outcome).await
}

async fn rounds(bench: &Bench, count: u64) -> Result<Vec<Line>, Fault> {
    bench.transfer(count / 10, Spread::All).await?;
    let mut lines = Vec::new();
    let mut made = count / 10;
    for (spread, name, least) in [
        (Spread::All, "transfer, many accounts", 2_000),
        (Spread::FromOne, "transfer, a hot account", 10_000),
    ] {
        let pgbench = bench.pgbench(spread).await?;
        let (mut rates, mut bench_rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rates.push(bench.transfer(count, spread).await?);
            made += count;
            let share = if spread == Spread::All { 1 } else { HOT_SHARE };
            bench_rates.push(pgbench.run(CLIENTS, count / share).await?.rate);
        }
        let (figure, other) = median(rates).zip(median(bench_rates)).ok_or("no round")?;
        lines.push(Line {
            name: name.to_owned(),
            figure,
            yardstick: Some(("pgbench, 64 clients".to_owned(), other)),
            aim: Aim::ShareMin(least),
        });
    }
    bench.check(made).await?;
    Ok(lines)
}

// === impl Bench ===

impl Bench {
    /// Starts a payout and opens the accounts.
    pub(crate) async fn start() -> Result<Bench, Fault> {
        let services = [Service::Identity, Service::Payout];
        let mut bench = Bench {
            cluster: Cluster::builder().services(&services).start().await,
            accounts: Vec::new(),
        };
        match bench.open_accounts().await {
            Ok(()) => Ok(bench),
            Err(fault) => end(bench.cluster, Err(fault)).await,
        }
    }

    async fn open_accounts(&mut self) -> Result<(), Fault> {
        let accounts: Vec<NewLedgerAccount> = (0..ACCOUNTS)
            .map(|number| NewLedgerAccount {
                name: format!("ledgerAccounts/{}", Uuid::new_v4()),
                owner: format!("wallets/{number}"),
                currency_code: "IDR".to_owned(),
                ..Default::default()
            })
            .collect();
        let mut client = self.client().await;
        for some in accounts.chunks(CALL_MAX) {
            let request = CreateLedgerAccountsRequest {
                ledger_accounts: some.to_vec(),
            };
            let results = client.create_ledger_accounts(request).await?.into_inner();
            let created = ledger_account_result::Outcome::Created;
            if results.results.iter().any(|it| it.outcome() != created) {
                return Err("an account was not opened".into());
            }
        }
        self.accounts = accounts.into_iter().map(|account| account.name).collect();
        Ok(())
    }

    pub(crate) async fn client(&self) -> LedgerServiceClient<Client> {
        let client = self
            .cluster
            .client(Service::Payout, Caller::Operator1)
            .await;
        LedgerServiceClient::new(client)
    }

    /// Returns the accounts' names.
    pub(crate) fn accounts(&self) -> Vec<String> {
        self.accounts.clone()
    }

    /// Lets callers move money over one connection, one transfer a call.
    async fn transfer(&self, count: u64, spread: Spread) -> Result<Figure, Fault> {
        let client = self.client().await;
        let accounts = self.accounts();
        let calls = each_stream(CALLERS, move |caller| {
            let (mut client, accounts) = (client.clone(), accounts.clone());
            async move {
                for number in (caller..count).step_by(step(CALLERS)) {
                    let request = CreateTransfersRequest {
                        transfers: vec![new_transfer(&accounts, number, spread)?],
                    };
                    let answer = client.create_transfers(request).await?.into_inner();
                    if answer.results.first().map(|it| it.outcome()) != Some(Outcome::Created) {
                        return Err(format!("{:?}", answer.results).into());
                    }
                }
                Ok(Vec::new())
            }
        })
        .await?;
        Ok(Figure::rate(count, calls.took))
    }

    /// Makes copies of the tables, without triggers, and a script that moves money between their accounts.
    pub(crate) async fn pgbench(&self, spread: Spread) -> Result<Pgbench, Fault> {
        let mut connection = sql::connect(&self.cluster, Service::Payout).await?;
        for table in ["ledger_accounts", "ledger_transfers"] {
            sql::copy_table(&mut connection, table).await?;
        }
        // Ids of transfers ascend, as those of version 7 do.
        let fill = format!(
            "INSERT INTO {YARDSTICK}.ledger_accounts SELECT * FROM ledger_accounts;
             CREATE TABLE IF NOT EXISTS {YARDSTICK}.numbers AS
                SELECT row_number() OVER (ORDER BY id)::integer AS number, id FROM ledger_accounts;
             CREATE UNIQUE INDEX IF NOT EXISTS numbers_key ON {YARDSTICK}.numbers (number);
             CREATE SEQUENCE IF NOT EXISTS {YARDSTICK}.ids;
             VACUUM ANALYZE {YARDSTICK}.numbers"
        );
        for statement in fill.split(';') {
            sql::execute(&mut connection, statement).await?;
        }
        let (debit, first_credit) = match spread {
            Spread::All => ("random(1, :half)", ":half + 1"),
            Spread::FromOne => ("1", "2"),
        };
        // The two balances are locked in one order, or else two transfers in opposite directions would deadlock.
        let script = format!(
            "\\set half {half}
\\set debit {debit}
\\set credit random({first_credit}, {ACCOUNTS})
WITH pair AS (
    SELECT debit.id AS debit_id, credit.id AS credit_id
    FROM {YARDSTICK}.numbers AS debit, {YARDSTICK}.numbers AS credit
    WHERE debit.number = :debit AND credit.number = :credit
), locked AS MATERIALIZED (
    SELECT id FROM {YARDSTICK}.ledger_accounts
    WHERE id IN ((SELECT debit_id FROM pair), (SELECT credit_id FROM pair))
    ORDER BY id
    FOR NO KEY UPDATE
), moved AS (
    UPDATE {YARDSTICK}.ledger_accounts AS accounts
    SET debits_posted = debits_posted + CASE WHEN accounts.id = pair.debit_id THEN 100 ELSE 0 END,
        credits_posted = credits_posted + CASE WHEN accounts.id = pair.credit_id THEN 100 ELSE 0 END
    FROM locked, pair
    WHERE accounts.id = locked.id
)
INSERT INTO {YARDSTICK}.ledger_transfers
    (id, debit_account_id, credit_account_id, amount_minor, currency, kind, code, create_time)
SELECT lpad(to_hex(nextval('{YARDSTICK}.ids')), 32, '0')::uuid, debit_id, credit_id, 100, 'IDR', 'POSTED', 'caller-7',
       now()
FROM pair;\n",
            half = ACCOUNTS / 2,
        );
        let file = self.cluster.folder().join("transfer.sql");
        let url = self.cluster.databases().url(Service::Payout);
        Pgbench::new(file, &script, url)
    }

    /// A quick transfer that leaves nothing behind, or something else on the balances, would be none.
    pub(crate) async fn check(&self, made: u64) -> Result<(), Fault> {
        let mut connection = sql::connect(&self.cluster, Service::Payout).await?;
        let query = "SELECT count(*) FROM ledger_transfers";
        let count: i64 = sql::value(&mut connection, query).await?;
        let query = "SELECT sum(debits_posted)::bigint FROM ledger_accounts";
        let moved: i64 = sql::value(&mut connection, query).await?;
        let query = "SELECT count(*) FROM ledger_comparison WHERE differs";
        let differing: i64 = sql::value(&mut connection, query).await?;
        if (count.unsigned_abs(), moved.unsigned_abs(), differing) == (made, made * 100, 0) {
            Ok(())
        } else {
            let text = format!("{made} made, {count} there, {moved} moved, {differing} differ");
            Err(text.into())
        }
    }
}

/// Orders one rupiah from an account of the first half, or from the hot one, to another.
pub(crate) fn new_transfer(
    accounts: &[String],
    number: u64,
    spread: Spread,
) -> Result<NewTransfer, Fault> {
    let half = accounts.len() as u64 / 2;
    // Steps over all of them in an order that is none.
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let (debit, credit) = match spread {
        Spread::All => (scattered % half, half + (scattered / half) % half),
        Spread::FromOne => (0, 1 + scattered % (2 * half - 1)),
    };
    Ok(NewTransfer {
        name: format!("transfers/{}", Uuid::now_v7()),
        debit_account: accounts[usize::try_from(debit)?].clone(),
        credit_account: accounts[usize::try_from(credit)?].clone(),
        amount: Some(Money {
            currency_code: "IDR".to_owned(),
            units: 1,
            nanos: 0,
        }),
        kind: Kind::Posted.into(),
        code: 7,
        ..Default::default()
    })
}
