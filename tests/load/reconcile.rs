//! A statement of a million lines with seeded errors, from the first byte sent to the report. Its yardstick is what
//! PostgreSQL needs for the rows alone: COPY of the same lines into a bare table, and one join with the payments.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use futures::stream;
use proto::payout::v1::{
    self as pb, import_statement_request::Part,
    reconciliation_service_client::ReconciliationServiceClient,
};
use sqlx::PgConnection;
use tests::{
    accounts::Caller,
    cluster::Cluster,
    process::Service,
    statements::{Format, Model, OrderState},
};
use time::{Date, macros::date};
use uuid::{Builder, Uuid};

use crate::{
    Fault,
    report::{Aim, Figure, Line, Size},
    selection, sql, tell,
};

/// Half a month of payments at the aimed-at rate.
pub(crate) const SIZE: u64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(60);
/// One GiB would be a statement kept in memory.
const MEMORY_MAX_KIB: u64 = 512 * 1024;

const DAY: Date = date!(2026 - 02 - 03);
const BATCH: &str = "batches/48";
/// The namespace of payout's accounts.
const CHART: Uuid = Uuid::from_u128(0x6f1d_43a8_9c5b_4be2_a7f0_52c9_1e7d_8b36);
const PIECE_BYTES: usize = 256 * 1024;

/// Fills payout with payments, and imports the bank's statement about them.
pub(crate) async fn measure(size: Size) -> Result<Vec<Line>, Fault> {
    let cluster = Cluster::builder()
        .services(&[Service::Identity, Service::Payout])
        .start()
        .await;
    let outcome = reconcile(&cluster, size).await;
    selection::end(cluster, outcome).await
}

async fn reconcile(cluster: &Cluster, size: Size) -> Result<Vec<Line>, Fault> {
    let account = cluster
        .setting(Service::Payout, "PAYOUT_RAIL_SOURCE_ACCOUNT")
        .ok_or("payout pays from an account")?;
    let model = Model::new(48, usize::try_from(size.wanted)?, &account, DAY);
    let mut database = sql::connect(cluster, Service::Payout).await?;
    let start = Instant::now();
    fill(&mut database, &model).await?;
    let (mut before, mut file) = (Vec::new(), Vec::new());
    model.write_before(Format::Camt053, &mut before)?;
    model.write(Format::Camt053, &mut file)?;
    tell(&format!(
        "{} payments are there after {}; the statement has {} MB",
        model.orders.len(),
        Figure::Time(start.elapsed()),
        file.len() / 1_000_000
    ));

    import(cluster, before).await?;
    let start = Instant::now();
    let report = import(cluster, file).await?;
    let took = start.elapsed();

    // A quick report that misses something would be none.
    let expected = i64::try_from(model.expected.len())?;
    if report.finding_count != expected {
        return Err(format!("{} findings instead of {expected}", report.finding_count).into());
    }
    let memory = cluster.process(Service::Payout).memory_peak_kib();
    Ok(vec![
        Line {
            name: "reconcile".to_owned(),
            figure: Figure::Time(took),
            yardstick: Some(("the rows alone".to_owned(), yardstick(&mut database).await?)),
            aim: Aim::Max(Figure::Time(size.share_of(LIMIT))),
        },
        Line {
            name: "reconcile, memory".to_owned(),
            figure: Figure::Memory(memory.ok_or("payout is gone")?),
            yardstick: None,
            aim: Aim::Max(Figure::Memory(MEMORY_MAX_KIB)),
        },
    ])
}

async fn import(cluster: &Cluster, file: Vec<u8>) -> Result<pb::Reconciliation, Fault> {
    let header = pb::StatementHeader {
        request_id: Uuid::new_v4().to_string(),
        format: pb::StatementFormat::Camt053.into(),
        utc_offset_minutes: 420,
    };
    let file = Arc::new(file);
    let starts: Vec<usize> = (0..file.len()).step_by(PIECE_BYTES).collect();
    let pieces = starts.into_iter().map(move |start| {
        let end = (start + PIECE_BYTES).min(file.len());
        Part::Content(file[start..end].to_vec())
    });
    let messages = std::iter::once(Part::Header(header))
        .chain(pieces)
        .map(|part| pb::ImportStatementRequest { part: Some(part) });
    let channel = cluster.client(Service::Payout, Caller::Operator1).await;
    let report = ReconciliationServiceClient::new(channel)
        .import_statement(stream::iter(messages))
        .await?;
    Ok(report.into_inner())
}

