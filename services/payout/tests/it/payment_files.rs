//! Payments by file: what a bank without an API is told, and what its reports do.

use std::fmt::Write;

use chassis::{idempotency::RequestKey, names};
use payout::{
    domain::{
        payee::{AccountNumber, Channel},
        rail::Holder,
    },
    error::Error,
};
use pb::{
    disbursement::State, disbursement_batch::Rail, import_payment_status_report_request::Part,
    payment_file_service_client::PaymentFileServiceClient,
    resolve_disbursement_request::Resolution,
};
use proto::payout::v1 as pb;
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    reconciliation::{self, TODAY, statement},
    words::{awarded, batch_request, fields, metadata, reason, request_id, units},
    world::{BATCH, Caller, INCENTIVES, JOB_SEARCH, Participation, TRAINING, World},
};

const PIECE_BYTES: usize = 64 * 1024;

fn client(world: &World) -> PaymentFileServiceClient<Caller> {
    PaymentFileServiceClient::new(world.service_account("operator"))
}

/// Puts all that is due into a batch that goes by file, and approves it.
async fn approve_all_by_file(world: &World) -> pb::DisbursementBatch {
    let request = pb::CreateDisbursementBatchRequest {
        rail: Rail::File.into(),
        ..batch_request()
    };
    let mut maker = world.disbursements();
    let batch = maker.create_disbursement_batch(request).await.unwrap();
    world.approve(&batch.into_inner()).await.unwrap()
}

async fn export(
    world: &World,
    batch: &pb::DisbursementBatch,
) -> Result<pb::PaymentInitiation, Status> {
    let request = pb::ExportDisbursementBatchRequest {
        request_id: request_id(),
        name: batch.name.clone(),
    };
    let mut client = client(world);
    Ok(client
        .export_disbursement_batch(request)
        .await?
        .into_inner())
}

async fn download(world: &World, batch: &pb::DisbursementBatch) -> Result<String, Status> {
    let request = pb::DownloadPaymentInitiationRequest {
        name: format!("{}/paymentInitiation", batch.name),
    };
    let mut client = client(world);
    let mut stream = client
        .download_payment_initiation(request)
        .await?
        .into_inner();
    let mut file = Vec::new();
    while let Some(piece) = stream.message().await? {
        file.extend(piece.content);
    }
    Ok(String::from_utf8(file).unwrap())
}

async fn import_as(
    world: &World,
    request_id: &str,
    file: &str,
) -> Result<pb::PaymentStatusReport, Status> {
    let header = pb::PaymentStatusReportHeader {
        request_id: request_id.to_owned(),
    };
    let pieces = file
        .as_bytes()
        .chunks(PIECE_BYTES)
        .map(|piece| Part::Content(piece.to_vec()));
    let messages: Vec<_> = std::iter::once(Part::Header(header))
        .chain(pieces)
        .map(|part| pb::ImportPaymentStatusReportRequest { part: Some(part) })
        .collect();
    let mut client = client(world);
    let report = client
        .import_payment_status_report(tokio_stream::iter(messages))
        .await?;
    Ok(report.into_inner())
}

async fn import(world: &World, file: &str) -> Result<pb::PaymentStatusReport, Status> {
    import_as(world, &request_id(), file).await
}

