//! Statements of the bank against the payments: what is seeded is found, nothing else, and in every format the same.

use std::fmt::Write;

use chassis::idempotency::RequestKey;
use payout::{
    app::ledger,
    domain::{
        chart::{self, AccountKind},
        disbursement::{Disbursement, DisbursementState},
        ledger::Transfer,
    },
    error::Error,
};
use pb::{
    disbursement::State, finding::Kind, import_statement_request::Part,
    reconciliation_service_client::ReconciliationServiceClient,
};
use proto::payout::v1 as pb;
use sqlx::PgPool;
use time::{Date, OffsetDateTime, Time, macros::date};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    clawbacks,
    statements::{Expected, Format, Model, Order, OrderState},
    words::{fields, metadata, reason, request_id, units},
    world::{BATCH, Caller, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

/// The account that the world's rail pays from.
const ACCOUNT: &str = "8877001";
/// The world's first day at a bank in Jakarta.
pub(crate) const TODAY: Date = date!(2026 - 02 - 03);
const UTC_OFFSET_MINUTES: i32 = 420;
const LINE_COUNT: usize = 10_000;
const PIECE_BYTES: usize = 64 * 1024;

fn client(world: &World) -> ReconciliationServiceClient<Caller> {
    ReconciliationServiceClient::new(world.service_account("operator"))
}

fn format_of(format: Format) -> pb::StatementFormat {
    match format {
        Format::Camt053 => pb::StatementFormat::Camt053,
        Format::Camt054 => pb::StatementFormat::Camt054,
        Format::Mt940 => pb::StatementFormat::Mt940,
        Format::Csv => pb::StatementFormat::Csv,
    }
}

fn stream(
    request_id: &str,
    format: pb::StatementFormat,
    file: &[u8],
) -> Vec<pb::ImportStatementRequest> {
    let header = pb::StatementHeader {
        request_id: request_id.to_owned(),
        format: format.into(),
        utc_offset_minutes: UTC_OFFSET_MINUTES,
    };
    let pieces = file
        .chunks(PIECE_BYTES)
        .map(|piece| Part::Content(piece.to_vec()));
    std::iter::once(Part::Header(header))
        .chain(pieces)
        .map(|part| pb::ImportStatementRequest { part: Some(part) })
        .collect()
}

async fn import_as(
    world: &World,
    request_id: &str,
    format: pb::StatementFormat,
    file: &[u8],
) -> Result<pb::Reconciliation, Status> {
    let messages = tokio_stream::iter(stream(request_id, format, file));
    Ok(client(world).import_statement(messages).await?.into_inner())
}

pub(crate) async fn import(world: &World, file: &str) -> Result<pb::Reconciliation, Status> {
    let csv = pb::StatementFormat::Csv;
    import_as(world, &request_id(), csv, file.as_bytes()).await
}

async fn findings(world: &World, reconciliation: &pb::Reconciliation) -> Vec<pb::Finding> {
    let parent = reconciliation.name.strip_suffix("/reconciliation").unwrap();
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListFindingsRequest {
            parent: parent.to_owned(),
            page_size: 50,
            page_token,
            ..Default::default()
        };
        let page = client(world).list_findings(request).await.unwrap();
        let page = page.into_inner();
        all.extend(page.findings);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

async fn kinds(world: &World, reconciliation: &pb::Reconciliation) -> Vec<Kind> {
    let findings = findings(world, reconciliation).await;
    findings.iter().map(pb::Finding::kind).collect()
}

/// A line of a small statement: side, whole rupiah, the bank's reference, ours, and why it came back.
pub(crate) type Line<'a> = (&'a str, i64, &'a str, &'a str, &'a str);

/// Writes a small statement of a day.
pub(crate) fn statement(reference: &str, day: Date, opening: i64, lines: &[Line<'_>]) -> String {
    let mut text = format!(
        "record,statement,account,currency,booking_date,value_date,direction,amount,bank_reference,end_to_end_id,return_reason,entry_count\n\
         OPENING,{reference},{ACCOUNT},IDR,{day},,CREDIT,{opening}.00,,,,\n"
    );
    let mut closing = opening;
    for (side, amount, bank, ours, reason) in lines {
        closing += if *side == "CREDIT" { *amount } else { -amount };
        writeln!(
            text,
            "ENTRY,,,IDR,{day},,{side},{amount}.00,{bank},{ours},{reason},"
        )
        .unwrap();
    }
    writeln!(
        text,
        "CLOSING,,,IDR,{day},,CREDIT,{closing}.00,,,,{}",
        lines.len()
    )
    .unwrap();
    text
}

/// One person whose payment has arrived, today.
async fn one_settled(db: PgPool) -> (World, Participation, pb::Disbursement) {
    let world = World::with_budget(db, 1).await;
    let person = world.many_ready(1).await[0];
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    let payment = world.payment(&person).await;
    assert_eq!(payment.state(), State::Settled);
    (world, person, payment)
}

async fn count(world: &World) -> [i64; 4] {
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM statements) AS "statements!",
                  (SELECT count(*) FROM statement_entries) AS "entries!",
                  (SELECT count(*) FROM statement_staging) AS "staged!",
                  (SELECT count(*) FROM findings) AS "findings!""#
    );
    let row = row.fetch_one(&world.db).await.unwrap();
    [row.statements, row.entries, row.staged, row.findings]
}

/// Writes the payments of a model, with the money that they have moved.
async fn insert_orders(world: &World, orders: &[Order]) {
    let mut people = Vec::new();
    for chunk in orders.chunks(1_000) {
        people.extend(world.award(chunk.len()).await);
    }
    let payments: Vec<Disbursement> = orders
        .iter()
        .zip(&people)
        .map(|(order, person)| payment(order, person))
        .collect();
    insert_rows(world, &payments).await;

    let in_rupiah = payments
        .iter()
        .filter(|payment| payment.amount.currency().code() == "IDR");
    let transfers: Vec<Transfer> = in_rupiah
        .flat_map(|payment| {
            let ended = match payment.state {
                DisbursementState::Settled => Some(payment.settle()),
                DisbursementState::Failed => Some(payment.take_back(false)),
                DisbursementState::Ready
                | DisbursementState::Batched
                | DisbursementState::Approved
                | DisbursementState::Sent
                | DisbursementState::Unknown
                | DisbursementState::Cancelled => None,
            };
            std::iter::once(payment.put_in_flight()).chain(ended)
        })
        .collect();
    let idr = payments[0].amount.currency();
    let accounts = [
        AccountKind::RailInFlight,
        AccountKind::Paid,
        AccountKind::Returned,
    ]
    .map(|kind| chart::of_batch(kind, BATCH, idr));
    let mut tx = world.db.begin().await.unwrap();
    payout::storage::ledger::insert_accounts(&mut tx, &accounts)
        .await
        .unwrap();
    for chunk in transfers.chunks(5_000) {
        ledger::apply_all(&mut tx, chunk, world.clock.now())
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

fn payment(order: &Order, person: &Participation) -> Disbursement {
    let currency = chassis::money::Currency::from_code(order.currency).unwrap();
    let time = OffsetDateTime::new_utc(order.day, Time::from_hms(3, 0, 0).unwrap());
    let is_settled = order.state == OrderState::Settled;
    Disbursement {
        id: order.id,
        participation_id: person.id,
        account_id: person.account_id,
        batch: BATCH.to_owned(),
        benefit: "job-search".to_owned(),
        instalment: 1,
        amount: chassis::money::Money::new(order.amount_minor, currency),
        state: match order.state {
            OrderState::Settled => DisbursementState::Settled,
            OrderState::Failed => DisbursementState::Failed,
            OrderState::Unknown => DisbursementState::Unknown,
        },
        failure_reason: None,
        due_time: time,
        attempt: 1,
        disbursement_batch_id: None,
        send_time: Some(time),
        settle_time: is_settled.then_some(time),
    }
}

async fn insert_rows(world: &World, payments: &[Disbursement]) {
    sqlx::query!(
        "WITH batch AS (
             INSERT INTO disbursement_batches
                 (id, currency, line_count, total_minor, state, maker, approver, create_time, approve_time)
             VALUES ($1, 'IDR', 0, 0, 'APPROVED', 'a', 'b', now(), now())
         )
         INSERT INTO payee_accounts (id, account_id, channel, sealed, number_hash, number_suffix, link_time)
         VALUES ($1, $1, 'DANA', '\\x00', sha256('one'), '001', now())",
        Uuid::from_u128(1),
    )
    .execute(&world.db)
    .await
    .unwrap();
    let ids: Vec<Uuid> = payments.iter().map(|payment| payment.id).collect();
    let participations: Vec<Uuid> = payments
        .iter()
        .map(|payment| payment.participation_id)
        .collect();
    let accounts: Vec<Uuid> = payments.iter().map(|payment| payment.account_id).collect();
    let amounts: Vec<i64> = payments
        .iter()
        .map(|payment| payment.amount.minor())
        .collect();
    let currencies: Vec<&str> = payments
        .iter()
        .map(|payment| payment.amount.currency().code())
        .collect();
    let states: Vec<&str> = payments
        .iter()
        .map(|payment| payment.state.as_str())
        .collect();
    let times: Vec<OffsetDateTime> = payments.iter().map(|payment| payment.due_time).collect();
    sqlx::query!(
        "INSERT INTO disbursements
            (id, participation_id, account_id, batch, benefit, instalment, amount_minor, currency, state, failure_reason,
             due_time, disbursement_batch_id, payee_account_id, send_time, next_inquiry_time, settle_time, create_time)
         SELECT id, participation_id, account_id, $8, 'job-search', 1, amount_minor, currency, state,
                CASE state WHEN 'FAILED' THEN 'ACCOUNT_CLOSED' END, time, $9, $9, time,
                CASE state WHEN 'UNKNOWN' THEN time + interval '30 days' END,
                CASE state WHEN 'SETTLED' THEN time END, time
         FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[])
            AS new (id, participation_id, account_id, amount_minor, currency, state, time)",
        &ids,
        &participations,
        &accounts,
        &amounts,
        &currencies as &[&str],
        &states as &[&str],
        &times,
        BATCH,
        Uuid::from_u128(1),
    )
    .execute(&world.db)
    .await
    .unwrap();
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_camt_053_lists_exactly_what_was_seeded(db: PgPool) {
    lists_exactly_what_was_seeded(db, Format::Camt053).await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_camt_054_lists_exactly_what_was_seeded(db: PgPool) {
    lists_exactly_what_was_seeded(db, Format::Camt054).await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_mt940_lists_exactly_what_was_seeded(db: PgPool) {
    lists_exactly_what_was_seeded(db, Format::Mt940).await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_csv_lists_exactly_what_was_seeded(db: PgPool) {
    lists_exactly_what_was_seeded(db, Format::Csv).await;
}

/// The same seed in every format, so that the formats agree with each other as well.
async fn lists_exactly_what_was_seeded(db: PgPool, format: Format) {
    let model = Model::new(48, LINE_COUNT, ACCOUNT, TODAY);
    let world = World::with_budget(db, 10_100).await;
    insert_orders(&world, &model.orders).await;
    let (mut before, mut file) = (Vec::new(), Vec::new());
    model.write_before(format, &mut before).unwrap();
    model.write(format, &mut file).unwrap();

    let first = import_as(&world, &request_id(), format_of(format), &before)
        .await
        .unwrap();
    assert_eq!(first.finding_count, 0);
    let report = import_as(&world, &request_id(), format_of(format), &file)
        .await
        .unwrap();

    let mut found: Vec<(i64, String, String)> = findings(&world, &report)
        .await
        .into_iter()
        .map(|finding| {
            let kind = finding.kind().as_str_name();
            let kind = kind.strip_prefix("KIND_").unwrap().to_owned();
            (finding.entry_number, kind, finding.reference)
        })
        .collect();
    found.sort();
    let seeded: Vec<(i64, String, String)> = model
        .expected
        .iter()
        .map(|expected: &Expected| {
            let kind = expected.kind.to_owned();
            (expected.entry_number, kind, expected.reference.clone())
        })
        .collect();
    assert_eq!(found, seeded);
    let mut kinds: Vec<&str> = seeded.iter().map(|(_, kind, _)| kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 13, "twelve errors, and what came back");
    // Each of the ten rounds of errors has 15 lines with a finding and one that is unrelated.
    assert_eq!(
        [
            report.entry_count,
            report.matched_count,
            report.unrelated_count,
            report.finding_count
        ],
        [10_000, 9_860, 10, 140]
    );

    let came_back = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM disbursements WHERE state = 'FAILED' AND failure_reason = 'REVERSED'"#
    );
    assert_eq!(came_back.fetch_one(&world.db).await.unwrap(), 20);
    let asked = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM disbursements WHERE state = 'UNKNOWN' AND next_inquiry_time = $1"#,
        world.clock.now(),
    );
    assert_eq!(asked.fetch_one(&world.db).await.unwrap(), 10);
    assert_eq!(world.told::<pb::DisbursementFailed>().await.len(), 20);
    world.trace(BATCH).await;
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn importing_twice_is_harmless(db: PgPool) {
    let (world, _, payment) = one_settled(db).await;
    let reference = payment.reference.as_str();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B1", reference, ""),
        ("CREDIT", JOB_SEARCH, "B2", reference, "AC04"),
    ];
    let file = statement("S1", TODAY, 1_000_000, &lines);
    let id = request_id();
    let csv = pb::StatementFormat::Csv;
    let first = import_as(&world, &id, csv, file.as_bytes()).await.unwrap();
    let counted = count(&world).await;

    let same_id = import_as(&world, &id, csv, file.as_bytes()).await.unwrap();
    let same_bytes = import(&world, &file).await.unwrap();
    let reused = import_as(&world, &id, csv, file.replace("B1", "B3").as_bytes())
        .await
        .unwrap_err();

    assert_eq!((&same_id, &same_bytes), (&first, &first));
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
    assert_eq!(count(&world).await, counted);
    assert_eq!(counted, [1, 2, 0, 1]);
    assert_eq!(world.told::<pb::DisbursementFailed>().await.len(), 1);
    let request = pb::GetReconciliationRequest {
        name: first.name.clone(),
    };
    let got = client(&world).get_reconciliation(request).await.unwrap();
    assert_eq!(got.into_inner(), first);
    let listed = client(&world)
        .list_reconciliations(pb::ListReconciliationsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.reconciliations, [first]);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn another_file_of_the_same_statement_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let file = statement("S1", TODAY, 1_000, &[("CREDIT", 10, "B1", "", "")]);
    let first = import(&world, &file).await.unwrap();

    let other = statement("S1", TODAY, 1_000, &[("CREDIT", 11, "B1", "", "")]);
    let refused = import(&world, &other).await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::AlreadyExists, "STATEMENT_EXISTS".to_owned())
    );
    let name = format!("{}/reconciliation", metadata(&refused, "statement"));
    assert_eq!(name, first.name);
    assert_eq!(count(&world).await, [1, 1, 0, 0]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_faulty_file_is_told_all_its_faults_and_leaves_nothing(db: PgPool) {
    let world = World::start(db).await;
    let file = statement(
        "S1",
        TODAY,
        1_000,
        &[
            ("CREDIT", 10, "B1", "", ""),
            ("SIDEWAYS", 10, "B2", "", ""),
            ("DEBIT", 0, "B3", "", ""),
        ],
    );

    let refused = import(&world, &file).await.unwrap_err();
    let other_account = import(
        &world,
        &file.replace(ACCOUNT, "99").replace("SIDEWAYS", "X"),
    )
    .await
    .unwrap_err();
    let many: Vec<Line<'_>> = vec![("SIDEWAYS", 10, "B2", "", ""); 5_000];
    let many = import(&world, &statement("S2", TODAY, 1_000_000, &many))
        .await
        .unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::InvalidArgument, "STATEMENT_FAULTY".to_owned())
    );
    assert_eq!(fields(&refused), ["line 4, entry 2", "line 5, entry 3"]);
    assert_eq!(metadata(&refused, "fault_count"), "2");
    assert_eq!(reason(&other_account), "STATEMENT_FAULTY");
    assert_eq!(fields(&many).len(), 100);
    assert_eq!(metadata(&many, "fault_count"), "5000");
    assert_eq!(count(&world).await, [0; 4]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_stream_that_breaks_its_rules_or_is_cut_changes_nothing(db: PgPool) {
    let world = World::start(db).await;
    let lines: Vec<Line<'_>> = vec![("CREDIT", 10, "B1", "", ""); 12_000];
    let file = statement("S1", TODAY, 0, &lines);
    let id = request_id();
    let csv = pb::StatementFormat::Csv;

    let no_header = tokio_stream::iter(stream(&id, csv, file.as_bytes()).split_off(1));
    let no_header = client(&world)
        .import_statement(no_header)
        .await
        .unwrap_err();
    let nothing = pb::StatementFormat::Unspecified;
    let wrong_header = import_as(&world, "1", nothing, b"").await.unwrap_err();
    let mut two_headers = stream(&id, csv, file.as_bytes());
    two_headers.push(two_headers[0].clone());
    let two_headers = client(&world)
        .import_statement(tokio_stream::iter(two_headers))
        .await
        .unwrap_err();
    // The caller goes before the end of the file.
    let (sender, receiver) = tokio::sync::mpsc::channel(100);
    for message in stream(&id, csv, &file.as_bytes()[..file.len() - 100]) {
        sender.send(message).await.unwrap();
    }
    let mut caller = client(&world);
    let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let call = caller.import_statement(messages);
    let unanswered = tokio::time::timeout(std::time::Duration::from_millis(300), call).await;

    assert_eq!(fields(&no_header), ["header"]);
    assert_eq!(fields(&wrong_header), ["request_id", "format"]);
    assert_eq!(fields(&two_headers), ["header"]);
    assert!(unanswered.is_err());
    let [statements, entries, _, findings] = count(&world).await;
    assert_eq!([statements, entries, findings], [0; 3]);
    let whole = import_as(&world, &id, csv, file.as_bytes()).await.unwrap();
    assert_eq!((whole.entry_count, whole.unrelated_count), (12_000, 12_000));
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_statement_of_which_a_crash_has_taken_staged_entries_is_not_kept(db: PgPool) {
    let world = World::start(db).await;
    let lines = [("CREDIT", 10, "B1", "", ""), ("CREDIT", 20, "B2", "", "")];
    let file = statement("S1", TODAY, 0, &lines);
    let (pieces, content) = tokio::sync::mpsc::channel(1);
    pieces.send(Ok(file.into_bytes())).await.unwrap();
    drop(pieces);
    let staged = world
        .app
        .stage_statement(payout::domain::statement::Format::Csv, content)
        .await
        .unwrap();
    sqlx::raw_sql("DELETE FROM statement_staging WHERE entry_number = 1")
        .execute(&world.db)
        .await
        .unwrap();

    let key = RequestKey::internal("ImportStatement", Uuid::now_v7(), b"");
    let refused = world.app.import_statement(key, &staged, [0; 32], 0).await;

    assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
    assert_eq!(count(&world).await, [0; 4]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn an_import_that_fails_at_its_end_is_done_by_a_repeat(db: PgPool) {
    let (world, person, payment) = one_settled(db).await;
    let reference = payment.reference.as_str();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B1", reference, ""),
        ("CREDIT", JOB_SEARCH, "B2", reference, "AC04"),
    ];
    let file = statement("S1", TODAY, 1_000_000, &lines);
    let id = request_id();
    let csv = pb::StatementFormat::Csv;
    sqlx::query!("ALTER TABLE disbursement_reversals ADD CONSTRAINT broken CHECK (attempt < 0)")
        .execute(&world.db)
        .await
        .unwrap();

    let failed = import_as(&world, &id, csv, file.as_bytes()).await;
    let after_failure = count(&world).await;
    let state = world.payment_state(&person).await;
    sqlx::query!("ALTER TABLE disbursement_reversals DROP CONSTRAINT broken")
        .execute(&world.db)
        .await
        .unwrap();
    let repeated = import_as(&world, &id, csv, file.as_bytes()).await.unwrap();

    assert_eq!(failed.unwrap_err().code(), Code::Internal);
    assert_eq!((after_failure, state), ([0; 4], State::Settled));
    assert_eq!(repeated.matched_count, 1);
    assert_eq!(world.payment_state(&person).await, State::Failed);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_return_that_comes_twice_opens_the_right_once(db: PgPool) {
    let (world, person, payment) = one_settled(db).await;
    let reference = payment.reference.as_str();
    let debit = ("DEBIT", JOB_SEARCH, "B1", reference, "");
    let back = |bank| ("CREDIT", JOB_SEARCH, bank, reference, "AC04");
    let tomorrow = TODAY.next_day().unwrap();

    let first = statement("S1", TODAY, 1_000_000, &[debit, back("B2")]);
    let first = import(&world, &first).await.unwrap();
    let second = import(&world, &statement("S2", tomorrow, 1_000_000, &[back("B3")]))
        .await
        .unwrap();

    assert_eq!(kinds(&world, &first).await, [Kind::Returned]);
    assert_eq!(kinds(&world, &second).await, [Kind::ReturnedTwice]);
    let failed = world.payment(&person).await;
    assert_eq!(
        (failed.state(), failed.failure_reason.as_str()),
        (State::Failed, "REVERSED")
    );
    assert_eq!(world.balance(&person).await, [TRAINING, 0, INCENTIVES]);
    assert_eq!(world.told::<pb::DisbursementFailed>().await.len(), 1);

    // The person links another account and is paid there, under another reference.
    world.open_wallet(&person, "628229999999");
    world.link(&person, "628229999999").await.unwrap();
    world.approve_all().await;
    world.app.send_round().await.unwrap();
    let paid = world.payment(&person).await;
    assert_eq!(paid.state(), State::Settled);
    assert_eq!(paid.reference, format!("{reference}-2"));
    assert_eq!(units(world.trace(BATCH).await.incentives), JOB_SEARCH);
    // What the bank says once more of the first order concerns nobody any more.
    let day = tomorrow.next_day().unwrap();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B4", paid.reference.as_str(), ""),
        back("B5"),
    ];
    let third = statement("S3", day, 1_000_000 + JOB_SEARCH, &lines);
    let third = import(&world, &third).await.unwrap();
    assert_eq!(kinds(&world, &third).await, [Kind::ReturnedTwice]);
    assert_eq!(world.payment_state(&person).await, State::Settled);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_that_comes_back_after_a_clawback_is_owed_no_more(db: PgPool) {
    let (world, person, payment) = one_settled(db).await;
    world.revoke(&[person]).await;
    let clawback = clawbacks::create(&world, &person).await.unwrap();
    let reference = payment.reference.as_str();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B1", reference, ""),
        ("CREDIT", JOB_SEARCH, "B2", reference, "AC04"),
    ];

    import(&world, &statement("S1", TODAY, 1_000_000, &lines))
        .await
        .unwrap();

    let ended = clawbacks::get(&world, &clawback).await;
    assert_eq!(
        (ended.state(), units(ended.outstanding)),
        (pb::clawback::State::Repaid, 0)
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.returned), units(trace.incentives)),
        (TRAINING + INCENTIVES, 0)
    );
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn money_that_comes_back_after_a_revocation_goes_to_the_treasury(db: PgPool) {
    let (world, person, payment) = one_settled(db).await;
    world.revoke(&[person]).await;
    let before = units(world.trace(BATCH).await.returned);
    let reference = payment.reference.as_str();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B1", reference, ""),
        ("CREDIT", JOB_SEARCH, "B2", reference, "AC04"),
    ];

    import(&world, &statement("S1", TODAY, 1_000_000, &lines))
        .await
        .unwrap();

    let trace = world.trace(BATCH).await;
    assert_eq!(units(trace.returned) - before, JOB_SEARCH);
    assert_eq!((units(trace.incentives), trace.paid_count), (0, 0));
    assert_eq!(world.told::<pb::FundsReturned>().await.len(), 2);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_a_notification_told_before_is_matched_in_the_statement(db: PgPool) {
    let (world, person, payment) = one_settled(db).await;
    let reference = payment.reference.as_str();
    let notification = format!(
        r#"<Document><BkToCstmrDbtCdtNtfctn><Ntfctn><Id>N1</Id><Acct><Id><Othr><Id>{ACCOUNT}</Id></Othr></Id><Ccy>IDR</Ccy></Acct>
        <Ntry><Amt Ccy="IDR">{JOB_SEARCH}</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd><Sts>BOOK</Sts>
        <BookgDt><Dt>{TODAY}</Dt></BookgDt><AcctSvcrRef>B2</AcctSvcrRef>
        <NtryDtls><TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>
        </Ntfctn></BkToCstmrDbtCdtNtfctn></Document>"#
    );
    let camt = pb::StatementFormat::Camt054;
    let told = import_as(&world, &request_id(), camt, notification.as_bytes())
        .await
        .unwrap();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B1", reference, ""),
        ("CREDIT", JOB_SEARCH, "B2", reference, "AC04"),
    ];

    let report = import(&world, &statement("S1", TODAY, 1_000_000, &lines))
        .await
        .unwrap();

    assert_eq!(kinds(&world, &told).await, [Kind::Returned]);
    assert_eq!((report.matched_count, report.finding_count), (2, 0));
    assert_eq!(world.payment_state(&person).await, State::Failed);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_broken_chain_of_balances_is_found_and_a_late_booking_is_missing_until_it_comes(
    db: PgPool,
) {
    let (world, _, payment) = one_settled(db).await;
    let tomorrow = TODAY.next_day().unwrap();
    let first = import(&world, &statement("S1", TODAY, 1_000_000, &[]))
        .await
        .unwrap();
    let debit = ("DEBIT", JOB_SEARCH, "B1", payment.reference.as_str(), "");

    let second = import(&world, &statement("S2", tomorrow, 1_000_001, &[debit]))
        .await
        .unwrap();

    assert_eq!(kinds(&world, &first).await, [Kind::MissingAtBank]);
    let broken = findings(&world, &second).await;
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].kind(), Kind::BalanceBroken);
    assert_eq!(units(broken[0].expected_amount.clone()), 1_000_000);
    assert_eq!(units(broken[0].actual_amount.clone()), 1_000_001);
    assert_eq!(second.matched_count, 1);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_statement_that_comes_late_is_held_against_both_its_neighbours(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    let days: Vec<Date> = (0..3).map(|i| TODAY + time::Duration::days(i)).collect();
    let fee = ("CREDIT", 100, "F1", "", "");
    for (name, day, opening) in [("S1", days[0], 1_000_000), ("S3", days[2], 1_000_101)] {
        let file = statement(name, day, opening, &[]);
        import(&world, &file).await.unwrap();
    }

    let between = import(&world, &statement("S2", days[1], 999_999, &[fee]))
        .await
        .unwrap();

    let broken = findings(&world, &between).await;
    let balances: Vec<(Kind, i64, i64)> = broken
        .iter()
        .map(|finding| {
            let expected = units(finding.expected_amount.clone());
            (
                finding.kind(),
                expected,
                units(finding.actual_amount.clone()),
            )
        })
        .collect();
    assert_eq!(
        balances,
        [
            (Kind::BalanceBroken, 1_000_000, 999_999),
            (Kind::BalanceBroken, 1_000_101, 1_000_099),
        ]
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn people_read_a_table(db: PgPool) {
    let (world, _, payment) = one_settled(db).await;
    let debit = (
        "DEBIT",
        JOB_SEARCH - 1,
        "B1",
        payment.reference.as_str(),
        "",
    );
    let report = import(&world, &statement("S1", TODAY, 1_000_000, &[debit]))
        .await
        .unwrap();

    let request = pb::GetReconciliationTableRequest {
        name: report.name.clone(),
    };
    let table = client(&world).get_reconciliation_table(request).await;

    let table = table.unwrap().into_inner();
    assert_eq!(table.name, report.name);
    let line = table
        .text
        .lines()
        .find(|line| line.contains(&payment.reference))
        .unwrap();
    for part in [
        "1 WRONG_AMOUNT",
        "B1",
        "IDR 600000.00",
        "IDR 599999.00",
        "SETTLED",
    ] {
        assert!(line.contains(part), "{part}: {}", table.text);
    }
    assert!(table.text.contains("opening balance        IDR 1000000.00"));
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_was_seen_is_never_rewritten(db: PgPool) {
    let world = World::start(db).await;
    let lines = [("DEBIT", 10, "B1", "", "")];
    import(&world, &statement("S1", TODAY, 1_000, &lines))
        .await
        .unwrap();

    let changed = sqlx::query!("UPDATE findings SET kind = 'WRONG_DATE'");
    let changed = changed.execute(&world.db).await.unwrap_err();
    let deleted = sqlx::query!("DELETE FROM statement_entries");
    let deleted = deleted.execute(&world.db).await.unwrap_err();

    assert_eq!(
        [changed, deleted].each_ref().map(chassis::db::constraint),
        [
            Some("findings_append_only"),
            Some("statement_entries_append_only")
        ]
    );
}