/// Writes the rows that payout would have written: one funded participation for each payment, and what was paid in the
/// accounts that money can come back from.
async fn fill(database: &mut PgConnection, model: &Model) -> Result<(), Fault> {
    let nobody = Uuid::from_u128(1);
    sql::execute(
        database,
        format!(
            "INSERT INTO batch_budgets (batch, currency, create_time) VALUES ('{BATCH}', 'IDR', now());
             INSERT INTO disbursement_batches
                 (id, currency, line_count, total_minor, state, maker, approver, create_time, approve_time)
             VALUES ('{nobody}', 'IDR', 0, 0, 'APPROVED', 'a', 'b', now(), now());
             INSERT INTO payee_accounts (id, account_id, channel, sealed, number_hash, number_suffix, link_time)
             VALUES ('{nobody}', '{nobody}', 'DANA', '\\x00', sha256('one'), '001', now());"
        ),
    )
    .await?;
    let tables = ["participation_funds", "disbursements"];
    let indexes = sql::Indexes::take_off(database, &tables).await?;
    let count = u64::try_from(model.orders.len())?;
    sql::copy_rows(
        database,
        "participation_funds (participation_id, account_id, batch, region, currency, incentives, award_time, fund_time)",
        0..count,
        |buffer, index| {
            let id = order(model, index).id;
            let row = writeln!(
                buffer,
                "{id}\t{id}\t{BATCH}\t32\tIDR\t[]\t2026-01-01\t2026-01-01"
            );
            row.expect("a buffer takes every row");
        },
    )
    .await?;
    let columns = "id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state, \
                   failure_reason, due_time, disbursement_batch_id, payee_account_id, send_time, next_inquiry_time, \
                   settle_time, create_time";
    sql::copy_rows(
        database,
        &format!("disbursements ({columns})"),
        0..count,
        |buffer, index| {
            let order = order(model, index);
            let (id, amount, currency) = (order.id, order.amount_minor, order.currency);
            let time = format!("{}T03:00:00Z", order.day);
            let (state, reason, inquiry, settled) = match order.state {
                OrderState::Settled => ("SETTLED", "\\N", "\\N", time.as_str()),
                OrderState::Failed => ("FAILED", "ACCOUNT_CLOSED", "\\N", "\\N"),
                OrderState::Unknown => ("UNKNOWN", "\\N", "2099-01-01", "\\N"),
            };
            let row = writeln!(
                buffer,
                "{id}\t{id}\t{id}\t{BATCH}\tjob-search\t1\t{amount}\t{currency}\t{state}\t{reason}\t{time}\t{nobody}\t{nobody}\t{time}\t{inquiry}\t{settled}\t{time}"
            );
            row.expect("a buffer takes every row");
        },
    )
    .await?;
    indexes.put_back(database).await?;
    fill_accounts(database, model).await
}

/// Makes the accounts that money comes back from and goes to, with as much as comes back.
async fn fill_accounts(database: &mut PgConnection, model: &Model) -> Result<(), Fault> {
    let paid = Uuid::new_v5(&CHART, format!("paid|{BATCH}|{BATCH}|IDR").as_bytes());
    let treasury = Uuid::new_v5(&CHART, b"treasury|treasury||IDR");
    let total = i64::MAX / 2;
    sql::execute(
        database,
        format!(
            "INSERT INTO ledger_accounts (id, kind, owner, batch, currency, debits_must_not_exceed_credits)
             VALUES ('{treasury}', 'treasury', 'treasury', NULL, 'IDR', false),
                    ('{paid}', 'paid', '{BATCH}', '{BATCH}', 'IDR', true);
             UPDATE ledger_accounts
             SET debits_posted = CASE kind WHEN 'treasury' THEN {total} ELSE 0 END,
                 credits_posted = CASE kind WHEN 'paid' THEN {total} ELSE 0 END"
        ),
    )
    .await?;
    let returned: Vec<Uuid> = model
        .expected
        .iter()
        .filter(|expected| expected.kind == "RETURNED")
        .map(|expected| Uuid::parse_str(&expected.reference))
        .collect::<Result<_, _>>()?;
    let count = u64::try_from(returned.len())?;
    sql::copy_rows(
        database,
        "ledger_accounts (id, kind, owner, batch, currency, debits_must_not_exceed_credits)",
        0..count,
        |buffer, index| {
            let participation = returned[usize::try_from(index).unwrap_or(usize::MAX)];
            let id = commitment(participation);
            let row = writeln!(
                buffer,
                "{id}\tincentive-commitment\tparticipations/{participation}\t{BATCH}\tIDR\ttrue"
            );
            row.expect("a buffer takes every row");
        },
    )
    .await
}

/// Derives the id of a participation's commitment as payout's chart of accounts does.
fn commitment(participation: Uuid) -> Uuid {
    let mut content = b"incentive-commitment\0".to_vec();
    content.extend(participation.as_bytes());
    let hash = digest::digest(&digest::SHA256, &content);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&participation.as_bytes()[..6]);
    bytes[6..].copy_from_slice(&hash.as_ref()[..10]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

fn order(model: &Model, index: u64) -> &tests::statements::Order {
    &model.orders[usize::try_from(index).unwrap_or(usize::MAX)]
}

/// Copies the entries into a bare table and joins them with the payments once.
async fn yardstick(database: &mut PgConnection) -> Result<Figure, Fault> {
    let query = "SELECT entry_number, is_credit, amount_minor, booking_date, bank_reference, reference, disbursement_id, attempt
                 FROM statement_entries";
    let rows = sql::copy_out(database, query).await?;
    sql::execute(
        database,
        "CREATE TABLE bare_entries AS
         SELECT entry_number, is_credit, amount_minor, booking_date, bank_reference, reference, disbursement_id, attempt
         FROM statement_entries WITH NO DATA",
    )
    .await?;
    let start = Instant::now();
    sql::copy_in(database, "bare_entries", &rows).await?;
    let join = "SELECT count(*) FROM bare_entries AS entries
                JOIN disbursements AS payments ON payments.id = entries.disbursement_id
                WHERE payments.amount_minor <> entries.amount_minor OR payments.attempt <> entries.attempt";
    let _: i64 = sql::value(database, join).await?;
    Ok(Figure::Time(start.elapsed()))
}