/// What a bank reads in a file.
struct Told {
    message_id: String,
    sum: String,
    /// Reference and amount.
    payments: Vec<(String, String)>,
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

fn read(file: &str) -> Told {
    let payments = file
        .split("<CdtTrfTxInf>")
        .skip(1)
        .map(|payment| {
            let reference = between(payment, "<EndToEndId>", "<").unwrap();
            let amount = between(payment, "<InstdAmt Ccy=\"IDR\">", "<").unwrap();
            (reference.to_owned(), amount.to_owned())
        })
        .collect();
    Told {
        message_id: between(file, "<MsgId>", "<").unwrap().to_owned(),
        sum: between(file, "<CtrlSum>", "<").unwrap().to_owned(),
        payments,
    }
}

/// A bank's report: the status and reason of the whole, and of payments.
struct Report<'a> {
    id: &'a str,
    whole: &'a str,
    payments: Vec<(&'a str, &'a str, &'a str)>,
}

impl Report<'_> {
    fn write(&self, told: &Told) -> String {
        let mut file = format!(
            "<?xml version=\"1.0\"?>\n\
             <Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt>\n\
             <GrpHdr><MsgId>{}</MsgId><CreDtTm>2026-02-03T09:00:00</CreDtTm></GrpHdr>\n\
             <OrgnlGrpInfAndSts><OrgnlMsgId>{}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>\
             <OrgnlNbOfTxs>{}</OrgnlNbOfTxs><OrgnlCtrlSum>{}</OrgnlCtrlSum>{}</OrgnlGrpInfAndSts>\n\
             <OrgnlPmtInfAndSts><OrgnlPmtInfId>{}</OrgnlPmtInfId>\n",
            self.id,
            told.message_id,
            told.payments.len(),
            told.sum,
            self.whole,
            told.message_id,
        );
        for (reference, status, reason) in &self.payments {
            let amount = told.payments.iter().find(|(known, _)| known == reference);
            let amount = amount.map_or("1.00", |(_, amount)| amount.as_str());
            let reason = match *reason {
                "" => String::new(),
                code => format!("<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>"),
            };
            writeln!(
                file,
                "<TxInfAndSts><OrgnlEndToEndId>{reference}</OrgnlEndToEndId><TxSts>{status}</TxSts>{reason}\
                 <OrgnlTxRef><Amt><InstdAmt Ccy=\"IDR\">{amount}</InstdAmt></Amt></OrgnlTxRef></TxInfAndSts>"
            )
            .unwrap();
        }
        file.push_str("</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>\n");
        file
    }
}

/// So many persons whose payments have been told to the bank by one file.
async fn exported(
    db: PgPool,
    count: usize,
) -> (World, Vec<Participation>, pb::DisbursementBatch, Told) {
    let world = World::with_budget(db, i64::try_from(count).unwrap()).await;
    let people = world.many_ready(count).await;
    let batch = approve_all_by_file(&world).await;
    export(&world, &batch).await.unwrap();
    let told = read(&download(&world, &batch).await.unwrap());
    (world, people, batch, told)
}

async fn references(world: &World, people: &[Participation]) -> Vec<String> {
    let mut references = Vec::new();
    for person in people {
        references.push(world.payment(person).await.reference);
    }
    references
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_batch_is_told_once_and_always_in_the_same_bytes(db: PgPool) {
    let world = World::with_budget(db, 5).await;
    let people = world.many_ready(3).await;
    let by_api = world.approve_all().await;
    let refused = export(&world, &by_api).await.unwrap_err();
    world.app.send_round().await.unwrap();
    let later = world.award(2).await;
    for (i, person) in later.iter().enumerate() {
        world.ready(person, &format!("62812000000{i}")).await;
    }
    let batch = approve_all_by_file(&world).await;

    let sent_by_api = world.app.send_round().await.unwrap();
    let early = download(&world, &batch).await.unwrap_err();
    let exports = futures::future::join_all((0..3).map(|_| export(&world, &batch))).await;
    let state = world.payment_state(&later[0]).await;
    let first = download(&world, &batch).await.unwrap();
    world.clock.advance_by(time::Duration::days(3));
    world.app.inquire_round().await.unwrap();
    let again = export(&world, &batch).await.unwrap();
    let second = download(&world, &batch).await.unwrap();

    assert_eq!(by_api.rail(), Rail::Api);
    assert_eq!(reason(&refused), "BATCH_NOT_BY_FILE");
    assert_eq!(world.payment_state(&people[0]).await, State::Settled);
    assert_eq!((batch.rail(), batch.line_count), (Rail::File, 2));
    assert_eq!(sent_by_api.line_count, 0);
    assert_eq!(reason(&early), "BATCH_NOT_EXPORTED");
    assert_eq!(metadata(&early, "disbursement_batch"), batch.name);
    for export in exports {
        assert_eq!(export.unwrap(), again);
    }
    assert_eq!(state, State::Sent);
    assert_eq!(first, second);
    let told = read(&first);
    assert_eq!(
        (told.message_id, told.sum.as_str()),
        (again.message_id, "1200000.00")
    );
    let mut told: Vec<String> = told.payments.into_iter().map(|(name, _)| name).collect();
    let mut expected = references(&world, &later).await;
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    assert!(first.contains("<Nm>SITI AMINAH</Nm>") && first.contains("<Id>628120000000</Id>"));
    assert_eq!(
        world.bank.entries().len(),
        3,
        "the API was told of the others alone"
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_waits_leaves_the_batch_with_the_export(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.many_ready(2).await;
    let batch = approve_all_by_file(&world).await;
    world.freeze(&people[..1]).await;

    let initiation = export(&world, &batch).await.unwrap();
    let frozen = world.payment(&people[0]).await;
    let request = pb::GetDisbursementBatchRequest { name: batch.name };
    let batch = world.disbursements().get_disbursement_batch(request).await;
    world.assert_sound().await;
    world.unfreeze(&people[..1]).await;
    world.approve_all().await;
    world.app.send_round().await.unwrap();

    assert_eq!(
        (initiation.line_count, units(initiation.total)),
        (1, JOB_SEARCH)
    );
    assert_eq!(batch.unwrap().into_inner().line_count, 1);
    assert_eq!(
        (frozen.state(), frozen.disbursement_batch.as_str()),
        (State::Ready, "")
    );
    assert_eq!(world.payment_state(&people[0]).await, State::Settled);
    assert_eq!(world.payment_state(&people[1]).await, State::Sent);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_without_an_answer_is_unknown_until_a_report_tells(db: PgPool) {
    let (world, people, _, told) = exported(db, 2).await;
    let references = references(&world, &people).await;

    world.clock.advance_by(time::Duration::hours(23));
    world.app.inquire_round().await.unwrap();
    let before = world.payment_state(&people[0]).await;
    for _ in 0..3 {
        world.clock.advance_by(time::Duration::days(1));
        world.app.inquire_round().await.unwrap();
        world.app.send_round().await.unwrap();
    }
    let after = world.payment_state(&people[0]).await;
    let report = Report {
        id: "BANK-1",
        whole: "",
        payments: vec![
            (&references[0], "ACSC", ""),
            (&references[1], "RJCT", "AC04"),
        ],
    };
    import(&world, &report.write(&told)).await.unwrap();

    assert_eq!([before, after], [State::Sent, State::Unknown]);
    assert_eq!(world.payment_state(&people[0]).await, State::Settled);
    assert_eq!(world.bank.requests("18") + world.bank.requests("36"), 0);
    // What failed for good is told again, to another account and under another reference.
    world.open_wallet(&people[1], "6281900000001");
    world.link(&people[1], "6281900000001").await.unwrap();
    let batch = approve_all_by_file(&world).await;
    export(&world, &batch).await.unwrap();
    let next = read(&download(&world, &batch).await.unwrap());
    assert_eq!(next.payments[0].0, format!("{}-2", references[1]));
    assert_ne!(next.message_id, told.message_id);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_report_takes_effect_once_and_later_ones_go_on_from_there(db: PgPool) {
    let (world, people, batch, told) = exported(db, 5).await;
    let references = references(&world, &people).await;
    let first = Report {
        id: "BANK-1",
        whole: "<GrpSts>PART</GrpSts>",
        payments: vec![
            (&references[0], "ACSC", ""),
            (&references[1], "PDNG", ""),
            (&references[2], "RJCT", "MD07"),
            (&references[3], "RJCT", "FRAD"),
        ],
    }
    .write(&told);
    let later = Report {
        id: "BANK-2",
        whole: "",
        payments: vec![
            (&references[0], "ACCC", ""),
            (&references[1], "ACSC", ""),
            (&references[2], "RJCT", "MD07"),
            (&references[4], "RJCT", "AM05"),
        ],
    }
    .write(&told);

    let id = request_id();
    let imported = import_as(&world, &id, &first).await.unwrap();
    let repeated = import_as(&world, &id, &first).await.unwrap();
    let again = futures::future::join_all((0..3).map(|_| import(&world, &first))).await;
    let reused = import_as(&world, &id, &later).await.unwrap_err();
    let other = first.replace("PDNG", "ACTC");
    let other = import(&world, &other).await.unwrap_err();
    let second = import(&world, &later).await.unwrap();

    assert_eq!(
        [
            imported.settled_count,
            imported.failed_count,
            imported.pending_count
        ],
        [1, 2, 1]
    );
    assert_eq!(imported.disbursement_batch, batch.name);
    assert_eq!(repeated, imported);
    for again in again {
        assert_eq!(again.unwrap(), imported);
    }
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
    assert_eq!(
        (other.code(), reason(&other)),
        (Code::AlreadyExists, "STATUS_REPORT_EXISTS".to_owned())
    );
    assert_eq!(metadata(&other, "payment_status_report"), imported.name);
    assert_eq!(
        [
            second.settled_count,
            second.failed_count,
            second.pending_count,
            second.repeated_count
        ],
        [1, 0, 1, 2]
    );
    let mut states = Vec::new();
    for person in &people {
        let payment = world.payment(person).await;
        states.push((payment.state(), payment.failure_reason));
    }
    let expected = [
        (State::Settled, ""),
        (State::Settled, ""),
        (State::Cancelled, "PAYEE_DECEASED"),
        (State::Failed, "FRAUD_SUSPECTED"),
        // A double was refused, which says nothing of the first.
        (State::Sent, ""),
    ];
    assert_eq!(
        states,
        expected.map(|(state, reason)| (state, reason.to_owned()))
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        (units(trace.incentives), units(trace.returned)),
        (2 * JOB_SEARCH, JOB_SEARCH)
    );
    assert_eq!(
        world.balance(&people[2]).await,
        [TRAINING, 0, INCENTIVES - JOB_SEARCH]
    );
    world.resolve(&people[3], Resolution::Refund).await.unwrap();
    assert_eq!(units(world.trace(BATCH).await.returned), 2 * JOB_SEARCH);
    assert_eq!(world.told::<pb::DisbursementSettled>().await.len(), 2);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_refused_file_is_tried_again_another_day(db: PgPool) {
    let (world, people, _, told) = exported(db, 3).await;
    let report = |id, code: &'static str| {
        let whole =
            format!("<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>");
        Report {
            id,
            whole: &whole,
            payments: Vec::new(),
        }
        .write(&told)
    };

    let double = import(&world, &report("BANK-1", "DU01")).await.unwrap();
    let unclear = import(&world, &report("BANK-2", "ZZ99")).await.unwrap();
    // The bank names every payment as well, and says why of the whole alone.
    let references = references(&world, &people).await;
    let each = |id, code: &'static str| {
        let whole =
            format!("<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>");
        let payments = references.iter().map(|name| (name.as_str(), "RJCT", ""));
        Report {
            id,
            whole: &whole,
            payments: payments.collect(),
        }
        .write(&told)
    };
    let each_double = import(&world, &each("BANK-3", "DUPL")).await.unwrap();
    let after_double = world.payment_state(&people[0]).await;
    let refused = import(&world, &each("BANK-4", "FF01")).await.unwrap();
    let failed = world.payment(&people[0]).await;
    world.clock.advance_by(time::Duration::days(1));
    let next = approve_all_by_file(&world).await;

    for report in [double, unclear, each_double] {
        assert_eq!((report.settled_count, report.failed_count), (0, 0));
    }
    assert_eq!(after_double, State::Sent);
    assert_eq!(refused.failed_count, 3);
    assert_eq!(
        (failed.state(), failed.failure_reason.as_str()),
        (State::Failed, "ORDER_REJECTED")
    );
    assert_eq!(next.line_count, 3);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn all_that_is_wrong_with_a_report_is_told_and_nothing_of_it_takes_effect(db: PgPool) {
    let (world, people, _, told) = exported(db, 3).await;
    let references = references(&world, &people).await;
    let settled = Report {
        id: "BANK-1",
        whole: "",
        payments: vec![(&references[0], "ACSC", "")],
    };
    import(&world, &settled.write(&told)).await.unwrap();
    let stranger = Uuid::now_v7().simple().to_string();
    let wrong = Report {
        id: "BANK-2",
        whole: "<NbOfTxsPerSts><DtldNbOfTxs>7</DtldNbOfTxs><DtldSts>ACSC</DtldSts></NbOfTxsPerSts>",
        payments: vec![
            (&references[0], "RJCT", "AC04"),
            (&references[1], "ACSC", ""),
            (&references[1], "ACSC", ""),
            (&stranger, "ACSC", ""),
            ("none-of-ours", "ACSC", ""),
            (&references[2], "PAID", ""),
        ],
    }
    .write(&told)
    .replace("<OrgnlNbOfTxs>3", "<OrgnlNbOfTxs>4")
    .replacen("600000.00</InstdAmt>", "600000.01</InstdAmt>", 1)
    .replace("<OrgnlCtrlSum>1800000.00", "<OrgnlCtrlSum>1800000.0");
    let foreign = Report {
        id: "BANK-3",
        whole: "",
        payments: Vec::new(),
    }
    .write(&Told {
        message_id: stranger.clone(),
        ..read("<MsgId><<CtrlSum>0<")
    });

    let refused = import(&world, &wrong).await.unwrap_err();
    let foreign = import(&world, &foreign).await.unwrap_err();
    let broken = import(&world, &wrong[..wrong.len() / 2]).await.unwrap_err();
    let entity = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{wrong}");
    let entity = import(&world, &entity).await.unwrap_err();
    let deep = "<a>".repeat(40);
    let deep = import(&world, &deep).await.unwrap_err();

    for status in [&refused, &foreign, &broken, &entity, &deep] {
        assert_eq!(
            (status.code(), reason(status)),
            (Code::InvalidArgument, "STATUS_REPORT_FAULTY".to_owned())
        );
    }
    assert_eq!(
        fields(&refused),
        [
            "line 11, entry 6",
            "line 4",
            "line 4",
            "line 6, entry 1",
            "line 6, entry 1",
            "line 8, entry 3",
            "line 9, entry 4",
            "line 10, entry 5",
        ]
    );
    assert_eq!(metadata(&refused, "fault_count"), "8");
    assert_eq!(world.payment_state(&people[0]).await, State::Settled);
    assert_eq!(world.payment_state(&people[1]).await, State::Sent);
    let staged = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM payment_status_staging"#);
    assert_eq!(staged.fetch_one(&world.db).await.unwrap(), 0);
    // What was refused is known to be so.
    let rejected = Report {
        id: "BANK-4",
        whole: "",
        payments: vec![(&references[1], "RJCT", "AC04")],
    };
    import(&world, &rejected.write(&told)).await.unwrap();
    let paid_after_all = Report {
        id: "BANK-5",
        whole: "",
        payments: vec![(&references[1], "ACSC", "")],
    };
    let contradicted = import(&world, &paid_after_all.write(&told))
        .await
        .unwrap_err();
    assert_eq!(fields(&contradicted), ["line 6, entry 1"]);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_payment_by_file_is_sent_as_a_line_of_the_file_alone_whatever_a_program_says(db: PgPool) {
    let world = World::with_budget(db, 1).await;
    world.many_ready(1).await;
    let batch = approve_all_by_file(&world).await;
    let send = "UPDATE disbursements
                SET state = 'SENT', send_time = now(), next_inquiry_time = now(), payee_account_id = payee.id
                FROM payee_accounts AS payee";

    let past_the_file = sqlx::raw_sql(send).execute(&world.db).await.unwrap_err();
    export(&world, &batch).await.unwrap();
    sqlx::raw_sql("UPDATE disbursements SET state = 'UNKNOWN', next_inquiry_time = NULL")
        .execute(&world.db)
        .await
        .unwrap();
    let again = sqlx::raw_sql(send).execute(&world.db).await.unwrap_err();
    let rewritten = sqlx::raw_sql("UPDATE payment_initiation_lines SET amount_minor = 1")
        .execute(&world.db)
        .await
        .unwrap_err();

    for error in [&past_the_file, &again] {
        assert_eq!(
            chassis::db::constraint(error),
            Some("disbursements_by_file")
        );
    }
    assert_eq!(
        chassis::db::constraint(&rewritten),
        Some("payment_initiation_lines_append_only")
    );
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_file_is_there_until_the_bank_has_answered_for_all_of_it(db: PgPool) {
    let (world, people, batch, told) = exported(db, 2).await;
    let references = references(&world, &people).await;
    let first = download(&world, &batch).await.unwrap();
    let report = |id, payment| {
        Report {
            id,
            whole: "",
            payments: vec![payment],
        }
        .write(&told)
    };

    import(&world, &report("BANK-1", (&references[0], "RJCT", "AB05")))
        .await
        .unwrap();
    let second = download(&world, &batch).await.unwrap();
    import(&world, &report("BANK-2", (&references[1], "RJCT", "AB05")))
        .await
        .unwrap();
    let answered = download(&world, &batch).await.unwrap_err();
    world.clock.advance_by(time::Duration::days(1));
    let next = approve_all_by_file(&world).await;
    export(&world, &next).await.unwrap();
    let still = download(&world, &batch).await.unwrap_err();
    let next = download(&world, &next).await.unwrap();

    assert_eq!(first, second);
    for refused in [answered, still] {
        assert_eq!(
            (refused.code(), reason(&refused)),
            (Code::FailedPrecondition, "BATCH_ANSWERED".to_owned())
        );
        assert_eq!(metadata(&refused, "disbursement_batch"), batch.name);
    }
    assert_eq!(read(&next).payments.len(), 2);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn what_came_back_meanwhile_is_known_whatever_a_report_says_of_it(db: PgPool) {
    let (world, people, _, told) = exported(db, 2).await;
    let references = references(&world, &people).await;
    let report = |id, payments| {
        Report {
            id,
            whole: "",
            payments,
        }
        .write(&told)
    };
    let settled = report("BANK-1", vec![(&references[0], "ACSC", "")]);
    import(&world, &settled).await.unwrap();
    let lines = [
        ("DEBIT", JOB_SEARCH, "B1", references[0].as_str(), ""),
        ("CREDIT", JOB_SEARCH, "B2", references[0].as_str(), "AC04"),
    ];
    reconciliation::import(&world, &statement("S1", TODAY, 10_000_000, &lines))
        .await
        .unwrap();
    let reversed = world.payment(&people[0]).await;

    let refused = vec![
        (references[0].as_str(), "RJCT", "AC04"),
        (references[1].as_str(), "ACSC", ""),
    ];
    let refused = import(&world, &report("BANK-2", refused)).await.unwrap();
    let paid = report("BANK-3", vec![(&references[0], "ACCC", "")]);
    let paid = import(&world, &paid).await.unwrap();

    assert_eq!(
        (reversed.state(), reversed.failure_reason.as_str()),
        (State::Failed, "REVERSED")
    );
    assert_eq!(
        [
            refused.settled_count,
            refused.failed_count,
            refused.repeated_count
        ],
        [1, 0, 1]
    );
    assert_eq!((paid.settled_count, paid.repeated_count), (0, 1));
    assert_eq!(world.payment(&people[0]).await, reversed);
    assert_eq!(world.payment_state(&people[1]).await, State::Settled);
    world.assert_sound().await;
}

async fn report_count(world: &World) -> i64 {
    let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM payment_status_reports"#);
    count.fetch_one(&world.db).await.unwrap()
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_report_of_which_a_crash_has_taken_staged_payments_takes_no_effect(db: PgPool) {
    let (world, people, _, told) = exported(db, 2).await;
    let references = references(&world, &people).await;
    let report = Report {
        id: "BANK-1",
        whole: "<GrpSts>ACSC</GrpSts>",
        payments: vec![(&references[0], "PDNG", ""), (&references[1], "ACSC", "")],
    };
    let (pieces, content) = tokio::sync::mpsc::channel(1);
    pieces
        .send(Ok(report.write(&told).into_bytes()))
        .await
        .unwrap();
    drop(pieces);
    let staged = world
        .app
        .stage_payment_status_report(content)
        .await
        .unwrap();
    sqlx::raw_sql("DELETE FROM payment_status_staging WHERE number = 1")
        .execute(&world.db)
        .await
        .unwrap();

    let key = RequestKey::internal("ImportPaymentStatusReport", Uuid::now_v7(), b"");
    let refused = world
        .app
        .import_payment_status_report(key, &staged, [0; 32])
        .await
        .unwrap_err();

    assert!(matches!(refused, Error::Conflict), "{refused}");
    assert_eq!(world.payment_state(&people[0]).await, State::Sent);
    assert_eq!(world.payment_state(&people[1]).await, State::Sent);
    assert_eq!(report_count(&world).await, 0);
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn a_report_that_the_ledger_refuses_takes_no_effect(db: PgPool) {
    let (world, people, _, told) = exported(db, 2).await;
    let references = references(&world, &people).await;
    let report = Report {
        id: "BANK-1",
        whole: "",
        payments: vec![(&references[0], "ACSC", ""), (&references[1], "ACSC", "")],
    }
    .write(&told);
    // One who owns the database has taken the money of one payment.
    let tamper = |change: &str| {
        format!(
            "ALTER TABLE ledger_accounts DISABLE TRIGGER ALL;
             UPDATE ledger_accounts SET debits_posted = debits_posted {change} 60000000 WHERE kind = 'rail-in-flight';
             ALTER TABLE ledger_accounts ENABLE TRIGGER ALL"
        )
    };
    sqlx::raw_sql(sqlx::AssertSqlSafe(tamper("+")))
        .execute(&world.db)
        .await
        .unwrap();

    let refused = import(&world, &report).await.unwrap_err();
    let count = report_count(&world).await;
    let state = world.payment_state(&people[0]).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(tamper("-")))
        .execute(&world.db)
        .await
        .unwrap();
    let imported = import(&world, &report).await.unwrap();

    assert_eq!(refused.code(), Code::Internal);
    assert_eq!((count, state), (0, State::Sent));
    assert_eq!(imported.settled_count, 2);
    world.assert_sound().await;
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn of_two_reports_under_one_message_id_the_second_is_refused_also_at_once(db: PgPool) {
    let world = World::with_budget(db, 2).await;
    let people = world.award(2).await;
    let mut batches = Vec::new();
    for (i, person) in people.iter().enumerate() {
        world.ready(person, &format!("62812000000{i}")).await;
        let batch = approve_all_by_file(&world).await;
        export(&world, &batch).await.unwrap();
        batches.push(batch);
    }
    let told = read(&download(&world, &batches[0]).await.unwrap());
    let reference = world.payment(&people[0]).await.reference;
    let report = Report {
        id: "BANK-1",
        whole: "",
        payments: vec![(&reference, "ACSC", "")],
    }
    .write(&told);
    // The other one has looked, too, and is not written for good yet.
    let other = Uuid::now_v7();
    let mut tx = world.db.begin().await.unwrap();
    sqlx::query!(
        "INSERT INTO payment_status_reports
            (id, disbursement_batch_id, message_id, content_hash, settled_count, failed_count, pending_count,
             repeated_count, create_time)
         VALUES ($1, $2, 'BANK-1', '\\x01', 0, 0, 0, 0, now())",
        other,
        names::parse_uuid(&batches[1].name, "disbursementBatches"),
    )
    .execute(&mut *tx)
    .await
    .unwrap();

    let commit = async {
        world.wait_for_locks(1).await;
        tx.commit().await.unwrap();
    };
    let (refused, ()) = tokio::join!(import(&world, &report), commit);

    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::AlreadyExists, "STATUS_REPORT_EXISTS".to_owned())
    );
    assert_eq!(
        metadata(&refused, "payment_status_report"),
        names::format("paymentStatusReports", other)
    );
    assert_eq!(world.payment_state(&people[0]).await, State::Sent);
}

/// Makes so many payments READY past the events, which would take one call a person.
async fn very_many_ready(world: &World, count: usize) -> Vec<Participation> {
    let people: Vec<Participation> = (0..count).map(|_| Participation::new()).collect();
    for chunk in people.chunks(1_000) {
        world.deliver(&awarded(BATCH, chunk)).await.unwrap();
    }
    let channel = Channel::find("DANA").unwrap();
    let ids: Vec<Uuid> = people.iter().map(|_| Uuid::now_v7()).collect();
    let account_ids: Vec<Uuid> = people.iter().map(|person| person.account_id).collect();
    let participation_ids: Vec<Uuid> = people.iter().map(|person| person.id).collect();
    let numbers: Vec<AccountNumber> = (0..count)
        .map(|i| AccountNumber::from_stored(format!("62811{i:07}")))
        .collect();
    let vault = world.app.vault();
    let holder = Holder("SITI AMINAH".to_owned());
    let sealed: Vec<Vec<u8>> = ids
        .iter()
        .zip(&numbers)
        .map(|(id, number)| vault.seal(*id, number, &holder).unwrap())
        .collect();
    let hashes: Vec<Vec<u8>> = numbers
        .iter()
        .map(|number| vault.number_hash(channel, number).to_vec())
        .collect();
    let now = world.clock.now();
    sqlx::query!(
        "INSERT INTO payee_accounts (id, account_id, channel, sealed, number_hash, number_suffix, link_time)
         SELECT id, account_id, 'DANA', sealed, number_hash, '', $5
         FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[]) AS new (id, account_id, sealed, number_hash)",
        &ids,
        &account_ids,
        &sealed,
        &hashes,
        now,
    )
    .execute(&world.db)
    .await
    .unwrap();
    sqlx::query!(
        "INSERT INTO disbursements
            (id, participation_id, account_id, batch, currency, benefit, instalment, amount_minor, due_time, state,
             create_time)
         SELECT participation_id, participation_id, account_id, $3, 'IDR', 'job-search', 1, 60000000, $4, 'READY', $4
         FROM unnest($1::uuid[], $2::uuid[]) AS new (participation_id, account_id)",
        &participation_ids,
        &account_ids,
        BATCH,
        now,
    )
    .execute(&world.db)
    .await
    .unwrap();
    people
}

#[sqlx::test(migrator = "payout::storage::MIGRATOR")]
async fn ten_thousand_payments_go_out_and_come_back_to_the_rupiah(db: PgPool) {
    const COUNT: usize = 10_000;
    let count = i64::try_from(COUNT).unwrap();
    let world = World::with_budget(db, count).await;
    very_many_ready(&world, COUNT).await;
    let batch = approve_all_by_file(&world).await;
    export(&world, &batch).await.unwrap();
    let file = download(&world, &batch).await.unwrap();
    let told = read(&file);
    // One of seven is refused, for one reason after the other; one of eleven is not settled yet.
    let reasons = [
        "AC01", "AC04", "AC06", "AM14", "BE01", "FRAD", "MD07", "MS02",
    ];
    let said = |i: usize| match (i % 7, i % 11) {
        (3, _) => ("RJCT", reasons[i / 7 % reasons.len()]),
        (_, 5) => ("ACSP", ""),
        _ => ("ACSC", ""),
    };
    let statuses: Vec<(&str, &str)> = (0..COUNT).map(said).collect();
    let report = Report {
        id: "BANK-1",
        whole: "<GrpSts>PART</GrpSts>",
        payments: told
            .payments
            .iter()
            .zip(&statuses)
            .map(|((reference, _), (status, reason))| (reference.as_str(), *status, *reason))
            .collect(),
    };

    let imported = import(&world, &report.write(&told)).await.unwrap();

    let those = |holds: &dyn Fn(&(&str, &str)) -> bool| {
        i64::try_from(statuses.iter().filter(|status| holds(status)).count()).unwrap()
    };
    let settled = those(&|(status, _)| *status == "ACSC");
    let failed = those(&|(status, _)| *status == "RJCT");
    let refunded = those(&|(_, reason)| ["MD07", "MS02"].contains(reason));
    assert_eq!(told.payments.len(), COUNT);
    assert_eq!(
        [
            imported.settled_count,
            imported.failed_count,
            imported.pending_count
        ],
        [settled, failed, count - settled - failed]
    );
    let states = sqlx::query!(
        r#"SELECT state, coalesce(failure_reason, '') AS "reason!", count(*) AS "count!"
           FROM disbursements
           GROUP BY 1, 2
           ORDER BY 1, 2"#
    );
    let states = states.fetch_all(&world.db).await.unwrap();
    let states: Vec<(&str, &str, i64)> = states
        .iter()
        .map(|row| (row.state.as_str(), row.reason.as_str(), row.count))
        .collect();
    let of = |code: &str| those(&|(_, reason)| *reason == code);
    assert_eq!(
        states,
        [
            ("CANCELLED", "PAYEE_DECEASED", of("MD07")),
            ("CANCELLED", "PAYEE_REFUSED", of("MS02")),
            ("FAILED", "ACCOUNT_BLOCKED", of("AC06")),
            ("FAILED", "ACCOUNT_CLOSED", of("AC04")),
            ("FAILED", "ACCOUNT_NOT_FOUND", of("AC01")),
            ("FAILED", "FRAUD_SUSPECTED", of("FRAD")),
            ("FAILED", "HOLDER_MISMATCHED", of("BE01")),
            ("FAILED", "LIMIT_EXCEEDED", of("AM14")),
            ("SENT", "", count - settled - failed),
            ("SETTLED", "", settled),
        ]
    );
    let trace = world.trace(BATCH).await;
    assert_eq!(
        [units(trace.incentives), units(trace.returned)],
        [settled * JOB_SEARCH, refunded * JOB_SEARCH]
    );
    world.assert_sound().await;
}
